use serde_json::{Value, json};

use super::oracle::events_of;
use super::*;
use crate::dissect::app::testing::{converse, json, mistreat, probe, segment};
use crate::dissect::app::{Event, People};
use Direction::{In, Out};

const INVITE: &str = "INVITE sip:confctl-g-acme.team1@voice.example.net SIP/2.0\r\n\
    v: SIP/2.0/UDP 192.168.1.40:5060;branch=z9hG4bK1,\r\n\t SIP/2.0/TCP proxy.example.net\r\n\
    f: \"A. Player\" <sip:.acme.player.@voice.example.net>;tag=1\r\n\
    t: <sip:confctl-g-acme.team1@voice.example.net>\r\n\
    i: call-1@192.168.1.40\r\nCSeq:  7   INVITE\r\nm: <sip:.acme.player.@192.168.1.40:5060>\r\n\
    User-Agent: eXosip/4.1.0\r\nc: application/sdp\r\nl: LENGTH\r\n\r\n";
const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 192.168.1.40\r\ns=-\r\nc=IN IP4 192.168.1.40\r\nt=0 0\r\n\
    m=audio 40000 RTP/AVP 115 0\r\na=rtpmap:115 G7221/32000\r\na=sendrecv\r\nm=video 0 RTP/AVP 99\r\n";
const OK: &[u8] = b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.168.1.40:5060\r\nCall-ID: call-1@192.168.1.40\r\n\
    CSeq: 7 INVITE\r\nServer: kamailio\r\nContent-Length: 0\r\n\r\n";
const JAK: &[u8] = b"jaK\0";
const ZEROS: &[u8] = b"\0\0\0\0";

fn invite() -> Vec<u8> {
    (INVITE.replace("LENGTH", &OFFER.len().to_string()) + OFFER).into_bytes()
}

/// The same protocol, offered as a stream.
static OVER_TCP: Protocol = Protocol { over: Over::Tcp, ..PROTOCOL };

fn kinds(output: &Output) -> Vec<&'static str> {
    output.events.iter().map(|event| event.kind).collect()
}

fn of_kind(output: &Output, kind: &str) -> Vec<Value> {
    output.events.iter().filter(|event: &&Event| event.kind == kind).map(json).collect()
}

#[test]
fn an_invite_tells_who_where_and_what_media() {
    let invite = invite();
    let output = converse(&PROTOCOL, &[(Out, &invite), (In, OK)]);
    assert_eq!(kinds(&output), ["sip", "sip"]);
    assert_eq!(
        json(&output.events[0]),
        json!({
            "direction": "out", "method": "INVITE", "call_id": "call-1@192.168.1.40", "cseq": "7 INVITE",
            "request_uri": "sip:confctl-g-acme.team1@voice.example.net",
            "from": "sip:.acme.player.@voice.example.net", "to": "sip:confctl-g-acme.team1@voice.example.net",
            "contact": ["sip:.acme.player.@192.168.1.40:5060"],
            "via": ["UDP 192.168.1.40:5060", "TCP proxy.example.net"], "user_agent": "eXosip/4.1.0",
            "vivox": true,
            "vivox_why": [
                "a user of the form .issuer.name. is a Vivox account",
                "a user that begins with confctl- names a Vivox channel",
            ],
            "sdp": {"media": [
                {"kind": "audio", "port": 40000, "address": "192.168.1.40", "profile": "RTP/AVP", "direction": "sendrecv",
                 "formats": [{"pt": 115, "codec": "G7221", "clock": 32000}, {"pt": 0, "codec": "PCMU", "clock": 8000}]},
                {"kind": "video", "port": 0, "address": "192.168.1.40", "profile": "RTP/AVP", "formats": [{"pt": 99}]},
            ]},
        })
    );
    assert_eq!(
        json(&output.events[1]),
        json!({
            "direction": "in", "status": 200, "reason": "OK", "call_id": "call-1@192.168.1.40", "cseq": "7 INVITE",
            "via": ["UDP 192.168.1.40:5060"], "server": "kamailio",
        })
    );
}

#[test]
fn media_that_were_not_refused_are_announced() {
    let output = converse(&PROTOCOL, &[(Out, &invite())]);
    let announced: Vec<_> = output.expectations.iter().map(|one| format!("{one:?}")).collect();
    assert_eq!(announced, ["rtp at 192.168.1.40:40000", "rtcp at 192.168.1.40:40001"]);
}

#[test]
fn an_answer_announces_the_media_of_both_sides() {
    let answer = "v=0\r\nc=IN IP4 203.0.113.31\r\nm=audio 6000 RTP/AVP 0\r\na=rtcp-mux\r\na=rtcp:6000\r\n";
    let ok = String::from_utf8_lossy(OK).replace("Content-Length: 0", &format!("Content-Length: {}", answer.len()));
    let ok = ok.replace("200 OK", "183 Session Progress") + answer;
    let other_call = ok.replace("call-1", "call-2");
    let announced = |reply: &str| {
        let output = converse(&PROTOCOL, &[(Out, &invite()), (In, reply.as_bytes())]);
        output.expectations.iter().map(|one| format!("{one:?}")).collect::<Vec<_>>()
    };
    let offered = ["rtp at 192.168.1.40:40000", "rtcp at 192.168.1.40:40001"];
    let answered = ["rtp at 203.0.113.31:6000"];
    assert_eq!(announced(&ok), [&offered[..], &answered, &offered].concat());
    assert_eq!(announced(&other_call), [&offered[..], &answered].concat());
}

#[test]
fn people_are_hashed_and_hosts_are_not() {
    let mut output = Output { people: People::hashed([3; 16]), ..Output::default() };
    let invite = invite();
    Sip::default().read(&segment(&PROTOCOL, 0, Out, &invite), &mut output);
    let text = json(&output.events[0]).to_string();
    assert!(!text.contains("player") && !text.contains("team1") && text.contains("@voice.example.net"), "{text}");
    let mut line = String::new();
    (PROTOCOL.summary)(&invite, &mut line);
    assert_eq!(line, "Request: INVITE sip:~@voice.example.net");
}

#[test]
fn streams_carry_messages_in_any_pieces() {
    let invite = invite();
    let whole = [&invite[..], b"\r\n\r\n", OK, b"\r\n", OK].concat();
    let expected = ["sip", "sip", "sip", "sip_keepalive"];
    assert_eq!(kinds(&converse(&OVER_TCP, &[(Out, &whole)])), expected);
    for size in [1, 7, 100, 500] {
        let pieces: Vec<_> = whole.chunks(size).map(|piece| (Out, piece)).collect();
        assert_eq!(kinds(&converse(&OVER_TCP, &pieces)), expected, "pieces of {size}");
    }
}

#[test]
fn a_long_body_is_passed_over() {
    let head = INVITE.replace("LENGTH", "100000").into_bytes();
    let body = vec![b'x'; 100_000];
    let mut pieces = vec![(Out, &head[..])];
    pieces.extend(body.chunks(1_400).map(|piece| (Out, piece)));
    pieces.push((Out, OK));
    assert_eq!(kinds(&converse(&OVER_TCP, &pieces)), ["sip", "sip"]);
}

#[test]
fn after_a_loss_the_next_message_is_found() {
    let (mut sip, mut output) = (Sip::default(), Output::default());
    sip.read(&segment(&OVER_TCP, 0, Out, OK), &mut output);
    assert_eq!(sip.gap(Out, 1_000, &mut output), Step::Consumed(0));
    let rest = [b"lf of a field: x\r\nl: 0\r\n\r\n", OK].concat();
    assert_eq!(sip.read(&segment(&OVER_TCP, 1, Out, &rest), &mut output), Step::Consumed(rest.len()));
    assert_eq!(kinds(&output), ["sip", "sip"]);
}

#[test]
fn keep_alives_of_a_flow_without_messages() {
    let output = converse(&KEEP_ALIVE, &[(Out, JAK), (In, ZEROS), (Out, JAK), (In, ZEROS), (In, ZEROS), (Out, JAK)]);
    let [told] = &of_kind(&output, "sip_keepalive")[..] else { panic!("{output:?}") };
    assert_eq!(kinds(&output), ["sip_keepalive"]);
    assert_eq!(output.label.app, Some("sip"));
    assert_eq!(told["client"], json!({"bytes": "6a614b00", "sender": "eXosip2", "count": 3, "period_s": 0.05}));
    assert_eq!(told["server"]["count"], 3);
    assert_eq!(told["messages"], 0);
    assert!(!told.to_string().contains("match"));
}

/// Only port 5062, as the voice service of a console uses.
static KEEP_ALIVE: Protocol = Protocol { ports: &[5062], ..PROTOCOL };

#[test]
fn keep_alives_need_their_conditions() {
    let elsewhere = Protocol { ports: &[40_000], ..PROTOCOL };
    assert_eq!(super::probe(&segment(&KEEP_ALIVE, 0, Out, JAK)), Probe::Yes);
    assert_eq!(super::probe(&segment(&KEEP_ALIVE, 0, In, JAK)), Probe::No, "from the server");
    assert_eq!(super::probe(&segment(&elsewhere, 0, Out, JAK)), Probe::No, "at another port");
    assert_eq!(super::probe(&segment(&KEEP_ALIVE, 0, Out, b"jaK\0\0")), Probe::No, "with another length");
    assert_eq!(super::probe(&segment(&KEEP_ALIVE, 0, In, ZEROS)), Probe::No, "zeros prove nothing");
    assert_eq!(kinds(&converse(&elsewhere, &[(In, ZEROS)])), [""; 0]);
    let wrong_way = converse(&KEEP_ALIVE, &[(Out, JAK), (Out, ZEROS)]);
    assert_eq!(of_kind(&wrong_way, "sip_keepalive")[0].get("server"), None, "zeros of the client");
    let with_messages = converse(&elsewhere, &[(Out, &invite()), (In, OK), (Out, JAK), (In, ZEROS)]);
    assert_eq!(kinds(&with_messages), ["sip", "sip", "sip_keepalive"], "beside messages the port does not matter");
}

#[test]
fn other_protocols_are_not_sip() {
    for other in [
        &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"M-SEARCH * HTTP/1.1\r\nST: ssdp:all\r\n\r\n",
        b"OPTIONS rtsp://h/ RTSP/1.0\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\r\n",
        b"",
    ] {
        assert_eq!(probe(&PROTOCOL, other), Probe::No, "{other:?}");
    }
    assert_eq!(probe(&OVER_TCP, b"INVITE sip:a@b"), Probe::Maybe, "the rest may follow");
}

#[test]
fn summaries_read_like_a_packet_list() {
    let summary = |bytes: &[u8]| {
        let mut line = String::new();
        super::summary(bytes, &mut line);
        line
    };
    assert_eq!(summary(OK), "Status: 200 OK (INVITE)");
    assert_eq!(summary(b"SIP/2.0 100 Trying\r\nCSeq: 1 INVITE\r\n\r\n"), "Status: 100 Trying");
    assert_eq!(summary(JAK), "Keep-alive: eXosip jaK");
    assert_eq!(summary(b"nothing"), "");
}

#[test]
fn mistreated() {
    let invite = invite();
    mistreat(&KEEP_ALIVE, &[(Out, &invite), (In, OK), (Out, JAK), (In, ZEROS), (Out, b"\r\n\r\n")]);
    mistreat(&OVER_TCP, &[(Out, &invite), (In, b"\r\n"), (In, OK), (Out, OK)]);
}

#[test]
fn a_log_of_messages() {
    let Some(events) = events_of("wireshark-sip.pcapng", None) else { return };
    let sip: Vec<_> = events.iter().filter(|(kind, _)| kind == "sip").map(|(_, facts)| facts).collect();
    assert_eq!(sip.len(), 5);
    let methods: Vec<_> = sip.iter().filter_map(|facts| facts["method"].as_str()).collect();
    let statuses: Vec<_> = sip.iter().filter_map(|facts| facts["status"].as_u64()).collect();
    assert_eq!((methods, statuses), (vec!["REGISTER", "INVITE"], vec![200, 100, 181]));
    assert_eq!(sip[0]["user_agent"], "CSCO/7");
    assert_eq!(sip[2]["call_id"], "7f00000113ce0000047b000cd140@127.0.0.1");
    assert_eq!(sip[2]["sdp"]["media"][0]["port"], 29156);
    assert_eq!(sip[2]["sdp"]["media"][0]["address"], "192.168.109.113");
    assert_eq!(sip[2]["sdp"]["media"][0]["formats"][0], json!({"pt": 18, "codec": "G729", "clock": 8000}));
}

#[test]
fn a_registration_over_tcp() {
    let Some(events) = events_of("suricata-sip-tcp.pcap", None) else { return };
    let sip: Vec<_> = events.iter().filter(|(kind, _)| kind == "sip").map(|(_, facts)| facts).collect();
    let [register, ok] = &sip[..] else { panic!("{sip:?}") };
    assert_eq!((&register["method"], &register["user_agent"]), (&json!("REGISTER"), &json!("Zoiper rv2.10.3.2")));
    assert_eq!((&ok["status"], &ok["server"]), (&json!(200), &json!("kamailio (5.2.1 (x86_64/linux))")));
}

#[test]
fn bytes_beyond_the_content_length_are_discarded() {
    let Some(events) = events_of("suricata-sip-sdp.pcap", None) else { return };
    let [(_, invite), (_, ok)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((&invite["method"], &ok["status"], &ok["reason"]), (&json!("INVITE"), &json!(200), &json!("Ok")));
    assert_eq!(invite["from"], "sip:816666@voip.brurjula.net");
    assert_eq!(invite["sdp"]["media"], json!([]), "the body goes on, but Content-Length ends before its first m= line");
}
