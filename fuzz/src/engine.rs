//! The engine from frames to lines, with room for few flows, so that some have to go.

use std::cell::RefCell;
use std::time::Duration;

use capture_user::dissect::app::Facts;
use capture_user::flow::{self, EndReason};
use capture_user::latency::{Latency, Stopwatch};
use capture_user::record::FlowFacts;
use capture_user::shard::{Config, Shard};
use capture_user::source::Frame;
use capture_user::time::Timestamp;

use crate::check;

/// What became of the frames.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counted {
    /// Frames that went in.
    pub frames: u64,
    /// Second copies among them.
    pub duplicates: u64,
    /// Packets that flows counted.
    pub in_flows: u64,
}

/// One shard.
pub struct Engine {
    shard: Shard,
    watch: Stopwatch,
    clock: Timestamp,
    counted: Counted,
}

thread_local! {
    /// Large, and of no interest here.
    static LATENCY: RefCell<Latency> = RefCell::default();
}

impl Default for Engine {
    fn default() -> Self {
        let flows = flow::Config { capacity: 6, interval: Some(Duration::from_secs(2)), ..flow::Config::default() };
        Self {
            shard: Shard::new(&Config { flows, packets: true, ..Config::default() }),
            watch: Stopwatch::default(),
            clock: Timestamp::from_nanos(i64::MIN),
            counted: Counted::default(),
        }
    }
}

impl Engine {
    /// Takes a frame.
    pub fn process(&mut self, frame: &Frame<'_>) {
        LATENCY.with_borrow_mut(|latency| self.shard.process(frame, &mut self.watch, latency));
        self.clock = self.clock.max(frame.time);
        self.counted.frames += 1;
    }

    /// Ends all flows.
    pub fn finish(mut self) -> Counted {
        self.shard.finish(self.clock);
        self.read();
        assert_eq!(self.shard.work.dissected, self.counted.frames);
        Counted { duplicates: self.shard.work.duplicates, ..self.counted }
    }

    fn read(&mut self) {
        check::records(self.shard.records());
        for record in self.shard.records().drain(..) {
            let facts: &dyn Facts = &*record.facts;
            if let Some(flow) = facts.as_any().downcast_ref::<FlowFacts>()
                && flow.end_reason != EndReason::Interval
            {
                self.counted.in_flows += flow.packets_out + flow.packets_in;
            }
        }
    }
}
