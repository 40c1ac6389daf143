//! The account of sinks that fail, are stuck, or hold records back.

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
    [Handover::Waiting, Handover::Here].into_iter().for_each(a_sink_fails);
}

fn a_sink_fails(handover: Handover) {
    let sinks: Vec<(String, Box<dyn Sink>)> =
        vec![("full".into(), Box::new(Failing { after: 7 })), ("fine".into(), Box::new(Failing { after: u64::MAX }))];
    let writers = Writers::start(sinks).expect("threads");
    let outlet = writers.outlet(handover);
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
    let outlet = writers.outlet(Handover::Dropping);
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

/// Holds every record until it is asked to settle, and then gives up each third; goes through its ways on a tick.
#[derive(Default)]
struct Holding {
    backlog: Backlog,
    ticks: Arc<AtomicU64>,
}

impl Sink for Holding {
    fn takes(&self) -> fn(&Record) -> bool {
        |record| record.kind == "stats"
    }

    fn record(&mut self, _: &Record) -> io::Result<()> {
        self.backlog.waiting += 1;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.ticks.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn settle(&mut self) -> io::Result<()> {
        self.backlog = Backlog { waiting: 0, lost: self.backlog.waiting / 3 };
        Ok(())
    }

    fn backlog(&self) -> Option<Backlog> {
        Some(self.backlog)
    }
}

#[test]
fn what_a_sink_holds_is_neither_written_nor_lost_until_it_says_so() {
    [Handover::Waiting, Handover::Here].into_iter().for_each(a_sink_holds_back);
}

fn a_sink_holds_back(handover: Handover) {
    let sink = Holding::default();
    let ticks = sink.ticks.clone();
    let writers = Writers::start(vec![("holding".into(), Box::new(sink))]).expect("a thread");
    let outlet = writers.outlet(handover);
    outlet.send(&mut records(9));
    // No record is of its kind: it is not asked, and nothing is counted.
    let device = Record { kind: "device", ..records(1).remove(0) };
    outlet.send(&mut vec![device]);
    let before = ticks.load(Ordering::Relaxed);
    while ticks.load(Ordering::Relaxed) < before + 2 {
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(writers.account(), Account { made: 9, written: 0, dropped: 0 });
    writers.settle();
    assert_eq!(writers.account(), Account { made: 9, written: 6, dropped: 3 });
    drop(outlet);
    assert_eq!(writers.finish().0, Account { made: 9, written: 6, dropped: 3 });
}
