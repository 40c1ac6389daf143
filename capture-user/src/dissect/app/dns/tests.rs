//! Messages built here; multicast DNS and LLMNR too.

use serde_json::json;

use super::*;
use crate::dissect::app::testing::{converse, json, mistreat, probe, segment};

const OUT: Direction = Direction::Out;
const IN: Direction = Direction::In;

/// A message with these flags, counts and sections.
fn message(id: u16, flags: u16, counts: [u16; 4], sections: &[&[u8]]) -> Vec<u8> {
    let numbers = [id, flags, counts[0], counts[1], counts[2], counts[3]];
    let mut bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
    sections.iter().for_each(|section| bytes.extend_from_slice(section));
    bytes
}

const QUESTION: &[u8] = b"\x04game\x07example\x03net\0\0\x01\0\x01";
/// The name of `QUESTION`, as a pointer.
const SAME: &[u8] = &[0xc0, 12];

fn record(name: &[u8], rtype: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).expect("short data");
    [name, &rtype.to_be_bytes(), &[0, 1], &ttl.to_be_bytes(), &length.to_be_bytes(), data].concat()
}

fn query(id: u16) -> Vec<u8> {
    message(id, 0x0100, [1, 0, 0, 0], &[QUESTION])
}

/// game.example.net is an alias of cdn, which has two addresses; the alias stands last.
fn answer(id: u16) -> Vec<u8> {
    // "cdn" begins right behind the question and the first record's fixed part.
    let cdn = record(b"\x03cdn\xc0\x11", 1, 30, &[203, 0, 113, 7]);
    let cdn_name = [0xc0, 12 + 22];
    let more = record(&cdn_name, 1, 30, &[203, 0, 113, 8]);
    let foreign = record(b"\x05other\0", 1, 30, &[203, 0, 113, 9]);
    let alias = record(SAME, 5, 300, &cdn_name);
    let opt = b"\0\0\x29\x04\xd0\0\0\0\0\0\0".as_slice();
    message(id, 0x8180, [1, 4, 0, 1], &[QUESTION, &cdn, &more, &foreign, &alias, opt])
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&u16::try_from(message.len()).expect("a short message").to_be_bytes(), message].concat()
}

#[test]
fn a_query_and_its_answer() {
    let out = converse(&DNS, &[(OUT, &query(7)), (OUT, &query(7)), (IN, &answer(7))]);
    assert_eq!(out.events.len(), 1);
    assert_eq!(out.events[0].kind, "dns");
    assert_eq!(
        json(&out.events[0]),
        json!({
            "transport": "dns", "id": 7, "query": "game.example.net", "qtype": "A", "rcode": "NOERROR",
            "answers": ["203.0.113.7", "203.0.113.8", "203.0.113.9", "cdn.example.net"],
            "rtt_ms": 40.0, "retries": 1,
        })
    );
    assert_eq!(out.label.app, Some("dns"));
}

#[test]
fn names_follow_aliases_in_any_order() {
    let out = converse(&DNS, &[(OUT, &query(7)), (IN, &answer(7))]);
    let learned: Vec<String> = out.names.iter().map(|name| format!("{} {}", name.address, name.name)).collect();
    // "other" is no alias of what was asked.
    assert_eq!(learned, ["203.0.113.7 game.example.net", "203.0.113.8 game.example.net"]);
    assert!(out.names.iter().all(|name| name.client.to_string() == "192.168.1.40" && name.ttl == 30));
}

#[test]
fn what_does_not_belong_together_stays_apart() {
    let other = message(7, 0x0100, [1, 0, 0, 0], &[b"\x05other\x04test\0\0\x1c\0\x01"]);
    let out = converse(&DNS, &[(OUT, &query(7)), (OUT, &other), (IN, &answer(8))]);
    assert_eq!(out.events.len(), 3);
    // The answer to an unknown query, then what nobody answered.
    assert_eq!(json(&out.events[0])["id"], 8);
    assert!(json(&out.events[0]).get("rtt_ms").is_none());
    assert_eq!(json(&out.events[1]), json!({"transport": "dns", "id": 7, "query": "game.example.net", "qtype": "A"}));
    assert_eq!(json(&out.events[2]), json!({"transport": "dns", "id": 7, "query": "other.test", "qtype": "AAAA"}));
    // An answer that goes the wrong way answers nothing.
    assert_eq!(converse(&DNS, &[(OUT, &query(7)), (OUT, &answer(7))]).events.len(), 2);
}

#[test]
fn a_query_is_told_once_it_is_old() {
    let mut out = Output::default();
    let mut conversation = (DNS.open)();
    conversation.read(&segment(&DNS, 0, OUT, &query(1)), &mut out);
    conversation.read(&segment(&DNS, 501, OUT, &query(2)), &mut out);
    assert_eq!(out.events.len(), 1);
    assert_eq!(json(&out.events[0])["id"], 1);
}

#[test]
fn extended_response_codes() {
    let opt = b"\0\0\x29\x04\xd0\x01\0\0\0\0\0".as_slice();
    let refused = message(7, 0x8180, [1, 0, 0, 1], &[QUESTION, opt]);
    let out = converse(&DNS, &[(OUT, &query(7)), (IN, &refused)]);
    assert_eq!(json(&out.events[0])["rcode"], "BADVERS");
    assert_eq!(json(&out.events[0])["answers"], json!([]));
}

#[test]
fn waiting_queries_are_bounded() {
    let queries: Vec<Vec<u8>> = (0..100).map(query).collect();
    let mut out = Output::default();
    let mut conversation = (DNS.open)();
    for bytes in &queries {
        conversation.read(&segment(&DNS, 0, OUT, bytes), &mut out);
    }
    assert_eq!(out.events.len(), 100 - MAX_WAITING);
}

#[test]
fn streams_frame_their_messages() {
    let two = [framed(&query(1)), framed(&query(2))].concat();
    let answers = [framed(&answer(1)), framed(&answer(2))].concat();
    let (first, second) = answers.split_at(31);
    let out = converse(&DNS_TCP, &[(OUT, &two), (IN, first), (IN, second)]);
    let ids: Vec<_> = out.events.iter().map(|event| json(event)["id"].clone()).collect();
    assert_eq!(ids, [1, 2]);
    assert!(out.events.iter().all(|event| json(event)["rtt_ms"].is_number()));
    assert_eq!(probe(&DNS_TCP, &two), Probe::Yes);
    assert_eq!(probe(&DNS_TCP, &two[..9]), Probe::Maybe);
    assert_eq!(probe(&DNS_TCP, b"GET / HTTP/1.1\r\n\r\n"), Probe::Maybe);
    assert_eq!(probe(&DNS_TCP, b"\0\x04GET /"), Probe::No);
}

/// printer.local announces itself: PTR of the service, and its address in the additional section.
fn announcement() -> Vec<u8> {
    let service = record(b"\x05_http\x04_tcp\x05local\0", 12, 4500, b"\x07printer\xc0\x0c");
    let address = record(b"\x07Printer\x05local\0", 1, 120, &[192, 168, 1, 9]);
    message(0, 0x8400, [0, 1, 0, 1], &[&service, &address])
}

#[test]
fn multicast_answers_name_hosts() {
    let asked = message(0, 0, [2, 0, 0, 0], &[b"\x05_http\x04_tcp\x05local\0\0\x0c\x80\x01", b"\xc0\x17\0\xff\0\x01"]);
    let again = message(0, 0, [2, 0, 0, 0], &[b"\x05_HTTP\x04_tcp\x05local\0\0\x0c\0\x01", b"\xc0\x17\0\xff\0\x01"]);
    let out = converse(&MDNS, &[(OUT, &announcement()), (OUT, &asked), (OUT, &again)]);
    assert_eq!(
        json(&out.events[0]),
        json!({
            "transport": "mdns", "id": 0, "rcode": "NOERROR",
            "answers": ["_http._tcp.local PTR printer._http._tcp.local", "Printer.local A 192.168.1.9"],
        })
    );
    assert_eq!(
        json(&out.events[1]),
        json!({
            "transport": "mdns", "id": 0, "query": "_http._tcp.local", "qtype": "PTR",
            "more_questions": ["ANY local"], "retries": 1,
        })
    );
    assert_eq!(out.events.len(), 2);
    let [learned] = out.names.as_slice() else { panic!("one name") };
    assert_eq!((&*learned.name, learned.ttl), ("printer.local", 120));
    assert!(learned.client.is_unspecified());
}

#[test]
fn a_message_that_points_forward_is_told_of_once() {
    let forward = message(7, 0xffef, [9, 0, 0, 0], &[b"\xc0\x20\0\x01\0\x01"]);
    let out = converse(&DNS, &[(IN, &forward), (IN, &forward)]);
    assert_eq!(out.events.len(), 1);
    let told = json(&out.events[0]);
    assert_eq!(
        told,
        json!({
            "transport": "dns", "id": 7, "rcode": "RCODE15", "answers": [], "truncated": true, "malformed": "pointer",
        })
    );
    assert_eq!(out.label.app, None);
}

#[test]
fn what_a_snapped_frame_lacks_is_no_fault() {
    let whole = answer(7);
    let mut cut = segment(&DNS, 0, IN, &whole[..40]);
    cut.length = u32::try_from(whole.len()).expect("a short message");
    let mut out = Output::default();
    assert_eq!((DNS.open)().read(&cut, &mut out), Step::Consumed(40));
    assert!(json(&out.events[0]).get("malformed").is_none());
}

#[test]
fn probes() {
    assert_eq!(probe(&DNS, &query(7)), Probe::Yes);
    assert_eq!(probe(&DNS, &answer(7)), Probe::Yes);
    assert_eq!(probe(&DNS, &[0xff; 40]), Probe::Maybe);
    assert_eq!(probe(&DNS, &[0; 11]), Probe::No);
    assert_eq!(probe(&MDNS, &announcement()), Probe::Yes);
    assert_eq!(probe(&LLMNR, &query(7)), Probe::Yes);
    assert_eq!(probe(&MDNS, b"M-SEARCH * HTTP/1.1\r\n\r\n"), Probe::No);
    // On other ports only what is a whole, ordinary message.
    let elsewhere = |bytes: &[u8]| probe_dns(&segment(&crate::dissect::app::ntp::PROTOCOL, 0, OUT, bytes));
    assert_eq!(elsewhere(&query(7)), Probe::Yes);
    assert_eq!(elsewhere(&[query(7), vec![0]].concat()), Probe::No);
    let stun: &[u8] = b"\x00\x01\x00\x00\x21\x12\xa4\x42abcdefghijklabcdefghijklabcdefghijklabcd";
    for foreign in [&[0; 48], &[0xff; 48], stun] {
        assert_eq!(elsewhere(foreign), Probe::No);
    }
}

#[test]
fn summaries() {
    let line = |protocol: &Protocol, bytes: &[u8]| {
        let mut line = String::new();
        (protocol.summary)(bytes, &mut line);
        line
    };
    assert_eq!(line(&DNS, &query(0x1234)), "Standard query 0x1234 A game.example.net");
    assert_eq!(line(&DNS_TCP, &framed(&query(0x1234))), "Standard query 0x1234 A game.example.net");
    let missing = message(9, 0x8183, [1, 0, 0, 0], &[QUESTION]);
    assert_eq!(line(&DNS, &missing), "Standard query response 0x0009 No such name A game.example.net");
    assert_eq!(line(&DNS, b"short"), "");
}

#[test]
fn damage_is_survived() {
    let (query, answer, announcement) = (query(7), answer(7), announcement());
    mistreat(&DNS, &[(OUT, &query), (IN, &answer)]);
    mistreat(&DNS_TCP, &[(OUT, &framed(&query)), (IN, &framed(&answer))]);
    mistreat(&MDNS, &[(OUT, &announcement), (OUT, &query)]);
    mistreat(&LLMNR, &[(OUT, &query), (IN, &answer)]);
}
