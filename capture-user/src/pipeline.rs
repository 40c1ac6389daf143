//! Threads: frames from their sources to the shards that own them, and records on to the sinks.
//!
//! A receive thread owns its source and every frame of it. It hands frames to workers as tokens, in batches over a
//! bounded queue, and the empty batches come back to it. A worker owns one shard and shares nothing per packet. With
//! no workers the receive thread is its own, and runs every frame to completion.

mod receive;
mod work;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crossbeam::channel::bounded;

use self::work::Desk;
use crate::knowledge::Knowledge;
use crate::latency::Latency;
use crate::ledger::{Ledger, Work};
use crate::limits::Reached;
use crate::names::Names;
use crate::output::Outlet;
use crate::output::pcapng::{Comments, Filler};
use crate::shard;
use crate::source::{Error, Frame, Source, Tally};
use crate::time::Timestamp;

/// Decides whether a frame is wanted.
pub type Wanted = Arc<dyn Fn(&Frame<'_>) -> bool + Send + Sync>;

/// How frames are spread over threads.
#[derive(Clone, Default)]
pub struct Config {
    /// Worker threads; 0: the receive threads dissect.
    pub workers: usize,
    /// Processors to pin threads to, receive threads first, then workers; empty: no pinning.
    pub pin: Vec<usize>,
    /// Frames after which to stop.
    pub limit: Option<NonZero<u64>>,
    /// What a shard makes of its frames.
    pub shard: shard::Config,
    /// Which frames are wanted, where the source itself does not know.
    pub wanted: Option<Wanted>,
    /// Where frames go that are to be written to a capture file.
    pub frames: Option<Filler>,
    /// What is to hear the records, for comments on frames that are written later.
    pub comments: Option<Comments>,
    /// How much slower a worker is made, for tests of overload: a pause after each batch.
    pub stall: Option<Duration>,
}

/// Shared between the threads of a run and whoever watches over it.
#[derive(Debug, Default)]
pub struct Control {
    stop: AtomicBool,
    limit_reached: AtomicBool,
    finished: AtomicBool,
    /// Frames that may have been taken, and that were: see [`receive::Intake`].
    reserved: AtomicU64,
    taken: AtomicU64,
    /// The present moment of a live capture, in nanoseconds since the epoch; 0 where there is none.
    present: AtomicI64,
    /// How often the tables were replaced, and by which last.
    revision: AtomicU64,
    knowledge: Mutex<Option<Arc<Knowledge>>>,
    published: Mutex<Published>,
}

/// What the threads have published: the sum over all of them, up to a fraction of a second old.
#[derive(Debug, Default)]
struct Published {
    work: Work,
    tally: Tally,
    latency: Latency,
    clock: Option<Timestamp>,
    names: BTreeMap<IpAddr, Arc<str>>,
    comments: Comments,
}

impl Control {
    /// Asks the threads to take what is waiting in their sources, and end.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Whether they were asked to.
    pub fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    /// Whether the frame limit was reached. A live capture then waits to be stopped: its interface still brings frames,
    /// which are taken and counted, but not read.
    pub fn is_limit_reached(&self) -> bool {
        self.limit_reached.load(Ordering::Acquire)
    }

    /// Whether all threads have ended.
    pub fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    /// Frames received so far, for progress.
    pub fn frames(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    /// The account as last published, without the sinks' part.
    pub fn ledger(&self) -> Ledger {
        let mut ledger = Ledger::default();
        if let Ok(published) = self.published.lock() {
            ledger.add_tally(&published.tally);
            ledger.add_work(&published.work);
        }
        ledger
    }

    /// What was given up because a limit was reached, as last published.
    pub fn limits(&self) -> Reached {
        self.published.lock().map(|published| published.work.limits).unwrap_or_default()
    }

    /// The latencies measured since the last call.
    pub fn take_latency(&self) -> Latency {
        self.published.lock().map(|mut published| std::mem::take(&mut published.latency)).unwrap_or_default()
    }

    /// The time of the latest frame.
    pub fn clock(&self) -> Option<Timestamp> {
        self.published.lock().ok()?.clock
    }

    /// Lets all shards know consoles, services and networks by other tables from now on.
    pub fn set_knowledge(&self, knowledge: Arc<Knowledge>) {
        if let Ok(mut latest) = self.knowledge.lock() {
            *latest = Some(knowledge);
            self.revision.fetch_add(1, Ordering::Release);
        }
    }

    /// The tables set since `revision`, if any.
    fn knowledge_since(&self, revision: &mut u64) -> Option<Arc<Knowledge>> {
        let now = self.revision.load(Ordering::Acquire);
        if std::mem::replace(revision, now) == now { None } else { self.knowledge.lock().ok()?.clone() }
    }

    /// The names of addresses, as the consoles asked for them; known once all threads have ended.
    pub fn take_names(&self) -> BTreeMap<IpAddr, Arc<str>> {
        self.published.lock().map(|mut published| std::mem::take(&mut published.names)).unwrap_or_default()
    }

    /// What the records said of frames; known once all threads have ended.
    pub fn take_comments(&self) -> Comments {
        self.published.lock().map(|mut published| std::mem::take(&mut published.comments)).unwrap_or_default()
    }

    fn publish_comments(&self, comments: Comments) {
        if let Ok(mut published) = self.published.lock() {
            published.comments.absorb(comments);
        }
    }

    fn publish_names(&self, names: &Names) {
        if let Ok(mut published) = self.published.lock() {
            published.names.extend(names.iter().map(|(address, name)| (address, name.clone())));
        }
    }

    fn set_present(&self, now: Option<Timestamp>) {
        if let Some(now) = now {
            self.present.fetch_max(now.as_nanos(), Ordering::Relaxed);
        }
    }

    /// The present moment, where the sources are of the present.
    fn present(&self) -> Option<Timestamp> {
        match self.present.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Timestamp::from_nanos(nanos)),
        }
    }

    fn publish(&self, work: &mut Work, latency: &mut Latency, clock: Timestamp) {
        let Ok(mut published) = self.published.lock() else { return };
        published.work.add(work);
        published.latency.absorb(latency);
        published.clock = published.clock.max(Some(clock));
        *work = Work::default();
    }

    fn publish_work(&self, work: &mut Work) {
        if let Ok(mut published) = self.published.lock() {
            published.work.add(&std::mem::take(work));
        }
    }

    fn publish_tally(&self, before: &mut Tally, now: Tally) {
        let Ok(mut published) = self.published.lock() else { return };
        published.tally = published.tally + (now - *before);
        *before = now;
    }
}

/// Runs frames from `sources` through shards until the sources end, the limit is reached, or `control` stops it.
/// Records go to `outlet`.
///
/// # Errors
/// The first error of a source; the frames before it, and those of other sources, have been dealt with.
pub fn run<S>(sources: Vec<S>, config: &Config, outlet: &Outlet, control: &Control) -> Result<(), Error>
where
    S: Source + Send,
{
    let outcome = match config.workers {
        0 => inline(sources, config, outlet, control),
        workers => threaded(sources, workers, config, outlet, control),
    };
    control.finished.store(true, Ordering::Release);
    outcome
}

/// Takes frames and gives them back unread: what the sources alone can do, to compare [`run`] with. Their account is
/// that of a run that delivers without dissecting.
///
/// # Errors
/// As for [`run`].
pub fn discard<S: Source + Send>(sources: Vec<S>, config: &Config, control: &Control) -> Result<(), Error> {
    thread::scope(|scope| {
        let threads: Vec<_> = sources
            .into_iter()
            .enumerate()
            .map(|(index, source)| {
                scope.spawn(move || {
                    pin(&config.pin, index);
                    receive::discard(source, config, control)
                })
            })
            .collect();
        threads.into_iter().try_for_each(join)
    })
}

/// Run to completion: each source's thread dissects.
fn inline<S: Source + Send>(sources: Vec<S>, config: &Config, outlet: &Outlet, control: &Control) -> Result<(), Error> {
    let (outcomes, desks): (Vec<_>, Vec<_>) = thread::scope(|scope| {
        let threads: Vec<_> = sources
            .into_iter()
            .enumerate()
            .map(|(index, source)| {
                scope.spawn(move || {
                    pin(&config.pin, index);
                    receive::to_completion(source, config, Desk::new(config, outlet, control), control)
                })
            })
            .collect();
        threads.into_iter().map(join).unzip()
    });
    close(desks);
    outcomes.into_iter().collect()
}

fn threaded<S: Source + Send>(
    sources: Vec<S>,
    workers: usize,
    config: &Config,
    outlet: &Outlet,
    control: &Control,
) -> Result<(), Error> {
    let receivers = sources.len();
    let (outcomes, desks): (Vec<_>, Vec<_>) = thread::scope(|scope| {
        let (queues, workers): (Vec<_>, Vec<_>) = (0..workers)
            .map(|worker| {
                let (queue, batches) = bounded(receive::QUEUE * receivers.max(1));
                let thread = scope.spawn(move || {
                    pin(&config.pin, receivers + worker);
                    work::work(&batches, Desk::new(config, outlet, control))
                });
                (queue, thread)
            })
            .unzip();
        let receivers: Vec<_> = sources
            .into_iter()
            .enumerate()
            .map(|(index, source)| {
                let queues = queues.clone();
                scope.spawn(move || {
                    pin(&config.pin, index);
                    receive::distribute(source, config, queues, control)
                })
            })
            .collect();
        // The workers end when the last receiver has dropped its ends of their queues.
        drop(queues);
        let outcomes = receivers.into_iter().map(join).collect();
        (outcomes, workers.into_iter().map(join).collect())
    });
    close(desks);
    outcomes.into_iter().collect()
}

/// Ends all flows at the time of the last frame that any shard has met, so that how a flow ends does not depend on
/// which shard it was in; then tells of the devices, which all shards know together.
fn close(mut desks: Vec<Desk<'_>>) {
    let clock = desks.iter().map(Desk::clock).max().unwrap_or_default();
    for desk in &mut desks {
        desk.end_flows(clock);
    }
    if let Some(desk) = desks.last_mut() {
        desk.end_devices(clock);
    }
    for desk in desks {
        desk.finish();
    }
}

fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Pins the calling thread to the processor that is its turn. Without the right to, it runs where it may: pinning is
/// a matter of speed only.
pub fn pin(processors: &[usize], index: usize) {
    if processors.is_empty() {
        return;
    }
    let mut set = rustix::thread::CpuSet::new();
    set.set(processors[index % processors.len()]);
    let _ = rustix::thread::sched_setaffinity(None, &set);
}
