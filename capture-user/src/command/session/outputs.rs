//! What a run writes: records to sinks, frames to capture files.

mod sinks;
#[cfg_attr(not(feature = "parquet"), path = "outputs/no_tables.rs")]
mod tables;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{Scope, ScopedJoinHandle};

use anyhow::Context;
use capture_user::latency::Latency;
use capture_user::ledger::Ledger;
use capture_user::limits::Reached;
use capture_user::output::pcapng::{self, Description, Ending, Filler, Limits, Statistics};
use capture_user::output::prometheus::{Board, Endpoint, Metrics};
use capture_user::output::{Account, Failure, Handover, Outlet, Sink, Writers, is_full};
use capture_user::pipeline::Control;
use capture_user::record::Record;
use capture_user::time::Timestamp;

pub use self::sinks::Sinks;
use super::limits;
use crate::cli;

/// A block of frames on its way to the disk, in bytes, and how many there are of them: what a disk may be behind.
pub const BLOCK: usize = 256 * 1024;
const BLOCKS: usize = 128;

/// Open sinks, each under its name.
type Opened = Vec<(String, Box<dyn Sink>)>;

/// The sinks of a run.
pub struct Outputs {
    writers: Writers,
    outlet: Outlet,
    metrics: Option<Board>,
    ended: Cell<Ended>,
}

/// How outputs of records ended that did not end well.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ended {
    /// One was full.
    pub full: bool,
    /// One failed otherwise.
    pub failed: bool,
}

/// Takes the port for metrics, if the options ask for it. It belongs to the network that the thread is in.
pub fn metrics_endpoint(options: &cli::Output) -> anyhow::Result<Option<Endpoint>> {
    let Some(address) = options.metrics else { return Ok(None) };
    let endpoint = Endpoint::bind(address).with_context(|| format!("--metrics {address}"))?;
    if !options.quiet {
        eprintln!("padtap: metrics at http://{}/metrics", endpoint.address()?);
    }
    Ok(Some(endpoint))
}

impl Outputs {
    /// Opens what the options name; lines for people go to standard output where nothing else does, or the whole
    /// `story` at the end. `files`: the capture files that are read.
    pub fn open(
        sinks: &Sinks,
        options: &cli::Output,
        files: &[PathBuf],
        story: bool,
        metrics: Option<Endpoint>,
    ) -> anyhow::Result<Self> {
        let mut opened = tables::open(options, sinks.sensor(), files)?;
        for target in sinks.targets() {
            let name = target.destination.to_string();
            opened.push((name.clone(), sinks.open(target).with_context(|| name)?));
        }
        for collector in &options.ipfix {
            let name = collector.to_string();
            opened.push((name.clone(), sinks.export(collector).with_context(|| name)?));
        }
        if let Some(folder) = &options.spool {
            let name = folder.display().to_string();
            opened.push((name.clone(), sinks.open_spool(folder, options.spool_limit).context(name)?));
        }
        if opened.is_empty() && options.write.is_none() {
            opened.push(("standard output".into(), sinks.for_people(story && !options.packets)?));
        }
        let metrics = match metrics {
            Some(endpoint) => {
                let board = Board::default();
                opened.push(("metrics".into(), Box::new(Metrics::new(board.clone()))));
                endpoint.serve(board.clone())?;
                Some(board)
            }
            None => None,
        };
        let writers = Writers::start(opened)?.of_kinds(options.kinds.clone().unwrap_or_default());
        let outlet = writers.outlet(if sinks.is_live() { Handover::Waiting } else { Handover::of_patient_work() });
        Ok(Self { writers, outlet, metrics, ended: Cell::default() })
    }

    /// Whether somebody may ask for metrics.
    pub fn has_metrics(&self) -> bool {
        self.metrics.is_some()
    }

    /// Lets metrics say what this `stats` record does.
    pub fn measure(&self, stats: &Record) {
        if let Some(board) = &self.metrics {
            board.account(stats, self.writers.accounts());
        }
    }

    /// A way to the sinks; see [`Writers::outlet`].
    pub fn outlet(&self, handover: Handover) -> Outlet {
        self.writers.outlet(handover)
    }

    /// Waits until all that was handed over is written, without a final account. All outlets must be gone.
    pub fn end(self) -> (Account, Vec<Failure>) {
        drop(self.outlet);
        self.writers.finish()
    }

    /// Whether nobody takes records any more, though somebody did.
    pub fn all_failed(&self) -> bool {
        self.writers.all_failed()
    }

    /// Sends a record of the supervisor's own.
    pub fn tell(&self, record: Record) {
        self.outlet.send(&mut vec![record]);
    }

    /// Adds what became of the records so far.
    pub fn account(&self, ledger: &mut Ledger) {
        let account = self.writers.account();
        ledger.records = account.made;
        ledger.records_written = account.written;
        ledger.sink_drops = account.dropped;
    }

    /// Says which outputs have failed since the last call. That somebody has read enough of a pipe is no failure.
    pub fn tell_failures(&self) {
        self.ended.set(tell_of(self.writers.take_failures(), self.ended.get()));
    }

    /// Sends the final account as the last record, once all others are dealt with, so that it is final; it counts
    /// itself.
    pub fn finish(self, time: Timestamp, ledger: &mut Ledger, limits: Reached, latency: &Latency) -> Ended {
        self.writers.settle();
        self.account(ledger);
        let account = |ledger: &Ledger| Record::stats(time, *ledger, limits, latency.clone());
        let sinks = self.writers.working(&account(ledger));
        ledger.records += sinks;
        ledger.records_written += sinks;
        self.tell(account(ledger));
        let Self { writers, outlet, ended, .. } = self;
        drop(outlet);
        let (account, failures) = writers.finish();
        ledger.records = account.made;
        ledger.records_written = account.written;
        ledger.sink_drops = account.dropped;
        tell_of(failures, ended.get())
    }
}

fn tell_of(failures: Vec<Failure>, mut ended: Ended) -> Ended {
    for failure in failures.into_iter().filter(|failure| failure.error.kind() != io::ErrorKind::BrokenPipe) {
        eprintln!("padtap: {failure}");
        match is_full(&failure.error) {
            true => ended.full = true,
            false => ended.failed = true,
        }
    }
    ended
}

/// The capture file that the options name, if they name one.
pub fn writer(
    options: &cli::Output,
    interfaces: Vec<Description>,
    stop: Limits,
) -> anyhow::Result<Option<pcapng::Writer>> {
    let Some(path) = &options.write else { return Ok(None) };
    let config = pcapng::Config {
        path: (path.as_os_str() != "-").then(|| path.clone()),
        application: Some(concat!("padtap ", env!("CARGO_PKG_VERSION")).into()),
        interfaces,
        rotate: limits("-b", &options.ring_buffer)?,
        stop,
        ..pcapng::Config::default()
    };
    Ok(Some(pcapng::Writer::create(config)?))
}

/// The capture file of a run, and the thread that writes it.
pub struct FrameFile<'scope> {
    live: bool,
    filler: Filler,
    thread: ScopedJoinHandle<'scope, (pcapng::Writer, pcapng::Drained)>,
}

impl<'scope> FrameFile<'scope> {
    /// Opens the file that the options name, if they name one.
    pub fn open<'env>(
        options: &cli::Output,
        interfaces: Vec<Description>,
        stop: Limits,
        live: bool,
        scope: &'scope Scope<'scope, 'env>,
        control: &'env Control,
    ) -> anyhow::Result<Option<Self>> {
        let Some(mut writer) = writer(options, interfaces, stop)? else { return Ok(None) };
        // Records that go on are worth going on for.
        let alone = !options.takes_records();
        let (filler, drain) = pcapng::pool(BLOCKS, BLOCK, !live);
        let thread = std::thread::Builder::new().name("frames".into()).spawn_scoped(scope, move || {
            let drained = drain.run(&mut writer, |ending| {
                if let Ending::Failed(error @ pcapng::Error::Full { .. }) = ending {
                    eprintln!("padtap: {error}");
                }
                if alone || matches!(ending, Ending::Limit) {
                    control.stop();
                }
            });
            (writer, drained)
        })?;
        Ok(Some(Self { live, filler, thread }))
    }

    /// An end for a worker.
    pub fn filler(&self) -> Filler {
        self.filler.clone()
    }

    /// Completes the file: the names of addresses, the account of the interface. Returns whether it could not take all
    /// because it was full.
    ///
    /// # Errors
    /// What else went wrong with it.
    pub fn finish(self, ledger: &mut Ledger, names: &BTreeMap<IpAddr, Arc<str>>) -> anyhow::Result<bool> {
        drop(self.filler);
        let (mut writer, drained) = self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        ledger.write_drops += drained.left_out;
        ledger.frames_written = writer.summary().packets;
        if self.live {
            writer.set_statistics(0, statistics(ledger));
        }
        match drained.ending {
            Some(Ending::Failed(pcapng::Error::Full { .. })) => Ok(true),
            Some(Ending::Failed(error)) => Err(error.into()),
            Some(Ending::Limit) => Ok(writer.finish().map(|_| false)?),
            None => {
                writer.write_names(names.iter().map(|(address, name)| (*address, &**name)))?;
                Ok(writer.finish().map(|_| false)?)
            }
        }
    }
}

/// What a capture counted on its interface, in pcapng's terms: drops of the interface are those on the way to padtap,
/// drops of the system those in it.
fn statistics(ledger: &Ledger) -> Statistics {
    Statistics {
        received: Some(ledger.source.seen),
        accepted: Some(ledger.source.redirected + ledger.source.redirect_errors),
        interface_drops: Some(ledger.source.redirect_errors + ledger.source.rx_dropped + ledger.source.rx_ring_full),
        os_drops: Some(ledger.source.bad_descriptors + ledger.worker_queue_drops + ledger.write_drops),
        delivered: Some(ledger.frames_written),
        ..Statistics::default()
    }
}

/// A key that nobody knows: hashed names of one run compare with each other and with nothing else.
pub fn key() -> [u8; 16] {
    let mut key = [0; 16];
    // Only an early boot could fall short; an incomplete key is still a key.
    let _ = rustix::rand::getrandom(&mut key, rustix::rand::GetRandomFlags::empty());
    key
}
