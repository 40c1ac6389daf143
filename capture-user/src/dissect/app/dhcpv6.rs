//! DHCP for IPv6 (RFC 8415): one `dhcp` record with `version` 6 for each message; of a relayed one, for what it relays.

use std::fmt::Write as _;
use std::net::Ipv6Addr;

use schemars::JsonSchema;
use serde::Serialize;

use super::dhcp::labels;
use super::wire::{Reader, hex, some_text};
use super::{Conversation, Output, Over, Probe, Protocol, RecordKind, Segment, Step};
use crate::dissect::Mac;

/// The dynamic host configuration protocol for IPv6.
pub static PROTOCOL: Protocol = Protocol {
    name: "dhcpv6",
    over: Over::Udp,
    ports: &[546, 547],
    probe,
    open: || Box::new(Dhcpv6 { sure: false }),
    kinds: &[RecordKind::of::<Message>("dhcp")],
    summary,
};

/// Options of one message that are listed.
const MAX_ORDER: usize = 256;
/// Addresses of one message that are listed.
const MAX_ADDRESSES: usize = 8;
/// Relays that a message may have gone through (HOP_COUNT_LIMIT, RFC 8415 section 7.6).
const MAX_RELAYS: usize = 8;
/// Bytes of text, and of identifiers, that are kept.
const MAX_TEXT: usize = 255;

/// Option codes (RFC 8415 section 21 and IANA's registry).
mod option {
    pub const CLIENT_ID: u16 = 1;
    pub const SERVER_ID: u16 = 2;
    pub const IA_NA: u16 = 3;
    pub const IA_TA: u16 = 4;
    pub const IA_ADDRESS: u16 = 5;
    pub const REQUEST: u16 = 6;
    pub const RELAY_MESSAGE: u16 = 9;
    pub const STATUS: u16 = 13;
    pub const VENDOR_CLASS: u16 = 16;
    pub const DNS_SERVERS: u16 = 23;
    pub const IA_PD: u16 = 25;
    pub const IA_PREFIX: u16 = 26;
    pub const FQDN: u16 = 39;
}

fn probe(segment: &Segment<'_>) -> Probe {
    if segment.on_port(PROTOCOL.ports) && Header::read(segment.bytes).is_some() { Probe::Yes } else { Probe::No }
}

/// A message that a client or a server sent, out of whatever relayed it.
struct Header<'a> {
    kind: u8,
    transaction: [u8; 3],
    options: &'a [u8],
    relayed: bool,
}

impl<'a> Header<'a> {
    fn read(mut bytes: &'a [u8]) -> Option<Self> {
        for relays in 0..=MAX_RELAYS {
            let mut reader = Reader::new(bytes);
            match reader.u8()? {
                kind @ 1..=11 => {
                    let transaction = reader.array()?;
                    let options = reader.rest();
                    // Every client's message has an option (section 16), and no option is longer than what is left.
                    let whole = Options(options).next().is_some();
                    return whole.then_some(Self { kind, transaction, options, relayed: relays > 0 });
                }
                12 | 13 => {
                    // Hop count, link address and peer address precede the options (section 9).
                    reader.take(33)?;
                    bytes = find(reader.rest(), option::RELAY_MESSAGE)?;
                }
                _ => return None,
            }
        }
        None
    }

    fn name(&self) -> &'static str {
        const NAMES: [&str; 11] = [
            "solicit",
            "advertise",
            "request",
            "confirm",
            "renew",
            "rebind",
            "reply",
            "release",
            "decline",
            "reconfigure",
            "information_request",
        ];
        NAMES.get(usize::from(self.kind).wrapping_sub(1)).copied().unwrap_or("unknown")
    }
}

/// Code and value of one option after the other, up to the end or the damage.
struct Options<'a>(&'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let mut reader = Reader::new(self.0);
        let (code, length) = (reader.u16()?, reader.u16()?);
        let value = reader.take(usize::from(length))?;
        self.0 = reader.rest();
        Some((code, value))
    }
}

fn find(options: &[u8], code: u16) -> Option<&[u8]> {
    Options(options).find(|(other, _)| *other == code).map(|(_, value)| value)
}

/// What a `dhcp` record says of version 6.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Message {
    /// 6.
    pub version: u8,
    /// "solicit" to "information_request".
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The transaction identifier, in hexadecimal.
    pub transaction: String,
    /// Whether a relay passed it on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub relayed: bool,
    /// Where the client's identifier is made from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_mac: Option<Mac>,
    /// The client's identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duid: Option<String>,
    /// The server's identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_id: Option<String>,
    /// Option 16: whose vendor class it is (IANA's enterprise numbers).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor_enterprise: Option<u32>,
    /// Option 16: its first text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor_class: Option<String>,
    /// Option 39: the client's full name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fqdn: Option<String>,
    /// Option 6: what the client wants to know, in its order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parameter_list: Vec<u16>,
    /// The options of the message, in its order.
    pub option_order: Vec<u16>,
    /// Addresses asked for or leased.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<Ipv6Addr>,
    /// Prefixes asked for or leased.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<String>,
    /// Option 23.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns_servers: Vec<Ipv6Addr>,
    /// The valid lifetime of the first address or prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_s: Option<u32>,
    /// Option 13: 0 for success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

impl Message {
    fn new(header: &Header<'_>) -> Self {
        let value = |code| find(header.options, code).unwrap_or_default();
        let identifier = |code| Some(hex(value(code), MAX_TEXT)).filter(|shown| !shown.is_empty());
        let mut vendor = Reader::new(value(option::VENDOR_CLASS));
        let mut requested = Reader::new(value(option::REQUEST));
        let mut servers = Reader::new(value(option::DNS_SERVERS));
        let [a, b, c] = header.transaction;
        let mut told = Self {
            version: 6,
            kind: header.name(),
            transaction: format!("{a:02x}{b:02x}{c:02x}"),
            relayed: header.relayed,
            client_mac: mac(value(option::CLIENT_ID)),
            duid: identifier(option::CLIENT_ID),
            server_id: identifier(option::SERVER_ID),
            vendor_enterprise: vendor.u32(),
            vendor_class: vendor.u16().and_then(|length| some_text(vendor.take(usize::from(length))?, MAX_TEXT)),
            fqdn: value(option::FQDN).get(1..).and_then(labels),
            parameter_list: std::iter::from_fn(|| requested.u16()).take(MAX_ORDER).collect(),
            option_order: Options(header.options).map(|(code, _)| code).take(MAX_ORDER).collect(),
            addresses: Vec::new(),
            prefixes: Vec::new(),
            dns_servers: std::iter::from_fn(|| servers.ipv6()).take(MAX_ADDRESSES).collect(),
            lease_s: None,
            status: value(option::STATUS).first_chunk().map(|code| u16::from_be_bytes(*code)),
        };
        for (code, value) in Options(header.options) {
            // What precedes the options within: an identity, and of two kinds the times to renew (section 21.4 to 21.6).
            let within = match code {
                option::IA_NA | option::IA_PD => value.get(12..),
                option::IA_TA => value.get(4..),
                _ => None,
            };
            Options(within.unwrap_or_default()).for_each(|(code, value)| told.lease(code, value));
        }
        told
    }

    fn lease(&mut self, code: u16, value: &[u8]) {
        let _ = match code {
            option::IA_ADDRESS => self.address(value),
            option::IA_PREFIX => self.prefix(value),
            _ => None,
        };
    }

    /// Address, preferred and valid lifetime (section 21.6).
    fn address(&mut self, value: &[u8]) -> Option<()> {
        let mut reader = Reader::new(value);
        let (address, _preferred, valid) = (reader.ipv6()?, reader.u32()?, reader.u32()?);
        self.lease_s.get_or_insert(valid);
        if self.addresses.len() < MAX_ADDRESSES {
            self.addresses.push(address);
        }
        Some(())
    }

    /// Preferred and valid lifetime, length, prefix (section 21.22).
    fn prefix(&mut self, value: &[u8]) -> Option<()> {
        let mut reader = Reader::new(value);
        let (_preferred, valid, length, prefix) = (reader.u32()?, reader.u32()?, reader.u8()?, reader.ipv6()?);
        self.lease_s.get_or_insert(valid);
        if self.prefixes.len() < MAX_ADDRESSES {
            self.prefixes.push(format!("{prefix}/{length}"));
        }
        Some(())
    }
}

/// The Ethernet address in an identifier of the first or the third kind (section 11).
fn mac(identifier: &[u8]) -> Option<Mac> {
    let mut reader = Reader::new(identifier);
    let (kind, hardware) = (reader.u16()?, reader.u16()?);
    match (kind, hardware) {
        (1, 1) => reader.take(4).map(|_time| ())?,
        (3, 1) => {}
        _ => return None,
    }
    reader.rest().try_into().ok().map(Mac)
}

struct Dhcpv6 {
    sure: bool,
}

impl Conversation for Dhcpv6 {
    fn read(&mut self, segment: &Segment<'_>, out: &mut Output) -> Step {
        let Some(header) = Header::read(segment.bytes) else {
            return if self.sure { Step::Consumed(segment.bytes.len()) } else { Step::Reject };
        };
        if !self.sure {
            self.sure = true;
            out.identify(PROTOCOL.name);
        }
        out.emit(segment.time, "dhcp", Message::new(&header));
        Step::Consumed(segment.bytes.len())
    }
}

/// "Solicit XID: 0x8e866d CID: 0001…"
fn summary(bytes: &[u8], line: &mut String) {
    let Some(header) = Header::read(bytes) else { return };
    let (first, rest) = header.name().split_at(1);
    let [a, b, c] = header.transaction;
    let transaction = u32::from_be_bytes([0, a, b, c]);
    let _ = write!(line, "{}{} XID: 0x{transaction:x}", first.to_ascii_uppercase(), rest.replace('_', "-"));
    if let Some(client) = find(header.options, option::CLIENT_ID) {
        let _ = write!(line, " CID: {}", hex(client, MAX_TEXT));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dissect::app::Direction;
    use crate::dissect::app::testing::{converse, json, mistreat, probe};

    fn with(code: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(value.len()).expect("short");
        [&code.to_be_bytes(), &length.to_be_bytes(), value].concat()
    }

    fn message(kind: u8, options: &[Vec<u8>]) -> Vec<u8> {
        [&[kind, 0x8e, 0x86, 0x6d], options.concat().as_slice()].concat()
    }

    const DUID: &[u8] = &[0, 1, 0, 1, 9, 9, 9, 9, 2, 0, 0, 0, 0, 5];

    fn solicit() -> Vec<u8> {
        let vendor = b"\0\0\x01\x37\0\x08MSFT 5.0";
        message(
            1,
            &[
                with(8, &[0, 0]),
                with(1, DUID),
                with(3, &[0; 12]),
                with(39, b"\0\x03con\x03lan\0"),
                with(16, vendor),
                with(6, &[0, 24, 0, 23]),
            ],
        )
    }

    fn reply() -> Vec<u8> {
        let address: Ipv6Addr = "2001:db8::40".parse().expect("an address");
        let lease = [&address.octets()[..], &[0, 0, 0, 9, 0, 0, 0, 10]].concat();
        let prefix = [&[0, 0, 0, 9, 0, 0, 0, 10, 56][..], &address.octets()].concat();
        let identity = |within| [vec![0; 12], within].concat();
        let options = [
            with(1, DUID),
            with(2, &[0, 3, 0, 1, 2, 0, 0, 0, 0, 1]),
            with(3, &identity(with(5, &lease))),
            with(25, &identity(with(26, &prefix))),
            with(23, &address.octets()),
            with(13, &[0, 0]),
        ];
        message(7, &options)
    }

    #[test]
    fn what_a_client_asks_and_gets() {
        let relayed = [vec![12; 34], with(9, &solicit())].concat();
        let (solicit, reply) = (solicit(), reply());
        let script = [(Direction::Out, solicit.as_slice()), (Direction::In, &reply), (Direction::Out, &relayed)];
        let out = converse(&PROTOCOL, &script);
        assert!(out.events.iter().all(|event| event.kind == "dhcp"));
        let asked = json!({
            "version": 6, "type": "solicit", "transaction": "8e866d", "client_mac": "02:00:00:00:00:05",
            "duid": "0001000109090909020000000005", "vendor_enterprise": 311, "vendor_class": "MSFT 5.0",
            "fqdn": "con.lan", "parameter_list": [24, 23], "option_order": [8, 1, 3, 39, 16, 6],
        });
        assert_eq!(json(&out.events[0]), asked);
        assert_eq!(
            json(&out.events[1]),
            json!({
                "version": 6, "type": "reply", "transaction": "8e866d", "client_mac": "02:00:00:00:00:05",
                "duid": "0001000109090909020000000005", "server_id": "00030001020000000001",
                "option_order": [1, 2, 3, 25, 23, 13], "addresses": ["2001:db8::40"],
                "prefixes": ["2001:db8::40/56"], "dns_servers": ["2001:db8::40"], "lease_s": 10, "status": 0,
            })
        );
        let mut through = asked;
        through["relayed"] = json!(true);
        assert_eq!(json(&out.events[2]), through);
        mistreat(&PROTOCOL, &script);
    }

    #[test]
    fn relays_of_relays_are_bounded() {
        let mut message = solicit();
        for _ in 0..MAX_RELAYS {
            message = [vec![12; 34], with(9, &message)].concat();
        }
        assert!(Header::read(&message).is_some());
        message = [vec![12; 34], with(9, &message)].concat();
        assert!(Header::read(&message).is_none());
    }

    #[test]
    fn probes_and_summary() {
        assert_eq!(probe(&PROTOCOL, &solicit()), Probe::Yes);
        for foreign in [&[0; 40][..], &[0xff; 40], b"\x01\x02\x03", b"\x01abc\0\x01\xff\xff"] {
            assert_eq!(probe(&PROTOCOL, foreign), Probe::No);
        }
        let mut line = String::new();
        summary(&solicit(), &mut line);
        assert_eq!(line, "Solicit XID: 0x8e866d CID: 0001000109090909020000000005");
    }
}
