//! Records in a folder, until somebody has taken them away: for `padtap ship`, or a program of one's own.
//!
//! Records gather in memory until they are 128 KiB or a second old, and become one [`Batch`], a file of its own. A batch
//! is written under a temporary name, synced to the disk and renamed, and so is the folder: what has its name survives
//! a loss of power, and a batch is whole or not there. What a `kill -9` costs is what had not become a batch yet.
//!
//! Batches are numbered without a hole, also over restarts: the [`Depot`], the other end, leaves the newest batch that
//! it has taken away as a marker. Where the spool would outgrow its limit, or the disk, the oldest batches go; the first
//! batch for which there is room again begins with a `gap` record that says which, and how many records they had.

mod batch;
mod depot;
mod folder;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;

pub use self::batch::{Batch, Damage, Header};
pub use self::depot::Depot;
pub use self::writer::Spool;

/// The least that a spool may be limited to, in bytes.
pub const LEAST_LIMIT: u64 = 1 << 20;

/// Where, and how much.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder; it is made where it does not exist.
    pub folder: PathBuf,
    /// Bytes that batches may take, [`LEAST_LIMIT`] at least.
    pub limit: u64,
    /// The name of this sensor.
    pub sensor: Arc<str>,
}

#[cfg(test)]
mod tests;
