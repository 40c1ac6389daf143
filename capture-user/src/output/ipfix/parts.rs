//! Flows that are reported while they go on: what of each report a collector has not been told yet.

use hashbrown::HashMap;

use crate::flow::{CommunityId, EndReason};
use crate::record::{FlowFacts, Subject};
use crate::time::Timestamp;

/// Flows that may be in the middle of being told, at most. One more is told whole when it ends.
const MOST: usize = 65_536;

/// What is exported of a flow at once: counts out and in, and the time they were counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) packets: [u64; 2],
    pub(super) bytes: [u64; 2],
}

/// What was told of flows that go on: all of each so far.
#[derive(Debug, Default)]
pub(super) struct Parts(HashMap<(CommunityId, Timestamp), Part>);

impl Parts {
    /// What a record tells that no record before it has; `None` where that waits for a later record.
    pub(super) fn next(&mut self, subject: &Subject, facts: &FlowFacts) -> Option<Part> {
        let whole = Part {
            start: facts.start,
            end: facts.end,
            packets: [facts.packets_out, facts.packets_in],
            bytes: [facts.bytes_out, facts.bytes_in],
        };
        let Some(name) = subject.community_id.map(|id| (id, facts.start)) else { return Some(whole) };
        let told = match facts.end_reason {
            EndReason::Interval if self.0.len() >= MOST && !self.0.contains_key(&name) => return None,
            EndReason::Interval => self.0.insert(name, whole),
            _ => self.0.remove(&name),
        };
        Some(told.map_or(whole, |told| whole.since(&told)))
    }
}

impl Part {
    /// What came after `told`. It is said to begin where that ended.
    fn since(self, told: &Self) -> Self {
        let less = |now: [u64; 2], then: [u64; 2]| [now[0].saturating_sub(then[0]), now[1].saturating_sub(then[1])];
        Self { start: told.end, packets: less(self.packets, told.packets), bytes: less(self.bytes, told.bytes), ..self }
    }
}
