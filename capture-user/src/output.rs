//! Where records go. An output knows [`Record`] and nothing else; each format is one file.

#[cfg(feature = "parquet")]
pub mod arrow;
mod contact;
pub mod destination;
pub mod eve;
mod file;
pub mod ipfix;
pub mod lines;
pub mod ndjson;
#[cfg(feature = "parquet")]
pub mod parquet;
pub mod pcapng;
mod peer;
pub mod prometheus;
pub mod spool;
pub mod story;
pub mod text;
mod writers;

use std::io;

pub use writers::{Account, Failure, Handover, Outlet, Writers};

use crate::record::Record;

/// One output, with a thread of its own.
pub trait Sink: Send {
    /// Which records it has a place for; the others are not offered to it, and count nowhere.
    fn takes(&self) -> fn(&Record) -> bool {
        |_| true
    }

    /// Takes one record.
    ///
    /// # Errors
    /// What the output said: it gets no more records after that, only [`Sink::finish`].
    fn record(&mut self, record: &Record) -> io::Result<()>;

    /// Called when no record is waiting, and ten times a second while none comes: the moment to let readers see what
    /// was written, to connect again, to begin another file.
    ///
    /// # Errors
    /// As for [`Sink::record`].
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// All records but the final account have come: what is still held is written now, or given up in bounded time.
    ///
    /// # Errors
    /// As for [`Sink::record`]; also when nobody would get the final account.
    fn settle(&mut self) -> io::Result<()> {
        self.flush()
    }

    /// What became of the records it was given, the one that it failed of included; for sinks that know better than
    /// that what was flushed is written.
    fn backlog(&self) -> Option<Backlog> {
        None
    }

    /// Nothing more will come.
    ///
    /// # Errors
    /// As for [`Sink::record`].
    fn finish(&mut self) -> io::Result<()> {
        self.flush()
    }
}

/// Records that a sink took and has not written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Held, and to be written.
    pub waiting: u64,
    /// Given up, since it was opened.
    pub lost: u64,
}

/// Whether an output takes no more, though nothing is wrong with it.
pub fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}
