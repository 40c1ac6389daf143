//! IPFIX out: flow records for collectors such as nfdump, over UDP or TCP (RFC 7011).
//!
//! Every `flow` record becomes one bidirectional flow (RFC 5103), every `stats` record one record of options about the
//! exporter; other kinds have no place in IPFIX. What a collector adds up is what a flow carried: a flow that is reported
//! while it goes on (`--flow-interval`) is exported in parts, each with what came since the last.
//!
//! What padtap concludes has no elements at IANA. It goes under [`ENTERPRISE`], the number that RFC 5612 sets aside for
//! examples in documentation: padtap has no number of its own, and a collector must not take this one for padtap's
//! alone. `docs/ipfix.md` lists the elements.

mod collector;
mod element;
mod elements;
mod message;
mod parts;
mod wire;

use std::io;
use std::time::{Duration, Instant};

use sha1::{Digest, Sha1};

pub use collector::{Collector, CollectorError, Transport};
pub use elements::ENTERPRISE;

use self::elements::{Exporter, Flow};
use self::message::Message;
use self::parts::Parts;
use self::wire::Wire;
use super::{Backlog, Sink};
use crate::record::{FlowFacts, Record, StatsFacts};

/// Where nothing says that templates have arrived, they are sent again this often,
const REFRESH: Duration = Duration::from_secs(60);
/// and before so many messages have passed without them.
const REFRESH_MESSAGES: u32 = 256;

/// Exports to one collector.
pub struct Ipfix {
    wire: Wire,
    message: Message,
    parts: Parts,
    record: Vec<u8>,
    exporter: Exporter,
    /// Data records sent in this transport session (RFC 7011, section 3.1).
    sequence: u32,
    /// When templates were last sent in this session, and messages since.
    templates: Option<(Instant, u32)>,
    /// Records that were not sent.
    lost: u64,
}

impl Ipfix {
    /// An exporter to this collector. `sensor` names the observation domain: its number is made of the name, so that
    /// sensors on one machine can be told apart.
    ///
    /// # Errors
    /// When the collector's name is unknown, or there is no way to it.
    pub fn open(collector: &Collector, sensor: &str) -> io::Result<Self> {
        Ok(Self {
            wire: Wire::open(collector)?,
            message: Message::default(),
            parts: Parts::default(),
            record: Vec::new(),
            exporter: Exporter::new(domain(sensor), sensor),
            sequence: 0,
            templates: None,
            lost: 0,
        })
    }

    /// Adds the record that was just encoded to the message, or to the next where this one is full.
    fn add(&mut self, template: u16) {
        if !self.message.is_empty() && !self.message.fits(template, &self.record) {
            self.send();
        }
        if self.message.is_empty() && self.templates_are_due() {
            elements::templates(&mut self.message);
            self.templates = Some((Instant::now(), 0));
        }
        self.message.add(template, &self.record);
    }

    fn templates_are_due(&self) -> bool {
        self.templates.is_none_or(|(sent, messages)| {
            !self.wire.is_reliable() && (sent.elapsed() >= REFRESH || messages >= REFRESH_MESSAGES)
        })
    }

    /// Sends the message, or counts its records as lost. They were numbered all the same: the collector sees the gap.
    fn send(&mut self) {
        if self.message.is_empty() {
            return;
        }
        let records = self.message.records();
        let bytes = self.message.finish(self.sequence, self.exporter.domain);
        self.sequence = self.sequence.wrapping_add(records);
        match self.wire.send(bytes) {
            Ok(()) => {
                self.exporter.messages += 1;
                self.exporter.records += u64::from(records);
            }
            Err(_) => self.lost += u64::from(records),
        }
        if let Some((_, messages)) = &mut self.templates {
            *messages += 1;
        }
        self.message.clear();
    }
}

impl Sink for Ipfix {
    fn takes(&self) -> fn(&Record) -> bool {
        |record| matches!(record.kind, "flow" | "stats")
    }

    fn record(&mut self, record: &Record) -> io::Result<()> {
        let facts = record.facts.as_any();
        self.record.clear();
        if let Some(flow) = facts.downcast_ref::<FlowFacts>() {
            let part = self.parts.next(&record.subject, flow);
            if let Some(flow) = part.and_then(|part| Flow::of(&record.subject, flow, part)) {
                let template = flow.encode(&mut self.record);
                self.add(template);
            }
        } else if let Some(stats) = facts.downcast_ref::<StatsFacts>() {
            self.exporter.lost_frames = stats.ledger.lost();
            self.exporter.lost_records = self.lost;
            let template = self.exporter.encode(&mut self.record);
            self.add(template);
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send();
        Ok(())
    }

    fn backlog(&self) -> Option<Backlog> {
        Some(Backlog { waiting: u64::from(self.message.records()), lost: self.lost })
    }
}

/// The number of the observation domain of this name; never 0, which stands for none in particular.
fn domain(sensor: &str) -> u32 {
    let [a, b, c, d, ..] = <[u8; 20]>::from(Sha1::digest(sensor));
    u32::from_be_bytes([a, b, c, d]).max(1)
}

#[cfg(test)]
mod tests;
