//! One run of the engine: sources in, outputs out, and somebody who watches over it.

mod outputs;
mod rewrite;

use std::io::{self, IsTerminal, Write};
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use capture_user::classify::Registry;
use capture_user::dissect::Settings;
use capture_user::dissect::app::People;
use capture_user::knowledge::Knowledge;
use capture_user::latency::{Latency, Log};
use capture_user::ledger::Ledger;
use capture_user::output::Handover;
use capture_user::output::pcapng::{Description, Limits};
use capture_user::output::prometheus::Endpoint;
use capture_user::pipeline::{self, Control, Wanted};
use capture_user::record::Record;
use capture_user::shunt::Shunts;
use capture_user::source::{Source, Tally};
use capture_user::{flow, shard};

use self::outputs::FrameFile;
pub use self::outputs::{Outputs, Sinks, metrics_endpoint};
pub use self::rewrite::Replay;
use self::rewrite::{Found, Rewrite};
use super::signals::Signals;
use super::{Outcome, Usage, summary};
use crate::cli;
use capture_user::time::Timestamp;

/// How often the supervisor looks around.
const LOOK: Duration = Duration::from_millis(20);
/// How old metrics may be.
const MEASURE: Duration = Duration::from_millis(500);

/// What a run needs to know beside its sources.
pub struct Plan<'a> {
    /// How to run.
    pub run: &'a cli::Run,
    /// What comes out.
    pub output: &'a cli::Output,
    /// Worker threads beside those that receive.
    pub workers: usize,
    /// Which frames are wanted, where the source does not know.
    pub wanted: Option<Wanted>,
    /// The capture files that are read; none where frames come from elsewhere.
    pub files: Vec<PathBuf>,
    /// The interfaces, as a capture file describes them.
    pub interfaces: Vec<Description>,
    /// Hands out the same frames once more, where they are in files.
    pub replay: Option<Replay<'a>>,
    /// Where metrics are served: a port of the network that the command was started in.
    pub metrics: Option<Endpoint>,
    /// Listened to since before there were sources: whoever sees that a capture has begun may send one.
    pub signals: Signals,
    /// The devices that become known.
    pub devices: Registry,
    /// Where shards ask that downloads be counted in the driver, if they are to.
    pub shunts: Option<Shunts>,
    /// What is known of consoles, services and networks.
    pub knowledge: Arc<Knowledge>,
    /// How the tables for that are read, again if need be.
    pub load: fn(&cli::Tables) -> anyhow::Result<Arc<Knowledge>>,
    /// Whether people are told a story at the end, instead of a line a record.
    pub story: bool,
}

/// The part of a run that only its kind of source knows. Called by the supervising thread alone.
pub trait Warden {
    /// What the sources do not account for themselves.
    fn tally(&mut self) -> Tally {
        Tally::default()
    }

    /// Called many times a second.
    ///
    /// # Errors
    /// What must end the run.
    fn look(&mut self) -> anyhow::Result<()> {
        Ok(())
    }

    /// Whether there is nothing more to wait for.
    fn is_over(&mut self) -> bool {
        false
    }

    /// No frame may come from now on; those on their way still do.
    fn stop(&mut self) {}

    /// Reads the filter again.
    ///
    /// # Errors
    /// What is wrong with it; the old one stays.
    fn reload(&mut self) -> anyhow::Result<()> {
        Ok(())
    }
}

/// For sources that need nobody.
pub struct Nobody;

impl Warden for Nobody {}

/// Runs the engine until its sources end, a limit is reached, or a signal comes.
///
/// # Errors
/// The first of: an output that cannot be opened, a source that broke, an output that failed.
pub fn run<S: Source + Send>(sources: Vec<S>, mut plan: Plan<'_>, warden: &mut dyn Warden) -> anyhow::Result<Outcome> {
    let live = sources.iter().any(Source::is_live);
    let stop = limits("-a", &plan.run.autostop)?;
    if plan.output.write.is_none() && (stop.size.is_some() || stop.files.is_some()) {
        return Err(Usage("-a filesize and -a files are about the file of -w, and there is none".into()).into());
    }
    let sinks = Sinks::new(plan.output, live)?;
    let control = Control::default();
    thread::scope(|scope| {
        let shard = shard_config(&plan)?;
        let rewrite = Rewrite::open(plan.output, stop, shard.dissect, plan.replay.take())?;
        let frames = match &rewrite {
            Some(_) => None,
            None => FrameFile::open(plan.output, plan.interfaces.clone(), stop, live, scope, &control)?,
        };
        let metrics = plan.metrics.take();
        let outputs = Outputs::open(&sinks, plan.output, &plan.files, plan.story, metrics)?;
        let config = pipeline::Config {
            workers: plan.workers,
            pin: plan.run.pin.as_ref().map(|list| list.0.clone()).unwrap_or_default(),
            limit: plan.run.count.into_iter().chain(stop.packets.and_then(NonZero::new)).min(),
            shard: shard::Config { beginnings: frames.is_some(), ..shard },
            wanted: plan.wanted.clone(),
            frames: frames.as_ref().map(FrameFile::filler),
            comments: rewrite.as_ref().map(Rewrite::comments),
            stall: plan.run.stall_worker_us.map(Duration::from_micros),
        };
        // The seconds of a file are those of its packets, which the writer of frames keeps.
        let mut watch = Watch::new(&plan, &outputs, &control, warden, stop.duration.filter(|_| live))?;
        let outlet = outputs.outlet(if live { Handover::Dropping } else { Handover::of_patient_work() });
        let main = thread::current();
        let engine = scope.spawn({
            let control = &control;
            move || {
                let outcome = pipeline::run(sources, &config, &outlet, control);
                main.unpark();
                outcome
            }
        });
        // Whom the thread wakes would still find it there, and sleep on.
        let watched = watch.until(|| control.is_finished() || engine.is_finished(), &plan.signals);
        let outcome = engine.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let mut ledger = watch.ledger();
        let (limits, latency) = (control.limits(), watch.all_latency());
        let written = match rewrite {
            Some(rewrite) => rewrite.finish(Found::by(&control), &plan.signals, &mut ledger),
            None => frames.map_or(Ok(false), |frames| frames.finish(&mut ledger, &control.take_names())),
        };
        let time = control.clock().unwrap_or_else(Timestamp::now);
        let told = outputs.finish(time, &mut ledger, limits, &latency);
        if !plan.output.quiet {
            let mut stderr = io::stderr().lock();
            summary::write(&mut stderr, &ledger, &latency)?;
            summary::write_limits(&mut stderr, &limits)?;
            summary::write_imbalance(&mut stderr, &ledger)?;
        }
        outcome?;
        watched?;
        let full = written? | told.full;
        Ok(Outcome { lost: plan.run.fail_on_drop && ledger.lost() > 0, full, failed: told.failed })
    })
}

/// Conditions of `-a` and `-b`.
pub fn limits(option: &str, conditions: &[String]) -> anyhow::Result<Limits> {
    let mut limits = Limits::default();
    for condition in conditions {
        limits.add(condition).map_err(|error| Usage(format!("{option} {error}")))?;
    }
    Ok(limits)
}

fn shard_config(plan: &Plan<'_>) -> anyhow::Result<shard::Config> {
    Ok(shard::Config {
        flows: flow::Config {
            capacity: plan.run.max_flows.get(),
            interval: plan.output.flow_interval,
            ..flow::Config::default()
        },
        packets: plan.output.packets,
        kinds: plan.output.kinds.clone().unwrap_or_default(),
        beginnings: false,
        people: if plan.output.show_names { People::SHOWN } else { People::hashed(outputs::key()) },
        dissect: Settings { duplicate_window: plan.run.mirror_window, ..Settings::default() },
        knowledge: plan.knowledge.clone(),
        devices: plan.devices.clone(),
        shunts: plan.shunts.clone(),
    })
}

/// The supervisor: looks around until the engine is finished.
struct Watch<'a> {
    control: &'a Control,
    outputs: &'a Outputs,
    warden: &'a mut dyn Warden,
    latency: Latency,
    log: Option<Log>,
    logged: Instant,
    deadline: Option<Instant>,
    stopped: bool,
    every: Option<Duration>,
    told: Instant,
    tables: &'a cli::Tables,
    load: fn(&cli::Tables) -> anyhow::Result<Arc<Knowledge>>,
    quiet: bool,
    progress: bool,
    shown: Instant,
    measured: Instant,
}

impl<'a> Watch<'a> {
    fn new(
        plan: &'a Plan<'_>,
        outputs: &'a Outputs,
        control: &'a Control,
        warden: &'a mut dyn Warden,
        duration: Option<Duration>,
    ) -> anyhow::Result<Self> {
        let now = Instant::now();
        let log = match &plan.output.latency_log {
            Some(path) => Some(Log::create(path).with_context(|| path.display().to_string())?),
            None => None,
        };
        Ok(Self {
            control,
            outputs,
            warden,
            latency: Latency::default(),
            log,
            logged: now,
            deadline: duration.and_then(|duration| now.checked_add(duration)),
            stopped: false,
            every: plan.output.stats_interval,
            told: now,
            tables: &plan.run.knowledge,
            load: plan.load,
            quiet: plan.output.quiet,
            progress: !plan.output.quiet && io::stderr().is_terminal() && !io::stdout().is_terminal(),
            shown: now,
            measured: now,
        })
    }

    /// Looks around until `finished`. An error stops the engine, and is returned when it has ended.
    fn until(&mut self, finished: impl Fn() -> bool, signals: &Signals) -> anyhow::Result<()> {
        let mut outcome = Ok(());
        while !finished() {
            thread::park_timeout(LOOK);
            let over = self.warden.is_over() || self.deadline.is_some_and(|deadline| Instant::now() >= deadline);
            let unheard = self.outputs.all_failed();
            let asked = signals.stop() || self.control.is_limit_reached() || self.control.is_stopping();
            if over || unheard || asked || outcome.is_err() {
                self.stop();
            }
            if outcome.is_ok() {
                outcome = self.look(signals);
            }
        }
        if self.progress {
            eprint!("\r\x1b[K");
        }
        self.log_latency(true).and(outcome)
    }

    fn stop(&mut self) {
        if !std::mem::replace(&mut self.stopped, true) {
            self.warden.stop();
            self.control.stop();
        }
    }

    fn look(&mut self, signals: &Signals) -> anyhow::Result<()> {
        self.warden.look()?;
        self.outputs.tell_failures();
        self.log_latency(false)?;
        if signals.take_reload() {
            match self.reload() {
                Ok(()) if self.quiet => {}
                Ok(()) => eprintln!("padtap: reloaded"),
                Err(error) => eprintln!("padtap: not reloaded, all stays as it was: {error:#}"),
            }
        }
        if signals.take_statistics() {
            let (ledger, latency) = (self.ledger(), self.all_latency());
            let mut stderr = io::stderr().lock();
            summary::write(&mut stderr, &ledger, &latency)?;
            summary::write_limits(&mut stderr, &self.control.limits())?;
        }
        if self.every.is_some_and(|every| self.told.elapsed() >= every) {
            self.told = Instant::now();
            let stats = self.stats();
            self.outputs.tell(stats);
        }
        if self.outputs.has_metrics() && self.measured.elapsed() >= MEASURE {
            self.measured = Instant::now();
            let stats = self.stats();
            self.outputs.measure(&stats);
        }
        if self.progress && self.shown.elapsed() >= Duration::from_secs(1) {
            self.shown = Instant::now();
            let ledger = self.ledger();
            eprint!("\r{} frames, {} lost\x1b[K", self.control.frames(), ledger.lost());
            io::stderr().flush()?;
        }
        Ok(())
    }

    /// Reads filter and tables again. Where either is wrong now, both stay what they were.
    fn reload(&mut self) -> anyhow::Result<()> {
        let knowledge = (self.load)(self.tables)?;
        self.warden.reload()?;
        self.control.set_knowledge(knowledge);
        Ok(())
    }

    /// The account so far, as a record.
    fn stats(&mut self) -> Record {
        let time = self.control.clock().unwrap_or_else(Timestamp::now);
        let (ledger, latency) = (self.ledger(), self.all_latency());
        Record::stats(time, ledger, self.control.limits(), latency)
    }

    /// The account so far.
    fn ledger(&mut self) -> Ledger {
        let mut ledger = self.control.ledger();
        ledger.add_tally(&self.warden.tally());
        self.outputs.account(&mut ledger);
        ledger
    }

    /// All that was measured so far.
    fn all_latency(&mut self) -> Latency {
        self.latency.absorb(&mut self.control.take_latency());
        self.latency.clone()
    }

    fn log_latency(&mut self, now: bool) -> anyhow::Result<()> {
        let Some(log) = &mut self.log else { return Ok(()) };
        let length = self.logged.elapsed();
        if now || length >= Duration::from_secs(1) {
            self.logged = Instant::now();
            let mut interval = self.control.take_latency();
            log.add(&interval, length).context("the latency log")?;
            self.latency.absorb(&mut interval);
        }
        Ok(())
    }
}
