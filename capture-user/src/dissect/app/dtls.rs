//! DTLS 1.0 to 1.3 (RFC 4347, RFC 6347, RFC 9147): one `tls` record a handshake.
//!
//! Media flows carry STUN, DTLS and RTP side by side (RFC 7983), so whatever is not DTLS is passed over, and after the
//! handshake the flow is handed back: it is still labelled, and others may read the rest of it.

mod flight;

use flight::{Flight, Fragment};

use super::tls::fingerprint::Carrier;
use super::tls::handshake::{Handshake, Progress, kind};
use super::tls::hello::ClientHello;
use super::tls::packet_list::{Items, content_name, message_name};
use super::tls::record::content;
use super::tls::wire::Reader;
use super::{Conversation, Output, Over, Probe, Protocol, Segment, Step};
use crate::time::Timestamp;

/// DTLS.
pub static PROTOCOL: Protocol = Protocol {
    name: "dtls",
    over: Over::Udp,
    ports: &[4433, 5684, 5061, 853, 5349],
    probe,
    open: || Box::new(Dtls::new()),
    kinds: super::tls::PROTOCOL.kinds,
    summary,
};

/// Datagrams that are read in the hope of a handshake's end.
const MAX_DATAGRAMS: u32 = 256;

/// A record in the clear, or one that is encrypted by the rules of DTLS 1.2.
#[derive(Clone, Copy, Debug)]
struct Record<'a> {
    content: u8,
    /// 0 until the cipher is changed.
    epoch: u16,
    fragment: &'a [u8],
}

impl<'a> Record<'a> {
    fn next(reader: &mut Reader<'a>) -> Option<Self> {
        let (content, version, epoch) = (reader.u8()?, reader.u16()?, reader.u16()?);
        reader.array::<6>()?;
        let fragment = reader.vec16()?;
        let known = matches!(content, content::CHANGE_CIPHER_SPEC..=content::HEARTBEAT) && is_version(version);
        known.then_some(Self { content, epoch, fragment })
    }
}

/// Versions of the record layer: DTLS 1.3 calls itself 1.2 there.
const fn is_version(version: u16) -> bool {
    matches!(version, 0xfeff | 0xfefd)
}

/// Whether a payload's first byte is DTLS's on a flow that carries several protocols (RFC 7983 section 7).
const fn is_ours(first: u8) -> bool {
    matches!(first, 20..=63)
}

/// Whether a datagram begins with a record.
pub fn is_record(bytes: &[u8]) -> bool {
    matches!(bytes, [first, high, low, ..] if is_ours(*first) && is_version(u16::from_be_bytes([*high, *low])))
}

fn probe(segment: &Segment<'_>) -> Probe {
    let mut reader = Reader::new(segment.bytes);
    let Some(first) = Record::next(&mut reader) else { return Probe::No };
    let starts = first.epoch == 0 && first.content == content::HANDSHAKE;
    if starts && Fragment::next(&mut Reader::new(first.fragment)).is_some() {
        return Probe::Yes;
    }
    let encrypted = first.epoch > 0 && !first.fragment.is_empty();
    while Record::next(&mut reader).is_some() {}
    if encrypted && reader.rest().is_empty() { Probe::Yes } else { Probe::No }
}

/// One flow.
struct Dtls {
    /// `None` when its record was sent.
    handshake: Option<Handshake>,
    flights: [Flight; 2],
    datagrams: u32,
}

impl Dtls {
    fn new() -> Self {
        Self { handshake: Some(Handshake::new(Carrier::Datagram)), flights: Default::default(), datagrams: 0 }
    }

    fn record(&mut self, segment: &Segment<'_>, record: Record<'_>) -> Progress {
        let Some(handshake) = &mut self.handshake else { return Progress::Complete };
        match (record.epoch, record.content) {
            (0, content::HANDSHAKE) => self.messages(segment, record.fragment),
            (0, content::CHANGE_CIPHER_SPEC) => handshake.change_cipher(segment.time, segment.direction),
            (0, _) => Progress::Open,
            // Encrypted: the handshake is over, or began before the capture did.
            _ if handshake.changes_cipher() || !handshake.begun() => Progress::Complete,
            _ => Progress::Open,
        }
    }

    fn messages(&mut self, segment: &Segment<'_>, fragments: &[u8]) -> Progress {
        let (Some(handshake), flight) = (&mut self.handshake, &mut self.flights[segment.direction.index()]) else {
            return Progress::Complete;
        };
        let mut reader = Reader::new(fragments);
        while let Some(fragment) = Fragment::next(&mut reader) {
            flight.insert(&fragment);
            let mut read = |kind, body: &[u8]| handshake.message(segment.time, segment.direction, kind, body);
            while let Some(progress) = flight.take(&mut read) {
                if progress == Progress::Complete {
                    return progress;
                }
            }
        }
        Progress::Open
    }

    /// Sends the record, if there was a hello, and leaves the flow to others.
    fn hand_back(&mut self, out: &mut Output) -> Step {
        if let Some(handshake) = self.handshake.take() {
            handshake.finish(out);
        }
        Step::Reject
    }
}

impl Conversation for Dtls {
    fn read(&mut self, segment: &Segment<'_>, out: &mut Output) -> Step {
        self.datagrams = self.datagrams.saturating_add(1);
        if self.datagrams > MAX_DATAGRAMS {
            return self.hand_back(out);
        }
        let mut reader = Reader::new(segment.bytes);
        while reader.rest().first().is_some_and(|first| is_ours(*first)) {
            let Some(record) = Record::next(&mut reader) else { break };
            let progress = self.record(segment, record);
            if progress == Progress::Complete || self.handshake.as_ref().is_some_and(Handshake::begun) {
                out.identify(PROTOCOL.name);
            }
            if progress == Progress::Complete {
                return self.hand_back(out);
            }
        }
        Step::Consumed(segment.bytes.len())
    }

    fn end(&mut self, _time: Timestamp, out: &mut Output) {
        self.hand_back(out);
    }

    fn memory(&self) -> usize {
        let flights: usize = self.flights.iter().map(Flight::memory).sum();
        flights + self.handshake.as_ref().map_or(0, Handshake::memory)
    }
}

fn summary(bytes: &[u8], line: &mut String) {
    let mut items = Items::new(line);
    let mut reader = Reader::new(bytes);
    while let Some(record) = Record::next(&mut reader) {
        match (record.content, record.epoch) {
            (content::HANDSHAKE, 0) => summarise_messages(record.fragment, &mut items),
            (content::HANDSHAKE, _) => items.push("Encrypted Handshake Message"),
            (other, _) => items.push(content_name(other)),
        }
    }
}

fn summarise_messages(fragments: &[u8], items: &mut Items<'_>) {
    let mut reader = Reader::new(fragments);
    while let Some(fragment) = Fragment::next(&mut reader) {
        let name = message_name(fragment.kind).unwrap_or("Unknown Message");
        if !fragment.is_whole() {
            items.push(&[name, " (Fragment)"].concat());
        } else {
            let is_hello = fragment.kind == kind::CLIENT_HELLO;
            items.push_message(name, is_hello.then(|| ClientHello::parse(fragment.bytes, true)).flatten());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::dissect::app::Direction::{self, In, Out};
    use crate::dissect::app::testing::{self, converse, mistreat};
    use crate::dissect::app::tls::samples::{Hello, certificate, certificates, server_hello};

    fn record(content: u8, epoch: u16, fragment: &[u8]) -> Vec<u8> {
        let length = u16::try_from(fragment.len()).expect("a short fragment").to_be_bytes();
        [&[content, 0xfe, 0xfd][..], &epoch.to_be_bytes(), &[0; 6], &length, fragment].concat()
    }

    fn u24(value: usize) -> [u8; 3] {
        let [_, bytes @ ..] = u32::try_from(value).expect("a short message").to_be_bytes();
        bytes
    }

    /// A handshake message in pieces of `size` bytes, each a record.
    fn message(kind: u8, sequence: u16, body: &[u8], size: usize) -> Vec<Vec<u8>> {
        let pieces: Vec<&[u8]> = if body.is_empty() { vec![b""] } else { body.chunks(size).collect() };
        let piece = |(index, piece): (usize, &&[u8])| {
            let head = [&[kind][..], &u24(body.len()), &sequence.to_be_bytes(), &u24(index * size), &u24(piece.len())];
            record(22, 0, &[&head.concat()[..], piece].concat())
        };
        pieces.iter().enumerate().map(piece).collect()
    }

    fn hello(cookie: &[u8]) -> Vec<u8> {
        let mut hello = Hello::classic("media.example");
        hello.legacy_version = 0xfefd;
        hello.cookie = Some(cookie.to_vec());
        hello.body()
    }

    /// A server's flight, each message in pieces of `size` bytes.
    fn flight(first: u16, size: usize) -> Vec<Vec<u8>> {
        let chain = certificates(&[&certificate()]);
        let hello = server_hello(0xfefd, &[9; 32], &[]);
        let parts = [(2, &hello[..]), (11, &chain), (14, &[])];
        parts.iter().zip(first..).flat_map(|((kind, body), sequence)| message(*kind, sequence, body, size)).collect()
    }

    fn told(payloads: &[(Direction, &[u8])]) -> Value {
        let out = converse(&PROTOCOL, payloads);
        assert_eq!(out.label.app, Some("dtls"));
        let [event] = &out.events[..] else { panic!("one record, not {:?}", out.events) };
        assert_eq!(event.kind, "tls");
        testing::json(event)
    }

    #[test]
    fn a_handshake_with_a_cookie_is_one_record() {
        let (first, second) =
            (message(1, 0, &hello(b""), 999).concat(), message(1, 1, &hello(b"biscuit"), 999).concat());
        let verify = message(3, 0, &[0xfe, 0xff, 1, 7], 999).concat();
        let flight = flight(1, 999).concat();
        let facts = told(&[(Out, &first), (In, &verify), (Out, &second), (In, &flight)]);
        assert_eq!(facts["version"], "DTLS 1.2");
        assert_eq!(facts["sni"], "media.example");
        assert_eq!(facts["resumed"], false);
        assert_eq!(facts["certs"].as_array().map(Vec::len), Some(1));
        assert!(facts["ja4"].as_str().is_some_and(|ja4| ja4.starts_with("dd2d0305h2_")));
    }

    #[test]
    fn fragments_may_come_in_any_order_and_twice() {
        let whole = told(&[(Out, &message(1, 0, &hello(b""), 999).concat()), (In, &flight(0, 999).concat())]);
        let hello = message(1, 0, &hello(b""), 20);
        let mut shuffled = flight(0, 100);
        shuffled.reverse();
        let repeated = [shuffled.clone(), shuffled].concat();
        let mut payloads: Vec<(Direction, &[u8])> = hello.iter().rev().map(|piece| (Out, &piece[..])).collect();
        payloads.extend(repeated.iter().map(|piece| (In, &piece[..])));
        assert_eq!(told(&payloads), whole);
    }

    #[test]
    fn other_protocols_on_the_flow_are_passed_over_and_get_it_back() {
        let stun = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[5; 12]].concat();
        let rtp = [0x80, 0x60, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2];
        let (hello, flight) = (message(1, 0, &hello(b""), 999).concat(), flight(0, 999).concat());
        let facts = told(&[(Out, &stun), (Out, &hello), (Out, &rtp), (In, &stun), (In, &flight)]);
        assert_eq!(facts["version"], "DTLS 1.2");
        let mut conversation = Dtls::new();
        let mut out = Output::default();
        let mut read =
            |direction, bytes: &[u8]| conversation.read(&testing::segment(&PROTOCOL, 0, direction, bytes), &mut out);
        assert_eq!(read(Out, &hello), Step::Consumed(hello.len()));
        assert_eq!(read(In, &flight), Step::Reject);
        let mut conversation = Dtls::new();
        let patience = (0..=MAX_DATAGRAMS)
            .take_while(|_| conversation.read(&testing::segment(&PROTOCOL, 0, Out, &rtp), &mut out) != Step::Reject);
        assert_eq!(patience.count(), MAX_DATAGRAMS as usize);
    }

    #[test]
    fn version_1_3_is_told_in_extensions() {
        let hello = message(1, 0, &hello(b""), 999).concat();
        let answer = message(2, 0, &server_hello(0xfefd, &[], &[(43, vec![0xfe, 0xfc])]), 999).concat();
        let facts = told(&[(Out, &hello), (In, &answer)]);
        assert_eq!((&facts["version"], &facts["resumed"]), (&json!("DTLS 1.3"), &json!(false)));
    }

    #[test]
    fn flows_that_began_earlier_are_dtls_without_a_record() {
        let data = [record(23, 1, &[8; 40]), record(23, 1, &[8; 20])].concat();
        assert_eq!(testing::probe(&PROTOCOL, &data), Probe::Yes);
        assert_eq!(testing::probe(&PROTOCOL, &data[..data.len() - 1]), Probe::No);
        let out = converse(&PROTOCOL, &[(Out, &data)]);
        assert_eq!((out.label.app, out.events.len()), (Some("dtls"), 0));
    }

    #[test]
    fn other_protocols_are_not_dtls() {
        let tls = [22, 3, 1, 0, 5, 1, 0, 0, 1, 0, 0, 0, 0, 0];
        let wrong_length = [&record(22, 0, &[1; 30])[..12], &[0, 200, 1, 1]].concat();
        let others: [&[u8]; 5] = [b"", &tls, &wrong_length, &[0x80, 0x60, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2], &[0; 40]];
        for bytes in others {
            assert_eq!(testing::probe(&PROTOCOL, bytes), Probe::No, "{bytes:02x?}");
        }
    }

    #[test]
    fn a_packet_list_shows_messages_by_name() {
        let check = |bytes: &[u8], expected: &str| {
            let mut line = String::new();
            summary(bytes, &mut line);
            assert_eq!(line, expected);
        };
        check(&message(1, 0, &hello(b""), 999).concat(), "Client Hello (SNI=media.example)");
        check(&message(1, 0, &hello(b""), 100)[0], "Client Hello (Fragment)");
        check(&flight(0, 999).concat(), "Server Hello, Certificate, Server Hello Done");
        check(
            &[record(20, 0, &[1]), record(22, 1, &[0; 40])].concat(),
            "Change Cipher Spec, Encrypted Handshake Message",
        );
        check(&record(23, 1, &[0; 40]), "Application Data");
    }

    #[test]
    fn damage_is_survived() {
        let (hello, flight) = (message(1, 0, &hello(b"x"), 60).concat(), flight(0, 200).concat());
        let end = [record(20, 0, &[1]), record(22, 1, &[0; 40])].concat();
        mistreat(&PROTOCOL, &[(Out, &hello), (In, &flight), (Out, &end)]);
    }
}
