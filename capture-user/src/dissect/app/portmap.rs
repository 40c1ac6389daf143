//! How a console asks its router for open ports: NAT-PMP (RFC 6886) and PCP (RFC 6887) over UDP, and UPnP's requests
//! over HTTP (`soap`). One `portmap` record for each request, with its answer where there was one.

pub(super) mod soap;

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::exchange::{Asked, Exchanges, is_zero};
use super::memory::texts;
use super::wire::Reader;
use super::{Conversation, Direction, Output, Over, Probe, Protocol, RecordKind, Segment, Step};
use crate::time::Timestamp;

/// NAT-PMP and PCP, which share a port and tell each other apart by their versions.
pub static PROTOCOL: Protocol = Protocol {
    name: "nat-pmp",
    over: Over::Udp,
    ports: &[5351],
    probe,
    open: || Box::<Portmap>::default(),
    kinds: &[RecordKind::of::<Mapping>("portmap")],
    summary,
};

/// Requests that wait for their answers at most.
const MAX_WAITING: usize = 32;
/// How long they wait: nine attempts, each waiting twice as long as the one before (RFC 6886 section 3.1).
const PATIENCE: Duration = Duration::from_secs(64);

fn probe(segment: &Segment<'_>) -> Probe {
    if segment.on_port(PROTOCOL.ports) && Message::read(segment.bytes).is_some() { Probe::Yes } else { Probe::No }
}

/// What a `portmap` record says.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Mapping {
    /// The protocol it was asked by.
    via: Via,
    /// What was asked.
    action: Action,
    /// `tcp` or `udp`.
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<&'static str>,
    /// The host that is to be reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    internal_ip: Option<IpAddr>,
    /// Its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    internal_port: Option<u16>,
    /// The router's outer address.
    #[serde(skip_serializing_if = "Option::is_none")]
    external_ip: Option<IpAddr>,
    /// What was granted, or else what was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    external_port: Option<u16>,
    /// What was granted, or else what was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    lifetime_s: Option<u32>,
    /// What the client says it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// "success", or the error's number; absent without an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<String>,
    /// From the first time it was asked to the answer, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt_ms: Option<f64>,
    /// How often it was asked again.
    #[serde(skip_serializing_if = "is_zero")]
    retries: u32,
}

/// The protocol that carried a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Via {
    /// NAT-PMP (RFC 6886).
    NatPmp,
    /// PCP (RFC 6887).
    Pcp,
    /// UPnP IGD (SOAP over HTTP).
    Upnp,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Action {
    /// A mapping.
    Add,
    /// Its end.
    Delete,
    /// The router's outer address.
    Address,
    /// News of a restart.
    Announce,
    /// A mapping towards one peer.
    Peer,
}

impl Mapping {
    /// Bytes its texts take.
    fn memory(&self) -> usize {
        texts([&self.description, &self.result])
    }

    const fn new(via: Via, action: Action) -> Self {
        Self {
            via,
            action,
            protocol: None,
            internal_ip: None,
            internal_port: None,
            external_ip: None,
            external_port: None,
            lifetime_s: None,
            description: None,
            result: None,
            rtt_ms: None,
            retries: 0,
        }
    }
}

/// A datagram of either protocol.
struct Message {
    /// Version and operation, without the bit that marks answers.
    operation: (u8, u8),
    result: Option<u16>,
    mapping: Mapping,
}

impl Message {
    fn read(bytes: &[u8]) -> Option<Self> {
        match bytes.first()? {
            0 => Self::nat_pmp(bytes),
            2 => Self::pcp(bytes),
            _ => None,
        }
    }

    /// RFC 6886 sections 3.2 and 3.3: requests of 2 and 12 bytes, answers of 12 and 16.
    fn nat_pmp(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let (version, code) = (reader.u8()?, reader.u8()?);
        let (answer, code) = (code & 0x80 != 0, code & 0x7f);
        if code > 2 || bytes.len() > 16 {
            return None;
        }
        let mut mapping = Mapping::new(Via::NatPmp, if code == 0 { Action::Address } else { Action::Add });
        mapping.protocol = [None, Some("udp"), Some("tcp")].get(usize::from(code)).copied().flatten();
        let mut result = None;
        if answer {
            result = Some(reader.u16()?);
            let _epoch = reader.u32()?;
        }
        match (code, answer) {
            (0, false) => {}
            // An error may end here.
            (0, true) => mapping.external_ip = reader.ipv4().filter(|ip| !ip.is_unspecified()).map(IpAddr::from),
            (_, _) => {
                if !answer {
                    reader.u16()?;
                }
                let (internal, external, lifetime) = (reader.u16()?, reader.u16()?, reader.u32()?);
                mapping.action = if lifetime == 0 && result.unwrap_or(0) == 0 { Action::Delete } else { Action::Add };
                mapping.internal_port = Some(internal);
                mapping.external_port = Some(external).filter(|port| *port != 0);
                mapping.lifetime_s = Some(lifetime);
            }
        }
        Some(Self { operation: (version, code), result, mapping })
    }

    /// RFC 6887 sections 7, 11.1 and 12.1: a header of 24 bytes and what the operation needs.
    fn pcp(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let (version, code, _, result) = (reader.u8()?, reader.u8()?, reader.u8()?, reader.u8()?);
        let (answer, code) = (code & 0x80 != 0, code & 0x7f);
        let lifetime = reader.u32()?;
        let client = reader.ipv6()?;
        let action = match code {
            0 => Action::Announce,
            1 if lifetime == 0 && !(answer && result != 0) => Action::Delete,
            1 => Action::Add,
            2 => Action::Peer,
            _ => return None,
        };
        let mut mapping = Mapping::new(Via::Pcp, action);
        mapping.internal_ip = (!answer).then(|| client.to_canonical());
        if code != 0 {
            // The nonce; it stays the same when a mapping is renewed, so it does not tell requests apart.
            reader.take(12)?;
            mapping.protocol = match reader.array::<4>()? {
                [6, ..] => Some("tcp"),
                [17, ..] => Some("udp"),
                _ => None,
            };
            mapping.internal_port = Some(reader.u16()?);
            mapping.external_port = reader.u16().filter(|port| *port != 0);
            let outer = reader.ipv6()?;
            mapping.external_ip = known(outer);
            mapping.lifetime_s = Some(lifetime);
        }
        Some(Self { operation: (version, code), result: answer.then_some(u16::from(result)), mapping })
    }
}

/// An address that says something.
fn known(address: Ipv6Addr) -> Option<IpAddr> {
    Some(address.to_canonical()).filter(|address| !address.is_unspecified())
}

/// A request: version, operation, protocol, inner port, and who asked.
type Key = ((u8, u8), Option<&'static str>, Option<u16>, Direction);

#[derive(Default)]
struct Portmap {
    waiting: Exchanges<Key, Mapping, MAX_WAITING>,
    sure: bool,
}

fn unanswered(asked: Asked<Key, Mapping>, out: &mut Output) {
    out.emit(asked.first, "portmap", Mapping { retries: asked.retries, ..asked.request });
}

impl Portmap {
    fn answered(&mut self, message: Message, result: u16, segment: &Segment<'_>, out: &mut Output) {
        let Message { operation, mapping, .. } = message;
        let asker = segment.direction.reversed();
        let mut told = mapping;
        told.result = Some(if result == 0 { "success".to_owned() } else { result.to_string() });
        let key = (operation, told.protocol, told.internal_port, asker);
        // The router's outer address and an old router's "unknown version" name no port.
        let alike = |waiting: &Key| *waiting == key || key.2.is_none() && waiting.0 == operation && waiting.3 == asker;
        if let Some(asked) = self.waiting.answer(alike) {
            told.rtt_ms = Some(asked.elapsed_ms(segment.time));
            told.retries = asked.retries;
            told.internal_ip = told.internal_ip.or(asked.request.internal_ip);
            told.action = asked.request.action;
        }
        out.emit(segment.time, "portmap", told);
    }
}

impl Conversation for Portmap {
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
        match message.result {
            Some(result) => self.answered(message, result, segment, out),
            None => {
                let key =
                    (message.operation, message.mapping.protocol, message.mapping.internal_port, segment.direction);
                if let Some(asked) = self.waiting.ask(key, segment.time, || message.mapping) {
                    unanswered(asked, out);
                }
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
        self.waiting.memory(Mapping::memory)
    }
}

/// "NAT-PMP, Map UDP Request"
fn summary(bytes: &[u8], line: &mut String) {
    let Some(message) = Message::read(bytes) else { return };
    let name = if message.operation.0 == 0 { "NAT-PMP" } else { "Port Control Protocol" };
    let way = if message.result.is_some() { "Response" } else { "Request" };
    let protocol = message.mapping.protocol.unwrap_or_default().to_ascii_uppercase();
    let kind = match message.mapping.action {
        Action::Add | Action::Delete => "Map",
        Action::Address => "External Address",
        Action::Announce => "Announce",
        Action::Peer => "Peer",
    };
    let gap = if protocol.is_empty() { "" } else { " " };
    let _ = write!(line, "{name}, {kind}{gap}{protocol} {way}");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dissect::app::testing::{converse, json, mistreat, probe};

    const MAP: &[u8] = &[0, 1, 0, 0, 0x0c, 0x02, 0x0c, 0x02, 0, 0, 0x0e, 0x10];
    const MAPPED: &[u8] = &[0, 0x81, 0, 0, 0, 0, 0, 9, 0x0c, 0x02, 0x0c, 0x03, 0, 0, 0x0e, 0x10];

    #[test]
    fn nat_pmp() {
        let address = [0, 0x80, 0, 0, 0, 0, 0, 9, 203, 0, 113, 5];
        let script = [
            (Direction::Out, MAP),
            (Direction::Out, MAP),
            (Direction::In, MAPPED),
            (Direction::Out, &[0, 0]),
            (Direction::In, &address),
            (Direction::Out, &[0, 2, 0, 0, 0, 80, 0, 0, 0, 0, 0, 0]),
        ];
        let told: Vec<_> = converse(&PROTOCOL, &script).events.iter().map(json).collect();
        assert_eq!(
            told,
            [
                json!({"via": "nat-pmp", "action": "add", "protocol": "udp", "internal_port": 3074,
                    "external_port": 3075, "lifetime_s": 3600, "result": "success", "rtt_ms": 40.0, "retries": 1}),
                json!({"via": "nat-pmp", "action": "address", "external_ip": "203.0.113.5", "result": "success",
                    "rtt_ms": 20.0}),
                json!({"via": "nat-pmp", "action": "delete", "protocol": "tcp", "internal_port": 80, "lifetime_s": 0}),
            ]
        );
        mistreat(&PROTOCOL, &script);
    }

    #[test]
    fn pcp() {
        let mapped = |[a, b, c, d]: [u8; 4]| [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d];
        let body = |port: u8, outer| {
            [[7; 12].as_slice(), &[17, 0, 0, 0, 0x0c, 0x02, 0x0c, port], mapped(outer).as_slice()].concat()
        };
        let request = [[2, 1, 0, 0, 0, 0, 1, 0].as_slice(), &mapped([192, 168, 1, 40]), &body(2, [0; 4])].concat();
        let answer = [[2, 0x81, 0, 0, 0, 0, 0, 60].as_slice(), &[0; 16], &body(9, [203, 0, 113, 5])].concat();
        let script = [(Direction::Out, request.as_slice()), (Direction::In, &answer)];
        assert_eq!(
            json(&converse(&PROTOCOL, &script).events[0]),
            json!({"via": "pcp", "action": "add", "protocol": "udp", "internal_ip": "192.168.1.40",
                "internal_port": 3074, "external_ip": "203.0.113.5", "external_port": 3081, "lifetime_s": 60,
                "result": "success", "rtt_ms": 20.0})
        );
        mistreat(&PROTOCOL, &script);
    }

    #[test]
    fn probes_and_summary() {
        assert_eq!(probe(&PROTOCOL, MAP), Probe::Yes);
        for foreign in [&[0; 17][..], &[1, 0, 0], &[2, 1, 0, 0], b"GET / HTTP/1.1"] {
            assert_eq!(probe(&PROTOCOL, foreign), Probe::No);
        }
        let mut line = String::new();
        summary(MAPPED, &mut line);
        assert_eq!(line, "NAT-PMP, Map UDP Response");
    }
}
