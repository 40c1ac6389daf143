//! Messages built here, in datagrams and streams.

use serde_json::{Value, json};

use super::*;
use crate::dissect::app::testing::{converse, json, mistreat, probe, segment};

const OUT: Direction = Direction::Out;
const IN: Direction = Direction::In;

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("short");
    let mut bytes = [&kind.to_be_bytes(), &length.to_be_bytes(), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn message(kind: u16, transaction: u8, attributes: &[Vec<u8>]) -> Vec<u8> {
    let attributes = attributes.concat();
    let length = u16::try_from(attributes.len()).expect("short");
    let cookie: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
    [&kind.to_be_bytes(), &length.to_be_bytes(), cookie.as_slice(), &[transaction; 12], &attributes].concat()
}

fn request() -> Vec<u8> {
    message(0x0001, 1, &[attribute(0x0006, b"ab:cde"), attribute(0x8022, b"test 1")])
}

/// 203.0.113.5:40000 under the cookie.
fn mapped() -> Vec<u8> {
    attribute(0x0020, &[0, 1, 0x9c ^ 0x21, 0x40 ^ 0x12, 203 ^ 0x21, 0x12, 113 ^ 0xa4, 5 ^ 0x42])
}

fn success() -> Vec<u8> {
    message(0x0101, 1, &[mapped()])
}

fn told(out: &Output) -> Vec<Value> {
    out.events.iter().map(json).collect()
}

#[test]
fn a_binding_sent_twice() {
    let out = converse(&STUN, &[(OUT, &request()), (OUT, &request()), (IN, &success())]);
    assert_eq!(
        told(&out),
        [json!({
            "type": "Binding", "result": "success", "transaction": "010101010101010101010101",
            "mapped_address": "203.0.113.5:40000", "username": "ab:cde", "software": "test 1",
            "rtt_ms": 40.0, "retries": 1,
        })]
    );
    assert_eq!(out.label.app, Some("stun"));
}

#[test]
fn names_of_people_are_hidden() {
    let mut out = Output { people: crate::dissect::app::People::hashed([1; 16]), ..Output::default() };
    let mut conversation = (STUN.open)();
    conversation.read(&segment(&STUN, 0, OUT, &request()), &mut out);
    conversation.end(Timestamp::default(), &mut out);
    assert!(told(&out)[0]["username"].as_str().is_some_and(|name| name.starts_with('~')));
}

#[test]
fn a_relay_is_allocated_and_used() {
    let realm = attribute(0x0014, b"relay.example");
    let refused = message(0x0113, 1, &[attribute(0x0009, b"\0\0\x04\x01Unauthorized"), realm]);
    let granted = message(0x0103, 2, &[attribute(0x000d, &[0, 0, 2, 88]), mapped()]);
    let peer = attribute(0x0012, &[0, 1, 0x21, 0x12, 10 ^ 0x21, 0x12, 0xa4, 1 ^ 0x42]);
    let bind = message(0x0009, 3, &[attribute(0x000c, &[0x40, 1, 0, 0]), peer.clone()]);
    let send = message(0x0016, 4, &[peer, attribute(0x0013, b"media")]);
    let channel = [0x40, 1, 0, 5, b'm', b'e', b'd', b'i', b'a', 0, 0, 0];
    let (first, second) = (message(0x0003, 1, &[]), message(0x0003, 2, &[]));
    let script: Vec<(Direction, &[u8])> = vec![
        (OUT, &first),
        (IN, &refused),
        (OUT, &second),
        (IN, &granted),
        (OUT, &bind),
        (OUT, &send),
        (OUT, &send),
        (IN, &channel),
    ];
    let expected = [
        json!({"type": "Allocate", "result": "error", "transaction": "010101010101010101010101", "error_code": 401,
            "error_reason": "Unauthorized", "realm": "relay.example", "rtt_ms": 20.0}),
        json!({"type": "Allocate", "result": "success", "transaction": "020202020202020202020202",
            "mapped_address": "203.0.113.5:40000", "lifetime_s": 600, "rtt_ms": 20.0}),
        json!({"type": "Channel-Bind", "result": "unanswered", "transaction": "030303030303030303030303",
            "peer_address": "10.0.0.1:0", "channel": 0x4001}),
        json!({"type": "Send", "result": "indication", "peer_address": "10.0.0.1:0", "direction": "out",
            "messages": 2, "bytes": 88}),
        json!({"type": "ChannelData", "result": "indication", "direction": "in", "messages": 1, "bytes": 12}),
    ];
    let out = converse(&STUN, &script);
    assert_eq!(told(&out), expected);
    mistreat(&STUN, &script);

    // The same over a stream, in pieces of seven bytes, plain and framed; the length of channel data is then stated.
    let mut expected = expected;
    expected[4]["bytes"] = json!(9);
    for framed in [false, true] {
        let mut pieces: Vec<(Direction, Vec<u8>)> = Vec::new();
        for (direction, bytes) in &script {
            let length = u16::try_from(bytes.len()).expect("short").to_be_bytes();
            let sent = [if framed { &length } else { &[][..] }, bytes].concat();
            pieces.extend(sent.chunks(7).map(|piece| (*direction, piece.to_vec())));
        }
        let borrowed: Vec<(Direction, &[u8])> = pieces.iter().map(|(way, bytes)| (*way, bytes.as_slice())).collect();
        let mut seen = told(&converse(&STUN_TCP, &borrowed));
        let mut wanted = expected.clone();
        // Pieces take longer.
        for record in seen.iter_mut().chain(&mut wanted) {
            record.as_object_mut().expect("a record").remove("rtt_ms");
        }
        assert_eq!(seen, wanted, "framed: {framed}");
        mistreat(&STUN_TCP, &borrowed[..12]);
    }
}

#[test]
fn classic_messages_without_a_cookie() {
    let mut request = message(0x0001, 7, &[attribute(0x0003, &[0, 0, 0, 6])]);
    let mut answer = message(
        0x0101,
        7,
        &[attribute(0x0001, &[0, 1, 0x9c, 0x40, 203, 0, 113, 5]), attribute(0x0005, &[0, 1, 0, 9, 203, 0, 113, 6])],
    );
    request[4..8].fill(7);
    answer[4..8].fill(7);
    let out = converse(&STUN, &[(OUT, &request), (IN, &answer)]);
    assert_eq!(
        told(&out),
        [json!({
            "type": "Binding", "result": "success", "transaction": "07".repeat(16), "classic": true,
            "mapped_address": "203.0.113.5:40000", "other_address": "203.0.113.6:9", "rtt_ms": 20.0,
        })]
    );
    assert_eq!(probe(&STUN, &request), Probe::Yes);
    request[21] = 0x99;
    assert_eq!(probe(&STUN, &request), Probe::No);
}

#[test]
fn media_take_the_flow_over() {
    let dtls = [22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut out = Output::default();
    let mut conversation = (STUN.open)();
    conversation.read(&segment(&STUN, 0, OUT, &request()), &mut out);
    assert_eq!(conversation.read(&segment(&STUN, 1, OUT, &[0]), &mut out), Step::Consumed(1));
    assert_eq!(conversation.read(&segment(&STUN, 2, OUT, &dtls), &mut out), Step::Reject);
    assert_eq!(told(&out)[0]["result"], "unanswered");
    conversation.end(Timestamp::default(), &mut out);
    assert_eq!(out.events.len(), 1);
    assert!(is_message(&success()) && !is_message(&dtls));
}

#[test]
fn probes() {
    assert_eq!(probe(&STUN, &request()), Probe::Yes);
    assert_eq!(probe(&STUN, &request()[..30]), Probe::No);
    assert_eq!(probe(&STUN, &[0x40, 0, 0, 2, 1, 2]), Probe::Maybe);
    assert_eq!(probe(&STUN, &[0x40, 0, 0, 9, 1, 2]), Probe::No);
    let rtp = [0x80, 0, 0, 1, 0, 0, 0, 160, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0];
    let empty_classic = [0, 1, 0, 0, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9];
    for foreign in [rtp.as_slice(), &empty_classic, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &[0; 64]] {
        assert_eq!(probe(&STUN, foreign), Probe::No);
        assert_eq!(probe(&STUN_TCP, foreign), Probe::No);
    }
    // The request of a stream may come in pieces, once its header is there.
    assert_eq!(probe(&STUN_TCP, &request()[..30]), Probe::Yes);
}

#[test]
fn summaries() {
    let line = |bytes: &[u8]| {
        let mut line = String::new();
        summary(bytes, &mut line);
        line
    };
    assert_eq!(line(&request()), "Binding Request");
    assert_eq!(line(&success()), "Binding Success Response XOR-MAPPED-ADDRESS: 203.0.113.5:40000");
    assert_eq!(line(&[0x40, 1, 0, 0]), "ChannelData TURN Message 0x4001");
    assert_eq!(line(b"x"), "");
}
