//! The `gap` record.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Batches of records that a spool gave up to make room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GapFacts {
    /// The first batch given up.
    pub first_sequence: u64,
    /// The last one. Of those between, some may have been taken away before.
    pub last_sequence: u64,
    /// How many were given up.
    pub batches: u64,
    /// The records in them.
    pub records: u64,
}

impl GapFacts {
    /// This gap and another as one.
    pub fn and(self, other: Self) -> Self {
        Self {
            first_sequence: self.first_sequence.min(other.first_sequence),
            last_sequence: self.last_sequence.max(other.last_sequence),
            batches: self.batches + other.batches,
            records: self.records + other.records,
        }
    }
}
