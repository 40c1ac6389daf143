//! Newline-delimited JSON: one record, one line.

use std::io::{self, BufWriter, Write};
use std::sync::Arc;

use serde::Serialize;

use super::Sink;
use crate::dissect::app::Facts;
use crate::record::{Record, Subject};
use crate::time::Timestamp;

/// Writes records as NDJSON.
pub struct Ndjson<W: Write> {
    writer: BufWriter<W>,
    sensor: Arc<str>,
}

/// The order of the fields in a line.
#[derive(Serialize)]
struct Line<'a> {
    kind: &'a str,
    ts: Timestamp,
    sensor: &'a str,
    #[serde(flatten)]
    subject: &'a Subject,
    #[serde(flatten)]
    facts: &'a dyn Facts,
}

impl<W: Write> Ndjson<W> {
    /// Writes to `writer`; every record names `sensor` as the place it was made.
    pub fn new(writer: W, sensor: Arc<str>) -> Self {
        Self { writer: BufWriter::with_capacity(64 * 1024, writer), sensor }
    }
}

impl<W: Write + Send> Sink for Ndjson<W> {
    fn record(&mut self, record: &Record) -> io::Result<()> {
        let line = Line {
            kind: record.kind,
            ts: record.time,
            sensor: &self.sensor,
            subject: &record.subject,
            facts: &*record.facts,
        };
        serde_json::to_writer(&mut self.writer, &line)?;
        self.writer.write_all(b"\n")
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}
