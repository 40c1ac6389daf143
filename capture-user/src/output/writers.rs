//! One thread a sink: workers hand over records in batches and never wait for one that is slow.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam::channel::{Receiver, Sender, TrySendError, bounded};

use super::Sink;
use crate::record::Record;

/// Batches a sink may be behind before records for it are lost.
const QUEUE: usize = 1_024;

/// Records that go to several sinks are shared between their threads.
type Batch = Arc<Vec<Record>>;

/// The threads of all sinks.
pub struct Writers {
    sinks: Vec<Writer>,
}

struct Writer {
    name: String,
    queue: Sender<Batch>,
    tally: Arc<Tally>,
    thread: JoinHandle<io::Result<()>>,
}

/// One sink's account, in records.
#[derive(Debug, Default)]
struct Tally {
    made: AtomicU64,
    written: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicBool,
}

/// What became of the records, over all sinks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Records made: each once per sink.
    pub made: u64,
    /// Records the sinks took.
    pub written: u64,
    /// Records lost because a sink was too slow, or had failed.
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
    sinks: Vec<(Sender<Batch>, Arc<Tally>)>,
    /// Whether to wait for a sink that is behind (a file is being read) or to drop and count (frames keep coming).
    wait: bool,
}

impl Writers {
    /// Starts a thread for each named sink.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(sinks: Vec<(String, Box<dyn Sink>)>) -> io::Result<Self> {
        let sinks = sinks.into_iter().map(|(name, sink)| Writer::start(name, sink)).collect::<io::Result<_>>()?;
        Ok(Self { sinks })
    }

    /// A way to all sinks; `wait` where losing records is worse than waiting for a slow sink.
    pub fn outlet(&self, wait: bool) -> Outlet {
        Outlet { sinks: self.sinks.iter().map(|sink| (sink.queue.clone(), sink.tally.clone())).collect(), wait }
    }

    /// What became of the records so far.
    pub fn account(&self) -> Account {
        self.sinks.iter().fold(Account::default(), |sum, sink| Account {
            made: sum.made + sink.tally.made.load(Ordering::Relaxed),
            written: sum.written + sink.tally.written.load(Ordering::Relaxed),
            dropped: sum.dropped + sink.tally.dropped.load(Ordering::Relaxed),
        })
    }

    /// Sinks that have not failed.
    pub fn working(&self) -> u64 {
        self.sinks.iter().filter(|sink| !sink.tally.failed.load(Ordering::Acquire)).count() as u64
    }

    /// Whether there are sinks, and every one of them has failed.
    pub fn all_failed(&self) -> bool {
        !self.sinks.is_empty() && self.working() == 0
    }

    /// Waits until the sinks have dealt with all that was handed over so far.
    pub fn settle(&self) {
        while {
            let account = self.account();
            account.made > account.written + account.dropped
        } {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until all that was handed over is written. All [`Outlet`]s must be gone.
    ///
    /// Returns the account, and the sinks that failed.
    pub fn finish(self) -> (Account, Vec<Failure>) {
        let mut failures = Vec::new();
        let mut account = Account::default();
        for Writer { name, queue, tally, thread } in self.sinks {
            drop(queue);
            match thread.join() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => failures.push(Failure { name, error }),
                Err(_) => failures.push(Failure { name, error: io::Error::other("its thread panicked") }),
            }
            account.made += tally.made.load(Ordering::Relaxed);
            account.written += tally.written.load(Ordering::Relaxed);
            account.dropped += tally.dropped.load(Ordering::Relaxed);
        }
        (account, failures)
    }
}

impl Writer {
    fn start(name: String, sink: Box<dyn Sink>) -> io::Result<Self> {
        let (queue, batches) = bounded(QUEUE);
        let tally = Arc::new(Tally::default());
        let counts = tally.clone();
        let thread =
            thread::Builder::new().name(format!("sink {name}")).spawn(move || write(sink, &batches, &counts))?;
        Ok(Self { name, queue, tally, thread })
    }
}

impl Outlet {
    /// Hands records over, leaving `records` empty.
    pub fn send(&self, records: &mut Vec<Record>) {
        if records.is_empty() {
            return;
        }
        let count = records.len() as u64;
        // The next batch is likely as large as this one.
        let empty = Vec::with_capacity(records.len());
        let batch = Arc::new(std::mem::replace(records, empty));
        for (queue, tally) in &self.sinks {
            tally.made.fetch_add(count, Ordering::Relaxed);
            let refused = if self.wait {
                queue.send(batch.clone()).is_err()
            } else {
                matches!(queue.try_send(batch.clone()), Err(TrySendError::Full(_) | TrySendError::Disconnected(_)))
            };
            if refused {
                tally.dropped.fetch_add(count, Ordering::Relaxed);
            }
        }
    }
}

/// A sink's thread. After a failure it keeps taking batches, so that nobody waits for it, and counts them as lost.
fn write(mut sink: Box<dyn Sink>, batches: &Receiver<Batch>, tally: &Tally) -> io::Result<()> {
    let mut failure = None;
    // Records the sink may still hold in its buffer: they count as written when it is flushed, and not before.
    let mut buffered = 0;
    for batch in batches {
        if failure.is_none() {
            failure = batch.iter().try_for_each(|record| sink.record(record)).err();
        }
        buffered += batch.len() as u64;
        if failure.is_none() && batches.is_empty() {
            failure = sink.flush().err();
            let flushed = if failure.is_none() { std::mem::take(&mut buffered) } else { 0 };
            tally.written.fetch_add(flushed, Ordering::Relaxed);
        }
        if failure.is_some() {
            tally.failed.store(true, Ordering::Release);
            tally.dropped.fetch_add(std::mem::take(&mut buffered), Ordering::Relaxed);
        }
    }
    let finished = sink.finish();
    failure.map_or(finished, Err)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::latency::Latency;
    use crate::ledger::Ledger;
    use crate::limits::Reached;
    use crate::time::Timestamp;

    fn records(count: usize) -> Vec<Record> {
        let record = || Record::stats(Timestamp::default(), Ledger::default(), Reached::default(), Latency::default());
        std::iter::repeat_with(record).take(count).collect()
    }

    struct Failing {
        after: u64,
    }

    impl Sink for Failing {
        fn record(&mut self, _: &Record) -> io::Result<()> {
            self.after = self.after.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
            Ok(())
        }
    }

    /// Holds its writer until the test lets go.
    struct Stuck(Arc<Mutex<()>>);

    impl Sink for Stuck {
        fn record(&mut self, _: &Record) -> io::Result<()> {
            drop(self.0.lock());
            Ok(())
        }
    }

    #[test]
    fn a_failed_sink_stops_nobody_and_every_record_is_accounted_for() {
        let sinks: Vec<(String, Box<dyn Sink>)> = vec![
            ("full".into(), Box::new(Failing { after: 7 })),
            ("fine".into(), Box::new(Failing { after: u64::MAX })),
        ];
        let writers = Writers::start(sinks).expect("threads");
        let outlet = writers.outlet(true);
        for _ in 0..10 {
            outlet.send(&mut records(5));
        }
        drop(outlet);
        let (account, failures) = writers.finish();
        // Of the seven that the full sink took, those of a batch count that was flushed before it failed.
        assert!((50..=55).contains(&account.written), "{account:?}");
        assert_eq!((account.made, account.written + account.dropped), (100, 100));
        assert_eq!(failures.len(), 1);
        assert_eq!(failures[0].name, "full");
        assert_eq!(failures[0].error.kind(), io::ErrorKind::StorageFull);
    }

    #[test]
    fn a_stuck_sink_costs_records_and_not_time() {
        let gate = Arc::new(Mutex::new(()));
        let held = gate.lock().expect("nobody else has it yet");
        let writers = Writers::start(vec![("stuck".into(), Box::new(Stuck(gate.clone())))]).expect("a thread");
        let outlet = writers.outlet(false);
        for _ in 0..QUEUE + 10 {
            outlet.send(&mut records(1));
        }
        drop(held);
        drop(outlet);
        let (account, failures) = writers.finish();
        assert!(failures.is_empty());
        assert_eq!(account.made, QUEUE as u64 + 10);
        // One batch may have left the queue before the sink got stuck with it.
        assert!((9..=10).contains(&account.dropped), "{account:?}");
        assert_eq!(account.written + account.dropped, account.made);
    }
}
