//! Requests and responses, whole, in pieces, pipelined.

use serde_json::{Value, json};

use super::*;
use crate::dissect::app::testing::{converse, json, mistreat, probe, segment};

const OUT: Direction = Direction::Out;
const IN: Direction = Direction::In;

fn told(script: &[(Direction, &[u8])]) -> Vec<Value> {
    let out = converse(&PROTOCOL, script);
    assert!(out.events.iter().all(|event| event.kind == "http"));
    out.events.iter().map(json).collect()
}

const GET: &[u8] = b"GET /update/list?x=1 HTTP/1.1\r\nHost: a.example:8080\r\nUser-Agent: Console/1.0\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nServer: s\r\nContent-Length: 12\r\n\r\nHTTP/1.1 999";

#[test]
fn a_request_and_its_response() {
    let expected = json!({
        "method": "GET", "host": "a.example:8080", "path": "/update/list?x=1", "user_agent": "Console/1.0",
        "status": 200, "server": "s", "content_type": "text/plain", "content_length": 12, "rtt_ms": 20.0,
    });
    assert_eq!(told(&[(OUT, GET), (IN, OK)]), [expected]);
    let label = converse(&PROTOCOL, &[(OUT, GET), (IN, OK)]).label;
    assert_eq!((label.app, label.host.as_deref()), (Some("http"), Some("a.example")));
}

#[test]
fn requests_in_a_pipeline_keep_their_order() {
    let requests =
        [GET, b"HEAD /b HTTP/1.1\r\n\r\n", b"POST /c HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", GET].concat();
    let responses = [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        OK,
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n".as_slice(),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ]
    .concat();
    let mut script = vec![(OUT, requests.as_slice())];
    script.extend(responses.chunks(11).map(|piece| (IN, piece)));
    let told = told(&script);
    let seen: Vec<_> = told.iter().map(|record| (record["method"].as_str(), record["status"].as_u64())).collect();
    let expected = [("GET", Some(200)), ("HEAD", Some(304)), ("POST", Some(200)), ("GET", None)];
    assert_eq!(seen, expected.map(|(method, status)| (Some(method), status)));
    mistreat(&PROTOCOL, &[(OUT, &requests), (IN, &responses)]);
}

#[test]
fn what_follows_an_upgrade_is_left_alone() {
    let mut out = Output::default();
    let mut conversation = (PROTOCOL.open)();
    let mut read = |way, bytes| conversation.read(&segment(&PROTOCOL, 0, way, bytes), &mut out);
    assert_eq!(read(OUT, b"CONNECT b.example:443 HTTP/1.1\r\nHost: b.example:443\r\n\r\n"), Step::Consumed(55));
    assert_eq!(read(IN, b"HTTP/1.1 200 OK\r\n\r\n\x16\x03\x01"), Step::Done);
    assert_eq!(json(&out.events[0])["host"], "b.example:443");
    let upgrade = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x05hello";
    assert_eq!(told(&[(OUT, GET), (IN, upgrade), (IN, OK)]).len(), 1);
}

#[test]
fn bytes_lost_in_a_body_do_no_harm() {
    let mut out = Output::default();
    let mut conversation = (PROTOCOL.open)();
    let (twice, rest) = ([GET, GET].concat(), [b"1234567", OK].concat());
    let segment = |way, bytes| segment(&PROTOCOL, 0, way, bytes);
    conversation.read(&segment(OUT, &twice), &mut out);
    conversation.read(&segment(IN, b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc"), &mut out);
    assert_eq!(conversation.gap(IN, 990, &mut out), Step::Consumed(0));
    conversation.read(&segment(IN, &rest), &mut out);
    assert_eq!(out.events.len(), 2);
}

#[test]
fn reading_goes_on_with_the_next_head_after_a_loss() {
    let mut out = Output::default();
    let mut conversation = (PROTOCOL.open)();
    let segment = |way, bytes| segment(&PROTOCOL, 0, way, bytes);
    assert_eq!(conversation.gap(IN, 13, &mut out), Step::Done, "nothing was read yet");
    conversation.read(&segment(OUT, GET), &mut out);
    assert_eq!(conversation.gap(IN, 13, &mut out), Step::Consumed(0));
    assert_eq!(conversation.read(&segment(IN, b"end of a body"), &mut out), Step::Consumed(13));
    conversation.read(&segment(OUT, b"GET /next HTTP/1.1\r\n\r\n"), &mut out);
    assert_eq!(conversation.read(&segment(IN, &OK[..10]), &mut out), Step::Consumed(0));
    conversation.read(&segment(IN, OK), &mut out);
    let told: Vec<_> = out.events.iter().map(json).collect();
    assert_eq!(told.len(), 2);
    assert_eq!(told[0].get("status"), None, "{told:?}");
    assert_eq!((&told[1]["path"], &told[1]["status"]), (&json!("/next"), &json!(200)));
    assert_eq!(conversation.gap(OUT, 0, &mut out), Step::Done, "of unknown length");
}

#[test]
fn a_response_alone_and_a_request_alone() {
    assert_eq!(told(&[(IN, OK)])[0]["status"], 200);
    let told = told(&[(OUT, b"GET http://c.example/x HTTP/1.0\r\n\r\n")]);
    assert_eq!(told, [json!({"method": "GET", "host": "c.example", "path": "/x"})]);
}

#[test]
fn port_mappings_are_told_too() {
    let body = "<s:Body><u:AddPortMapping><NewExternalPort>3074</NewExternalPort></u:AddPortMapping></s:Body>";
    let post = format!(
        "POST /ctl HTTP/1.1\r\nHost: 192.168.1.1:5000\r\nSOAPAction: \"urn:x:WANIPConnection:1#AddPortMapping\"\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let fault = "<errorCode>718</errorCode>";
    let answer = format!("HTTP/1.1 500 Error\r\nContent-Length: {}\r\n\r\n{fault}", fault.len());
    let script: Vec<(Direction, &[u8])> = post
        .as_bytes()
        .chunks(50)
        .map(|piece| (OUT, piece))
        .chain(answer.as_bytes().chunks(50).map(|piece| (IN, piece)))
        .collect();
    let out = converse(&PROTOCOL, &script);
    assert_eq!(out.events.iter().map(|event| event.kind).collect::<Vec<_>>(), ["portmap", "http"]);
    let told = json(&out.events[0]);
    assert_eq!((&told["external_port"], &told["result"]), (&json!(3074), &json!("718")));
    mistreat(&PROTOCOL, &[(OUT, post.as_bytes()), (IN, answer.as_bytes())]);
}

#[test]
fn probes_and_summary() {
    assert_eq!(probe(&PROTOCOL, GET), Probe::Yes);
    assert_eq!(probe(&PROTOCOL, &GET[..20]), Probe::Maybe);
    assert_eq!(probe(&PROTOCOL, OK), Probe::Yes);
    for foreign in [
        b"REGISTER sip:example.org SIP/2.0\r\n\r\n".as_slice(),
        b"\x16\x03\x01\x02\x00\x01",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"SSH-2.0-x\r\n",
        b"",
    ] {
        assert_eq!(probe(&PROTOCOL, foreign), Probe::No);
    }
    let mut line = String::new();
    summary(GET, &mut line);
    assert_eq!(line, "GET /update/list?x=1 HTTP/1.1");
}

#[test]
fn hosts_without_ports() {
    for (host, expected) in
        [("a:80", "a"), ("a", "a"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("fe80::1", "fe80::1")]
    {
        assert_eq!(without_port(host), expected, "{host}");
    }
}
