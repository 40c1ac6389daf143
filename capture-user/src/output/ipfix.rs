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
mod tcp;
mod udp;

use std::io;

use sha1::{Digest, Sha1};

pub use collector::{Collector, CollectorError, Transport};
pub use elements::ENTERPRISE;

use self::elements::{Exporter, Flow};
use self::message::Message;
use self::parts::Parts;
use self::tcp::Connections;
use self::udp::Datagrams;
use super::{Backlog, Sink};
use crate::record::{FlowFacts, Record, StatsFacts};

/// Exports to one collector.
pub struct Ipfix {
    way: Way,
    message: Message,
    parts: Parts,
    record: Vec<u8>,
    exporter: Exporter,
    /// Data records that were put into messages.
    made: u64,
}

/// How messages get to the collector.
enum Way {
    Udp(Datagrams),
    Tcp(Box<Connections>),
}

impl Ipfix {
    /// An exporter to this collector, of flows of the present or of a file. `sensor` names the observation domain: its
    /// number is made of the name, so that sensors on one machine can be told apart.
    ///
    /// # Errors
    /// Over UDP, when the collector's name is unknown or there is no way to it. Over TCP it is tried again.
    pub fn open(collector: &Collector, sensor: &str, live: bool) -> io::Result<Self> {
        let domain = domain(sensor);
        let Collector { transport, host, port } = collector;
        let way = match transport {
            Transport::Udp => Way::Udp(Datagrams::to(host, *port)?),
            Transport::Tcp => {
                let mut templates = Message::of(domain);
                elements::templates(&mut templates);
                Way::Tcp(Box::new(Connections::to(host, *port, live, templates)))
            }
        };
        Ok(Self {
            way,
            message: Message::of(domain),
            parts: Parts::default(),
            record: Vec::new(),
            exporter: Exporter::new(domain, sensor),
            made: 0,
        })
    }

    /// Adds the record that was just encoded to the message, or to the next where this one is full.
    fn add(&mut self, template: u16) {
        if !self.message.is_empty() && !self.message.fits(template, &self.record) {
            self.send();
        }
        if let Way::Udp(datagrams) = &mut self.way
            && self.message.is_empty()
            && datagrams.wants_templates()
        {
            elements::templates(&mut self.message);
            datagrams.has_templates();
        }
        self.message.add(template, &self.record);
    }

    fn send(&mut self) {
        if self.message.is_empty() {
            return;
        }
        self.made += u64::from(self.message.records());
        match &mut self.way {
            Way::Udp(datagrams) => datagrams.send(&mut self.message),
            Way::Tcp(connections) => connections.send(&mut self.message),
        }
        self.message.clear();
    }

    fn unsent(&self) -> Backlog {
        match &self.way {
            Way::Udp(datagrams) => datagrams.backlog(),
            Way::Tcp(connections) => connections.backlog(),
        }
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
            let Backlog { waiting, lost } = self.unsent();
            (self.exporter.records, self.exporter.lost_records) = (self.made - waiting - lost, lost);
            let template = self.exporter.encode(&mut self.record);
            self.add(template);
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.send();
        if let Way::Tcp(connections) = &mut self.way {
            connections.pump();
        }
        Ok(())
    }

    fn settle(&mut self) -> io::Result<()> {
        self.send();
        match &mut self.way {
            Way::Udp(_) => Ok(()),
            Way::Tcp(connections) => connections.settle(),
        }
    }

    fn backlog(&self) -> Option<Backlog> {
        let Backlog { waiting, lost } = self.unsent();
        Some(Backlog { waiting: waiting + u64::from(self.message.records()), lost })
    }

    fn finish(&mut self) -> io::Result<()> {
        self.settle()
    }
}

/// The number of the observation domain of this name; never 0, which stands for none in particular.
fn domain(sensor: &str) -> u32 {
    let [a, b, c, d, ..] = <[u8; 20]>::from(Sha1::digest(sensor));
    u32::from_be_bytes([a, b, c, d]).max(1)
}

#[cfg(test)]
mod tests;
