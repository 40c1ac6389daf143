//! One thread a sink: workers hand over records in batches and never wait for one that is slow. Where a file is read on a
//! single processor, threads would only take turns: there whoever makes records writes them, while they are in the cache.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::{Backlog, Sink};
use crate::record::{Kinds, Record};

/// Batches a sink may be behind before records for it are lost.
const QUEUE: usize = 1_024;
/// Records that are worth handing over to another thread, and to this one.
const BATCH: usize = 256;
const BATCH_HERE: usize = 16;
/// How often a sink may act while no records come.
const TICK: Duration = Duration::from_millis(100);

/// What a sink's thread is told.
#[derive(Clone)]
enum Message {
    /// Records; those that go to several sinks are shared between their threads.
    Records(Arc<Vec<Record>>),
    /// All records but the final account have come.
    Settle,
}

/// How records get to sinks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handover {
    /// To the sinks' threads. Frames keep coming: what a sink that is behind has no room for is dropped and counted.
    Dropping,
    /// To the sinks' threads, waiting for one that is behind: losing records would be worse.
    Waiting,
    /// By the thread that makes them.
    Here,
}

impl Handover {
    /// As suits work that can wait, such as reading a file.
    pub fn of_patient_work() -> Self {
        let alone = thread::available_parallelism().is_ok_and(|processors| processors.get() == 1);
        if alone { Self::Here } else { Self::Waiting }
    }
}

/// The threads of all sinks.
pub struct Writers {
    sinks: Vec<Writer>,
    kinds: Kinds,
}

struct Writer {
    inlet: Inlet,
    name: String,
    thread: JoinHandle<()>,
}

/// The way to one sink.
#[derive(Clone)]
struct Inlet {
    queue: Sender<Message>,
    clerk: Arc<Mutex<Clerk>>,
    takes: fn(&Record) -> bool,
    tally: Arc<Tally>,
}

/// One sink's account, in records.
#[derive(Debug, Default)]
struct Tally {
    made: AtomicU64,
    written: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicBool,
    /// What it failed of, until that is told.
    failure: Mutex<Option<io::Error>>,
}

/// What became of the records, over all sinks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Records made: each once per sink that takes it.
    pub made: u64,
    /// Records the sinks took.
    pub written: u64,
    /// Records lost because a sink was too slow, had failed, or had nobody to give them to.
    pub dropped: u64,
}

/// A sink that failed, and what it said.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {error}")]
pub struct Failure {
    /// The sink's name.
    pub name: String,
    /// What it said.
    pub error: io::Error,
}

/// A worker's way to all sinks.
#[derive(Clone)]
pub struct Outlet {
    sinks: Vec<Inlet>,
    kinds: Kinds,
    handover: Handover,
}

impl Writers {
    /// Starts a thread for each named sink.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(sinks: Vec<(String, Box<dyn Sink>)>) -> io::Result<Self> {
        let sinks = sinks.into_iter().map(|(name, sink)| Writer::start(name, sink)).collect::<io::Result<_>>()?;
        Ok(Self { sinks, kinds: Kinds::default() })
    }

    /// The same sinks, for records of these kinds alone: others go nowhere.
    #[must_use]
    pub fn of_kinds(self, kinds: Kinds) -> Self {
        Self { kinds, ..self }
    }

    /// A way to all sinks. What is written [here](Handover::Here) would overtake what waits for the sinks' threads.
    pub fn outlet(&self, handover: Handover) -> Outlet {
        let sinks = self.sinks.iter().map(|sink| sink.inlet.clone()).collect();
        Outlet { sinks, kinds: self.kinds.clone(), handover }
    }

    /// What became of the records so far.
    pub fn account(&self) -> Account {
        self.accounts().fold(Account::default(), |sum, (_, own)| Account {
            made: sum.made + own.made,
            written: sum.written + own.written,
            dropped: sum.dropped + own.dropped,
        })
    }

    /// The same of each sink, by its name.
    pub fn accounts(&self) -> impl Iterator<Item = (&str, Account)> {
        self.sinks.iter().map(|sink| (&*sink.name, sink.inlet.tally.account()))
    }

    /// Sinks that have not failed and take this record.
    pub fn working(&self, record: &Record) -> u64 {
        let takes = |sink: &&Writer| !sink.has_failed() && (sink.inlet.takes)(record) && self.kinds.has(record.kind);
        self.sinks.iter().filter(takes).count() as u64
    }

    /// Whether there are sinks, and every one of them has failed.
    pub fn all_failed(&self) -> bool {
        !self.sinks.is_empty() && self.sinks.iter().all(Writer::has_failed)
    }

    /// The sinks that failed since the last call.
    pub fn take_failures(&self) -> Vec<Failure> {
        self.sinks.iter().filter_map(|sink| sink.inlet.tally.take_failure(&sink.name)).collect()
    }

    /// Waits until the sinks have dealt with all that was handed over so far; what they cannot write is given up.
    pub fn settle(&self) {
        for Writer { inlet, .. } in &self.sinks {
            // A thread that is gone has nothing to settle.
            let _ = inlet.queue.send(Message::Settle);
        }
        while self.sinks.iter().any(|sink| !sink.thread.is_finished() && !sink.inlet.tally.account().is_settled()) {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until all that was handed over is written. All [`Outlet`]s must be gone.
    ///
    /// Returns the account, and the sinks that failed since the last [`Writers::take_failures`].
    pub fn finish(self) -> (Account, Vec<Failure>) {
        let mut failures = Vec::new();
        let mut account = Account::default();
        for Writer { inlet: Inlet { queue, tally, .. }, name, thread } in self.sinks {
            drop(queue);
            let panicked = thread.join().is_err();
            failures.extend(tally.take_failure(&name));
            if panicked {
                failures.push(Failure { name, error: io::Error::other("its thread panicked") });
            }
            let own = tally.account();
            account.made += own.made;
            account.written += own.written;
            account.dropped += own.dropped;
        }
        (account, failures)
    }
}

impl Writer {
    fn start(name: String, sink: Box<dyn Sink>) -> io::Result<Self> {
        let (queue, messages) = bounded(QUEUE);
        let (takes, tally) = (sink.takes(), Arc::new(Tally::default()));
        let clerk =
            Clerk { sink, takes, tally: tally.clone(), given: 0, handed: 0, written: 0, lost: 0, failed: false };
        let clerk = Arc::new(Mutex::new(clerk));
        let inlet = Inlet { queue, clerk: clerk.clone(), takes, tally };
        let thread = thread::Builder::new().name(format!("sink {name}")).spawn(move || work(&clerk, &messages))?;
        Ok(Self { inlet, name, thread })
    }

    fn has_failed(&self) -> bool {
        self.inlet.tally.failed.load(Ordering::Acquire)
    }
}

impl Account {
    fn is_settled(&self) -> bool {
        self.made == self.written + self.dropped
    }
}

impl Tally {
    fn account(&self) -> Account {
        Account {
            made: self.made.load(Ordering::Relaxed),
            written: self.written.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
        }
    }

    fn take_failure(&self, name: &str) -> Option<Failure> {
        let error = self.failure.lock().ok()?.take()?;
        Some(Failure { name: name.to_owned(), error })
    }
}

impl Outlet {
    /// Whether no records are dropped.
    pub fn is_patient(&self) -> bool {
        self.handover != Handover::Dropping
    }

    /// Whether there are enough records to hand over.
    pub fn is_worth_it(&self, records: &[Record]) -> bool {
        records.len() >= if self.handover == Handover::Here { BATCH_HERE } else { BATCH }
    }

    /// Hands records over, leaving `records` empty.
    pub fn send(&self, records: &mut Vec<Record>) {
        records.retain(|record| self.kinds.has(record.kind));
        match self.handover {
            _ if records.is_empty() => {}
            Handover::Here => {
                for Inlet { clerk, takes, tally, .. } in &self.sinks {
                    tally.made.fetch_add(count(records, *takes), Ordering::Relaxed);
                    lock(clerk).take(records);
                }
                records.clear();
            }
            Handover::Waiting => self.queue(records, |queue, message| queue.send(message).is_ok()),
            Handover::Dropping => self.queue(records, |queue, message| queue.try_send(message).is_ok()),
        }
    }

    fn queue(&self, records: &mut Vec<Record>, put: impl Fn(&Sender<Message>, Message) -> bool) {
        // The next batch is likely as large as this one.
        let empty = Vec::with_capacity(records.len());
        let batch = Arc::new(std::mem::replace(records, empty));
        for Inlet { queue, takes, tally, .. } in &self.sinks {
            let count = count(&batch, *takes);
            if count == 0 {
                continue;
            }
            tally.made.fetch_add(count, Ordering::Relaxed);
            if !put(queue, Message::Records(batch.clone())) {
                tally.dropped.fetch_add(count, Ordering::Relaxed);
            }
        }
    }
}

fn count(records: &[Record], takes: fn(&Record) -> bool) -> u64 {
    records.iter().filter(|record| takes(record)).count() as u64
}

/// What a sink's thread does.
fn work(clerk: &Mutex<Clerk>, messages: &Receiver<Message>) {
    loop {
        match messages.recv_timeout(TICK) {
            Ok(Message::Records(batch)) => {
                let mut clerk = lock(clerk);
                clerk.take(&batch);
                if messages.is_empty() {
                    clerk.ask(|sink| sink.flush());
                }
            }
            Ok(Message::Settle) => lock(clerk).ask(|sink| sink.settle()),
            Err(RecvTimeoutError::Timeout) => lock(clerk).ask(|sink| sink.flush()),
            Err(RecvTimeoutError::Disconnected) => return lock(clerk).finish(),
        }
    }
}

/// The clerk, whose account is right even where a thread panicked over its sink.
fn lock(clerk: &Mutex<Clerk>) -> MutexGuard<'_, Clerk> {
    clerk.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whoever works for a sink: hands it records and keeps its account. After a failure it keeps taking batches,
/// so that nobody waits for it, and counts them as lost.
struct Clerk {
    sink: Box<dyn Sink>,
    takes: fn(&Record) -> bool,
    tally: Arc<Tally>,
    /// Records that came.
    given: u64,
    /// Of those, the ones that the sink was given, up to the one that it failed of.
    handed: u64,
    /// Of those, the ones that the tally has as written.
    written: u64,
    /// Of those, the ones that the tally has as dropped.
    lost: u64,
    failed: bool,
}

impl Clerk {
    fn finish(&mut self) {
        if self.failed {
            // It is asked to clean up all the same; the first error is the one to tell.
            let _ = self.sink.finish();
        } else {
            self.ask(|sink| sink.finish());
        }
    }

    fn take(&mut self, batch: &[Record]) {
        let takes = self.takes;
        for record in batch.iter().filter(|record| takes(record)) {
            self.given += 1;
            if !self.failed {
                self.handed += 1;
                let outcome = self.sink.record(record);
                self.note(outcome);
            }
        }
        match self.sink.backlog() {
            Some(backlog) => self.book(backlog),
            None if self.failed => self.book(self.unflushed()),
            // What it may still hold in a buffer counts as written when it is flushed, and not before.
            None => {}
        }
    }

    /// Lets the sink act, unless it has failed.
    fn ask(&mut self, act: fn(&mut dyn Sink) -> io::Result<()>) {
        if !self.failed {
            let outcome = act(&mut *self.sink);
            self.note(outcome);
            let flushed = if self.failed { self.unflushed() } else { Backlog::default() };
            self.book(self.sink.backlog().unwrap_or(flushed));
        }
    }

    fn note(&mut self, outcome: io::Result<()>) {
        let Err(error) = outcome else { return };
        self.failed = true;
        if let Ok(mut failure) = self.tally.failure.lock() {
            failure.get_or_insert(error);
        }
        self.tally.failed.store(true, Ordering::Release);
    }

    /// Nothing was written since the last flush.
    fn unflushed(&self) -> Backlog {
        Backlog { waiting: self.handed - self.written, lost: 0 }
    }

    /// Brings the tally up to date. What a failed sink still holds is lost.
    fn book(&mut self, Backlog { waiting, lost }: Backlog) {
        let written = self.handed.saturating_sub(waiting + lost).max(self.written);
        let lost = if self.failed { self.given - written } else { lost.max(self.lost) };
        self.tally.written.fetch_add(written - self.written, Ordering::Relaxed);
        self.tally.dropped.fetch_add(lost - self.lost, Ordering::Relaxed);
        (self.written, self.lost) = (written, lost);
    }
}

#[cfg(test)]
mod tests;
