//! A shard in the hands of a test: frames in, records out, its own clock.

use capture_user::latency::{Latency, Stopwatch};
use capture_user::limits::Reached;
use capture_user::record::Record;
use capture_user::shard::{Config, Shard};
use capture_user::source::{Frame, LinkType};
use capture_user::time::Timestamp;

use crate::talk::Message;

/// A shard, and the time that passes for it.
pub struct Bench {
    shard: Shard,
    watch: Stopwatch,
    latency: Latency,
    clock: i64,
    number: u64,
    frame: Vec<u8>,
}

impl Bench {
    /// A shard that has seen nothing.
    pub fn new(config: &Config) -> Self {
        Self {
            shard: Shard::new(config),
            watch: Stopwatch::default(),
            latency: Latency::default(),
            clock: 1_700_000_000_000_000_000,
            number: 0,
            frame: Vec::with_capacity(65_536),
        }
    }

    /// Lets so many nanoseconds pass.
    pub fn wait(&mut self, nanos: i64) {
        self.clock += nanos;
    }

    /// Sends a payload over UDP.
    pub fn udp(&mut self, message: Message<'_>) {
        message.udp(&mut self.frame);
        self.process();
    }

    /// Sends a payload over TCP.
    pub fn tcp(&mut self, message: Message<'_>, sequence: u32, acknowledgement: u32, flags: u8) {
        message.tcp(sequence, acknowledgement, flags, &mut self.frame);
        self.process();
    }

    /// Sends a fragment.
    pub fn fragment(&mut self, message: Message<'_>, offset: u16, more: bool) {
        message.fragment(offset, more, &mut self.frame);
        self.process();
    }

    fn process(&mut self) {
        self.number += 1;
        let length = u32::try_from(self.frame.len()).expect("a short frame");
        let frame = Frame {
            number: self.number,
            time: Timestamp::from_nanos(self.clock),
            length,
            link: LinkType::Ethernet,
            interface: 0,
            data: &self.frame,
        };
        self.shard.process(&frame, &mut self.watch, &mut self.latency);
    }

    /// Records made so far; the caller takes them out.
    pub fn records(&mut self) -> &mut Vec<Record> {
        self.shard.records()
    }

    /// Ends all flows.
    pub fn finish(&mut self) {
        self.shard.finish(Timestamp::from_nanos(self.clock));
    }

    /// What was given up so far.
    pub fn reached(&self) -> Reached {
        self.shard.work.limits
    }
}
