//! What happened, told to people at the end: each console, what it did and when, its matches, its voice, its servers.

mod tell;

use std::io::{self, Write};

use serde_json::Value;

use super::Sink;
use super::text::Style;
use crate::record::Record;

/// Kinds of records that a story is made of.
const KINDS: [&str; 6] = ["device", "phase", "match", "rtp", "sip_keepalive", "flow"];
/// Records that are kept for it; of more, the first.
const MOST: usize = 10_000;

/// Collects records, and tells the story when nothing more comes.
pub struct Story<W: Write> {
    writer: W,
    style: Style,
    records: Vec<Value>,
}

impl<W: Write> Story<W> {
    /// Tells it to `writer`.
    pub fn new(writer: W, style: Style) -> Self {
        Self { writer, style, records: Vec::new() }
    }
}

impl<W: Write + Send> Sink for Story<W> {
    fn record(&mut self, record: &Record) -> io::Result<()> {
        if !KINDS.contains(&record.kind) || self.records.len() >= MOST {
            return Ok(());
        }
        let mut fields = serde_json::to_value(&record.subject)?;
        if let (Value::Object(fields), Value::Object(facts)) = (&mut fields, serde_json::to_value(&*record.facts)?) {
            fields.extend(facts);
            fields.insert("kind".into(), record.kind.into());
            fields.insert("ts".into(), record.time.to_string().into());
        }
        self.records.push(fields);
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        tell::tell(&mut self.writer, self.style, &self.records)?;
        self.writer.flush()
    }
}
