//! NTP (RFC 5905) and SNTP: one record for a request and its answer, one for each message that belongs to none.

use std::fmt::Write as _;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::exchange::{Asked, Exchanges, is_zero};
use super::wire::{Reader, some_text};
use super::{Conversation, Direction, Output, Over, Probe, Protocol, RecordKind, Segment, Step};
use crate::time::Timestamp;

/// The network time protocol.
pub static PROTOCOL: Protocol = Protocol {
    name: "ntp",
    over: Over::Udp,
    ports: &[123],
    probe,
    open: || Box::<Ntp>::default(),
    kinds: &[RecordKind::of::<Exchange>("ntp")],
    summary,
};

/// Requests that wait for their answers at most.
const MAX_WAITING: usize = 8;
/// How long they wait.
const PATIENCE: Duration = Duration::from_secs(10);

fn probe(segment: &Segment<'_>) -> Probe {
    let plausible = Packet::parse(segment.bytes).is_some_and(|packet| packet.version >= 1 && packet.stratum <= 16);
    if plausible && segment.on_port(PROTOCOL.ports) { Probe::Yes } else { Probe::No }
}

/// The header of RFC 5905 section 7.3, as far as it is told.
struct Packet {
    version: u8,
    mode: Mode,
    stratum: u8,
    reference_id: [u8; 4],
    /// What the server copied from the request.
    origin: u64,
    /// When this was sent.
    transmit: u64,
}

impl Packet {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let (first, stratum) = (reader.u8()?, reader.u8()?);
        reader.take(10)?;
        let reference_id = reader.array()?;
        reader.take(8)?;
        let origin = reader.u64()?;
        reader.take(8)?;
        let mode = Mode::of(first & 7)?;
        let version = first >> 3 & 7;
        (version <= 4).then_some(Self { version, mode, stratum, reference_id, origin, transmit: reader.u64()? })
    }

    /// The source of the server's time: letters from the primary servers, an address from all others.
    fn reference(&self) -> Option<String> {
        match self.stratum {
            _ if self.reference_id == [0; 4] => None,
            0 | 1 => some_text(&self.reference_id, 4),
            _ => Some(std::net::Ipv4Addr::from(self.reference_id).to_string()),
        }
    }
}

/// The association modes whose packets have this header; control (6) and private (7) messages have another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// A peer that asks.
    SymmetricActive,
    /// A peer that answers.
    SymmetricPassive,
    /// A client asks.
    Client,
    /// A server answers.
    Server,
    /// A server tells everybody.
    Broadcast,
}

impl Mode {
    const fn of(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::SymmetricActive,
            2 => Self::SymmetricPassive,
            3 => Self::Client,
            4 => Self::Server,
            5 => Self::Broadcast,
            _ => return None,
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::SymmetricActive => "symmetric active",
            Self::SymmetricPassive => "symmetric passive",
            Self::Client => "client",
            Self::Server => "server",
            Self::Broadcast => "broadcast",
        }
    }
}

/// What an `ntp` record says: of an exchange, the mode of the request and the server's stratum and reference.
#[derive(Debug, Serialize, JsonSchema)]
struct Exchange {
    /// The protocol's version.
    version: u8,
    /// The part that the sender plays; of an exchange, who asked.
    mode: Mode,
    /// Steps from a reference clock: 1 has one, 0 refuses.
    #[serde(skip_serializing_if = "Option::is_none")]
    stratum: Option<u8>,
    /// What the server is set by: an address, or a name of up to four letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    reference_id: Option<String>,
    /// From the first time it was asked to the answer, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt_ms: Option<f64>,
    /// How often it was asked again.
    #[serde(skip_serializing_if = "is_zero")]
    retries: u32,
}

/// A request: its time of transmission, which the server copies, and who sent it.
type Key = (u64, Direction);

#[derive(Default)]
struct Ntp {
    waiting: Exchanges<Key, (u8, Mode), MAX_WAITING>,
    sure: bool,
}

impl Ntp {
    fn answered(&mut self, packet: &Packet, segment: &Segment<'_>, out: &mut Output) {
        let key = (packet.origin, segment.direction.reversed());
        let asked = self.waiting.answer(|waiting| *waiting == key);
        let told = Exchange {
            version: packet.version,
            mode: asked.as_ref().map_or(packet.mode, |asked| asked.request.1),
            stratum: Some(packet.stratum),
            reference_id: packet.reference(),
            rtt_ms: asked.as_ref().map(|asked| asked.elapsed_ms(segment.time)),
            retries: asked.map_or(0, |asked| asked.retries),
        };
        out.emit(segment.time, "ntp", told);
    }
}

fn unanswered(asked: &Asked<Key, (u8, Mode)>, out: &mut Output) {
    let (version, mode) = asked.request;
    let retries = asked.retries;
    out.emit(asked.first, "ntp", Exchange { version, mode, stratum: None, reference_id: None, rtt_ms: None, retries });
}

impl Conversation for Ntp {
    fn read(&mut self, segment: &Segment<'_>, out: &mut Output) -> Step {
        let Some(packet) = Packet::parse(segment.bytes) else {
            return if self.sure { Step::Consumed(segment.bytes.len()) } else { Step::Reject };
        };
        if !self.sure {
            self.sure = true;
            out.identify(PROTOCOL.name);
        }
        while let Some(asked) = self.waiting.overdue(segment.time, PATIENCE) {
            unanswered(&asked, out);
        }
        if matches!(packet.mode, Mode::Client | Mode::SymmetricActive) {
            let key = (packet.transmit, segment.direction);
            if let Some(evicted) = self.waiting.ask(key, segment.time, || (packet.version, packet.mode)) {
                unanswered(&evicted, out);
            }
        } else {
            self.answered(&packet, segment, out);
        }
        Step::Consumed(segment.bytes.len())
    }

    fn end(&mut self, _time: Timestamp, out: &mut Output) {
        while let Some(asked) = self.waiting.pop() {
            unanswered(&asked, out);
        }
    }

    fn memory(&self) -> usize {
        self.waiting.memory(|_| 0)
    }
}

fn summary(bytes: &[u8], line: &mut String) {
    if let Some(packet) = Packet::parse(bytes) {
        let _ = write!(line, "NTP Version {}, {}", packet.version, packet.mode.name());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dissect::app::testing::{converse, json, mistreat, probe};

    fn packet(first: u8, stratum: u8, reference: [u8; 4], origin: u64, transmit: u64) -> Vec<u8> {
        let mut bytes = vec![first, stratum];
        bytes.resize(12, 0);
        bytes.extend(reference);
        bytes.resize(24, 0);
        bytes.extend(origin.to_be_bytes());
        bytes.resize(40, 0);
        bytes.extend(transmit.to_be_bytes());
        bytes
    }

    #[test]
    fn an_exchange_and_what_has_no_partner() {
        let (ask, lost) = (packet(0x23, 0, [0; 4], 0, 1), packet(0x1b, 0, [0; 4], 0, 2));
        let answer = packet(0x24, 2, [192, 0, 2, 1], 1, 9);
        let stray = packet(0x24, 1, *b"GPS\0", 5, 9);
        let script = [
            (Direction::Out, ask.as_slice()),
            (Direction::Out, &lost),
            (Direction::In, &answer),
            (Direction::In, &stray),
        ];
        let out = converse(&PROTOCOL, &script);
        let told: Vec<_> = out.events.iter().map(json).collect();
        assert_eq!(
            told,
            [
                json!({"version": 4, "mode": "client", "stratum": 2, "reference_id": "192.0.2.1", "rtt_ms": 40.0}),
                json!({"version": 4, "mode": "server", "stratum": 1, "reference_id": "GPS"}),
                json!({"version": 3, "mode": "client"}),
            ]
        );
        assert_eq!(out.label.app, Some("ntp"));
        mistreat(&PROTOCOL, &script);
    }

    #[test]
    fn probes_and_summary() {
        let ask = packet(0x23, 0, [0; 4], 0, 1);
        assert_eq!(probe(&PROTOCOL, &ask), Probe::Yes);
        assert_eq!(probe(&PROTOCOL, &ask[..47]), Probe::No);
        assert_eq!(probe(&PROTOCOL, &[0xff; 48]), Probe::No);
        assert_eq!(probe(&PROTOCOL, b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n\r\n"), Probe::No);
        let mut line = String::new();
        summary(&ask, &mut line);
        assert_eq!(line, "NTP Version 4, client");
    }
}
