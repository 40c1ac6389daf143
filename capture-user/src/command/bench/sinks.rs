//! `padtap bench sinks`: what each output of records takes a record, and what it costs the thread that dissects.

use std::io::{self, Write};
use std::net::UdpSocket;
use std::path::Path;

use anyhow::{Context, ensure};
use capture_user::output::Handover;
use capture_user::output::destination::{Destination, Format, Target};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use super::dissect::{Passes, median};
use crate::cli::{self, BenchSinks};
use crate::command::Outcome;
use crate::command::session::{Outputs, Sinks};

/// Bytes that a spool may take: more than a benchmark writes.
const SPOOL: u64 = 1 << 40;

/// What a run of the benchmark found.
#[derive(Serialize)]
struct Report {
    /// Frames in the files.
    packets: u64,
    /// Records that come of them.
    records: u64,
    /// How often everything was measured; figures are medians.
    repeats: usize,
    /// Processor time of the thread that dissects, without any output.
    ns_per_packet: f64,
    sinks: Vec<Figures>,
}

/// One output's figures.
#[derive(Serialize)]
struct Figures {
    sink: &'static str,
    /// Records it took.
    records: u64,
    /// Records in a second of its own thread's processor time.
    records_per_second: f64,
    /// Bytes that it wrote, where it writes files.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_per_record: Option<f64>,
    /// What it adds to the thread that dissects, which hands records over instead of dropping them.
    added_ns_per_packet: f64,
    added_percent: f64,
}

/// An output by name.
#[derive(Clone, Copy)]
enum Kind {
    Ndjson,
    NdjsonZst,
    Eve,
    Spool,
    Ipfix,
    #[cfg(feature = "parquet")]
    Parquet,
    #[cfg(feature = "parquet")]
    Arrow,
}

impl Kind {
    const ALL: &[Self] = &[
        Self::Ndjson,
        Self::NdjsonZst,
        Self::Eve,
        Self::Spool,
        Self::Ipfix,
        #[cfg(feature = "parquet")]
        Self::Parquet,
        #[cfg(feature = "parquet")]
        Self::Arrow,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::NdjsonZst => "ndjson.zst",
            Self::Eve => "eve",
            Self::Spool => "spool",
            Self::Ipfix => "ipfix",
            #[cfg(feature = "parquet")]
            Self::Parquet => "parquet",
            #[cfg(feature = "parquet")]
            Self::Arrow => "arrow",
        }
    }

    /// The options that ask for it, in a folder; IPFIX goes to a port.
    fn options(self, folder: &Path, port: u16) -> anyhow::Result<cli::Output> {
        let mut options = cli::Output { quiet: true, spool_limit: SPOOL, ..cli::Output::default() };
        let mut file = |format, name| {
            let destination = Destination::File(folder.join(name));
            options.output = vec![Target { format: Some(format), destination }];
        };
        match self {
            Self::Ndjson => file(Format::Ndjson, "records.ndjson"),
            Self::NdjsonZst => file(Format::Ndjson, "records.ndjson.zst"),
            Self::Eve => file(Format::Eve, "eve.json"),
            Self::Spool => options.spool = Some(folder.into()),
            Self::Ipfix => options.ipfix = vec![format!("udp:127.0.0.1:{port}").parse()?],
            #[cfg(feature = "parquet")]
            Self::Parquet => options.parquet = Some(folder.into()),
            #[cfg(feature = "parquet")]
            Self::Arrow => options.arrow = Some(folder.into()),
        }
        Ok(options)
    }
}

/// One pass with an output.
#[derive(Clone, Copy, Default)]
struct Pass {
    records: u64,
    bytes: u64,
    /// Processor time in seconds: of this thread, and of the output's.
    own: f64,
    others: f64,
}

/// Measures.
///
/// # Errors
/// A file that cannot be read, or an output that fails.
pub fn run(options: &BenchSinks) -> anyhow::Result<Outcome> {
    let report = measure(options)?;
    let mut stdout = io::stdout().lock();
    if options.json {
        serde_json::to_writer(&mut stdout, &report)?;
        stdout.write_all(b"\n")?;
    } else {
        print(&mut stdout, &report)?;
    }
    Ok(Outcome::default())
}

fn measure(options: &BenchSinks) -> anyhow::Result<Report> {
    let passes = Passes::new(&options.files, None, None)?;
    // Nobody reads it: what a collector does with messages is not padtap's.
    let collector = UdpSocket::bind("127.0.0.1:0").context("a port on loopback")?;
    let port = collector.local_addr()?.port();
    let repeats = options.repeat.get();
    let mut alone = Vec::new();
    let mut measured = vec![Vec::new(); Kind::ALL.len()];
    // Once before, so that the files are in memory whoever comes first.
    let found = passes.records(&mut |records| records.clear())?;
    ensure!(found.packets > 0, "there is no frame in the files: nothing was measured");
    for _ in 0..repeats {
        let before = spent(ClockId::ThreadCPUTime);
        passes.records(&mut |records| records.clear())?;
        alone.push(spent(ClockId::ThreadCPUTime) - before);
        for (kind, measured) in Kind::ALL.iter().zip(&mut measured) {
            measured.push(with(*kind, &passes, options, port)?);
        }
    }
    let packets = found.packets as f64;
    let alone = median(alone);
    let figures = Kind::ALL.iter().zip(measured).map(|(kind, passes)| {
        let last = passes.last().copied().unwrap_or_default();
        let middle = |figure: fn(&Pass) -> f64| median(passes.iter().map(figure).collect());
        let added = middle(|pass| pass.own) - alone;
        Figures {
            sink: kind.name(),
            records: last.records,
            records_per_second: last.records as f64 / middle(|pass| pass.others),
            bytes_per_record: (last.bytes > 0).then(|| last.bytes as f64 / last.records as f64),
            added_ns_per_packet: added * 1e9 / packets,
            added_percent: added / alone * 100.0,
        }
    });
    Ok(Report {
        packets: found.packets,
        records: found.records,
        repeats,
        ns_per_packet: alone * 1e9 / packets,
        sinks: figures.collect(),
    })
}

/// The files once, with one output.
fn with(kind: Kind, passes: &Passes<'_>, options: &BenchSinks, port: u16) -> anyhow::Result<Pass> {
    let folder = tempfile::tempdir()?;
    let output = kind.options(folder.path(), port)?;
    let sinks = Sinks::new(&output, false)?;
    let outputs = Outputs::open(&sinks, &output, &options.files, false, None)?;
    let outlet = outputs.outlet(Handover::Waiting);
    let (own, all) = (spent(ClockId::ThreadCPUTime), spent(ClockId::ProcessCPUTime));
    passes.records(&mut |records| outlet.send(records))?;
    let own = spent(ClockId::ThreadCPUTime) - own;
    drop(outlet);
    let (account, failures) = outputs.end();
    if let Some(failure) = failures.into_iter().next() {
        return Err(failure.into());
    }
    let all = spent(ClockId::ProcessCPUTime) - all;
    Ok(Pass { records: account.written, bytes: bytes_in(folder.path())?, own, others: all - own })
}

fn spent(clock: ClockId) -> f64 {
    let time = clock_gettime(clock);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Bytes of all files in a folder and those in it.
fn bytes_in(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in folder.read_dir()? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { bytes_in(&entry.path())? } else { metadata.len() };
    }
    Ok(bytes)
}

fn print(to: &mut impl Write, report: &Report) -> io::Result<()> {
    let Report { packets, records, repeats, ns_per_packet, sinks } = report;
    writeln!(to, "{packets} frames, {records} records, {repeats} times; dissecting {ns_per_packet:.0} ns a packet")?;
    writeln!(
        to,
        "{:<12} {:>9} {:>13} {:>13} {:>21}",
        "sink", "records", "records/s", "bytes/record", "adds to a packet"
    )?;
    for Figures { sink, records, records_per_second, bytes_per_record, added_ns_per_packet, added_percent } in sinks {
        let bytes = bytes_per_record.map_or_else(|| "-".to_owned(), |bytes| format!("{bytes:.0}"));
        writeln!(
            to,
            "{sink:<12} {records:>9} {records_per_second:>13.0} {bytes:>13} {added_ns_per_packet:>10.1} ns {added_percent:>6.1} %"
        )?;
    }
    Ok(())
}
