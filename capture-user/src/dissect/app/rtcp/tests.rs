use serde_json::{Value, json};

use super::*;
use crate::dissect::app::sip::oracle::events_of;
use crate::dissect::app::testing::{converse, json, mistreat, probe, segment};
use crate::dissect::app::{Direction, People};
use Direction::{In, Out};

/// A packet of this type with `count` in its first byte.
fn packet(kind: u8, count: u8, words: &[u32]) -> Vec<u8> {
    let mut bytes = vec![0x80 | count, kind];
    bytes.extend_from_slice(&(words.len() as u16).to_be_bytes());
    bytes.extend(words.iter().flat_map(|word| word.to_be_bytes()));
    bytes
}

/// A source description with one item.
fn description(ssrc: u32, item: u8, value: &str) -> Vec<u8> {
    let mut chunk = ssrc.to_be_bytes().to_vec();
    chunk.extend_from_slice(&[item, value.len() as u8]);
    chunk.extend_from_slice(value.as_bytes());
    chunk.resize((chunk.len() + 1).next_multiple_of(4), 0);
    let words: Vec<_> = chunk.chunks(4).map(|word| u32::from_be_bytes(word.try_into().expect("four"))).collect();
    packet(202, 1, &words)
}

/// A sender report at NTP second `second`, with a block that answers `last` after `delay`/65536 s where given.
fn sender_report(ssrc: u32, second: u32, answer: Option<(u32, u32, u32)>) -> Vec<u8> {
    let mut words = vec![ssrc, second, 0x8000_0000, 16_000, 100, 16_000];
    if let Some((about, last, delay)) = answer {
        words.extend([about, 0x40ff_fffe, 0x0001_0203, 80, last, delay]);
    }
    packet(200, u8::from(answer.is_some()), &words)
}

fn compound(packets: &[Vec<u8>]) -> Vec<u8> {
    packets.concat()
}

fn facts(output: &Output) -> Vec<Value> {
    output.events.iter().map(json).collect()
}

#[test]
fn reports_of_both_sides_give_the_round_trip() {
    // The testing clock goes by 20 ms; the middle of NTP second 7.5 is 0x0007_8000.
    let first = compound(&[sender_report(1, 7, None), description(1, 1, "player@192.168.1.40")]);
    let answer = compound(&[sender_report(2, 9, Some((1, 0x0007_8000, 328))), description(2, 6, "baresip")]);
    let back = compound(&[sender_report(1, 8, Some((2, 0x0009_8000, 655)))]);
    let output = converse(&PROTOCOL, &[(Out, &first), (In, &answer), (Out, &back)]);
    assert_eq!(output.label.app, Some("rtcp"));
    let told = facts(&output);
    assert_eq!(
        told[0],
        json!({
            "direction": "out", "types": ["SR", "SDES"], "ssrc": 1, "packets_sent": 100, "bytes_sent": 16000,
            "cname": "player@192.168.1.40",
        })
    );
    let report = &told[1]["reports"][0];
    assert_eq!(
        (&report["ssrc"], &report["fraction_lost"], &report["cumulative_lost"]),
        (&json!(1), &json!(0.25), &json!(-2))
    );
    assert_eq!((&report["jitter"], &report["highest_sequence"]), (&json!(80), &json!(0x0001_0203)));
    let close = |value: &Value, expected: f64| {
        let value = value.as_f64().expect("a round trip");
        assert!((value - expected).abs() < 0.01, "{value} is not {expected}");
    };
    close(&report["sensor_rtt_ms"], 20.0 - 5.005);
    assert_eq!((told[1].get("rtt_ms"), &told[1]["tool"]), (None, &json!("baresip")));
    close(&told[2]["reports"][0]["sensor_rtt_ms"], 20.0 - 9.995);
    close(&told[2]["rtt_ms"], 25.0);
}

#[test]
fn names_of_people_are_hashed() {
    let bytes = compound(&[packet(201, 0, &[1]), description(1, 1, "alice@example.com")]);
    let mut output = Output { people: People::hashed([9; 16]), ..Output::default() };
    assert!(Session::new(None).read(&segment(&PROTOCOL, 0, Out, &bytes), false, &mut output));
    let told = &facts(&output)[0];
    assert!(told["cname"].as_str().expect("a name").starts_with('~') && !told.to_string().contains("alice"), "{told}");
}

#[test]
fn farewells_metrics_and_applications() {
    let mut bye = packet(203, 1, &[1]);
    bye.extend_from_slice(b"\x07teardow");
    bye[3] = 3;
    let metrics = [5, 0x0700_0008, 2, 0x4000_0000, 0, 0x0028_0050, 0, 0x5d7f_2a7f, 0, 0];
    let bytes = compound(&[
        packet(201, 0, &[5]),
        packet(207, 0, &metrics),
        packet(204, 1, &[5, u32::from_be_bytes(*b"PoC1")]),
        bye,
    ]);
    let told = &facts(&converse(&PROTOCOL, &[(Out, &bytes)]))[0];
    assert_eq!(told["types"], json!(["RR", "XR", "APP", "BYE"]));
    assert_eq!((&told["bye_reason"], &told["app_name"]), (&json!("teardow"), &json!("PoC1")));
    assert_eq!(
        told["voip_metrics"],
        json!({
            "ssrc": 2, "loss_percent": 25.0, "discard_percent": 0.0, "round_trip_ms": 40, "end_system_delay_ms": 80,
            "r_factor": 93, "mos_lq": 4.2,
        })
    );
}

#[test]
fn encrypted_packets_tell_their_sender_only() {
    let mut bytes = sender_report(0xace3, 7, Some((1, 2, 3)));
    bytes.extend_from_slice(&[0x55; 14]);
    let mut output = Output::default();
    let mut session = Session::new(None);
    assert!(session.read(&segment(&PROTOCOL, 0, Out, &bytes), true, &mut output));
    assert_eq!(facts(&output), [json!({"direction": "out", "types": ["SR"], "ssrc": 0xace3, "encrypted": true})]);
    assert_eq!(
        facts(&converse(&PROTOCOL, &[(Out, &bytes)])),
        [json!(null); 0],
        "nothing proves it on a flow of its own"
    );
}

#[test]
fn how_sure_a_packet_makes() {
    let report = packet(201, 0, &[1]);
    let named = compound(&[report.clone(), description(1, 1, "a@b")]);
    assert_eq!(probe(&PROTOCOL, &named), Probe::Yes);
    assert_eq!(probe(&PROTOCOL, &report), Probe::Maybe);
    assert_eq!(probe(&PROTOCOL, &[report.as_slice(), &[0x55; 14]].concat()), Probe::Maybe, "SRTCP");
    for other in [
        &b"\x80\x08\0\x01\0\0\0\0\0\0\0\0"[..],
        b"\x80\xc8\0\x06\0\0\0\0\0\0\0\0",
        b"\x80\xc9\0\x01\0\0\0\x01\xff",
        b"\0\x01\0\0\x21\x12\xa4\x42\0\0\0\0\0\0\0\0\0\0\0\0",
        b"\x84\0\0\0\x60\x03\x28",
        b"",
    ] {
        assert_eq!(probe(&PROTOCOL, other), Probe::No, "{other:?}");
    }
}

#[test]
fn announced_flows_belong_to_their_call() {
    let negotiated = Arc::new(Negotiated { call_id: "call-1".into(), kind: "audio".to_owned(), formats: vec![] });
    let mut output = Output::default();
    let mut flow = announced(negotiated)();
    flow.read(&segment(&PROTOCOL, 0, Out, &packet(201, 0, &[1])), &mut output);
    assert_eq!(facts(&output)[0]["call_id"], "call-1");
}

#[test]
fn summaries_read_like_a_packet_list() {
    let mut line = String::new();
    summary(&compound(&[sender_report(1, 7, None), description(1, 1, "a@b")]), &mut line);
    assert_eq!(line, "Sender Report, Source description");
}

#[test]
fn mistreated() {
    let metrics = [5, 0x0700_0008, 2, 0x4000_0000, 0, 0x0028_0050, 0, 0x5d7f_2a7f, 0, 0];
    let one = compound(&[sender_report(1, 7, None), description(1, 1, "a@b")]);
    let two =
        compound(&[sender_report(2, 9, Some((1, 0x0007_8000, 328))), packet(207, 0, &metrics), packet(203, 1, &[2])]);
    mistreat(&PROTOCOL, &[(Out, &one), (In, &two), (Out, &two)]);
}

#[test]
fn reports_beside_a_voice_chat() {
    let Some(events) = events_of("ndpi-discord-voice.pcap", Some(&PROTOCOL)) else { return };
    let told: Vec<_> = events.iter().filter(|(kind, _)| kind == "rtcp").map(|(_, facts)| facts).collect();
    assert!(told.iter().all(|facts| facts["encrypted"] == true), "{told:?}");
    let of_type = |kind: &str| told.iter().filter(|facts| facts["types"] == json!([kind])).count();
    assert_eq!((told.len(), of_type("RR"), of_type("SR")), (16, 11, 5));
}
