//! `padtap bench live`: captures frames that it injects itself, and accounts for every one of them.

mod frame;
mod inject;

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use capture_user::dissect::Settings;
use capture_user::latency::Latency;
use capture_user::ledger::Ledger;
use capture_user::output::{Handover, Writers};
use capture_user::pipeline::{self, Control};
use capture_user::shard;
use capture_user::source::xdp::link::Link;
use capture_user::source::xdp::{self, XdpSource, lab};
use serde::Serialize;

use self::inject::Injector;
use crate::cli::{BenchLive, BenchMode};
use crate::command::{Outcome, capture, summary};

/// How long frames may stay away that were offered.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a run of the benchmark found.
#[derive(Serialize)]
struct Report {
    /// Frames injected.
    offered: u64,
    /// Frames that reached padtap's rings and were taken from them.
    delivered: u64,
    /// Frames that went through the whole engine (0 in discard mode).
    dissected: u64,
    /// Frames that were offered and not delivered, or delivered and not dissected.
    lost: u64,
    /// Of those, the ones that the cable dropped before the XDP program saw them.
    lost_on_the_cable: u64,
    /// Seconds from the first frame injected to the last one taken.
    seconds: f64,
    /// Frames offered in each microsecond.
    offered_mpps: f64,
    /// Frames taken (and, in dissect mode, dissected) in each microsecond.
    mpps: f64,
    /// Whether every offered frame is accounted for.
    balanced: bool,
    /// Where they went.
    ledger: Ledger,
    /// Per-packet latency by stage.
    latency_ns: Latency,
}

/// Runs the benchmark in a network of its own.
///
/// # Errors
/// Without root; and whatever prevents a capture there.
pub fn run(options: &BenchLive) -> anyhow::Result<Outcome> {
    let mtu = options.size.saturating_sub(14).max(1500);
    lab::enter(mtu).context("no private network (this benchmark needs root)")?;
    let (sources, control) =
        xdp::open(&xdp::Config { sizes: capture::sizes(options.ring.get()), ..xdp::Config::new(lab::NEAR) })?;
    if !options.json {
        eprintln!("padtap: {}", capture::granted(lab::NEAR, control.granted()));
    }
    let lost_before = cable()?;
    let (engine, offered, elapsed) = measure(sources, &control, options, lost_before)?;
    let mut ledger = engine.ledger();
    ledger.add_tally(&control.tally()?);
    let lost_on_the_cable = cable()? - lost_before;
    let latency = engine.take_latency();
    let report = report(options, ledger, latency, offered, lost_on_the_cable, elapsed);
    print(&report, options.json)?;
    Ok(Outcome::default())
}

/// Injects on one processor and captures on the others, until every frame has arrived or is counted as lost.
fn measure(
    sources: Vec<XdpSource>,
    capture: &xdp::Control,
    options: &BenchLive,
    lost_before: u64,
) -> anyhow::Result<(Control, u64, Duration)> {
    let control = Control::default();
    let (first, rest) = processors(options);
    let config = pipeline::Config {
        workers: options.workers,
        pin: rest,
        stall: options.stall_worker_us.map(Duration::from_micros),
        // Frames of one flow are all alike: without this they would be taken for copies that a mirror made.
        shard: shard::Config {
            dissect: Settings { duplicate_window: Duration::ZERO, ..Settings::default() },
            ..shard::Config::default()
        },
        ..pipeline::Config::default()
    };
    let outlet = Writers::start(Vec::new())?.outlet(Handover::Dropping);
    let injector = Injector::new(options, capture)?;
    let (offered, elapsed) = thread::scope(|scope| {
        let control = &control;
        let engine = scope.spawn(move || match options.mode {
            BenchMode::Dissect => pipeline::run(sources, &config, &outlet, control),
            BenchMode::Discard => pipeline::discard(sources, &config, control),
        });
        let injected = scope.spawn(move || {
            pipeline::pin(&[first], 0);
            injector.run()
        });
        let injected = injected.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let settled = match &injected {
            Ok((offered, _)) => settle(capture, control, *offered, lost_before),
            Err(_) => Ok(()),
        };
        let elapsed = injected.as_ref().map(|(_, begun)| begun.elapsed()).unwrap_or_default();
        capture.stop();
        control.stop();
        engine.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        settled?;
        Ok::<_, anyhow::Error>((injected?.0, elapsed))
    })?;
    Ok((control, offered, elapsed))
}

/// Waits until every frame offered has come to the program or was dropped on the cable, and then until no more is
/// taken from the rings. On a busy machine either may pause; what does not come within [`PATIENCE`] is lost, and the
/// report says that the account does not balance.
fn settle(capture: &xdp::Control, control: &Control, offered: u64, lost_before: u64) -> anyhow::Result<()> {
    let mut last = (0, 0);
    let mut since = Instant::now();
    loop {
        let arrived = capture.tally()?.seen + cable()? - lost_before;
        let now = (arrived, control.frames());
        if now != last {
            (last, since) = (now, Instant::now());
        } else if arrived >= offered || since.elapsed() >= PATIENCE {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Frames that the cable dropped before the XDP program saw them, since it was laid.
fn cable() -> io::Result<u64> {
    Link::find(lab::FAR).map(|far| far.counters.tx_dropped)
}

/// The processor that injects, and those of the engine.
fn processors(options: &BenchLive) -> (usize, Vec<usize>) {
    let mut all = options.pin.as_ref().map_or_else(
        || (0..thread::available_parallelism().map_or(1, |count| count.get())).collect(),
        |list| list.0.clone(),
    );
    let first = all.remove(0);
    (first, all)
}

fn report(
    options: &BenchLive,
    ledger: Ledger,
    latency_ns: Latency,
    offered: u64,
    lost_on_the_cable: u64,
    elapsed: Duration,
) -> Report {
    let done = if options.mode == BenchMode::Dissect { ledger.dissected } else { ledger.source.delivered };
    let seconds = elapsed.as_secs_f64();
    Report {
        offered,
        delivered: ledger.source.delivered,
        dissected: ledger.dissected,
        lost: offered - done,
        lost_on_the_cable,
        seconds,
        offered_mpps: offered as f64 / seconds / 1e6,
        mpps: done as f64 / seconds / 1e6,
        balanced: offered == ledger.source.seen + lost_on_the_cable && ledger.imbalance().is_none(),
        ledger,
        latency_ns,
    }
}

fn print(report: &Report, json: bool) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    if json {
        serde_json::to_writer(&mut stdout, report)?;
        return io::Write::write_all(&mut stdout, b"\n");
    }
    io::Write::write_fmt(
        &mut stdout,
        format_args!(
            "offered  {} frames in {:.3} s, {:.3} Mpps\ntaken    {:.3} Mpps, {} lost ({} of them on the cable), {}\n",
            report.offered,
            report.seconds,
            report.offered_mpps,
            report.mpps,
            report.lost,
            report.lost_on_the_cable,
            if report.balanced { "every frame accounted for" } else { "THE ACCOUNT DOES NOT BALANCE" },
        ),
    )?;
    summary::write(&mut stdout, &report.ledger, &report.latency_ns)?;
    summary::write_imbalance(&mut stdout, &report.ledger)
}
