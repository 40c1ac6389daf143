//! QUIC versions 1 and 2 and the drafts before them (RFC 9000, RFC 9001, RFC 9369): one `quic` record a connection.
//!
//! Anybody who sees a client's first packet can derive the keys of its Initial packets, and so read its ClientHello;
//! with that the flow goes by unread. Later Initial packets keep those keys although the client then calls the server
//! by another name; after a Retry, or when the first packet was not captured, keys are derived anew.

mod frames;
mod keys;
mod packet;
mod version;

use std::borrow::Cow;
use std::fmt::Write;

use schemars::JsonSchema;
use serde::Serialize;

use keys::Keys;
use packet::{Kind, Packet, Protected};

use super::tls::fingerprint::{self, Carrier, hex};
use super::tls::handshake;
use super::tls::hello::ClientHello;
use super::tls::packet_list::Items;
use super::tls::pieces::Pieces;
use super::tls::wire::Reader;
use super::{Conversation, Direction, HostFrom, Output, Over, Probe, Protocol, RecordKind, Segment, Step};
use crate::time::Timestamp;

/// QUIC.
pub static PROTOCOL: Protocol = Protocol {
    name: "quic",
    over: Over::Udp,
    ports: &[443, 853, 8443],
    probe,
    open: || Box::new(Quic::default()),
    kinds: &[RecordKind::of::<Facts>("quic")],
    summary,
};

/// Datagrams that are read in the hope of a ClientHello.
const MAX_DATAGRAMS: u32 = 128;
/// Times that keys are derived for one connection: once, unless there is a Retry, another version or a loss.
const MAX_DERIVATIONS: u32 = 8;

/// The fields of a `quic` record: one connection.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Facts {
    /// The version of the client's hello: `1`, `2`, `draft-29`.
    pub version: Cow<'static, str>,
    /// The server's name as the client asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// The application protocols that the client offered, in its order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alpn: Vec<String>,
    /// Fingerprint of the ClientHello.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ja3: Option<String>,
    /// Fingerprint of the ClientHello.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ja4: Option<String>,
}

fn probe(segment: &Segment<'_>) -> Probe {
    let Some(packet) = Packet::next(&mut Reader::new(segment.bytes)) else { return Probe::No };
    match packet.kind {
        Kind::VersionNegotiation => probe_version_list(segment.bytes, &packet),
        Kind::Unknown if !version::is_plausible(packet.version) => Probe::No,
        // A client's first packet fills a datagram (RFC 9000 section 14.1), with a name of eight bytes for the server.
        Kind::Unknown if segment.length >= 1200 && packet.destination.len() >= 8 => Probe::Yes,
        Kind::Unknown => Probe::Maybe,
        Kind::Retry => Probe::Yes,
        _ if packet.protected.is_some() || u64::from(segment.length) > segment.bytes.len() as u64 => Probe::Yes,
        _ => Probe::No,
    }
}

fn probe_version_list(bytes: &[u8], packet: &Packet<'_>) -> Probe {
    let (versions, rest) =
        bytes.get(7 + packet.destination.len() + packet.source.len()..).unwrap_or_default().as_chunks();
    let known = versions.iter().any(|version| version::rules(u32::from_be_bytes(*version)).is_some());
    if known && rest.is_empty() { Probe::Yes } else { Probe::No }
}

/// One connection.
#[derive(Default)]
struct Quic {
    /// The version of the last packet that had one.
    version: Option<u32>,
    /// When that was on the wire.
    time: Timestamp,
    /// Who sent the packets that could be opened.
    client: Option<Direction>,
    keys: Option<Keys>,
    derivations: u32,
    largest: Option<u64>,
    crypto: Pieces,
    /// The packet that is being opened.
    copy: Vec<u8>,
    datagrams: u32,
    told: bool,
}

impl Quic {
    /// Opens an Initial packet, with new keys if those at hand do not fit.
    fn open(&mut self, packet: &Protected<'_>, destination: &[u8]) -> bool {
        let fits = |keys: &Keys| keys.open(packet, self.largest, &mut self.copy);
        if let Some(opened) = self.keys.as_ref().and_then(fits) {
            self.largest = self.largest.max(Some(opened.number));
            frames::collect_crypto(self.copy.get(opened.payload).unwrap_or_default(), &mut self.crypto);
            return true;
        }
        if self.derivations >= MAX_DERIVATIONS {
            return false;
        }
        self.derivations += 1;
        let Some(keys) = Keys::client(packet.rules, destination) else { return false };
        let Some(opened) = keys.open(packet, None, &mut self.copy) else { return false };
        // The client begins again: so does its hello.
        self.crypto = Pieces::default();
        self.largest = Some(opened.number);
        self.keys = Some(keys);
        frames::collect_crypto(self.copy.get(opened.payload).unwrap_or_default(), &mut self.crypto);
        true
    }

    /// The ClientHello's body, once it is whole.
    fn hello(&self) -> Option<&[u8]> {
        let mut reader = Reader::new(self.crypto.start());
        (reader.u8()? == handshake::kind::CLIENT_HELLO).then(|| reader.vec24()).flatten()
    }

    /// Sends the record, unless it was sent or nothing is known: with what the hello says if there is one.
    fn tell(&mut self, out: &mut Output) {
        let Some(version) = self.version.filter(|_| !self.told) else { return };
        self.told = true;
        let mut facts = Facts { version: version::name(version), ..Facts::default() };
        if let Some(hello) = self.hello().and_then(|body| ClientHello::parse(body, false)) {
            facts.sni = hello.server_name.map(str::to_owned);
            facts.alpn = handshake::protocols(hello.protocols);
            facts.ja3 = Some(fingerprint::ja3(&hello));
            facts.ja4 = Some(fingerprint::ja4(&hello, Carrier::Quic));
        }
        if let Some(name) = &facts.sni {
            out.host(&name.to_ascii_lowercase(), HostFrom::Sni);
        }
        out.emit(self.time, PROTOCOL.name, facts);
    }
}

impl Conversation for Quic {
    fn read(&mut self, segment: &Segment<'_>, out: &mut Output) -> Step {
        self.datagrams = self.datagrams.saturating_add(1);
        let mut reader = Reader::new(segment.bytes);
        while let Some(packet) = Packet::next(&mut reader) {
            out.identify(PROTOCOL.name);
            if packet.version != 0 {
                (self.version, self.time) = (Some(packet.version), segment.time);
            }
            let initial = packet.protected.filter(|_| packet.kind == Kind::Initial);
            let Some(initial) = initial.filter(|_| self.client.is_none_or(|client| client == segment.direction)) else {
                continue;
            };
            if self.open(&initial, packet.destination) {
                self.client = Some(segment.direction);
            }
            if self.hello().is_some() {
                self.tell(out);
                return Step::Done;
            }
        }
        if self.version.is_none() && self.datagrams > 1 {
            return Step::Reject;
        }
        if self.datagrams >= MAX_DATAGRAMS {
            self.tell(out);
            return Step::Done;
        }
        Step::Consumed(segment.bytes.len())
    }

    fn end(&mut self, _time: Timestamp, out: &mut Output) {
        self.tell(out);
    }

    fn memory(&self) -> usize {
        self.crypto.memory() + self.copy.capacity()
    }
}

fn summary(bytes: &[u8], line: &mut String) {
    let mut items = Items::new(line);
    let mut reader = Reader::new(bytes);
    if bytes.first().is_some_and(|first| first & 0xc0 == 0x40) {
        return items.push("Protected Payload");
    }
    while let Some(packet) = Packet::next(&mut reader) {
        let kind = match packet.kind {
            Kind::Initial => "Initial",
            Kind::ZeroRtt => "0-RTT",
            Kind::Handshake => "Handshake",
            Kind::Retry => "Retry",
            Kind::VersionNegotiation => "Version Negotiation",
            Kind::Unknown => "Unknown Version",
        };
        let mut item = String::from(kind);
        for (name, id) in [("DCID", packet.destination), ("SCID", packet.source)] {
            if !id.is_empty() {
                let _ = write!(item, ", {name}={}", hex(id));
            }
        }
        items.push(&item);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::dissect::app::Direction::{In, Out};
    use crate::dissect::app::testing::{self, converse, mistreat};
    use crate::dissect::app::tls::samples::Hello;

    const ID: &[u8] = &[0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];
    const SERVERS_ID: &[u8] = &[9; 12];
    const V2: u32 = 0x6b33_43cf;

    /// A number in two bytes.
    fn two(value: usize) -> [u8; 2] {
        (0x4000 | u16::try_from(value).expect("a short length")).to_be_bytes()
    }

    fn crypto(offset: usize, data: &[u8]) -> Vec<u8> {
        [&[6][..], &two(offset), &two(data.len()), data].concat()
    }

    /// An Initial packet to `destination`, protected with the keys that `keys_of` gives.
    fn initial(version: u32, keys_of: &[u8], destination: &[u8], number: u32, frames: &[u8]) -> Vec<u8> {
        let rules = version::rules(version).expect("a known version");
        let mut frames = frames.to_vec();
        frames.resize(frames.len().max(40), 0);
        let id = |id: &[u8]| [&[id.len() as u8][..], id].concat();
        let first = 0xc3 | rules.initial << 4;
        let length = two(4 + frames.len() + 16);
        let token = [3, 1, 2, 3];
        let header = [
            &[first][..],
            &version.to_be_bytes(),
            &id(destination),
            &id(b"me"),
            &token,
            &length,
            &number.to_be_bytes(),
        ];
        Keys::client(rules, keys_of).expect("keys").seal(&header.concat(), &frames)
    }

    fn hello() -> Vec<u8> {
        Hello::modern("game.example").message()
    }

    fn told(payloads: &[(Direction, &[u8])]) -> Value {
        let out = converse(&PROTOCOL, payloads);
        assert_eq!(out.label.app, Some("quic"));
        let [event] = &out.events[..] else { panic!("one record, not {:?}", out.events) };
        assert_eq!(event.kind, "quic");
        testing::json(event)
    }

    #[test]
    fn a_hello_gives_everything() {
        for (version, name) in
            [(1, "1"), (V2, "2"), (0xff00_001d, "draft-29"), (0xff00_001b, "draft-27"), (0xff00_0022, "draft-34")]
        {
            let packet = initial(version, ID, ID, 0, &crypto(0, &hello()));
            assert_eq!(testing::probe(&PROTOCOL, &packet), Probe::Yes);
            let facts = told(&[(Out, &packet)]);
            assert_eq!(facts["version"], name);
            assert_eq!(facts["sni"], "game.example");
            assert_eq!(facts["alpn"], json!(["h2", "http/1.1"]));
            assert!(facts["ja4"].as_str().is_some_and(|ja4| ja4.starts_with("q13d0306h2_")));
            assert_eq!(facts["ja3"].as_str().map(str::len), Some(32));
        }
        let out = converse(&PROTOCOL, &[(Out, &initial(1, ID, ID, 0, &crypto(0, &hello())))]);
        assert_eq!((out.label.host.as_deref(), out.label.host_from), (Some("game.example"), Some(HostFrom::Sni)));
    }

    #[test]
    fn a_hello_may_come_in_pieces_in_any_order() {
        let hello = hello();
        let (start, end) = hello.split_at(100);
        let whole = told(&[(Out, &initial(1, ID, ID, 0, &crypto(0, &hello)))]);
        let shuffled =
            [&crypto(60, &hello[60..])[..], &[1, 0, 0], &crypto(0, &hello[..30]), &crypto(20, &hello[20..70])].concat();
        assert_eq!(told(&[(Out, &initial(1, ID, ID, 7, &shuffled))]), whole);
        let first = initial(1, ID, ID, 0, &crypto(100, end));
        let answer = initial(1, b"anything", b"me", 0, &[2, 0, 0, 0, 0]);
        // By now the client calls the server as the server does, and keeps the keys.
        let second = initial(1, ID, SERVERS_ID, 1, &crypto(0, start));
        assert_eq!(told(&[(Out, &first), (In, &answer), (Out, &second)]), whole);
        let coalesced = [&initial(1, ID, ID, 0, &crypto(100, end))[..], &second].concat();
        assert_eq!(told(&[(Out, &coalesced)]), whole);
    }

    #[test]
    fn a_retry_or_another_version_brings_new_keys() {
        let hello = hello();
        let (start, end) = hello.split_at(100);
        let first = initial(1, ID, ID, 0, &crypto(0, &[0xee; 100]));
        let retry = [&[0xf0, 0, 0, 0, 1, 2][..], b"me", &[12], SERVERS_ID, &[7; 20]].concat();
        let again = initial(1, SERVERS_ID, SERVERS_ID, 1, &crypto(0, start));
        let rest = initial(1, SERVERS_ID, SERVERS_ID, 2, &crypto(100, end));
        assert_eq!(told(&[(Out, &first), (In, &retry), (Out, &again), (Out, &rest)])["sni"], "game.example");
        let negotiation = [&[0x80, 0, 0, 0, 0, 2][..], b"me", &[8], ID, &V2.to_be_bytes()].concat();
        let other = initial(V2, ID, ID, 0, &crypto(0, &hello));
        let facts = told(&[(Out, &first), (In, &negotiation), (Out, &other)]);
        assert_eq!((&facts["version"], &facts["sni"]), (&json!("2"), &json!("game.example")));
    }

    #[test]
    fn what_cannot_be_opened_tells_the_version_alone() {
        let mut damaged = initial(1, ID, ID, 0, &crypto(0, &hello()));
        let last = damaged.len() - 1;
        damaged[last] ^= 1;
        assert_eq!(told(&[(Out, &damaged)]), json!({"version": "1"}));
        let later = initial(1, ID, SERVERS_ID, 3, &crypto(0, &hello()));
        assert_eq!(told(&[(Out, &later)]), json!({"version": "1"}));
        let mut unknown = [&[0xc0][..], &0x1a2a_3a4a_u32.to_be_bytes(), &[8], ID, &[0]].concat();
        unknown.resize(1200, 0);
        assert_eq!(testing::probe(&PROTOCOL, &unknown), Probe::Yes);
        assert_eq!(told(&[(Out, &unknown)]), json!({"version": "0x1a2a3a4a"}));
    }

    #[test]
    fn it_is_not_read_for_ever() {
        let endless = initial(1, ID, ID, 0, &crypto(1, &[5; 30]));
        let (mut connection, mut out) = (Quic::default(), Output::default());
        let patience = (0..=MAX_DATAGRAMS)
            .take_while(|_| connection.read(&testing::segment(&PROTOCOL, 0, Out, &endless), &mut out) != Step::Done);
        assert_eq!(patience.count() + 1, MAX_DATAGRAMS as usize);
        assert_eq!(out.events.len(), 1);
        connection.end(Timestamp::default(), &mut out);
        assert_eq!(out.events.len(), 1);
    }

    #[test]
    fn other_protocols_are_not_quic() {
        let rtp = [0x80, 0x60, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2];
        let stun = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[5; 12]].concat();
        let dns = [0xc0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let cut = &initial(1, ID, ID, 0, &crypto(0, &hello()))[..60];
        for bytes in [&rtp[..], &stun, &dns, b"", &[0xff; 1300], cut, &[0x40; 1200]] {
            assert_eq!(testing::probe(&PROTOCOL, bytes), Probe::No, "{bytes:02x?}");
        }
        let mut snapped = testing::segment(&PROTOCOL, 0, Out, cut);
        snapped.length = 1200;
        assert_eq!(probe(&snapped), Probe::Yes);
    }

    #[test]
    fn a_packet_list_shows_connection_identifiers() {
        let check = |bytes: &[u8], expected: &str| {
            let mut line = String::new();
            summary(bytes, &mut line);
            assert_eq!(line, expected);
        };
        let packet = initial(1, ID, ID, 0, &crypto(0, &hello()));
        let mut handshake = packet.clone();
        handshake[0] = 0xe0;
        check(&packet, "Initial, DCID=8394c8f03e515708, SCID=6d65");
        check(
            &[&packet[..], &packet].concat(),
            "Initial, DCID=8394c8f03e515708, SCID=6d65, Initial, DCID=8394c8f03e515708, SCID=6d65",
        );
        check(&handshake, "Handshake, DCID=8394c8f03e515708, SCID=6d65");
        check(&[0x45; 30], "Protected Payload");
        check(&[0; 30], "");
    }

    #[test]
    fn damage_is_survived() {
        let hello = hello();
        let first = initial(1, ID, ID, 0, &crypto(100, &hello[100..]));
        let retry = [&[0xf0, 0, 0, 0, 1, 2][..], b"me", &[12], SERVERS_ID, &[7; 20]].concat();
        let negotiation = [&[0x80, 0, 0, 0, 0, 2][..], b"me", &[8], ID, &V2.to_be_bytes()].concat();
        let second = initial(1, ID, SERVERS_ID, 1, &crypto(0, &hello[..100]));
        mistreat(&PROTOCOL, &[(Out, &first), (In, &retry), (In, &negotiation), (Out, &second)]);
    }
}
