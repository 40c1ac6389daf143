//! Records as lines of text, on their way to files and sockets.

mod compression;
mod files;
mod outbox;
mod socket;

use std::io;

pub use compression::Compression;
pub use files::{Files, FilesConfig, OnFull};
pub use socket::{Socket, SocketConfig};

use super::{Backlog, Sink};
use crate::record::Record;
use crate::time::Timestamp;

/// A format that has a line for each record.
pub trait Encode: Send {
    /// As [`Sink::takes`].
    fn takes(&self) -> fn(&Record) -> bool {
        |_| true
    }

    /// Appends the line of a record, with the newline at its end.
    ///
    /// # Errors
    /// When the record cannot be shown.
    fn encode(&mut self, record: &Record, line: &mut Vec<u8>) -> io::Result<()>;
}

/// Something that takes whole lines; the methods are as those of [`Sink`].
pub trait Medium: Send {
    /// Takes one line, whose record is of that time.
    ///
    /// # Errors
    /// What ends this output.
    fn put(&mut self, line: &[u8], time: Timestamp) -> io::Result<()>;

    /// The moment to act.
    ///
    /// # Errors
    /// What ends this output.
    fn flush(&mut self) -> io::Result<()>;

    /// The end is near.
    ///
    /// # Errors
    /// What ends this output.
    fn settle(&mut self) -> io::Result<()>;

    /// What became of the lines.
    fn backlog(&self) -> Backlog;

    /// The end.
    ///
    /// # Errors
    /// What went wrong in the end.
    fn finish(&mut self) -> io::Result<()>;
}

/// Writes a line a record.
pub struct Lines {
    encoder: Box<dyn Encode>,
    medium: Box<dyn Medium>,
    line: Vec<u8>,
}

impl Lines {
    /// Lines of that format, to there.
    pub fn new(encoder: Box<dyn Encode>, medium: Box<dyn Medium>) -> Self {
        Self { encoder, medium, line: Vec::new() }
    }
}

impl Sink for Lines {
    fn takes(&self) -> fn(&Record) -> bool {
        self.encoder.takes()
    }

    fn record(&mut self, record: &Record) -> io::Result<()> {
        self.line.clear();
        self.encoder.encode(record, &mut self.line)?;
        self.medium.put(&self.line, record.time)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.medium.flush()
    }

    fn settle(&mut self) -> io::Result<()> {
        self.medium.settle()
    }

    fn backlog(&self) -> Option<Backlog> {
        Some(self.medium.backlog())
    }

    fn finish(&mut self) -> io::Result<()> {
        self.medium.finish()
    }
}
