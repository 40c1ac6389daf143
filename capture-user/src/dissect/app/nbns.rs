//! The NetBIOS name service (RFC 1001, RFC 1002): who calls itself what on a Windows network.
//!
//! Its messages are those of DNS; a name is one label of 32 letters that hold 16 bytes, four bits each. Records pair
//! requests and answers as those of DNS do.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::dns::{Entries, Entry, Fingerprint, Header, Rcode, Record};
use super::exchange::{Asked, Exchanges, is_zero};
use super::wire::{Reader, text};
use super::{Conversation, Direction, Output, Over, Probe, Protocol, RecordKind, Segment, Step};
use crate::time::Timestamp;

/// The NetBIOS name service.
pub static PROTOCOL: Protocol = Protocol {
    name: "nbns",
    over: Over::Udp,
    ports: &[137],
    probe,
    open: || Box::<Nbns>::default(),
    kinds: &[RecordKind::of::<Exchange>("nbns")],
    summary,
};

/// Requests that wait for their answers at most.
const MAX_WAITING: usize = 32;
/// How long they wait; one that was sent three times, 750 ms apart, is one request.
const PATIENCE: Duration = Duration::from_secs(10);
/// Record types of RFC 1002 section 4.2.1.3.
const NB: u16 = 0x20;
const NBSTAT: u16 = 0x21;
/// Addresses and node names told of one answer.
const MAX_LISTED: usize = 32;

fn probe(segment: &Segment<'_>) -> Probe {
    let seen = Message::read(segment.bytes).is_some();
    if seen && segment.on_port(PROTOCOL.ports) { Probe::Yes } else { Probe::No }
}

/// One message: its header, its first name, and what its requests have in common.
struct Message {
    header: Header,
    name: NetbiosName,
    qtype: u16,
    fingerprint: u64,
}

impl Message {
    fn read(bytes: &[u8]) -> Option<Self> {
        let header = Header::read(bytes)?;
        let mut fingerprint = Fingerprint::default();
        let (name, qtype) = match Entries::new(bytes, header).next()?.ok()? {
            Entry::Question(question) => {
                fingerprint.add(&question);
                (NetbiosName::decode(question.name.labels().next()?)?, question.qtype.0)
            }
            Entry::Record(record) => (NetbiosName::decode(record.name.labels().next()?)?, record.rtype.0),
        };
        matches!(qtype, NB | NBSTAT | 0x0a).then(|| Self { header, name, qtype, fingerprint: fingerprint.finish() })
    }

    /// The kind of request (RFC 1002 section 4.2.1.1).
    fn operation(&self) -> &'static str {
        match self.header.opcode() {
            0 if self.qtype == NBSTAT => "status",
            0 => "query",
            5 => "registration",
            6 => "release",
            7 => "wait",
            8 | 9 => "refresh",
            15 => "multi-homed registration",
            _ => "unknown",
        }
    }
}

/// Fifteen characters, padded with blanks, and a byte that says what bears the name.
#[derive(Clone, Copy, Debug)]
struct NetbiosName([u8; 16]);

impl NetbiosName {
    /// Undoes the first-level encoding of RFC 1001 section 14.1.
    fn decode(label: &[u8]) -> Option<Self> {
        let letters: &[u8; 32] = label.try_into().ok()?;
        let mut name = [0; 16];
        for (byte, pair) in name.iter_mut().zip(letters.chunks_exact(2)) {
            let [high, low] = [pair.first()?, pair.last()?].map(|letter| letter.wrapping_sub(b'A'));
            if high > 15 || low > 15 {
                return None;
            }
            *byte = high << 4 | low;
        }
        Some(Self(name))
    }

    fn suffix(self) -> u8 {
        self.0[15]
    }

    fn text(self) -> String {
        text(&self.0[..15], 15)
    }
}

/// What an `nbns` record says.
#[derive(Debug, Serialize, JsonSchema)]
struct Exchange {
    /// What is done with the name.
    operation: &'static str,
    /// The name, without its suffix.
    name: String,
    /// What bears the name: 0 a workstation, 32 a file server, 27 and 28 a domain…
    suffix: u8,
    /// There once an answer was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    rcode: Option<Rcode>,
    /// Addresses in an answer, or that are registered.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    addresses: Vec<Ipv4Addr>,
    /// The names of the node that was asked for its status.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    node_names: Vec<String>,
    /// From the first time it was asked to the answer, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt_ms: Option<f64>,
    /// How often it was asked again.
    #[serde(skip_serializing_if = "is_zero")]
    retries: u32,
}

impl Exchange {
    /// Bytes its texts and lists take.
    fn memory(&self) -> usize {
        let names: usize = self.node_names.iter().map(|name| size_of::<String>() + name.capacity()).sum();
        self.name.capacity() + self.addresses.capacity() * size_of::<Ipv4Addr>() + names
    }

    fn new(message: &Message, bytes: &[u8]) -> Self {
        let mut told = Self {
            operation: message.operation(),
            name: message.name.text(),
            suffix: message.name.suffix(),
            rcode: message.header.is_response().then(|| Rcode(message.header.rcode())),
            addresses: Vec::new(),
            node_names: Vec::new(),
            rtt_ms: None,
            retries: 0,
        };
        for entry in Entries::new(bytes, message.header).flatten() {
            if let Entry::Record(record) = entry {
                told.add(&record);
            }
        }
        told
    }

    fn add(&mut self, record: &Record<'_>) {
        let mut reader = Reader::new(record.data);
        match record.rtype.0 {
            // Two bytes of flags and an address, again and again (section 4.2.13).
            NB => {
                while let (Some(_), Some(address)) = (reader.u16(), reader.ipv4()) {
                    if self.addresses.len() < MAX_LISTED {
                        self.addresses.push(address);
                    }
                }
            }
            // A count, and that many names with their flags (section 4.2.18).
            NBSTAT => {
                let count = usize::from(reader.u8().unwrap_or(0)).min(MAX_LISTED);
                let names = std::iter::from_fn(|| Some((reader.array::<16>()?, reader.u16()?)));
                let shown = names.take(count).map(|(name, _)| NetbiosName(name));
                self.node_names.extend(shown.map(|name| format!("{}<{:02x}>", name.text(), name.suffix())));
            }
            _ => {}
        }
    }
}

/// A request: its identifier, its questions, and who asked.
type Key = (u16, u64, Direction);

#[derive(Default)]
struct Nbns {
    waiting: Exchanges<Key, Exchange, MAX_WAITING>,
    sure: bool,
}

fn unanswered(asked: Asked<Key, Exchange>, out: &mut Output) {
    out.emit(asked.first, "nbns", Exchange { retries: asked.retries, ..asked.request });
}

impl Nbns {
    fn answered(&mut self, message: &Message, segment: &Segment<'_>, out: &mut Output) {
        let asker = segment.direction.reversed();
        let asked = self.waiting.answer(|(id, _, direction)| *id == message.header.id && *direction == asker);
        let mut told = Exchange::new(message, segment.bytes);
        if let Some(asked) = asked {
            told.rtt_ms = Some(asked.elapsed_ms(segment.time));
            told.retries = asked.retries;
            told.operation = asked.request.operation;
        }
        out.emit(segment.time, "nbns", told);
    }
}

impl Conversation for Nbns {
    fn read(&mut self, segment: &Segment<'_>, out: &mut Output) -> Step {
        let Some(message) = Message::read(segment.bytes) else {
            return if self.sure { Step::Consumed(segment.bytes.len()) } else { Step::Reject };
        };
        if !self.sure {
            self.sure = true;
            out.identify(PROTOCOL.name);
        }
        while let Some(asked) = self.waiting.overdue(segment.time, PATIENCE) {
            unanswered(asked, out);
        }
        if message.header.is_response() {
            self.answered(&message, segment, out);
        } else {
            let key = (message.header.id, message.fingerprint, segment.direction);
            let evicted = self.waiting.ask(key, segment.time, || Exchange::new(&message, segment.bytes));
            if let Some(asked) = evicted {
                unanswered(asked, out);
            }
        }
        Step::Consumed(segment.bytes.len())
    }

    fn end(&mut self, _time: Timestamp, out: &mut Output) {
        while let Some(asked) = self.waiting.pop() {
            unanswered(asked, out);
        }
    }

    fn memory(&self) -> usize {
        self.waiting.memory(Exchange::memory)
    }
}

/// "Name query NB WPAD<00>"
fn summary(bytes: &[u8], line: &mut String) {
    let Some(message) = Message::read(bytes) else { return };
    let response = if message.header.is_response() { " response" } else { "" };
    let kind = if message.qtype == NBSTAT { "NBSTAT" } else { "NB" };
    let (name, suffix) = (message.name.text(), message.name.suffix());
    let _ = write!(line, "Name {}{response} {kind} {name}<{suffix:02x}>", message.operation());
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dissect::app::testing::{converse, json, mistreat, probe};

    fn name(text: &str, suffix: u8) -> Vec<u8> {
        let mut label = vec![32];
        for byte in format!("{text:15}").bytes().chain([suffix]) {
            label.extend([b'A' + (byte >> 4), b'A' + (byte & 15)]);
        }
        label.push(0);
        label
    }

    fn message(flags: u16, counts: [u16; 2], rest: &[&[u8]]) -> Vec<u8> {
        let numbers = [0x1234, flags, counts[0], counts[1], 0, 0];
        numbers.iter().flat_map(|number| number.to_be_bytes()).chain(rest.concat()).collect()
    }

    #[test]
    fn a_query_sent_three_times_and_answered() {
        let name = name("LIVINGROOM", 0x20);
        let query = message(0x0110, [1, 0], &[&name, &[0, 0x20, 0, 1]]);
        let answer = message(0x8500, [0, 1], &[&name, &[0, 0x20, 0, 1, 0, 0, 1, 0, 0, 6, 0, 0, 192, 168, 1, 5]]);
        let script = [
            (Direction::Out, query.as_slice()),
            (Direction::Out, &query),
            (Direction::Out, &query),
            (Direction::In, &answer),
        ];
        let out = converse(&PROTOCOL, &script);
        assert_eq!(out.events.len(), 1);
        assert_eq!(
            json(&out.events[0]),
            json!({
                "operation": "query", "name": "LIVINGROOM", "suffix": 32, "rcode": "NOERROR",
                "addresses": ["192.168.1.5"], "rtt_ms": 60.0, "retries": 2,
            })
        );
        mistreat(&PROTOCOL, &script);
        let mut line = String::new();
        summary(&query, &mut line);
        assert_eq!(line, "Name query NB LIVINGROOM<20>");
    }

    #[test]
    fn a_node_tells_its_names() {
        let star = [b"\x20CK".as_slice(), &[b'A'; 30], &[0]].concat();
        let names = [b"\x01PC             \0\x04\0".as_slice(), &[0; 6]].concat();
        let length = u8::try_from(names.len()).expect("short");
        let status = message(0x8400, [0, 1], &[&star, &[0, 0x21, 0, 1, 0, 0, 0, 0, 0, length], &names]);
        let told = json(&converse(&PROTOCOL, &[(Direction::In, &status)]).events[0]);
        assert_eq!(told["operation"], "status");
        assert_eq!(told["name"], "*");
        assert_eq!(told["node_names"], json!(["PC<00>"]));
    }

    #[test]
    fn a_registration_that_nobody_contests() {
        let name = name("CONSOLE", 0);
        let rest = [0xc0, 12, 0, 0x20, 0, 1, 0, 4, 0x93, 0xe0, 0, 6, 0, 0, 192, 168, 1, 6];
        let mut register = message(0x2910, [1, 0], &[&name, &[0, 0x20, 0, 1], &rest]);
        register[11] = 1;
        let told = json(&converse(&PROTOCOL, &[(Direction::Out, &register)]).events[0]);
        let expected =
            json!({"operation": "registration", "name": "CONSOLE", "suffix": 0, "addresses": ["192.168.1.6"]});
        assert_eq!(told, expected);
    }

    #[test]
    fn other_payloads() {
        let dns = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x04game\x07example\0\0\x01\0\x01";
        assert_eq!(probe(&PROTOCOL, dns), Probe::No);
        assert_eq!(probe(&PROTOCOL, &[0; 50]), Probe::No);
        assert_eq!(probe(&PROTOCOL, &message(0x0110, [1, 0], &[&name("PC", 0), &[0, 0x20, 0, 1]])), Probe::Yes);
    }
}
