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

use serde::Serialize;

use keys::Keys;
use packet::{Kind, Packet, Protected};

use super::tls::fingerprint::{self, Carrier, hex};
use super::tls::handshake;
use super::tls::hello::ClientHello;
use super::tls::packet_list::Items;
use super::tls::pieces::Pieces;
use super::tls::wire::Reader;
use super::{Conversation, Direction, HostFrom, Output, Over, Probe, Protocol, Segment, Step};
use crate::time::Timestamp;

/// QUIC.
pub static PROTOCOL: Protocol = Protocol {
    name: "quic",
    over: Over::Udp,
    ports: &[443, 853, 8443],
    probe,
    open: || Box::new(Quic::default()),
    summary,
};

/// Datagrams that are read in the hope of a ClientHello.
const MAX_DATAGRAMS: u32 = 128;
/// Times that keys are derived for one connection: once, unless there is a Retry, another version or a loss.
const MAX_DERIVATIONS: u32 = 8;

/// The fields of a `quic` record: one connection.
#[derive(Clone, Debug, Default, Serialize)]
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
