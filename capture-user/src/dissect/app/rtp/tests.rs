use serde_json::{Value, json};

use super::*;
use crate::dissect::app::sdp::Format;
use crate::dissect::app::sip::oracle::events_of;
use crate::dissect::app::testing::{converse, json, mistreat, probe, segment};
use crate::dissect::app::{Event, Expectation};
use Direction::{In, Out};

/// An RTP packet with 20 bytes of payload.
fn packet(payload_type: u8, sequence: u16, timestamp: u32, ssrc: u32, marker: bool) -> Vec<u8> {
    let mut bytes = vec![0x80, payload_type | u8::from(marker) << 7];
    bytes.extend_from_slice(&sequence.to_be_bytes());
    bytes.extend_from_slice(&timestamp.to_be_bytes());
    bytes.extend_from_slice(&ssrc.to_be_bytes());
    bytes.extend_from_slice(&[0xd5; 20]);
    bytes
}

/// `count` packets of PCMA, 20 ms each.
fn call(ssrc: u32, count: u16) -> Vec<Vec<u8>> {
    (0..count).map(|index| packet(8, 500 + index, u32::from(index) * 160, ssrc, index == 0)).collect()
}

fn all(direction: Direction, packets: &[Vec<u8>]) -> Vec<(Direction, &[u8])> {
    packets.iter().map(|bytes| (direction, &bytes[..])).collect()
}

fn facts(output: &Output) -> Vec<Value> {
    output.events.iter().map(|event: &Event| json(event)).collect()
}

fn negotiated(kind: &str) -> Arc<Negotiated> {
    let format = |pt, codec: &str, clock| Format { pt, codec: Some(codec.to_owned()), clock: Some(clock) };
    let formats = vec![format(115, "G7221", 32_000), format(101, "telephone-event", 8_000)];
    Arc::new(Negotiated { call_id: "call-1".into(), kind: kind.to_owned(), formats })
}

/// Feeds payloads, 20 ms apart, to the flow that a description announced.
fn announced(media: Arc<Negotiated>, payloads: &[(Direction, &[u8])]) -> (Output, Step) {
    let mut output = Output::default();
    let endpoint = "192.0.2.1:4000".parse().expect("an address");
    let expectation = Expectation { endpoint, protocol: &PROTOCOL, open: opener(media) };
    let mut flow = (expectation.open)();
    let mut step = Step::Consumed(0);
    for (index, (direction, bytes)) in payloads.iter().enumerate() {
        step = flow.read(&segment(&PROTOCOL, index, *direction, bytes), &mut output);
    }
    flow.end(Timestamp::from_nanos(0), &mut output);
    (output, step)
}

#[test]
fn a_steady_stream() {
    let packets = call(0xdead_beef, 50);
    let output = converse(&PROTOCOL, &all(Out, &packets));
    assert_eq!(output.label.app, Some("rtp"));
    assert_eq!(
        facts(&output),
        [json!({
            "ssrc": 0xdead_beef_u32, "direction": "out", "payload_type": 8, "codec": "PCMA", "clock": 8000,
            "packets": 50, "lost": 0, "lost_percent": 0.0, "duplicates": 0, "reordered": 0,
            "jitter_ms": {"mean": 0.0, "max": 0.0}, "talk_spurts": 1, "bound_by": "heuristic",
            "start": "1970-01-01T00:00:01.000000000Z", "end": "1970-01-01T00:00:01.980000000Z",
        })]
    );
}

#[test]
fn both_ways_and_several_sources_at_once() {
    let (one, two, three) = (call(1, 20), call(2, 20), call(3, 20));
    let mut mixed = Vec::new();
    for index in 0..20 {
        mixed.push((Out, &one[index][..]));
        mixed.push((In, &two[index][..]));
        mixed.push((In, &three[index][..]));
    }
    let told = facts(&converse(&PROTOCOL, &mixed));
    let found: Vec<_> = told.iter().map(|one| (one["ssrc"].as_u64(), one["direction"].as_str())).collect();
    assert_eq!(found, [(Some(1), Some("out")), (Some(2), Some("in")), (Some(3), Some("in"))]);
    assert!(told.iter().all(|one| one["packets"] == 20));
}

#[test]
fn a_description_gives_codec_clock_and_call() {
    let packets: Vec<_> = (0..5).map(|index| packet(115, index, u32::from(index) * 640, 7, index == 0)).collect();
    let (output, _) = announced(negotiated("audio"), &all(Out, &packets));
    let told = &facts(&output)[0];
    assert_eq!(
        (&told["bound_by"], &told["call_id"], &told["codec"]),
        (&json!("sdp"), &json!("call-1"), &json!("G7221"))
    );
    assert_eq!((&told["clock"], &told["jitter_ms"]), (&json!(32_000), &json!({"mean": 0.0, "max": 0.0})));
}

#[test]
fn a_single_announced_packet_is_a_stream() {
    let (output, _) = announced(negotiated("audio"), &[(Out, &packet(115, 1, 0, 7, true))]);
    assert_eq!(facts(&output)[0]["packets"], 1);
    assert_eq!(facts(&output)[0].get("jitter_ms"), None);
}

#[test]
fn events_and_comfort_noise_stay_in_their_stream() {
    let mut packets = call(9, 10);
    packets.insert(0, packet(13, 499, 0, 9, false));
    for index in 10..13_u16 {
        packets.push(packet(101, 500 + index, 1_600, 9, index == 10));
    }
    packets.push(packet(8, 513, 2_080, 9, false));
    let (output, _) = announced(negotiated("audio"), &all(Out, &packets));
    let told = facts(&output);
    assert_eq!(told.len(), 1);
    assert_eq!((&told[0]["packets"], &told[0]["payload_type"], &told[0]["lost"]), (&json!(15), &json!(8), &json!(0)));
    assert_eq!(told[0]["talk_spurts"], 1);
}

#[test]
fn companions_of_media_are_passed_over() {
    let stun = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();
    let dtls = [&[22, 0xfe, 0xfd][..], &[0; 40]].concat();
    let zrtp = [&[0x10, 0, 0, 1][..], b"ZRTP", &[0; 12]].concat();
    let packets = call(5, 10);
    let mut mixed = vec![(Out, &stun[..]); 20];
    mixed.extend([(In, &dtls[..]), (In, &zrtp[..])]);
    mixed.extend(all(Out, &packets));
    mixed.push((In, &stun));
    let told = facts(&converse(&PROTOCOL, &mixed));
    assert_eq!((told.len(), &told[0]["packets"]), (1, &json!(10)));
}

#[test]
fn what_is_not_consistent_is_rejected_and_says_nothing() {
    let noise: Vec<_> =
        (0..40_u32).map(|n| packet(96, (n * 7_919) as u16, n * 77, n.wrapping_mul(0x9e37_79b9), false)).collect();
    let same_number: Vec<_> = (0..200).map(|n| packet(26, 0x2000, n * 160, 1, false)).collect();
    let still: Vec<_> = (0..200_u16).map(|n| packet(96, n, 0, 1, false)).collect();
    let jumping: Vec<_> =
        (0..200_u16).map(|n| packet(96, n, u32::from(n).wrapping_mul(0x0100_0000), 1, false)).collect();
    for packets in [noise, same_number, still, jumping] {
        let mut output = Output::default();
        let mut flow = MediaFlow::open();
        let steps: Vec<_> = packets
            .iter()
            .enumerate()
            .map(|(index, bytes)| flow.read(&segment(&PROTOCOL, index, Out, bytes), &mut output))
            .collect();
        assert!(steps.contains(&Step::Reject));
        flow.end(Timestamp::from_nanos(0), &mut output);
        assert_eq!((facts(&output), output.label.app), (vec![], None));
    }
}

#[test]
fn two_packets_are_too_few() {
    assert_eq!(facts(&converse(&PROTOCOL, &all(Out, &call(5, 2)))), [json!(null); 0]);
    assert_eq!(facts(&converse(&PROTOCOL, &all(Out, &call(5, 3))))[0]["packets"], 3);
}

#[test]
fn sources_are_bounded() {
    let steady = call(1, 3);
    let flood: Vec<_> = (0..10_000_u32).map(|n| packet(8, 1, 0, 1_000 + n, false)).collect();
    let mut payloads = all(Out, &steady);
    payloads.extend(all(Out, &flood));
    let told = facts(&converse(&PROTOCOL, &payloads));
    let ssrcs: Vec<_> = told.iter().map(|one| one["ssrc"].as_u64()).collect();
    assert_eq!((told.len(), ssrcs[0], &told[0]["packets"]), (16, Some(1), &json!(3)));
}

#[test]
fn other_protocols_are_not_rtp() {
    let dns = b"\x80\x08\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\x03www";
    assert_eq!(super::probe(&segment(&Protocol { ports: &[53], ..PROTOCOL }, 0, Out, dns)), Probe::No);
    for other in [
        &b"\x00\x01\x00\x00\x21\x12\xa4\x42\0\0\0\0\0\0\0\0\0\0\0\0"[..],
        b"\xc3\0\0\0\x01\x08\0\0\0\0\0\0\0\0\0\0\0\0",
        b"\x16\xfe\xfd\0\0\0\0\0\0\0\0\0\0",
        b"\x05\0\xff\xff\0\xfe\xfe\xfe\xfe\xfd\xfd\xfd\xfd",
        b"jaK\0",
        b"\x80\xc8\0\x06\0\0\0\0\0\0\0\0\0\0\0\0",
    ] {
        assert_eq!(probe(&PROTOCOL, other), Probe::No, "{other:?}");
    }
}

#[test]
fn summaries_read_like_a_packet_list() {
    let summary = |bytes: &[u8]| {
        let mut line = String::new();
        super::summary(bytes, &mut line);
        line
    };
    assert_eq!(
        summary(&packet(8, 1, 240, 0xdee0_ee8f, true)),
        "PT=ITU-T G.711 PCMA, SSRC=0xDEE0EE8F, Seq=1, Time=240, Mark"
    );
    assert_eq!(summary(&packet(120, 1, 240, 1, false)), "PT=DynamicRTP-Type-120, SSRC=0x1, Seq=1, Time=240");
    assert_eq!(summary(b"\x80\x08"), "");
}

#[test]
fn mistreated() {
    let packets = call(0xdead_beef, 6);
    mistreat(&PROTOCOL, &all(Out, &packets));
}

/// The streams of a foreign capture as (ssrc, packets, lost), in order.
fn streams_of(name: &str) -> Option<Vec<(u64, u64, u64)>> {
    events_of(name, None).map(streams)
}

/// The same with every datagram given to RTP, as if its flow had been announced without a description.
fn media_of(name: &str) -> Option<Vec<(u64, u64, u64)>> {
    events_of(name, Some(&PROTOCOL)).map(streams)
}

fn streams(events: Vec<(String, Value)>) -> Vec<(u64, u64, u64)> {
    let rtp = events.iter().filter(|(kind, _)| kind == "rtp");
    let number = |facts: &Value, field: &str| facts[field].as_u64().expect("a count");
    let mut streams: Vec<_> =
        rtp.map(|(_, facts)| (number(facts, "ssrc"), number(facts, "packets"), number(facts, "lost"))).collect();
    streams.sort_unstable();
    streams
}

#[test]
fn a_call_without_signalling() {
    let Some(events) = events_of("sipp-g711a-rtp.pcap", None) else { return };
    let [(_, told)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((&told["packets"], &told["lost"], &told["codec"]), (&json!(236), &json!(0), &json!("PCMA")));
    let jitter = |which: &str| told["jitter_ms"][which].as_f64().expect("jitter");
    assert!((jitter("mean") - 0.350).abs() < 0.001 && (jitter("max") - 0.829).abs() < 0.001, "{told}");
}

#[test]
fn games_are_no_calls() {
    for name in [
        "ndpi-epicgames.pcapng",
        "ndpi-roblox.pcapng",
        "ndpi-source_engine.pcap",
        "pcpp-dns-packets.pcap",
        "zeek-quic-chromium.pcap",
    ] {
        let Some(streams) = streams_of(name) else { return };
        assert_eq!(streams, [], "{name}");
    }
}

#[test]
fn media_after_a_handshake() {
    let Some(streams) = media_of("ndpi-stun-dtls-rtp.pcapng") else { return };
    assert_eq!(streams, [(0x6d1c_3cfa, 11, 0)]);
    let streams = media_of("ndpi-geforcenow.pcapng").expect("PADTAP_PCAPS");
    assert_eq!(streams, [(2, 13, 0)], "its timestamps do not move, but each packet has an extension of RFC 8285");
}

#[test]
fn voice_of_a_chat() {
    let Some(streams) = streams_of("ndpi-discord-voice.pcap") else { return };
    let expected: Vec<(u64, u64, u64)> = expected_streams("ndpi-discord-voice.pcap");
    assert_eq!(streams, expected);
}

/// What tshark's heuristic says of a foreign capture, as (ssrc, packets, lost), in order.
fn expected_streams(name: &str) -> Vec<(u64, u64, u64)> {
    let folder = std::env::var_os("PADTAP_PCAPS").expect("checked before");
    let text = std::fs::read(std::path::Path::new(&folder).join("expected.json")).expect("expected.json");
    let expected: Value = serde_json::from_slice(&text).expect("JSON");
    let file = &expected["files"][name]["tshark"]["rtp_streams_with_heuristic"];
    let number = |stream: &Value, field: &str| stream[field].as_u64().expect("a count");
    let ssrc = |stream: &Value| {
        u64::from_str_radix(stream["ssrc"].as_str().expect("text").trim_start_matches("0x"), 16).expect("hexadecimal")
    };
    let mut streams: Vec<_> = file
        .as_array()
        .expect("a list")
        .iter()
        .map(|stream| (ssrc(stream), number(stream, "packets"), number(stream, "lost")))
        .collect();
    streams.sort_unstable();
    streams
}
