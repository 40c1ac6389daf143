//! What all streams of one shard share: limits, the budget, counters.

use super::Arrival;
use crate::reassembly::Budget;

/// How much streams may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all streams together, with what holding them costs.
    pub bytes: usize,
    /// Bytes of one stream that its consumer has seen and not consumed; with more, the stream is given up.
    pub unread: usize,
    /// Bytes of one stream beyond holes.
    pub ahead: usize,
    /// Runs of bytes with holes between them in one stream.
    pub runs: usize,
    /// Segments that may come before a hole is skipped: more than are under way at once in most connections, so that
    /// a retransmission still finds the hole when no acknowledgements are seen.
    pub patience: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 32 << 20, unread: 64 << 10, ahead: 256 << 10, runs: 64, patience: 256 }
    }
}

/// What became of segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Segments with payload that were pushed.
    pub segments: u64,
    /// Bytes delivered.
    pub bytes: u64,
    /// Segments that came after a hole.
    pub out_of_order: u64,
    /// Segments that brought nothing new.
    pub retransmissions: u64,
    /// Segments of which part was there before.
    pub overlaps: u64,
    /// Keep-alive probes.
    pub keep_alives: u64,
    /// Segments outside any window.
    pub outside: u64,
    /// Holes that were skipped.
    pub gaps: u64,
    /// Bytes of theirs.
    pub gap_bytes: u64,
    /// Segments beyond a hole that were not kept because the budget was used up.
    pub refused: u64,
    /// Streams whose consumer left more unconsumed than may be kept.
    pub given_up: u64,
}

/// What the streams of one shard share.
#[derive(Debug)]
pub struct Streams {
    pub(super) limits: Limits,
    pub(super) counters: Counters,
    budget: Budget,
}

impl Default for Streams {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Streams {
    /// Streams within `limits`.
    pub fn new(limits: Limits) -> Self {
        Self { limits, counters: Counters::default(), budget: Budget::new(limits.bytes) }
    }

    /// Adds what was given up.
    pub fn account(&self, reached: &mut crate::limits::Reached) {
        reached.segments_refused = self.counters.refused;
        reached.streams_given_up = self.counters.given_up;
    }

    /// What became of segments so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Bytes held, never more than [`Limits::bytes`].
    pub fn memory(&self) -> usize {
        self.budget.used()
    }

    /// Whether three quarters of the budget are used: time to give up old streams, so that new ones find room.
    pub fn is_pressed(&self) -> bool {
        self.memory() > self.limits.bytes / 4 * 3
    }

    pub(super) fn budget(&self) -> Budget {
        self.budget.clone()
    }

    pub(super) fn count(&mut self, arrival: Arrival) {
        let counters = &mut self.counters;
        counters.segments += u64::from(arrival != Arrival::Empty);
        match arrival {
            Arrival::Empty | Arrival::New => {}
            Arrival::OutOfOrder => counters.out_of_order += 1,
            Arrival::Retransmission => counters.retransmissions += 1,
            Arrival::Overlap => counters.overlaps += 1,
            Arrival::KeepAlive => counters.keep_alives += 1,
            Arrival::Outside => counters.outside += 1,
        }
    }
}
