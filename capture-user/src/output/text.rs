//! Lines for people.

use std::fmt::{self, Write as _};
use std::io::{self, Write};

use serde_json::Value;

use super::lines::Encode;
use crate::dissect::app::Facts;
use crate::record::{PacketFacts, Record, Subject};
use crate::time::Timestamp;

/// Shows a line a record: packets as tshark lists them, everything else as `time kind who: facts`.
pub struct Text {
    first: Option<Timestamp>,
    style: Style,
}

/// Escape sequences around the parts of a line; none of them for files, pipes and `NO_COLOR`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    pub(super) kind: &'static str,
    pub(super) dim: &'static str,
    pub(super) reset: &'static str,
}

impl Style {
    /// For a terminal.
    pub const COLOUR: Self = Self { kind: "\x1b[1m", dim: "\x1b[2m", reset: "\x1b[0m" };
    /// For anything else.
    pub const PLAIN: Self = Self { kind: "", dim: "", reset: "" };
}

impl Text {
    /// For a terminal, or for anything else.
    pub fn new(style: Style) -> Self {
        Self { first: None, style }
    }

    /// `number time source → destination PROTOCOL length info`, the time in seconds since the first packet.
    fn packet(&mut self, line: &mut Vec<u8>, record: &Record, facts: &PacketFacts) -> io::Result<()> {
        let first = *self.first.get_or_insert(record.time);
        let seconds = record.time.nanos_since(first) as f64 / 1e9;
        write!(line, "{:>6} {seconds:>12.6} ", facts.number)?;
        match (record.subject.src_ip, record.subject.dst_ip) {
            (Some(source), Some(destination)) => write!(line, "{source} → {destination} ")?,
            _ => write!(line, "— ")?,
        }
        let protocol = facts.layers.last().copied().unwrap_or("?").to_uppercase();
        let Style { kind, reset, dim } = self.style;
        write!(line, "{kind}{protocol}{reset} {} {}", facts.length, Printable(&facts.info))?;
        if let Some(stopped) = &facts.stopped {
            write!(line, " {dim}[{} at {}: {}]{reset}", stopped.layer, stopped.offset, stopped.reason)?;
        }
        writeln!(line)
    }

    fn line(&self, line: &mut Vec<u8>, record: &Record) -> io::Result<()> {
        let Style { kind, reset, dim } = self.style;
        write!(line, "{dim}{}{reset} {kind}{:<6}{reset}", record.time, record.kind)?;
        endpoints(line, &record.subject)?;
        if let Ok(Value::Object(fields)) = serde_json::to_value(&*record.facts) {
            for (name, value) in &fields {
                write!(line, " {dim}{name}={reset}")?;
                plain(line, value)?;
            }
        }
        writeln!(line)
    }
}

fn endpoints(writer: &mut impl Write, subject: &Subject) -> io::Result<()> {
    if let Some(device) = subject.device {
        write!(writer, " {device}")?;
    }
    if let Some(name) = subject.protocol.and_then(|protocol| protocol.name()) {
        write!(writer, " {name}")?;
    }
    let (Some(source), Some(destination)) = (subject.src_ip, subject.dst_ip) else { return Ok(()) };
    match (subject.src_port, subject.dst_port) {
        (Some(from), Some(to)) => write!(writer, " {source}:{from} → {destination}:{to}"),
        _ => write!(writer, " {source} → {destination}"),
    }
}

/// JSON, but with bare words left bare.
fn plain(writer: &mut impl Write, value: &Value) -> io::Result<()> {
    match value {
        Value::String(text) if !text.is_empty() && !text.contains(char::is_whitespace) => {
            write!(writer, "{}", Printable(text))
        }
        other => write!(writer, "{}", Printable(&other.to_string())),
    }
}

/// Text from the wire, unable to command a terminal: control characters are escaped.
pub(super) struct Printable<'a>(pub &'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .chars()
            .try_for_each(|c| if c.is_control() { write!(f, "{}", c.escape_default()) } else { f.write_char(c) })
    }
}

impl Encode for Text {
    fn takes(&self) -> fn(&Record) -> bool {
        // People get the account as a table, on standard error.
        |record| record.kind != "stats"
    }

    fn encode(&mut self, record: &Record, line: &mut Vec<u8>) -> io::Result<()> {
        let facts: &dyn Facts = &*record.facts;
        match facts.as_any().downcast_ref::<PacketFacts>() {
            Some(packet) => self.packet(line, record, packet),
            None => self.line(line, record),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_the_wire_cannot_command_a_terminal() {
        assert_eq!(Printable("a\x1b[2Jb\u{9b}c\n").to_string(), "a\\u{1b}[2Jb\\u{9b}c\\n");
        let mut line = Vec::new();
        plain(&mut line, &Value::from("bell\x07 rings")).expect("writing to memory");
        assert_eq!(String::from_utf8_lossy(&line), "\"bell\\u0007 rings\"");
    }
}
