//! DHCP for IPv4 (RFC 2131, options RFC 2132) and the BOOTP below it: one record for each message.
//!
//! `option_order` lists every option's code as it stands on the wire, repetitions included, without the padding (0)
//! and the end mark (255): tools disagree on whether and as what to show those, and some clients leave the mark out.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use schemars::JsonSchema;
use serde::Serialize;

use super::wire::{Reader, hex, some_text};
use super::{Conversation, Output, Over, Probe, Protocol, RecordKind, Segment, Step};
use crate::dissect::Mac;

/// The dynamic host configuration protocol.
pub static PROTOCOL: Protocol = Protocol {
    name: "dhcp",
    over: Over::Udp,
    ports: &[67, 68],
    probe,
    open: || Box::new(Dhcp { sure: false }),
    kinds: &[RecordKind::of::<Message>("dhcp")],
    summary,
};

/// What the options begin with (RFC 2131 section 3).
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Options of one message that are listed.
const MAX_ORDER: usize = 256;
/// Addresses of one option that are listed.
const MAX_ADDRESSES: usize = 8;
/// Bytes of text kept of an option.
const MAX_TEXT: usize = 255;

fn probe(segment: &Segment<'_>) -> Probe {
    if segment.on_port(PROTOCOL.ports) && Header::read(segment.bytes).is_some() { Probe::Yes } else { Probe::No }
}

/// The fixed part (RFC 2131 section 2), as far as it is told, and the three places where options may stand.
struct Header<'a> {
    transaction: u32,
    reply: bool,
    client: Ipv4Addr,
    your: Ipv4Addr,
    relay: Ipv4Addr,
    mac: Option<Mac>,
    server_name: &'a [u8],
    file: &'a [u8],
    options: &'a [u8],
}

impl<'a> Header<'a> {
    fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let [operation, hardware, length, _hops] = reader.array()?;
        let transaction = reader.u32()?;
        reader.take(4)?;
        let (client, your, _next, relay) = (reader.ipv4()?, reader.ipv4()?, reader.ipv4()?, reader.ipv4()?);
        let address = reader.array::<16>()?;
        let (server_name, file) = (reader.take(64)?, reader.take(128)?);
        let mac = (hardware == 1 && length == 6).then(|| address.first_chunk().copied().map(Mac)).flatten();
        let known = matches!(operation, 1 | 2) && length <= 16;
        (known && reader.array::<4>()? == COOKIE).then(|| Self {
            transaction,
            reply: operation == 2,
            client,
            your,
            relay,
            mac,
            server_name,
            file,
            options: reader.rest(),
        })
    }

    /// All options in the order of RFC 3396 section 5: behind the fixed part, then in the file, then in the name.
    fn options(&self) -> impl Iterator<Item = (u8, &'a [u8])> {
        let overload =
            Options(self.options).find(|(code, _)| *code == 52).and_then(|(_, value)| value.first().copied());
        let overload = overload.unwrap_or(0);
        let file = if overload & 1 != 0 { self.file } else { &[] };
        let name = if overload & 2 != 0 { self.server_name } else { &[] };
        Options(self.options).chain(Options(file)).chain(Options(name))
    }
}

/// Code and value of one option after the other, up to the end mark or the damage.
struct Options<'a>(&'a [u8]);

impl<'a> Iterator for Options<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.0.split_first()? {
                (0, rest) => self.0 = rest,
                (255, _) => return None,
                (code, rest) => {
                    let (length, rest) = rest.split_first()?;
                    let (value, rest) = rest.split_at_checked(usize::from(*length))?;
                    self.0 = rest;
                    return Some((*code, value));
                }
            }
        }
    }
}

/// What a `dhcp` record says of version 4.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Message {
    /// 4.
    pub version: u8,
    /// "discover" to "inform", "bootp", or the number of another type.
    #[serde(rename = "type")]
    pub kind: String,
    /// The transaction identifier, in hexadecimal.
    pub transaction: String,
    /// The client's hardware address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_mac: Option<Mac>,
    /// Option 61, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Option 60.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor_class: Option<String>,
    /// Option 12.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Option 81: the client's full name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fqdn: Option<String>,
    /// Option 15.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Option 55: what the client wants to know, in its order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parameter_list: Vec<u8>,
    /// The options of the message, in its order.
    pub option_order: Vec<u8>,
    /// Option 50.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_ip: Option<Ipv4Addr>,
    /// The address the client has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_ip: Option<Ipv4Addr>,
    /// The address the client gets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub your_ip: Option<Ipv4Addr>,
    /// Who passed the message on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relay_ip: Option<Ipv4Addr>,
    /// Option 54.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_id: Option<Ipv4Addr>,
    /// Option 3.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routers: Vec<Ipv4Addr>,
    /// Option 6.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dns_servers: Vec<Ipv4Addr>,
    /// Option 51.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease_s: Option<u32>,
    /// Option 57.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_message_size: Option<u16>,
    /// The server's reason for a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Message {
    fn new(header: &Header<'_>) -> Self {
        let value = |code| value(header, code);
        let words = |code| some_text(&value(code), MAX_TEXT);
        let address = |code| value(code).first_chunk::<4>().map(|bytes| Ipv4Addr::from(*bytes));
        Self {
            version: 4,
            kind: kind(header).map_or_else(|number| number.to_string(), str::to_owned),
            transaction: format!("{:08x}", header.transaction),
            client_mac: header.mac,
            client_id: Some(hex(&value(61), MAX_TEXT)).filter(|shown| !shown.is_empty()),
            vendor_class: words(60),
            hostname: words(12),
            fqdn: fqdn(&value(81)),
            domain: words(15),
            parameter_list: value(55),
            option_order: header.options().map(|(code, _)| code).take(MAX_ORDER).collect(),
            requested_ip: address(50),
            client_ip: known(header.client),
            your_ip: known(header.your),
            relay_ip: known(header.relay),
            server_id: address(54),
            routers: addresses(&value(3)),
            dns_servers: addresses(&value(6)),
            lease_s: value(51).first_chunk().map(|bytes| u32::from_be_bytes(*bytes)),
            max_message_size: value(57).first_chunk().map(|bytes| u16::from_be_bytes(*bytes)),
            message: words(56),
        }
    }
}

/// The value of an option; one that is split over several options is joined (RFC 3396 section 7).
fn value(header: &Header<'_>, code: u8) -> Vec<u8> {
    header.options().filter(|(other, _)| *other == code).flat_map(|(_, value)| value.iter().copied()).collect()
}

fn known(address: Ipv4Addr) -> Option<Ipv4Addr> {
    Some(address).filter(|address| !address.is_unspecified())
}

fn addresses(value: &[u8]) -> Vec<Ipv4Addr> {
    let mut reader = Reader::new(value);
    std::iter::from_fn(|| reader.ipv4()).take(MAX_ADDRESSES).collect()
}

/// The client's full name: flags, two codes of no use, then text, or labels behind their lengths (RFC 4702 section 2).
fn fqdn(value: &[u8]) -> Option<String> {
    let ([flags, _, _], name) = value.split_first_chunk::<3>()?;
    if flags & 0x04 == 0 { some_text(name, MAX_TEXT) } else { labels(name) }
}

/// A domain name as DNS writes it, without pointers (RFC 1035 section 3.1); its end may be missing.
pub(super) fn labels(name: &[u8]) -> Option<String> {
    let mut reader = Reader::new(name.get(..MAX_TEXT).unwrap_or(name));
    let mut shown = String::new();
    while let Some(length @ 1..=63) = reader.u8() {
        let label = some_text(reader.take(usize::from(length))?, MAX_TEXT)?;
        if !shown.is_empty() {
            shown.push('.');
        }
        shown.push_str(&label);
    }
    Some(shown).filter(|shown| !shown.is_empty())
}

/// The type of a message (RFC 2132 section 9.6 and later ones), or its number.
fn kind(header: &Header<'_>) -> Result<&'static str, u8> {
    const NAMES: [&str; 8] = ["discover", "offer", "request", "decline", "ack", "nak", "release", "inform"];
    let Some((_, [number, ..])) = header.options().find(|(code, _)| *code == 53) else { return Ok("bootp") };
    NAMES.get(usize::from(*number).wrapping_sub(1)).copied().ok_or(*number)
}

struct Dhcp {
    sure: bool,
}

impl Conversation for Dhcp {
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

/// "DHCP Discover - Transaction ID 0x3d1d"
fn summary(bytes: &[u8], line: &mut String) {
    let Some(header) = Header::read(bytes) else { return };
    let _ = match kind(&header) {
        Ok("bootp") => write!(line, "Boot {}", if header.reply { "Reply" } else { "Request" }),
        Ok(name @ ("ack" | "nak")) => write!(line, "DHCP {}", name.to_ascii_uppercase()),
        Ok(name) => {
            let (first, rest) = name.split_at(1);
            write!(line, "DHCP {}{rest}", first.to_ascii_uppercase())
        }
        Err(number) => write!(line, "DHCP type {number}"),
    };
    let _ = write!(line, " - Transaction ID 0x{:x}", header.transaction);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dissect::app::Direction;
    use crate::dissect::app::testing::{converse, json, mistreat, probe};

    fn message(operation: u8, your: [u8; 4], file: &[u8], options: &[u8]) -> Vec<u8> {
        let mut bytes = vec![operation, 1, 6, 0, 0, 0, 0x3d, 0x1d];
        bytes.resize(16, 0);
        bytes.extend(your);
        bytes.resize(28, 0);
        bytes.extend([2, 0, 0, 0, 0, 5]);
        bytes.resize(108, 0);
        bytes.extend(file);
        bytes.resize(236, 0);
        [bytes.as_slice(), &COOKIE, options].concat()
    }

    fn discover() -> Vec<u8> {
        let options = b"\x35\x01\x01\x39\x02\x05\xdc\x3d\x07\x01\x02\0\0\0\0\x05\0\x3c\x03PS4\x0c\x04con1\
            \x37\x04\x01\x03\x0f\x06\x32\x04\xc0\xa8\x01\x28\xff\0\0";
        message(1, [0; 4], &[], options)
    }

    #[test]
    fn what_a_client_says_of_itself() {
        let discover = discover();
        let out = converse(&PROTOCOL, &[(Direction::Out, &discover)]);
        assert_eq!(
            json(&out.events[0]),
            json!({
                "version": 4, "type": "discover", "transaction": "00003d1d", "client_mac": "02:00:00:00:00:05",
                "client_id": "01020000000005", "vendor_class": "PS4", "hostname": "con1",
                "parameter_list": [1, 3, 15, 6], "option_order": [53, 57, 61, 60, 12, 55, 50],
                "requested_ip": "192.168.1.40", "max_message_size": 1500,
            })
        );
        assert_eq!(out.label.app, Some("dhcp"));
        mistreat(&PROTOCOL, &[(Direction::Out, &discover)]);
    }

    #[test]
    fn options_spill_into_the_file_and_over_their_length() {
        let file = b"\x06\x04\xc0\x00\x02\x01\x33\x04\0\0\x0e\x10\xff";
        let options = b"\x35\x01\x05\x34\x01\x01\x0f\x03lan\x0f\x05.test\x03\x04\xc0\xa8\x01\x01\
            \x36\x04\xc0\xa8\x01\x01\x51\x09\x04\0\0\x01c\x03lan\xff";
        let ack = message(2, [192, 168, 1, 40], file, options);
        let out = converse(&PROTOCOL, &[(Direction::In, &ack)]);
        assert_eq!(
            json(&out.events[0]),
            json!({
                "version": 4, "type": "ack", "transaction": "00003d1d", "client_mac": "02:00:00:00:00:05",
                "domain": "lan.test", "fqdn": "c.lan", "option_order": [53, 52, 15, 15, 3, 54, 81, 6, 51],
                "your_ip": "192.168.1.40", "server_id": "192.168.1.1", "routers": ["192.168.1.1"],
                "dns_servers": ["192.0.2.1"], "lease_s": 3600,
            })
        );
        mistreat(&PROTOCOL, &[(Direction::In, &ack)]);
    }

    #[test]
    fn probes_and_summary() {
        let discover = discover();
        assert_eq!(probe(&PROTOCOL, &discover), Probe::Yes);
        assert_eq!(probe(&PROTOCOL, &discover[..239]), Probe::No);
        assert_eq!(probe(&PROTOCOL, &[1; 300]), Probe::No);
        let mut line = String::new();
        summary(&discover, &mut line);
        assert_eq!(line, "DHCP Discover - Transaction ID 0x3d1d");
    }
}
