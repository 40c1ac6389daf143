//! Where every frame went.

use schemars::JsonSchema;
use serde::Serialize;

use crate::limits::Reached;
use crate::source::Tally;

/// The whole account, in frames (and, at the end, records). Once nothing is in flight it balances to the frame:
/// see [`Ledger::imbalance`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Ledger {
    /// Where frames went until they were delivered.
    #[serde(flatten)]
    pub source: Tally,
    /// Taken after the frame limit was reached, and not read.
    pub past_limit: u64,
    /// Taken, but not what the filter expression asks for.
    pub unwanted: u64,
    /// Lost because a worker's queue was full.
    pub worker_queue_drops: u64,
    /// Dissected.
    pub dissected: u64,
    /// Bytes on the wire of those.
    pub dissected_bytes: u64,
    /// Of those, second copies that the mirror made; they count in no flow.
    pub duplicates: u64,
    /// Records made for the sinks: each record once per sink.
    pub records: u64,
    /// Records the sinks took.
    pub records_written: u64,
    /// Records lost because a sink was too slow, or had failed.
    pub sink_drops: u64,
    /// Frames to be written to a capture file.
    pub frames_to_write: u64,
    /// Frames written.
    pub frames_written: u64,
    /// Frames not written because the disk was too slow, or full.
    pub write_drops: u64,
}

/// What the pipeline's threads have to account for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Frames dissected.
    pub dissected: u64,
    /// Bytes on the wire of those.
    pub dissected_bytes: u64,
    /// Second copies among them.
    pub duplicates: u64,
    /// Frames that found a worker's queue full.
    pub queue_drops: u64,
    /// Frames taken after the limit was reached.
    pub past_limit: u64,
    /// Frames that the filter expression does not ask for.
    pub unwanted: u64,
    /// Frames to be written to a capture file.
    pub frames_to_write: u64,
    /// Frames that were not handed to its writer.
    pub write_drops: u64,
    /// What was given up because a limit was reached.
    pub limits: Reached,
}

impl Work {
    /// Adds what another thread has to account for.
    pub fn add(&mut self, other: &Self) {
        self.dissected += other.dissected;
        self.dissected_bytes += other.dissected_bytes;
        self.duplicates += other.duplicates;
        self.queue_drops += other.queue_drops;
        self.past_limit += other.past_limit;
        self.unwanted += other.unwanted;
        self.frames_to_write += other.frames_to_write;
        self.write_drops += other.write_drops;
        self.limits += other.limits;
    }
}

impl Ledger {
    /// Adds what a source has to account for.
    pub fn add_tally(&mut self, tally: &Tally) {
        self.source = self.source + *tally;
    }

    /// Adds what the pipeline's threads have to account for.
    pub fn add_work(&mut self, work: &Work) {
        self.worker_queue_drops += work.queue_drops;
        self.past_limit += work.past_limit;
        self.unwanted += work.unwanted;
        self.frames_to_write += work.frames_to_write;
        self.write_drops += work.write_drops;
        self.dissected += work.dissected;
        self.dissected_bytes += work.dissected_bytes;
        self.duplicates += work.duplicates;
    }

    /// Frames that were wanted and are lost.
    pub fn lost(&self) -> u64 {
        self.source.redirect_errors
            + self.source.rx_dropped
            + self.source.rx_ring_full
            + self.source.bad_descriptors
            + self.worker_queue_drops
    }

    /// The first sum that does not come out, in words; `None` when all do.
    pub fn imbalance(&self) -> Option<String> {
        let sums = [
            (
                "seen = passed + filtered + shunted + redirected + redirect_errors",
                self.source.seen,
                self.source.passed
                    + self.source.filtered
                    + self.source.shunted
                    + self.source.redirected
                    + self.source.redirect_errors,
            ),
            (
                "redirected = delivered + rx_dropped + rx_ring_full",
                self.source.redirected,
                self.source.delivered + self.source.rx_dropped + self.source.rx_ring_full,
            ),
            (
                "delivered = dissected + worker_queue_drops + bad_descriptors + past_limit + unwanted",
                self.source.delivered,
                self.dissected
                    + self.worker_queue_drops
                    + self.source.bad_descriptors
                    + self.past_limit
                    + self.unwanted,
            ),
            ("records = records_written + sink_drops", self.records, self.records_written + self.sink_drops),
            (
                "frames_to_write = frames_written + write_drops",
                self.frames_to_write,
                self.frames_written + self.write_drops,
            ),
        ];
        sums.iter()
            .find(|(_, left, right)| left != right)
            .map(|(rule, left, right)| format!("{rule} does not hold: {left} is not {right}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sum_is_checked() {
        let source = Tally { seen: 10, filtered: 1, redirected: 9, rx_ring_full: 2, delivered: 7, ..Tally::default() };
        let balanced = Ledger {
            source,
            worker_queue_drops: 3,
            dissected: 4,
            records: 2,
            records_written: 1,
            sink_drops: 1,
            frames_to_write: 4,
            frames_written: 4,
            ..Ledger::default()
        };
        assert_eq!(balanced.imbalance(), None);
        assert_eq!(balanced.lost(), 5);
        for broken in [
            Ledger { source: Tally { seen: 11, ..source }, ..balanced },
            Ledger { source: Tally { rx_dropped: 1, ..source }, ..balanced },
            Ledger { dissected: 5, ..balanced },
            Ledger { records_written: 2, ..balanced },
            Ledger { write_drops: 1, ..balanced },
        ] {
            assert!(broken.imbalance().is_some_and(|words| words.contains("does not hold")));
        }
    }
}
