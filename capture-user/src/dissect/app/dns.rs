//! DNS over UDP and TCP (RFC 1035), multicast DNS (RFC 6762) and LLMNR (RFC 4795): one message format, three uses.
//!
//! One record tells of a query and its answer, told when the answer comes; of a query that nobody answered, told when
//! the flow ends or the query is ten seconds old; and of an answer whose query was not seen. So over the records of a
//! capture, queries = Σ (1 + `retries`) where `rtt_ms` is there or `rcode` is not, and responses = those with `rcode`.
//! Multicast answers go to everybody rather than to who asked, so there queries and answers are records of their own.

mod data;
mod facts;
mod message;
mod name;
mod scan;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

pub use self::facts::{Answers, Exchange, Query, Rcode, Transport};
pub use self::message::Malformed;
pub(super) use self::message::{Entries, Entry, Fingerprint, Header, Record};
use self::scan::{Address, Scan};
use super::exchange::{Asked, Exchanges};
use super::{Conversation, Direction, Output, Over, Probe, Protocol, RecordKind, Resolved, Segment, Step};
use crate::time::Timestamp;

/// The kind of its records.
const KIND: &str = "dns";

const PORT: u16 = 53;
const MDNS_PORT: u16 = 5353;
const LLMNR_PORT: u16 = 5355;

/// DNS in datagrams.
pub static DNS: Protocol = Protocol {
    name: "dns",
    over: Over::Udp,
    ports: &[PORT],
    probe: probe_dns,
    open: || Dns::open(Transport::Dns),
    kinds: &[RecordKind::of::<Exchange>(KIND)],
    summary: summarise,
};

/// DNS in streams, each message behind its length.
pub static DNS_TCP: Protocol = Protocol {
    name: "dns",
    over: Over::Tcp,
    ports: &[PORT],
    probe: probe_tcp,
    open: || Dns::open(Transport::Dns),
    kinds: &[RecordKind::of::<Exchange>(KIND)],
    summary: |bytes, line| summarise(bytes.get(2..).unwrap_or_default(), line),
};

/// Multicast DNS.
pub static MDNS: Protocol = Protocol {
    name: "mdns",
    over: Over::Udp,
    ports: &[MDNS_PORT],
    probe: |segment| probe_on(MDNS_PORT, segment),
    open: || Dns::open(Transport::Mdns),
    kinds: &[RecordKind::of::<Exchange>(KIND)],
    summary: summarise,
};

/// Link-local multicast name resolution.
pub static LLMNR: Protocol = Protocol {
    name: "llmnr",
    over: Over::Udp,
    ports: &[LLMNR_PORT],
    probe: |segment| probe_on(LLMNR_PORT, segment),
    open: || Dns::open(Transport::Llmnr),
    kinds: &[RecordKind::of::<Exchange>(KIND)],
    summary: summarise,
};

/// Queries of one flow that wait for their answers at most.
const MAX_WAITING: usize = 64;
/// How long a query waits for its answer, and a repeated one counts as a retry.
const PATIENCE: Duration = Duration::from_secs(10);
/// Messages that make no sense before the flow is given up.
const MAX_MALFORMED: u32 = 8;
/// Questions and records in the line about a packet.
const MAX_SUMMARY: usize = 24;

fn probe_dns(segment: &Segment<'_>) -> Probe {
    let message = segment.bytes;
    if segment.on_port(&[MDNS_PORT, LLMNR_PORT]) {
        return Probe::No;
    }
    if segment.on_port(&[PORT]) {
        return match begins_well(message) {
            true => Probe::Yes,
            false if message.len() >= message::HEADER => Probe::Maybe,
            false => Probe::No,
        };
    }
    if verdict(message).is_some_and(|seen| seen.ordinary) { Probe::Yes } else { Probe::No }
}

fn probe_on(port: u16, segment: &Segment<'_>) -> Probe {
    if segment.on_port(&[port]) && verdict(segment.bytes).is_some() { Probe::Yes } else { Probe::No }
}

fn probe_tcp(segment: &Segment<'_>) -> Probe {
    let Some((length, message)) = segment.bytes.split_first_chunk::<2>() else { return Probe::No };
    if !segment.on_port(&[PORT]) {
        return Probe::No;
    }
    match message.get(..usize::from(u16::from_be_bytes(*length))) {
        Some(message) if verdict(message).is_some() => Probe::Yes,
        Some(_) => Probe::No,
        None => Probe::Maybe,
    }
}

/// Whether a message looks right as far as its first question: at its own port that is enough, and the conversation
/// reads all of it anyway.
fn begins_well(message: &[u8]) -> bool {
    plausible(message).is_some_and(|header| Entries::new(message, header).next().is_none_or(|entry| entry.is_ok()))
}

/// The header of what may be a message.
fn plausible(message: &[u8]) -> Option<Header> {
    let header = Header::read(message)?;
    let known = matches!(header.opcode(), 0 | 1 | 2 | 4 | 5) && header.flags & 0x0040 == 0;
    (known && header.fits(message.len())).then_some(header)
}

/// What a well-formed message looks like.
struct Verdict {
    /// One question about the Internet and nothing behind the last record: sure even on a foreign port.
    ordinary: bool,
}

fn verdict(message: &[u8]) -> Option<Verdict> {
    let header = plausible(message)?;
    let mut entries = Entries::new(message, header);
    let mut internet = 0;
    for entry in &mut entries {
        if let Entry::Question(question) = entry.ok()? {
            internet += u16::from(question.class == 1 && !question.name.is_root());
        }
    }
    let one = internet == 1 && header.questions() == 1 && header.opcode() == 0;
    Some(Verdict { ordinary: one && entries.at() == message.len() })
}

/// What a query is recognised by: its identifier, its questions, and who asked.
#[derive(Debug, PartialEq)]
struct Key {
    id: u16,
    questions: u64,
    direction: Direction,
}

/// One flow.
struct Dns {
    transport: Transport,
    waiting: Exchanges<Key, Query, MAX_WAITING>,
    /// Whether a message made sense.
    sure: bool,
    malformed: u32,
}

impl Dns {
    fn open(transport: Transport) -> Box<dyn Conversation> {
        Box::new(Self { transport, waiting: Exchanges::default(), sure: false, malformed: 0 })
    }

    /// Reads one message; whether the flow still looks like this protocol.
    fn message(&mut self, message: &[u8], segment: &Segment<'_>, out: &mut Output) -> bool {
        let Some(header) = Header::read(message) else { return self.sure };
        while let Some(asked) = self.waiting.overdue(segment.time, PATIENCE) {
            self.unanswered(asked, out);
        }
        let mut read = Scan::default();
        read.read(message, header);
        // What lies beyond the captured bytes is no fault of the message.
        let snapped = !segment.stream && (segment.length as usize) > segment.bytes.len();
        let malformed = read.malformed.filter(|fault| !(snapped && *fault == Malformed::Short));
        if malformed.is_some() {
            self.malformed += 1;
        } else if !self.sure {
            self.sure = true;
            out.identify(self.transport.name());
        }
        if header.is_response() {
            self.response(message, header, &read, malformed, segment, out);
        } else {
            self.query(message, header, &read, malformed, segment, out);
        }
        self.sure && self.malformed <= MAX_MALFORMED
    }

    fn query(
        &mut self,
        message: &[u8],
        header: Header,
        read: &Scan<'_>,
        malformed: Option<Malformed>,
        segment: &Segment<'_>,
        out: &mut Output,
    ) {
        if let Some(fault) = malformed {
            if out.wants(KIND) {
                let mut told = self.exchange(header.id, Query::collect(message, header));
                told.malformed = Some(fault);
                out.emit(segment.time, KIND, told);
            }
            return;
        }
        let key = Key { id: header.id, questions: read.questions, direction: segment.direction };
        let wanted = out.wants(KIND);
        let request = || if wanted { Query::collect(message, header) } else { Query::default() };
        let evicted = self.waiting.ask(key, segment.time, request);
        if let Some(asked) = evicted {
            self.unanswered(asked, out);
        }
    }

    fn response(
        &mut self,
        message: &[u8],
        header: Header,
        read: &Scan<'_>,
        malformed: Option<Malformed>,
        segment: &Segment<'_>,
        out: &mut Output,
    ) {
        let asker = segment.direction.reversed();
        let asked = self.waiting.answer(|key| {
            // Some servers repeat no question in an error; multicast answers never do.
            let unsaid = header.questions() == 0 && self.transport != Transport::Mdns;
            let same = unsaid || key.questions == read.questions;
            key.id == header.id && key.direction == asker && same
        });
        if out.wants(KIND) {
            let mut told = match asked {
                Some(asked) => {
                    let rtt_ms = asked.elapsed_ms(segment.time);
                    let retries = asked.retries;
                    Exchange { rtt_ms: Some(rtt_ms), retries, ..self.exchange(header.id, asked.request) }
                }
                None => self.exchange(header.id, Query::collect(message, header)),
            };
            told.rcode = Some(Rcode(read.high_rcode << 4 | header.rcode()));
            told.answers = Some(Answers::collect(message, header, self.transport));
            told.truncated = header.is_truncated();
            told.malformed = malformed;
            out.emit(segment.time, KIND, told);
        }
        if malformed.is_none() && header.rcode() == 0 && !read.addresses.is_empty() {
            self.learn(read, segment, out);
        }
    }

    /// Tells of all that waits: nothing more is expected of this flow.
    fn leave(&mut self, out: &mut Output) -> Step {
        while let Some(asked) = self.waiting.pop() {
            self.unanswered(asked, out);
        }
        Step::Reject
    }

    fn exchange(&self, id: u16, query: Query) -> Exchange {
        Exchange::new(self.transport, id, query)
    }

    fn unanswered(&self, asked: Asked<Key, Query>, out: &mut Output) {
        let told = Exchange { retries: asked.retries, ..self.exchange(asked.key.id, asked.request) };
        out.emit(asked.first, KIND, told);
    }

    /// Tells which names the addresses in an answer have.
    fn learn(&self, read: &Scan<'_>, segment: &Segment<'_>, out: &mut Output) {
        if self.transport == Transport::Mdns {
            return learn_hosts(read, out);
        }
        let client = segment.destination.ip();
        let resolved =
            |(name, answer): (_, &Address<'_>)| Resolved { client, address: answer.address, name, ttl: answer.ttl };
        out.names.extend(read.answers().map(resolved));
    }
}

/// Names of hosts on the local network, for whoever hears them; a record without time to live says good-bye.
fn learn_hosts(read: &Scan<'_>, out: &mut Output) {
    for Address { name, address, ttl, .. } in read.addresses.iter().filter(|record| record.ttl > 0) {
        let client = match address {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        out.names.push(Resolved { client, address: *address, name: name.host(), ttl: *ttl });
    }
}

impl Conversation for Dns {
    fn read(&mut self, segment: &Segment<'_>, out: &mut Output) -> Step {
        if !segment.stream {
            let goes_on = self.message(segment.bytes, segment, out);
            return if goes_on { Step::Consumed(segment.bytes.len()) } else { self.leave(out) };
        }
        let mut rest = segment.bytes;
        while let Some((length, behind)) = rest.split_first_chunk::<2>() {
            let Some((message, following)) = behind.split_at_checked(usize::from(u16::from_be_bytes(*length))) else {
                break;
            };
            if !self.message(message, segment, out) {
                return self.leave(out);
            }
            rest = following;
        }
        Step::Consumed(segment.bytes.len() - rest.len())
    }

    fn end(&mut self, _time: Timestamp, out: &mut Output) {
        self.leave(out);
    }

    fn memory(&self) -> usize {
        self.waiting.memory(Query::memory)
    }
}

/// "Standard query response 0x1234 A example.org A 192.0.2.1"
fn summarise(message: &[u8], line: &mut String) {
    let Some(header) = Header::read(message) else { return };
    let kind = match header.opcode() {
        0 => "Standard query",
        1 => "Inverse query",
        2 => "Server status request",
        4 => "Zone change notification",
        5 => "Dynamic update",
        _ => "Unknown operation",
    };
    let _ = write!(line, "{kind}{} 0x{:04x}", if header.is_response() { " response" } else { "" }, header.id);
    if header.is_response() && header.rcode() != 0 {
        let _ = match header.rcode() {
            1 => write!(line, " Format error"),
            2 => write!(line, " Server failure"),
            3 => write!(line, " No such name"),
            4 => write!(line, " Not implemented"),
            5 => write!(line, " Refused"),
            other => write!(line, " {}", Rcode(other)),
        };
    }
    for entry in Entries::new(message, header).take(MAX_SUMMARY).flatten() {
        let _ = match entry {
            Entry::Question(question) => write!(line, " {} {}", question.qtype, question.name),
            Entry::Record(record) => summarise_record(&record, line),
        };
    }
}

/// Type and data; of an SOA record the server alone, of some types nothing but the type.
fn summarise_record(record: &Record<'_>, line: &mut String) -> std::fmt::Result {
    write!(line, " {}", record.rtype)?;
    match record.rtype.0 {
        6 => record.name_at(0).map_or(Ok(()), |server| write!(line, " {server}")),
        1 | 2 | 5 | 12 | 15 | 28 | 33 | 39 => write!(line, " {}", record.text()),
        _ => Ok(()),
    }
}
