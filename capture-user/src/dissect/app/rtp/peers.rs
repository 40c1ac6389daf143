//! Streams with every kind of damage, as tshark counts them: runs where tshark is installed.

use std::fmt::Write as _;
use std::process::Command;

use serde_json::Value;

use crate::dissect::app::sip::oracle::events;
use crate::source::LinkType;
use crate::time::Timestamp;

const CALLER: ([u8; 4], u16) = ([192, 0, 2, 1], 40_000);
const CALLEE: ([u8; 4], u16) = ([192, 0, 2, 2], 50_000);

/// One packet on the wire: when (µs), sequence number, timestamp, payload type, marker.
type Sent = (i64, u16, u32, u8, bool);

/// What both sides say of a stream.
#[derive(Debug)]
struct Counted {
    packets: u64,
    lost: i64,
    /// Mean and maximum in milliseconds.
    jitter: (f64, f64),
}

/// A raw IPv4 packet that carries a datagram.
fn datagram(from: ([u8; 4], u16), to: ([u8; 4], u16), payload: &[u8]) -> Vec<u8> {
    let length = (28 + payload.len()) as u16;
    let mut bytes = vec![0x45, 0];
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&[0, 0, 0, 0, 64, 17, 0, 0]);
    bytes.extend_from_slice(&from.0);
    bytes.extend_from_slice(&to.0);
    for field in [from.1, to.1, length - 20, 0] {
        bytes.extend_from_slice(&field.to_be_bytes());
    }
    bytes.extend_from_slice(payload);
    bytes
}

fn rtp((micros, sequence, timestamp, payload_type, marker): Sent) -> (i64, Vec<u8>) {
    let mut bytes = vec![0x80, payload_type | u8::from(marker) << 7];
    bytes.extend_from_slice(&sequence.to_be_bytes());
    bytes.extend_from_slice(&timestamp.to_be_bytes());
    bytes.extend_from_slice(&0x1234_5678_u32.to_be_bytes());
    bytes.extend_from_slice(&[0xd5; 160]);
    (micros, datagram(CALLER, CALLEE, &bytes))
}

/// `count` packets of PCMA, 20 ms each, that arrive up to 8 ms late.
fn voice(count: u16, first: u16) -> Vec<Sent> {
    let late = |index: u16| i64::from(index.wrapping_mul(40_503) >> 3);
    let one = |index: u16| {
        let at = 1_000_000 + i64::from(index) * 20_000 + late(index);
        (at, first.wrapping_add(index), 7_000 + u32::from(index) * 160, 8, index == 0)
    };
    (0..count).map(one).collect()
}

fn pcap(frames: &[(i64, Vec<u8>)]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4, 4 << 16 | 2, 0, 0, 65_535, 101_u32] {
        file.extend_from_slice(&word.to_le_bytes());
    }
    for (micros, bytes) in frames {
        let length = bytes.len() as u32;
        for word in [(micros / 1_000_000) as u32, (micros % 1_000_000) as u32, length, length] {
            file.extend_from_slice(&word.to_le_bytes());
        }
        file.extend_from_slice(bytes);
    }
    file
}

/// tshark's words on the only stream of `frames`; none (said aloud) where there is no tshark.
fn theirs(frames: &[(i64, Vec<u8>)]) -> Option<Counted> {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), pcap(frames)).expect("a written file");
    let ran = Command::new("tshark")
        .args(["-q", "-z", "rtp,streams", "-d", "udp.port==50000,rtp", "-r"])
        .arg(file.path())
        .output();
    let Ok(ran) = ran else {
        assert!(std::env::var_os("PADTAP_REQUIRE_LIVE").is_none(), "tshark is not installed");
        eprintln!("skipped: tshark is not installed");
        return None;
    };
    let text = String::from_utf8_lossy(&ran.stdout);
    let line = text.lines().find(|line| line.contains("0x12345678")).expect("a stream");
    let words: Vec<_> = line.split_whitespace().collect();
    let percent = words.iter().position(|word| word.starts_with('(')).expect("the share that was lost");
    let number = |place: usize| words[place].parse::<f64>().expect("a number");
    Some(Counted {
        packets: number(percent - 2) as u64,
        lost: number(percent - 1) as i64,
        jitter: (number(percent + 5), number(percent + 6)),
    })
}

/// Our record of it.
fn ours(frames: &[(i64, Vec<u8>)]) -> Value {
    let frames: Vec<_> = frames
        .iter()
        .map(|(micros, bytes)| (Timestamp::from_nanos(micros * 1_000), LinkType::RawIp, bytes.clone()))
        .collect();
    let mut told: Vec<_> = events(&frames, None).into_iter().filter(|(kind, _)| kind == "rtp").collect();
    assert_eq!(told.len(), 1, "{told:?}");
    told.remove(0).1
}

/// Compares; `duplicates` is how many of the packets came twice: tshark counts these as received, and so as not lost.
fn check(what: &str, frames: &[(i64, Vec<u8>)], duplicates: u64) {
    let Some(theirs) = theirs(frames) else { return };
    let ours = ours(frames);
    assert_eq!(ours["duplicates"], duplicates, "{what}");
    assert_eq!(ours["packets"], theirs.packets - duplicates, "{what}: {theirs:?}");
    assert_eq!(ours["lost"], theirs.lost + duplicates as i64, "{what}: {theirs:?}");
    for (which, theirs) in [("mean", theirs.jitter.0), ("max", theirs.jitter.1)] {
        let ours = ours["jitter_ms"][which].as_f64().expect("a jitter");
        assert!((ours - theirs).abs() <= (theirs * 0.01).max(0.05), "{what}: {which} {ours} and {theirs}");
    }
}

fn check_sent(what: &str, sent: Vec<Sent>, duplicates: u64) {
    let frames: Vec<_> = sent.into_iter().map(rtp).collect();
    check(what, &frames, duplicates);
}

#[test]
fn whole_and_damaged_streams() {
    check_sent("whole", voice(400, 1), 0);
    check_sent("short", voice(4, 1), 0);
    check_sent("wrapping", voice(400, 65_400), 0);
    let mut lossy = voice(400, 1);
    lossy.retain(|(_, sequence, ..)| sequence % 50 != 7 && !(200..=230).contains(sequence));
    check_sent("lossy", lossy, 0);
    let mut wrapping = voice(400, 65_400);
    wrapping.retain(|(_, sequence, ..)| !(*sequence >= 65_530 || *sequence < 5));
    check_sent("lossy across the wrap", wrapping, 0);
}

#[test]
fn duplicates_and_disorder() {
    let mut twice = voice(400, 1);
    for place in [50, 120, 300] {
        let mut again = twice[place];
        again.0 += 100;
        twice.insert(place + 1, again);
    }
    check_sent("duplicates", twice, 3);
    let mut swapped = voice(400, 1);
    for place in [60, 61, 200, 350] {
        let (earlier, later) = (swapped[place].0, swapped[place + 1].0);
        swapped.swap(place, place + 1);
        (swapped[place].0, swapped[place + 1].0) = (earlier, later);
    }
    check_sent("reordered", swapped, 0);
    let mut early = voice(400, 1);
    early.swap(0, 1);
    (early[0].0, early[1].0) = (early[1].0, early[0].0);
    let frames: Vec<_> = early.into_iter().map(rtp).collect();
    if let Some(theirs) = theirs(&frames) {
        assert_eq!(
            (theirs.lost, &ours(&frames)["lost"]),
            (-1, &0.into()),
            "a first packet that came second is not -1 lost"
        );
    }
}

#[test]
fn silence_events_and_comfort_noise() {
    let mut talk = voice(400, 1);
    for (at, _, timestamp, _, _) in &mut talk[100..] {
        *at += 3_000_000;
        *timestamp += 24_000;
    }
    let mut marked = talk.clone();
    marked[100].4 = true;
    check_sent("silence with a marker", marked, 0);
    check_sent("silence without a marker", talk, 0);
    let mut noise = voice(400, 1);
    for packet in &mut noise[100..120] {
        packet.3 = 13;
    }
    check_sent("comfort noise", noise, 0);
}

#[test]
fn a_late_sender_clock() {
    let mut drifting = voice(400, 1);
    for (index, packet) in drifting.iter_mut().enumerate() {
        packet.0 += (index as i64).pow(2) / 4;
    }
    check_sent("drift", drifting, 0);
    let mut stalled = voice(400, 1);
    for packet in &mut stalled[200..215] {
        packet.0 = 1_000_000 + 215 * 20_000;
    }
    check_sent("stall", stalled, 0);
}

/// A call whose codec only the description tells, with telephone events in it.
#[test]
fn a_negotiated_codec() {
    let description = "v=0\r\no=- 1 1 IN IP4 192.0.2.2\r\ns=-\r\nc=IN IP4 192.0.2.2\r\nt=0 0\r\n\
                       m=audio 50000 RTP/AVP 115 101\r\na=rtpmap:115 G7221/32000\r\na=rtpmap:101 telephone-event/8000\r\n";
    let mut invite = String::new();
    write!(
        invite,
        "INVITE sip:b@192.0.2.3 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.2:5060;branch=z9hG4bK1\r\nFrom: <sip:a@192.0.2.3>;tag=1\r\n\
         To: <sip:b@192.0.2.3>\r\nCall-ID: one\r\nCSeq: 1 INVITE\r\nContact: <sip:a@192.0.2.2>\r\nMax-Forwards: 70\r\n\
         Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{description}",
        description.len()
    )
    .expect("a string grows");
    let mut frames = vec![(500_000, datagram((CALLEE.0, 5060), ([192, 0, 2, 3], 5060), invite.as_bytes()))];
    for (index, (at, sequence, ..)) in voice(400, 1).into_iter().enumerate() {
        let is_event = (100..110).contains(&index);
        let timestamp = 640 * if is_event { 100 } else { index as u32 };
        frames.push(rtp((at, sequence, timestamp, if is_event { 101 } else { 115 }, false)));
    }
    check("negotiated", &frames, 0);
    let told = ours(&frames);
    assert_eq!((&told["bound_by"], &told["call_id"], &told["codec"]), (&"sdp".into(), &"one".into(), &"G7221".into()));
}
