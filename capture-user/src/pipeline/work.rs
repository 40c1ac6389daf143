//! The workers: each owns a shard and takes frames through it.

use std::time::{Duration, Instant};

use crossbeam::channel::{Receiver, RecvTimeoutError};

use super::receive::{Arrival, Batch, PUBLISH};
use super::{Config, Control};
use crate::classify::{self, DeviceFacts, Registry};
use crate::latency::{Latency, Stage, Stopwatch};
use crate::output::Outlet;
use crate::output::pcapng::comments::known_now;
use crate::output::pcapng::{Comments, Filler};
use crate::record::Record;
use crate::shard::Shard;
use crate::source::{Source, View};
use crate::time::Timestamp;

/// Live, devices are told of this much later than something became known of them: by then every shard has brought what
/// it saw before.
const HINDSIGHT: Duration = Duration::from_secs(1);

/// A worker's loop: batches come, are worked through, and go home.
pub(super) fn work<'a, S: Source>(batches: &Receiver<Box<Batch<S>>>, mut desk: Desk<'a>) -> Desk<'a> {
    loop {
        match batches.recv_timeout(PUBLISH) {
            Ok(batch) => {
                desk.lose(batch.lost);
                desk.process(&batch.view, &batch.tokens, batch.arrival);
                let home = batch.home.clone();
                // The receive thread is there until its last batch is home, and there is room for all.
                let _ = home.send(batch);
            }
            Err(RecvTimeoutError::Timeout) => desk.rest(),
            Err(RecvTimeoutError::Disconnected) => return desk,
        }
    }
}

/// A shard and what its thread needs to work on it.
pub(super) struct Desk<'a> {
    shard: Shard,
    outlet: &'a Outlet,
    control: &'a Control,
    watch: Stopwatch,
    latency: Latency,
    scratch: Vec<u8>,
    clock: Timestamp,
    published: Instant,
    frames: Option<Filler>,
    comments: Option<Comments>,
    stall: Option<Duration>,
    devices: Registry,
    /// Of the tables it knows by.
    revision: u64,
}

impl<'a> Desk<'a> {
    pub(super) fn new(config: &Config, outlet: &'a Outlet, control: &'a Control) -> Self {
        Self {
            shard: Shard::new(&config.shard),
            outlet,
            control,
            watch: Stopwatch::default(),
            latency: Latency::default(),
            scratch: Vec::new(),
            clock: Timestamp::from_nanos(i64::MIN),
            published: Instant::now(),
            frames: config.frames.clone(),
            comments: config.comments.clone(),
            stall: config.stall,
            devices: config.shard.devices.clone(),
            revision: 0,
        }
    }

    /// The time of the latest frame it has met.
    pub(super) fn clock(&self) -> Timestamp {
        self.clock
    }

    /// Takes a burst of frames through the shard, timing each.
    pub(super) fn process<V: View>(&mut self, view: &V, tokens: &[V::Token], arrival: Arrival) {
        self.watch.lap();
        for token in tokens {
            let waited = self.watch.until_lap(arrival.reading);
            let frame = view.frame(token, &mut self.scratch);
            self.clock = self.clock.max(frame.time);
            let told = self.shard.records().len();
            self.shard.process(&frame, &mut self.watch, &mut self.latency);
            if let Some(frames) = &mut self.frames {
                self.shard.work.frames_to_write += 1;
                let begun = self.shard.take_begun();
                let comment = known_now(begun.as_ref(), self.shard.records().get(told..).unwrap_or_default());
                frames.push(&frame, comment.as_deref());
            }
            if self.outlet.is_worth_it(self.shard.records()) {
                self.send();
            }
            self.latency.record(Stage::Emit, self.watch.lap());
            let before = view.stamped(token).map(|stamp| arrival.monotonic.saturating_sub(stamp));
            if let Some(before) = before {
                self.latency.record(Stage::KernelToRx, before);
            }
            self.latency.record(Stage::QueueWait, waited);
            self.latency.record(Stage::Total, self.watch.until_lap(arrival.reading) + before.unwrap_or(0));
        }
        if let Some(stall) = self.stall {
            std::thread::sleep(stall);
        }
        self.keep_house();
    }

    /// So many frames were lost before those that come next.
    fn lose(&mut self, lost: u64) {
        if let Some(frames) = &mut self.frames {
            frames.lose(lost);
        }
    }

    /// Nothing came for a while. Live, time goes on all the same; in a file it does not.
    pub(super) fn rest(&mut self) {
        if let Some(now) = self.control.present() {
            self.shard.advance(now);
            self.send();
        }
        self.keep_house();
    }

    fn keep_house(&mut self) {
        let due = self.published.elapsed() >= PUBLISH;
        if due {
            self.learn();
        }
        if due && let Some(now) = self.control.present() {
            self.tell_devices(classify::news(&self.devices, now.before(HINDSIGHT)));
        }
        if due {
            self.published = Instant::now();
            self.control.publish(&mut self.shard.work, &mut self.latency, self.clock);
        }
        if due && let Some(frames) = &mut self.frames {
            frames.flush();
            self.shard.work.write_drops += frames.take_dropped();
        }
        if due {
            self.send();
        }
    }

    fn send(&mut self) {
        if let Some(comments) = &mut self.comments {
            self.shard.records().iter().for_each(|record| comments.hear(record));
        }
        self.outlet.send(self.shard.records());
    }

    /// Goes by the tables that were set last.
    fn learn(&mut self) {
        if let Some(knowledge) = self.control.knowledge_since(&mut self.revision) {
            self.shard.set_knowledge(knowledge);
        }
    }

    fn tell_devices(&mut self, news: Vec<(Timestamp, DeviceFacts)>) {
        self.shard.records().extend(news.into_iter().map(|(time, device)| Record::device(time, device)));
    }

    /// Ends all flows: nothing more will come, to any shard, after `clock`.
    pub(super) fn end_flows(&mut self, clock: Timestamp) {
        self.learn();
        while !self.shard.finish_some(clock) {
            // Live, all are handed over in one batch: many at once would overrun the queue, and be lost.
            if self.outlet.is_patient() && self.outlet.is_worth_it(self.shard.records()) {
                self.send();
            }
        }
    }

    /// Tells what is left to tell of devices, once every shard has ended its flows.
    pub(super) fn end_devices(&mut self, clock: Timestamp) {
        self.tell_devices(classify::last_news(&self.devices, clock));
    }

    /// Hands over all that is left.
    pub(super) fn finish(mut self) {
        if self.frames.is_some() || self.comments.is_some() {
            self.control.publish_names(self.shard.names());
        }
        if let Some(mut frames) = self.frames.take() {
            frames.flush();
            self.shard.work.write_drops += frames.take_dropped();
        }
        self.send();
        if let Some(comments) = self.comments.take() {
            self.control.publish_comments(comments);
        }
        self.control.publish(&mut self.shard.work, &mut self.latency, self.clock);
    }
}
