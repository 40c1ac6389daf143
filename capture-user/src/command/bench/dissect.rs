//! `padtap bench dissect`: capture files through the engine, timed stage by stage.

mod passes;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use anyhow::{Context, bail};
use capture_user::latency::Latency;
use serde::Serialize;

use self::passes::Found;
pub use self::passes::Passes;
use crate::cli::{BenchDissect, BenchStage};
use crate::command::Outcome;

/// What a run of the benchmark found.
#[derive(Serialize)]
struct Report {
    /// Frames in the files.
    packets: u64,
    /// Their bytes on the wire.
    bytes: u64,
    /// Threads that dissect beside the one that reads; 0: that one does.
    workers: usize,
    /// How often everything was measured; figures are medians.
    repeats: usize,
    /// From the first frame to the last record.
    seconds: f64,
    mpps: f64,
    gbps: f64,
    ns_per_packet: f64,
    /// Records made.
    records: u64,
    /// Calls of the allocator from frame to records, on one thread.
    allocations_per_packet: f64,
    /// The most memory the process has had, mapped pages of the files included.
    peak_rss_bytes: u64,
    /// What each stage adds, in nanoseconds of processor time a packet.
    stages: Vec<Stage>,
    /// The same files with more and more workers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scaling: Vec<Scale>,
    /// Per-packet latency by stage.
    latency_ns: Latency,
}

#[derive(Serialize)]
struct Stage {
    stage: &'static str,
    ns_per_packet: f64,
}

#[derive(Serialize)]
struct Scale {
    workers: usize,
    seconds: f64,
    mpps: f64,
    /// Times as fast as one worker.
    speedup: f64,
}

/// Measures.
///
/// # Errors
/// A file that cannot be read, or an output that cannot be written.
pub fn run(options: &BenchDissect) -> anyhow::Result<Outcome> {
    let passes = Passes::new(&options.files, options.output.as_deref(), options.pin.as_ref())?;
    let passes = passes.of_kinds(options.kinds.clone().unwrap_or_default());
    let report = measure(&passes, options)?;
    let mut stdout = io::stdout().lock();
    if options.json {
        serde_json::to_writer(&mut stdout, &report)?;
        stdout.write_all(b"\n")?;
    } else {
        print(&mut stdout, &report, &options.files)?;
    }
    Ok(Outcome::default())
}

fn measure(passes: &Passes<'_>, options: &BenchDissect) -> anyhow::Result<Report> {
    let repeats = options.repeat.get();
    let stages = match options.stage {
        Some(stage) => vec![stage],
        None => BenchStage::ALL.to_vec(),
    };
    let most = options.workers.unwrap_or(0);
    // One worker is what more are compared with.
    let fewest = if most > 1 { 1 } else { most };
    let mut staged = vec![(Vec::new(), Vec::new()); stages.len()];
    let mut scaled = vec![Vec::new(); most - fewest + 1];
    // Once before, so that the files are in memory whoever comes first.
    let mut found = passes.up_to(BenchStage::Read)?;
    if found.packets == 0 {
        bail!("there is no frame in the files: nothing was measured");
    }
    // In turn, so that what else the machine does meets all of them alike.
    for _ in 0..repeats {
        for (stage, (times, walls)) in stages.iter().zip(&mut staged) {
            let pass = timed(|| passes.up_to(*stage))?;
            times.push(pass.processor);
            walls.push(pass.wall);
            found.add(pass.found);
        }
        if options.stage.is_none() {
            for (workers, times) in (fewest..=most).zip(&mut scaled) {
                let pass = timed(|| passes.engine(workers))?;
                times.push(pass.wall);
                found.add(pass.found);
            }
        }
    }
    let packets = found.packets as f64;
    let (staged, walls): (Vec<f64>, Vec<f64>) =
        staged.into_iter().map(|(times, walls)| (median(times), median(walls))).unzip();
    let scaled: Vec<f64> = scaled.into_iter().map(median).collect();
    let seconds = match options.stage {
        Some(_) => walls.last().copied(),
        None => scaled.last().copied(),
    }
    .unwrap_or(f64::NAN);
    let before = [0.0].into_iter().chain(staged.iter().copied());
    let added = staged.iter().zip(before).map(|(seconds, before)| (seconds - before) * 1e9 / packets);
    let scaling = (fewest..=most).zip(&scaled).filter(|_| most > 1).map(|(workers, seconds)| Scale {
        workers,
        seconds: *seconds,
        mpps: packets / seconds / 1e6,
        speedup: scaled.first().map_or(1.0, |one| one / seconds),
    });
    Ok(Report {
        packets: found.packets,
        bytes: found.bytes,
        workers: most,
        repeats,
        seconds,
        mpps: packets / seconds / 1e6,
        gbps: found.bytes as f64 * 8.0 / seconds / 1e9,
        ns_per_packet: seconds * 1e9 / packets,
        records: found.records,
        allocations_per_packet: found.allocations as f64 / packets,
        peak_rss_bytes: peak_memory()?,
        stages: stages
            .iter()
            .zip(added)
            .map(|(stage, ns_per_packet)| Stage { stage: stage.name(), ns_per_packet })
            .collect(),
        scaling: scaling.collect(),
        latency_ns: found.latency,
    })
}

/// A pass, and what it took in seconds.
struct Timed {
    found: Found,
    wall: f64,
    /// Of all its threads: what else the machine does hardly changes it.
    processor: f64,
}

fn timed(pass: impl FnOnce() -> anyhow::Result<Found>) -> anyhow::Result<Timed> {
    let spent = || {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    let (begun, before) = (Instant::now(), spent());
    let found = pass()?;
    Ok(Timed { found, wall: begun.elapsed().as_secs_f64(), processor: spent() - before })
}

/// The middle one.
pub fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The high-water mark of the resident set (proc_pid_status(5), `VmHWM`), in bytes.
fn peak_memory() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    kilobytes.map(|kilobytes| kilobytes * 1024).context("/proc/self/status has no VmHWM")
}

fn print(to: &mut impl Write, report: &Report, files: &[PathBuf]) -> io::Result<()> {
    let names: Vec<_> = files.iter().map(|file| Path::display(file).to_string()).collect();
    let processors = thread::available_parallelism().map_or(1, |count| count.get());
    let Report { packets, bytes, workers, repeats, .. } = report;
    writeln!(
        to,
        "files    {}: {packets} frames, {:.0} bytes on the average",
        names.join(", "),
        *bytes as f64 / *packets as f64
    )?;
    writeln!(to, "run      {workers} workers, {repeats} times, {processors} processors")?;
    writeln!(
        to,
        "speed    {:.3} Mpps, {:.2} Gbit/s, {:.0} ns a packet",
        report.mpps, report.gbps, report.ns_per_packet
    )?;
    writeln!(
        to,
        "memory   {:.2} allocations a packet, {:.1} MB at most",
        report.allocations_per_packet,
        report.peak_rss_bytes as f64 / 1e6
    )?;
    writeln!(to, "records  {}", report.records)?;
    for (place, Stage { stage, ns_per_packet }) in report.stages.iter().enumerate() {
        writeln!(
            to,
            "{} {stage:<9} {ns_per_packet:>8.1} ns a packet",
            if place == 0 { "stages  " } else { "        " }
        )?;
    }
    for (place, scale) in report.scaling.iter().enumerate() {
        let heading = if place == 0 { "scaling " } else { "        " };
        writeln!(to, "{heading} {} workers {:>8.3} Mpps, {:.2} times one", scale.workers, scale.mpps, scale.speedup)?;
    }
    Ok(())
}
