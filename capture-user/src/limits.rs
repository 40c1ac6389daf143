//! What was given up because a limit was reached.

use std::ops::{Add, AddAssign, Sub};

use schemars::JsonSchema;
use serde::Serialize;

/// Counts of what bounded memory cost, over all shards: all zero in ordinary traffic.
/// `docs/memory.md` says which limit each belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Reached {
    /// Flows that ended early because there were too many.
    pub flows_evicted: u64,
    /// Flows that ended early because all together held too much.
    pub flows_evicted_for_memory: u64,
    /// Fragmented datagrams that waited too long for their rest.
    pub fragments_timed_out: u64,
    /// Fragmented datagrams that made room for newer ones.
    pub fragments_evicted: u64,
    /// Fragmented datagrams given up because they were in too many pieces.
    pub fragments_overflowed: u64,
    /// TCP segments beyond a hole that were not kept because all streams together held too much.
    pub segments_refused: u64,
    /// TCP streams given up because a message in them did not end.
    pub streams_given_up: u64,
    /// Addresses whose names were forgotten for newer ones.
    pub names_evicted: u64,
    /// Announced flows that were forgotten for newer ones.
    pub expectations_evicted: u64,
    /// Announced flows that did not come in time.
    pub expectations_expired: u64,
}

impl Reached {
    fn combine(self, other: Self, by: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            flows_evicted: by(self.flows_evicted, other.flows_evicted),
            flows_evicted_for_memory: by(self.flows_evicted_for_memory, other.flows_evicted_for_memory),
            fragments_timed_out: by(self.fragments_timed_out, other.fragments_timed_out),
            fragments_evicted: by(self.fragments_evicted, other.fragments_evicted),
            fragments_overflowed: by(self.fragments_overflowed, other.fragments_overflowed),
            segments_refused: by(self.segments_refused, other.segments_refused),
            streams_given_up: by(self.streams_given_up, other.streams_given_up),
            names_evicted: by(self.names_evicted, other.names_evicted),
            expectations_evicted: by(self.expectations_evicted, other.expectations_evicted),
            expectations_expired: by(self.expectations_expired, other.expectations_expired),
        }
    }
}

impl Add for Reached {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.combine(other, u64::wrapping_add)
    }
}

impl AddAssign for Reached {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

/// What came since it was `earlier`.
impl Sub for Reached {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        self.combine(earlier, u64::wrapping_sub)
    }
}
