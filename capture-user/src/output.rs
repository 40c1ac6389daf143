//! Where records go. An output knows [`Record`] and nothing else; each format is one file.

pub mod ndjson;
pub mod pcapng;
pub mod text;
mod writers;

use std::io;

pub use writers::{Account, Failure, Outlet, Writers};

use crate::record::Record;

/// One output, owned by its own thread.
pub trait Sink: Send {
    /// Takes one record.
    ///
    /// # Errors
    /// What the output said: it gets no more records after that, only [`Sink::finish`].
    fn record(&mut self, record: &Record) -> io::Result<()>;

    /// Called when no record is waiting: the moment to let readers see what was written.
    ///
    /// # Errors
    /// As for [`Sink::record`].
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Nothing more will come.
    ///
    /// # Errors
    /// As for [`Sink::record`].
    fn finish(&mut self) -> io::Result<()> {
        self.flush()
    }
}
