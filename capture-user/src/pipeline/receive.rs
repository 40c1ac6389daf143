//! The receive threads: taking frames from a source without ever waiting for a worker that is behind.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};

use super::work::Desk;
use super::{Config, Control, Wanted};
use crate::latency::Stopwatch;
use crate::ledger::Work;
use crate::source::{Error, Received, Source, Tally, View};

/// Frames taken from a source at once, and so at most in a batch.
const BURST: usize = 64;
/// Frames a worker may be behind per receive thread. Counted in frames, not in batches, because at a low rate a batch is
/// a frame or two, and a worker that is not scheduled for a moment must not cost any.
pub(super) const QUEUE: usize = 4096;
/// How long a receive thread waits for a frame before it looks whether it should stop.
const PATIENCE: Duration = Duration::from_millis(20);
/// Frames that are still taken from a source once it is asked to stop, at most. More than its rings and buffers hold:
/// only a source that never dries up, a packet socket under constant traffic or a long file, is left with some.
const LAST: u64 = 1 << 18;
/// How often a thread publishes its counters.
pub(super) const PUBLISH: Duration = Duration::from_millis(100);

/// Frames on their way to one worker and back.
pub(super) struct Batch<S: Source> {
    pub(super) tokens: Vec<S::Token>,
    /// Reads the tokens; it stays with the batch, so that handing over costs no reference count.
    pub(super) view: S::View,
    pub(super) arrival: Arrival,
    /// Frames for the same worker that were dropped since the batch before.
    pub(super) lost: u64,
    /// Whose it is.
    worker: usize,
    /// The way home.
    pub(super) home: Sender<Box<Self>>,
}

/// When a burst of frames reached the receive thread.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Arrival {
    /// By the stopwatch.
    pub(super) reading: u64,
    /// By CLOCK_MONOTONIC, in nanoseconds: the clock of the kernel's stamps.
    pub(super) monotonic: u64,
}

impl Arrival {
    fn now(watch: &Stopwatch) -> Self {
        let monotonic = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let nanos = monotonic.tv_sec.wrapping_mul(1_000_000_000).wrapping_add(monotonic.tv_nsec);
        Self { reading: watch.reading(), monotonic: nanos.cast_unsigned() }
    }
}

/// What came of one look at the source.
enum Burst {
    /// Frames to dissect.
    Frames,
    /// Nothing, or only frames that are past the limit.
    Nothing,
    /// The end.
    End,
}

/// The source as both kinds of receive thread use it: with the limit kept, the stop heeded and the tally published.
pub(super) struct Intake<'a, S: Source> {
    source: S,
    view: S::View,
    control: &'a Control,
    limit: u64,
    wanted: Option<Wanted>,
    unwanted: Vec<S::Token>,
    /// Frames taken since the stop.
    last: u64,
    scratch: Vec<u8>,
    /// The tally as last published.
    tally: Tally,
    work: Work,
    published: Instant,
}

impl<'a, S: Source> Intake<'a, S> {
    fn new(source: S, config: &Config, control: &'a Control) -> Self {
        let limit = config.limit.map_or(u64::MAX, |limit| limit.get());
        Self {
            view: source.view(),
            source,
            control,
            limit,
            wanted: config.wanted.clone(),
            unwanted: Vec::new(),
            last: 0,
            scratch: Vec::new(),
            tally: Tally::default(),
            work: Work::default(),
            published: Instant::now(),
        }
    }

    /// Takes frames. A source that is asked to stop is emptied first, as far as it has an end; a live one that has
    /// reached the limit is emptied too, and what comes is counted as past the limit.
    fn take(&mut self, tokens: &mut Vec<S::Token>) -> Result<Burst, Error> {
        let stopping = self.control.is_stopping();
        if stopping && self.last >= LAST {
            return Ok(Burst::End);
        }
        let wanted = self.reserve();
        let past_limit = wanted == 0 && self.control.taken.load(Ordering::Relaxed) >= self.limit;
        if past_limit {
            self.control.limit_reached.store(true, Ordering::Release);
            if !self.source.is_live() {
                return Ok(Burst::End);
            }
        }
        if wanted == 0 && !past_limit {
            // Another thread holds the last frames of the limit, and may give some of them back.
            std::thread::yield_now();
            return Ok(Burst::Nothing);
        }
        let patience = if stopping { Duration::ZERO } else { PATIENCE };
        let received = self.source.receive(if past_limit { BURST } else { wanted }, patience, tokens);
        self.last += if stopping { tokens.len() as u64 } else { 0 };
        if past_limit {
            self.work.past_limit += tokens.len() as u64;
            self.source.recycle(tokens);
        } else {
            self.leave_out(tokens);
            let count = tokens.len();
            self.control.taken.fetch_add(count as u64, Ordering::Relaxed);
            self.control.reserved.fetch_sub((wanted - count.min(wanted)) as u64, Ordering::Relaxed);
        }
        self.publish(false);
        match received? {
            Received::Frames if past_limit => Ok(Burst::Nothing),
            Received::Frames => Ok(Burst::Frames),
            Received::Nothing if stopping => Ok(Burst::End),
            Received::Nothing => Ok(Burst::Nothing),
            Received::End => Ok(Burst::End),
        }
    }

    /// Gives back the frames that nobody wants.
    fn leave_out(&mut self, tokens: &mut Vec<S::Token>) {
        let Some(wanted) = &self.wanted else { return };
        let unwanted = tokens.extract_if(.., |token| !wanted(&self.view.frame(token, &mut self.scratch)));
        self.unwanted.extend(unwanted);
        self.work.unwanted += self.unwanted.len() as u64;
        self.source.recycle(&mut self.unwanted);
    }

    /// How many frames this thread may take within the limit.
    fn reserve(&self) -> usize {
        let share = |reserved: u64| (self.limit - reserved.min(self.limit)).min(BURST as u64);
        let take = |reserved: u64| Some(reserved + share(reserved));
        let before = self.control.reserved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        before.map_or(0, |before| share(before) as usize)
    }

    fn publish(&mut self, now: bool) {
        if now || self.published.elapsed() >= PUBLISH {
            self.published = Instant::now();
            let tally = self.source.tally();
            self.control.publish_tally(&mut self.tally, tally);
            self.control.publish_work(&mut self.work);
            self.control.set_present(self.source.now());
        }
    }
}

/// Takes frames and dissects them, one after the other.
pub(super) fn to_completion<'a, S: Source>(
    source: S,
    config: &Config,
    mut desk: Desk<'a>,
    control: &'a Control,
) -> (Result<(), Error>, Desk<'a>) {
    let view = source.view();
    let mut intake = Intake::new(source, config, control);
    let watch = Stopwatch::default();
    let mut tokens = Vec::with_capacity(BURST);
    let outcome = loop {
        match intake.take(&mut tokens) {
            Ok(Burst::Frames) => desk.process(&view, &tokens, Arrival::now(&watch)),
            Ok(Burst::Nothing) => desk.rest(),
            Ok(Burst::End) => break Ok(()),
            Err(error) => {
                desk.process(&view, &tokens, Arrival::now(&watch));
                break Err(error);
            }
        }
        intake.source.recycle(&mut tokens);
    };
    intake.source.recycle(&mut tokens);
    intake.publish(true);
    (outcome, desk)
}

/// Takes frames and gives them back. They count as not wanted, so that the account comes out.
pub(super) fn discard<S: Source>(source: S, config: &Config, control: &Control) -> Result<(), Error> {
    let mut intake = Intake::new(source, config, control);
    let mut tokens = Vec::with_capacity(BURST);
    let outcome = loop {
        let burst = intake.take(&mut tokens);
        intake.work.unwanted += tokens.len() as u64;
        intake.source.recycle(&mut tokens);
        match burst {
            Ok(Burst::Frames | Burst::Nothing) => {}
            Ok(Burst::End) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    intake.publish(true);
    outcome
}

/// Takes frames and hands each to the worker that owns its shard.
pub(super) fn distribute<S: Source>(
    source: S,
    config: &Config,
    queues: Vec<Sender<Box<Batch<S>>>>,
    control: &Control,
) -> Result<(), Error> {
    let view = source.view();
    let mut intake = Intake::new(source, config, control);
    let mut desks = Distribution::new(queues, &view);
    let watch = Stopwatch::default();
    let mut tokens = Vec::with_capacity(BURST);
    let outcome = loop {
        desks.welcome(&mut intake);
        let burst = intake.take(&mut tokens);
        if !tokens.is_empty() {
            desks.send(&mut tokens, Arrival::now(&watch), &mut intake);
        }
        match burst {
            Ok(Burst::End) => break Ok(()),
            Err(error) => break Err(error),
            Ok(Burst::Frames | Burst::Nothing) => {}
        }
    };
    desks.finish(&mut intake);
    intake.publish(true);
    outcome
}

/// The queues of all workers, as one receive thread sees them.
struct Distribution<'a, S: Source> {
    view: &'a S::View,
    queues: Vec<Sender<Box<Batch<S>>>>,
    /// The batch being filled for each worker.
    filling: Vec<Box<Batch<S>>>,
    idle: Vec<Box<Batch<S>>>,
    home: Sender<Box<Batch<S>>>,
    returned: Receiver<Box<Batch<S>>>,
    /// Batches that are not home.
    away: usize,
    /// Frames that each worker has not given back.
    behind: Vec<usize>,
}

impl<'a, S: Source> Distribution<'a, S> {
    fn new(queues: Vec<Sender<Box<Batch<S>>>>, view: &'a S::View) -> Self {
        // Room for every batch there can be: those queued, one in each worker's hands, one being filled for each.
        let (home, returned) = bounded(queues.iter().map(|queue| queue.capacity().unwrap_or(QUEUE) + 2).sum());
        let behind = vec![0; queues.len()];
        let (filling, idle) = (Vec::new(), Vec::new());
        let mut own = Self { view, filling, idle, home, returned, away: 0, behind, queues: Vec::new() };
        own.filling = queues.iter().map(|_| own.fresh()).collect();
        own.queues = queues;
        own
    }

    fn fresh(&mut self) -> Box<Batch<S>> {
        self.idle.pop().unwrap_or_else(|| {
            let (view, home) = (self.view.clone(), self.home.clone());
            let tokens = Vec::with_capacity(BURST);
            Box::new(Batch { tokens, view, arrival: Arrival::default(), lost: 0, worker: 0, home })
        })
    }

    /// Takes back the batches that workers have finished.
    fn welcome(&mut self, intake: &mut Intake<'_, S>) {
        while let Ok(batch) = self.returned.try_recv() {
            self.take_in(batch, intake);
        }
    }

    fn take_in(&mut self, mut batch: Box<Batch<S>>, intake: &mut Intake<'_, S>) {
        self.away -= 1;
        self.behind[batch.worker] -= batch.tokens.len();
        intake.source.recycle(&mut batch.tokens);
        batch.lost = 0;
        self.idle.push(batch);
    }

    fn send(&mut self, tokens: &mut Vec<S::Token>, arrival: Arrival, intake: &mut Intake<'_, S>) {
        let workers = self.queues.len();
        for token in tokens.drain(..) {
            let worker = if workers == 1 { 0 } else { self.view.shard(&token) as usize % workers };
            self.filling[worker].tokens.push(token);
        }
        for worker in 0..workers {
            if !self.filling[worker].tokens.is_empty() {
                self.send_batch(worker, arrival, intake);
            }
        }
    }

    fn send_batch(&mut self, worker: usize, arrival: Arrival, intake: &mut Intake<'_, S>) {
        let fresh = self.fresh();
        let mut batch = std::mem::replace(&mut self.filling[worker], fresh);
        (batch.arrival, batch.worker) = (arrival, worker);
        let frames = batch.tokens.len();
        while self.behind[worker] + frames > QUEUE && !intake.source.is_live() {
            match self.returned.recv() {
                Ok(batch) => self.take_in(batch, intake),
                Err(_) => break,
            }
        }
        let has_room = self.behind[worker] + frames <= QUEUE;
        self.away += 1;
        self.behind[worker] += frames;
        // There is a place for every batch of a frame, so a queue refuses only when its worker is gone.
        let queued = if has_room { self.queues[worker].try_send(batch) } else { Err(TrySendError::Full(batch)) };
        if let Err(refused) = queued {
            let batch = refused.into_inner();
            intake.work.queue_drops += frames as u64;
            // The next batch tells of these.
            self.filling[worker].lost = batch.lost + frames as u64;
            self.take_in(batch, intake);
        }
    }

    /// Lets the workers end, and waits until every frame has come home.
    fn finish(mut self, intake: &mut Intake<'_, S>) {
        self.queues.clear();
        while self.away > 0 {
            match self.returned.recv() {
                Ok(batch) => self.take_in(batch, intake),
                Err(_) => break,
            }
        }
    }
}
