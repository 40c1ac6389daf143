//! TLS 1.0 to 1.3 over streams (RFC 2246 to RFC 8446), and SSL 3.0: one `tls` record a handshake.
//!
//! A handshake is read until what follows is encrypted or of no interest; then the flow goes by unread. Of a flow that
//! began before the capture, records that follow each other without a gap are enough to say that it is TLS.

#[cfg(test)]
mod captures;
mod certificate;
pub(super) mod fingerprint;
pub(super) mod handshake;
pub(super) mod hello;
mod names;
pub(super) mod packet_list;
pub(super) mod pieces;
pub(super) mod record;
#[cfg(test)]
pub(super) mod samples;
pub(super) mod wire;

pub use certificate::Certificate;
pub use handshake::Facts;

use fingerprint::Carrier;
use handshake::{Handshake, Progress, kind};
use hello::ClientHello;
use packet_list::{Items, content_name, message_name};
use record::{Record, Unread, content};
use wire::Reader;

use super::{Conversation, Direction, Output, Over, Probe, Protocol, RecordKind, Segment, Step};
use crate::time::Timestamp;

/// The kind of its records.
const KIND: &str = "tls";

/// TLS.
pub static PROTOCOL: Protocol = Protocol {
    name: "tls",
    over: Over::Tcp,
    ports: &[443, 8443, 465, 563, 636, 853, 990, 993, 995, 5061, 5223, 8883],
    probe,
    open: || Box::new(Tls::new()),
    kinds: &[RecordKind::of::<handshake::Facts>(KIND)],
    summary,
};

/// The longest handshake message that is put together, in bytes.
const MAX_MESSAGE: usize = 64 * 1024;
/// Records of one direction that are read in the hope of a handshake's end; its other half may not be captured.
const MAX_RECORDS: u32 = 256;

fn probe(segment: &Segment<'_>) -> Probe {
    let mut reader = Reader::new(segment.bytes);
    match Record::next(&mut reader) {
        _ if segment.bytes.is_empty() => Probe::No,
        Err(Unread::Foreign) => Probe::No,
        Err(Unread::Incomplete) => Probe::Maybe,
        Ok(record) if record.whole && record.fragment.is_empty() => Probe::No,
        Ok(record) if record.content == content::HANDSHAKE => probe_hello(record.fragment),
        Ok(_) => Probe::Maybe,
    }
}

/// Whether a handshake record is a hello's beginning. Later messages of a handshake are encrypted, or tell too little.
fn probe_hello(fragment: &[u8]) -> Probe {
    let mut reader = Reader::new(fragment);
    match (reader.u8(), reader.u24(), reader.u8()) {
        (Some(kind::CLIENT_HELLO | kind::SERVER_HELLO), Some(length), version) if length <= MAX_MESSAGE => {
            match version {
                Some(3 | 0x7f) => Probe::Yes,
                None => Probe::Maybe,
                Some(_) => Probe::No,
            }
        }
        (None | Some(kind::CLIENT_HELLO | kind::SERVER_HELLO), None, _) => Probe::Maybe,
        _ => Probe::No,
    }
}

/// One stream.
struct Tls {
    /// `None` when its record was sent.
    handshake: Option<Handshake>,
    sides: [Side; 2],
}

/// One direction.
#[derive(Default)]
struct Side {
    /// The beginning of a handshake message that has not ended yet.
    pending: Vec<u8>,
    /// Whether handshake records can no longer be read: they are encrypted, or contradict themselves.
    closed: bool,
    /// Records read.
    records: u32,
}

impl Tls {
    fn new() -> Self {
        Self { handshake: Some(Handshake::new(Carrier::Stream)), sides: Default::default() }
    }

    fn record(&mut self, segment: &Segment<'_>, record: Record<'_>) -> Progress {
        let (Some(handshake), side) = (&mut self.handshake, &mut self.sides[segment.direction.index()]) else {
            return Progress::Complete;
        };
        side.records = side.records.saturating_add(1);
        if side.records > MAX_RECORDS {
            return Progress::Complete;
        }
        match record.content {
            content::HANDSHAKE if !side.closed => side.handshake_record(handshake, segment, record.fragment),
            content::CHANGE_CIPHER_SPEC if handshake.changes_cipher() => {
                side.closed = true;
                handshake.change_cipher(segment.time, segment.direction)
            }
            // Before a server's answer there may be early data (RFC 8446 section 2.3), or the flow is an old one.
            content::APPLICATION_DATA if !handshake.begun() => side.enough_of_an_old_flow(segment),
            content::APPLICATION_DATA if handshake.changes_cipher() => Progress::Complete,
            _ => Progress::Open,
        }
    }

    /// Sends the record, if there was a hello.
    fn finish(&mut self, out: &mut Output) {
        if let Some(handshake) = self.handshake.take() {
            handshake.finish(out);
        }
    }
}

impl Side {
    /// Puts messages together from fragments, and reads those that are whole.
    fn handshake_record(&mut self, handshake: &mut Handshake, segment: &Segment<'_>, fragment: &[u8]) -> Progress {
        // Most records hold whole messages, and those are read where they stand.
        let mut kept = std::mem::take(&mut self.pending);
        if !kept.is_empty() {
            kept.extend_from_slice(fragment);
        }
        let mut reader = Reader::new(if kept.is_empty() { fragment } else { &kept });
        let rest = loop {
            let unread = reader;
            let (Some(kind), Some(body)) = (reader.u8(), reader.vec24()) else { break unread.rest() };
            if handshake.message(segment.time, segment.direction, kind, body) == Progress::Complete {
                return Progress::Complete;
            }
        };
        self.closed = Reader::new(rest.get(1..).unwrap_or_default()).u24().is_some_and(|length| length > MAX_MESSAGE);
        if self.closed {
            return Progress::Open;
        }
        if kept.is_empty() {
            self.pending = rest.to_vec();
        } else {
            let read = kept.len() - rest.len();
            kept.drain(..read);
            self.pending = kept;
        }
        Progress::Open
    }

    /// A flow whose hello was missed is TLS once two records followed each other; on a usual port, one will do.
    fn enough_of_an_old_flow(&self, segment: &Segment<'_>) -> Progress {
        let wanted = if segment.on_port(PROTOCOL.ports) { 1 } else { 2 };
        if self.records >= wanted { Progress::Complete } else { Progress::Open }
    }
}

impl Conversation for Tls {
    fn read(&mut self, segment: &Segment<'_>, out: &mut Output) -> Step {
        if let Some(handshake) = &mut self.handshake {
            handshake.set_told(out.wants(KIND));
        }
        let mut reader = Reader::new(segment.bytes);
        loop {
            let unread = reader.rest().len();
            match Record::next(&mut reader) {
                Ok(record) if record.whole => {
                    let progress = self.record(segment, record);
                    let begun = self.handshake.as_ref().is_some_and(Handshake::begun);
                    if begun || progress == Progress::Complete {
                        out.identify(PROTOCOL.name);
                    }
                    if progress == Progress::Complete {
                        self.finish(out);
                        return Step::Done;
                    }
                }
                Ok(_) | Err(Unread::Incomplete) => return Step::Consumed(segment.bytes.len() - unread),
                Err(Unread::Foreign) => return self.foreign(out),
            }
        }
    }

    fn gap(&mut self, _direction: Direction, _length: u32, out: &mut Output) -> Step {
        self.finish(out);
        Step::Done
    }

    fn end(&mut self, _time: Timestamp, out: &mut Output) {
        self.finish(out);
    }

    fn memory(&self) -> usize {
        let pending: usize = self.sides.iter().map(|side| side.pending.capacity()).sum();
        pending + self.handshake.as_ref().map_or(0, Handshake::memory)
    }
}

impl Tls {
    /// What follows is no TLS. After a hello the flow is TLS all the same.
    fn foreign(&mut self, out: &mut Output) -> Step {
        if self.handshake.as_ref().is_some_and(Handshake::begun) {
            self.finish(out);
            return Step::Done;
        }
        Step::Reject
    }
}

fn summary(bytes: &[u8], line: &mut String) {
    let mut items = Items::new(line);
    let mut reader = Reader::new(bytes);
    while let Ok(record) = Record::next(&mut reader) {
        match record.content {
            content::HANDSHAKE => summarise_messages(record.fragment, &mut items),
            other => items.push(content_name(other)),
        }
    }
}

fn summarise_messages(fragment: &[u8], items: &mut Items<'_>) {
    let mut reader = Reader::new(fragment);
    while !reader.rest().is_empty() {
        let (kind, length) = (reader.u8().unwrap_or_default(), reader.u24().unwrap_or(usize::MAX));
        let Some(name) = message_name(kind).filter(|_| length <= MAX_MESSAGE) else {
            return items.push("Encrypted Handshake Message");
        };
        let body = reader.take(length.min(reader.rest().len())).unwrap_or_default();
        items.push_message(name, (kind == kind::CLIENT_HELLO).then(|| ClientHello::parse(body, false)).flatten());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::samples::{Hello, certificate, certificates, message, record, server_hello};
    use super::*;
    use crate::dissect::app::testing::{self, converse, mistreat};
    use crate::dissect::app::{Direction::In, Direction::Out, HostFrom, People};

    const APPLICATION_DATA: [u8; 9] = [23, 3, 3, 0, 4, 1, 2, 3, 4];
    const CHANGE_CIPHER_SPEC: [u8; 6] = [20, 3, 3, 0, 1, 1];

    fn hello_record(hello: &Hello) -> Vec<u8> {
        record(22, &hello.message())
    }

    fn server_record(version: u16, session_id: &[u8], extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
        record(22, &message(2, &server_hello(version, session_id, extensions)))
    }

    /// The only record of these payloads.
    fn told(payloads: &[(Direction, &[u8])]) -> Value {
        let out = converse(&PROTOCOL, payloads);
        assert_eq!(out.label.app, Some("tls"));
        let [event] = &out.events[..] else { panic!("one record, not {:?}", out.events) };
        assert_eq!(event.kind, "tls");
        testing::json(event)
    }

    /// A server's flight before TLS 1.3: hello, certificate, what else, done.
    fn flight(extra: &[u8]) -> Vec<u8> {
        let alpn = vec![(16, b"\0\x03\x02h2".to_vec())];
        let chain = message(11, &certificates(&[&certificate()]));
        [message(2, &server_hello(0x0303, &[9; 32], &alpn)), chain, extra.to_vec(), message(14, &[])].concat()
    }

    #[test]
    fn a_full_handshake_of_tls_1_2_gives_everything() {
        let (hello, flight) = (hello_record(&Hello::classic("Game.example")), record(22, &flight(&[])));
        let facts = told(&[(Out, &hello), (In, &flight)]);
        assert_eq!(facts["version"], "TLS 1.2");
        assert_eq!(facts["sni"], "Game.example");
        assert_eq!(facts["alpn"], json!(["h2", "http/1.1"]));
        assert_eq!(facts["server_alpn"], "h2");
        assert_eq!(facts["cipher"], "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256");
        assert_eq!(facts["certs"][0]["issuer_org"], "Padtap, Example GmbH");
        assert_eq!(facts["certs"][0]["san"], json!(["game.padtap.example", "*.game.padtap.example"]));
        assert_eq!(facts["resumed"], false);
        assert!(facts["ja4"].as_str().is_some_and(|ja4| ja4.starts_with("t12d0305h2_")));
        assert!(facts.get("client_certs").is_none());
        let out = converse(&PROTOCOL, &[(Out, &hello), (In, &flight)]);
        assert_eq!((out.label.host.as_deref(), out.label.host_from), (Some("game.example"), Some(HostFrom::Sni)));
    }

    #[test]
    fn records_and_segments_may_cut_messages_anywhere() {
        let whole = told(&[(Out, &hello_record(&Hello::classic("a.example"))), (In, &record(22, &flight(&[])))]);
        for size in [5, 99] {
            let records = |bytes: &[u8]| bytes.chunks(size).flat_map(|piece| record(22, piece)).collect::<Vec<_>>();
            let (hello, flight) = (records(&Hello::classic("a.example").message()), records(&flight(&[])));
            let mut payloads: Vec<(Direction, &[u8])> = hello.chunks(7).map(|piece| (Out, piece)).collect();
            payloads.extend(flight.chunks(11).map(|piece| (In, piece)));
            assert_eq!(told(&payloads), whole, "{size} bytes a record");
        }
    }

    #[test]
    fn without_a_name_the_certificate_names_the_server() {
        let mut hello = Hello::classic("");
        hello.extensions.remove(1);
        let out = converse(&PROTOCOL, &[(Out, &hello_record(&hello)), (In, &record(22, &flight(&[])))]);
        assert_eq!(out.label.host.as_deref(), Some("game.padtap.example"));
        assert_eq!(out.label.host_from, Some(HostFrom::Cert));
    }

    #[test]
    fn tls_1_3_tells_version_and_resumption_in_extensions() {
        let hello = hello_record(&Hello::modern("a.example"));
        let version = (43, vec![3, 4]);
        let fresh = server_record(0x0303, &[7; 32], std::slice::from_ref(&version));
        let resumed = server_record(0x0303, &[7; 32], &[version, (41, vec![0, 0])]);
        let facts = told(&[(Out, &hello), (In, &fresh), (In, &CHANGE_CIPHER_SPEC)]);
        assert_eq!((&facts["version"], &facts["resumed"]), (&json!("TLS 1.3"), &json!(false)));
        assert_eq!(told(&[(Out, &hello), (In, &resumed)])["resumed"], true);
    }

    #[test]
    fn a_retry_and_early_data_make_no_second_record() {
        let first = Hello::modern("first.example");
        let mut second = first.clone();
        second.extensions.push((44, vec![0, 1, 5]));
        let mut retry = server_record(0x0303, &[7; 32], &[(43, vec![3, 4])]);
        retry[11..43]
            .copy_from_slice(&samples::unhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c"));
        let answer = server_record(0x0303, &[7; 32], &[(43, vec![3, 4]), (41, vec![0, 0])]);
        let facts = told(&[
            (Out, &hello_record(&first)),
            (Out, &CHANGE_CIPHER_SPEC),
            (Out, &APPLICATION_DATA),
            (In, &retry),
            (In, &CHANGE_CIPHER_SPEC),
            (Out, &hello_record(&second)),
            (In, &answer),
        ]);
        assert_eq!((&facts["version"], &facts["resumed"]), (&json!("TLS 1.3"), &json!(true)));
        assert_eq!(facts["ja4"], told(&[(Out, &hello_record(&first))])["ja4"]);
    }

    #[test]
    fn sessions_of_tls_1_2_are_resumed_by_identifier_or_ticket() {
        let mut hello = Hello::classic("a.example");
        let by_ticket =
            [server_record(0x0303, &[], &[]), record(22, &message(4, &[0; 8])), CHANGE_CIPHER_SPEC.to_vec()];
        let facts = told(&[(Out, &hello_record(&hello)), (In, &by_ticket.concat())]);
        assert_eq!((&facts["resumed"], &facts["version"]), (&json!(true), &json!("TLS 1.2")));
        hello.session_id = vec![8; 32];
        let by_id = server_record(0x0302, &[8; 32], &[]);
        let facts = told(&[(Out, &hello_record(&hello)), (In, &by_id)]);
        assert_eq!((&facts["resumed"], &facts["version"]), (&json!(true), &json!("TLS 1.1")));
    }

    #[test]
    fn a_client_that_is_asked_shows_its_chain() {
        let hello = hello_record(&Hello::classic("a.example"));
        let flight = record(22, &flight(&message(13, &[0; 4])));
        let answer = record(22, &message(11, &certificates(&[&certificate(), b"issuer"])));
        let facts = told(&[(Out, &hello), (In, &flight), (Out, &answer)]);
        assert_eq!(facts["client_certs"].as_array().map(Vec::len), Some(2));
        assert_eq!(facts["client_certs"][0]["sha256"], facts["certs"][0]["sha256"]);
        let refusal = record(22, &message(16, &[0; 4]));
        assert!(told(&[(Out, &hello), (In, &flight), (Out, &refusal)]).get("client_certs").is_none());
    }

    #[test]
    fn a_clients_name_is_that_of_a_person() {
        let payloads = [
            (Out, hello_record(&Hello::classic("a.example"))),
            (In, record(22, &flight(&message(13, &[0; 4])))),
            (Out, record(22, &flight(&[]))),
        ];
        let mut out = Output { people: People::hashed([3; 16]), ..Output::default() };
        let mut conversation = Tls::new();
        for (index, (direction, bytes)) in payloads.iter().enumerate() {
            conversation.read(&testing::segment(&PROTOCOL, index, *direction, bytes), &mut out);
        }
        let facts = testing::json(&out.events[0]);
        assert_eq!(facts["certs"][0]["subject"].as_str().map(|name| &name[..3]), Some("CN="));
        assert_eq!(facts["client_certs"][0]["subject"].as_str().map(|name| &name[..1]), Some("~"));
    }

    #[test]
    fn half_a_handshake_tells_half() {
        let facts = told(&[(Out, &hello_record(&Hello::modern("a.example")))]);
        assert_eq!(facts["sni"], "a.example");
        assert!(facts.get("version").is_none() && facts.get("resumed").is_none());
        let facts = told(&[(In, &record(22, &flight(&[])))]);
        assert_eq!(facts["version"], "TLS 1.2");
        assert!(facts.get("sni").is_none());
        let alert = [21, 3, 3, 0, 2, 2, 40];
        assert_eq!(told(&[(Out, &hello_record(&Hello::modern("a.example"))), (In, &alert)])["sni"], "a.example");
    }

    #[test]
    fn flows_that_began_earlier_are_tls_without_a_record() {
        let out = converse(&PROTOCOL, &[(Out, &APPLICATION_DATA)]);
        assert_eq!((out.label.app, out.events.len()), (Some("tls"), 0));
        let elsewhere = |bytes: &[u8]| {
            let mut segment = testing::segment(&PROTOCOL, 0, Out, bytes);
            segment.destination.set_port(4_000);
            let mut out = Output::default();
            (Tls::new().read(&segment, &mut out), out.label.app)
        };
        assert_eq!(elsewhere(&APPLICATION_DATA), (Step::Consumed(9), None));
        assert_eq!(elsewhere(&APPLICATION_DATA.repeat(2)), (Step::Done, Some("tls")));
        assert_eq!(elsewhere(&[&APPLICATION_DATA[..], b"GET /"].concat()), (Step::Reject, None));
    }

    #[test]
    fn other_protocols_are_not_tls() {
        let v2_hello = [0x80, 0x2e, 1, 3, 1, 0, 0x15, 0, 0, 0, 0x10];
        let others: [&[u8]; 8] = [
            b"GET / HTTP/1.1\r\n",
            b"SSH-2.0-x\r\n",
            &v2_hello,
            &[22, 3, 9, 0, 5, 1],
            &[22, 3, 1, 0xff, 0xff, 1],
            b"",
            &[23, 3, 3, 0, 0],
            &[22, 3, 1, 0, 9, 11, 0, 0],
        ];
        for bytes in others {
            assert_eq!(testing::probe(&PROTOCOL, bytes), Probe::No, "{bytes:02x?}");
        }
        let hello = hello_record(&Hello::modern("a.example"));
        for end in 1..hello.len() {
            let expected = if end < 10 { Probe::Maybe } else { Probe::Yes };
            assert_eq!(testing::probe(&PROTOCOL, &hello[..end]), expected, "{end} bytes");
        }
    }

    #[test]
    fn a_packet_list_shows_messages_by_name() {
        let check = |bytes: &[u8], expected: &str| {
            let mut line = String::from("> ");
            summary(bytes, &mut line);
            assert_eq!(line, format!("> {expected}"));
        };
        check(&hello_record(&Hello::modern("a.example")), "Client Hello (SNI=a.example)");
        check(&record(22, &flight(&[])), "Server Hello, Certificate, Server Hello Done");
        check(
            &[&CHANGE_CIPHER_SPEC[..], &record(22, &[0xee; 40])].concat(),
            "Change Cipher Spec, Encrypted Handshake Message",
        );
        check(&APPLICATION_DATA.repeat(2), "Application Data, Application Data");
        check(b"GET /", "");
    }

    #[test]
    fn damage_is_survived() {
        let (hello, flight) = (hello_record(&Hello::modern("a.example")), record(22, &flight(&message(13, &[0; 4]))));
        let answer = [record(22, &message(11, &certificates(&[]))), CHANGE_CIPHER_SPEC.to_vec()].concat();
        mistreat(&PROTOCOL, &[(Out, &hello), (In, &flight), (Out, &answer)]);
    }

    #[test]
    fn a_message_that_never_ends_is_given_up() {
        let endless = [&[1, 0xff, 0xff, 0xff, 3, 3][..], &[0; 1000]].concat();
        let payload = record(22, &endless);
        let mut conversation = Tls::new();
        let mut out = Output::default();
        for index in 0..300 {
            let segment = testing::segment(&PROTOCOL, index, Out, &payload);
            if conversation.read(&segment, &mut out) == Step::Done {
                assert!(index <= MAX_RECORDS as usize && out.events.is_empty());
                return;
            }
            assert!(conversation.sides[0].pending.len() <= 2 * MAX_MESSAGE);
        }
        panic!("it was read for ever");
    }
}
