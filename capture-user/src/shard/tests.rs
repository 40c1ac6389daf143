//! The short way of packets that only go on, beside the long way of all.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::*;
use crate::dissect::samples::*;

/// One packet of a conversation.
#[derive(Clone, Copy, Debug)]
struct Step {
    flow: u8,
    up: bool,
    /// Nanoseconds since the packet before.
    gap: i64,
    length: usize,
    flags: u8,
    /// What is done to the frame: see [`frame_of`].
    twist: u8,
    /// Whether a mirror delivers it twice.
    doubled: bool,
}

/// Mostly what long flows are made of; now and then what they begin and end with, a late packet or a long silence. From some
/// packet on a mirror doubles most of them.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    let flags = prop_oneof![
        400 => Just(0x10_u8),
        40 => Just(0x18),
        1 => Just(0x02),
        1 => Just(0x12),
        1 => Just(0x11),
        1 => Just(0x04),
    ];
    let gap = prop_oneof![
        400 => 0..8_000_000_i64,
        40 => 0..90_000_000_i64,
        4 => -20_000_000..0_i64,
        1 => Just(130_000_000_000_i64),
    ];
    let twist = prop_oneof![20 => Just(0_u8), 1 => 1..7_u8];
    let step = (0..6_u8, any::<bool>(), gap, 0..60_usize, flags, twist, prop::bool::weighted(0.9));
    (prop::collection::vec(step, 1_000..3_000), 0..4_000_usize).prop_map(|(steps, from)| {
        let step = |(number, (flow, up, gap, length, flags, twist, doubled))| {
            let doubled = number >= from && doubled;
            Step { flow, up, gap, length, flags, twist, doubled }
        };
        steps.into_iter().enumerate().map(step).collect()
    })
}

/// A first payload that shows what its flow is for (`knowledge/signatures.toml`, bnet-classic-tcp).
const SIGNATURE: [u8; 8] = [0xff, 0x50, 8, 0, 1, 2, 3, 4];

/// The frame of a step, and how much of it was captured.
fn frame_of(step: &Step, number: u16, sent: &mut [u32; 12]) -> (Vec<u8>, usize) {
    let (console, server) = ([192, 168, 1, 40], [203, 0, 113, 10 + step.flow]);
    let (from, to) = if step.up { (console, server) } else { (server, console) };
    let payload = match step.twist {
        // What VXLAN carries, where the port is its.
        6 => join(&[&[8, 0, 0, 0, 0, 0, 9, 0], &ethernet(0x0800, &ipv4(17, &udp(1, 2, b"tunnel")))]),
        7 => SIGNATURE.to_vec(),
        _ => vec![number as u8 ^ 0xa5; step.length],
    };
    let far = match step.flow {
        1 => 6_112,
        4 => 4_789,
        _ => 26_503,
    };
    let near = 50_000 + u16::from(step.flow);
    let (source, destination) = if step.up { (near, far) } else { (far, near) };
    let id = if step.flow.is_multiple_of(3) { number } else { 0 };
    let packet = if step.flow.is_multiple_of(2) {
        ipv4_between(from, to, 17, id, 0x4000, &udp(source, destination, &payload))
    } else {
        let sequence = &mut sent[usize::from(step.flow) * 2 + usize::from(step.up)];
        let segment = tcp(source, destination, *sequence, step.flags, &payload);
        *sequence = sequence.wrapping_add(payload.len() as u32);
        ipv4_between(from, to, 6, id, 0x4000, &segment)
    };
    let mut frame = match step.twist {
        1 => ethernet(0x8100, &join(&[&[0, 9, 0x08, 0x00], &packet])),
        2 => ethernet(0x86dd, &packet),
        _ => ethernet(0x0800, &packet),
    };
    match step.twist {
        3 => frame.extend([0; 20]),
        4 => frame[20] |= 0x20,
        _ => {}
    }
    let kept = if step.twist == 5 { frame.len() * 2 / 3 } else { frame.len() };
    (frame, kept)
}

/// Every frame of a conversation.
fn each(steps: &[Step], mut process: impl FnMut(&Frame<'_>)) -> Timestamp {
    let (mut time, mut sent) = (0, [1_000; 12]);
    for (number, step) in steps.iter().enumerate() {
        time += step.gap;
        let (bytes, kept) = frame_of(step, number as u16, &mut sent);
        for copy in 0..=i64::from(step.doubled) {
            let whole = frame_at(time + copy * 50_000, &bytes);
            process(&Frame { length: bytes.len() as u32, data: &bytes[..kept], ..whole });
        }
    }
    Timestamp::from_nanos(time)
}

/// What a shard says of the flows of a conversation, and how many copies it found; the long way, if packets are told of.
fn told(steps: &[Step], packets: bool) -> (Vec<String>, u64) {
    let mut shard = Shard::new(&Config { packets, ..Config::default() });
    let (mut watch, mut latency) = (Stopwatch::default(), Latency::default());
    let end = each(steps, |frame| shard.process(frame, &mut watch, &mut latency));
    shard.finish(end);
    let duplicates = shard.work.duplicates;
    let records = shard.records().iter().filter(|record| record.kind != "packet");
    (records.map(|record| format!("{record:?}")).collect(), duplicates)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn both_ways_say_the_same(steps in steps()) {
        prop_assert_eq!(told(&steps, false), told(&steps, true));
    }
}

/// So many packets without payload both ways, 16 ms apart.
fn acknowledgements(flow: u8, count: usize) -> Vec<Step> {
    let step =
        |number| Step { flow, up: number % 2 == 0, gap: 16_000_000, length: 0, flags: 0x10, twist: 0, doubled: false };
    (0..count).map(step).collect()
}

#[test]
fn a_first_payload_is_looked_at_however_late_it_comes() {
    let mut steps = acknowledgements(1, 400);
    steps.push(Step { twist: 7, ..steps[0] });
    let (records, _) = told(&steps, false);
    assert!(records.iter().any(|record| record.contains("bnet-classic-tcp")), "{records:?}");
    assert_eq!(told(&steps, true).0, records);
}

#[test]
fn a_connection_that_one_side_reset_does_not_go_on_from_the_other() {
    let mut steps = acknowledgements(1, 400);
    steps.extend(acknowledgements(1, 200).into_iter().map(|step| Step { length: 9, ..step }));
    let (up, down) = (steps[0], steps[1]);
    steps.push(Step { flags: 0x04, ..up });
    // Longer than what is over lingers, and shorter than what is open may be silent.
    steps.push(Step { gap: 10_000_000_000, ..down });
    let (records, copies) = told(&steps, false);
    assert_eq!(records.len(), 2, "{records:?}");
    assert_eq!(told(&steps, true), (records, copies));
}

/// Of conversations that never take the short way the test above would show nothing.
#[test]
fn most_packets_of_a_conversation_take_the_short_way() {
    let mut runner = TestRunner::deterministic();
    let (mut watch, mut latency) = (Stopwatch::default(), Latency::default());
    let (mut short, mut all) = (0, 0);
    for _ in 0..20 {
        let steps = steps().new_tree(&mut runner).expect("a conversation").current();
        let mut shard = Shard::new(&Config::default());
        each(&steps, |frame| {
            let plain = Plain::read(frame);
            let generation = shard.dissector.generation();
            let goes_on = !shard.dissector.compares(frame.time)
                && plain.is_some_and(|plain| shard.traffic.go_on(&plain, frame.time, generation, || {}));
            if !goes_on {
                shard.take(frame, plain.as_ref(), &mut watch, &mut latency);
            }
            (short, all) = (short + u32::from(goes_on), all + 1);
        });
    }
    assert!(short * 4 > all, "{short} of {all}");
}

/// The flow in front of it in the queue of the silent is not.
#[test]
fn how_a_flow_ends_depends_on_itself_alone() {
    let steps = [(0, 0), (0, 90), (2, 10), (2, 25), (2, 90)].map(|(flow, seconds)| Step {
        flow,
        up: true,
        gap: seconds * 1_000_000_000,
        length: 9,
        flags: 0,
        twist: 0,
        doubled: false,
    });
    let (records, _) = told(&steps, false);
    let ended = |reason| records.iter().filter(|record| record.contains(reason)).count();
    assert_eq!((ended("Idle"), ended("CaptureEnd")), (1, 1), "{records:?}");
}

#[test]
fn many_flows_at_once_end_a_few_after_each_packet() {
    let mut shard = Shard::new(&Config::default());
    let (mut watch, mut latency) = (Stopwatch::default(), Latency::default());
    let mut process = |shard: &mut Shard, port: u16, seconds: i64| {
        let bytes = ethernet(0x0800, &ipv4(17, &udp(port, 9, b"x")));
        shard.process(&frame_at(seconds * 1_000_000_000, &bytes), &mut watch, &mut latency);
    };
    (1..=100).for_each(|port| process(&mut shard, port, 0));
    for told in (1..=6).map(|time| time * AT_ONCE).chain([100, 100]) {
        process(&mut shard, 1_000, 1_000);
        assert_eq!(shard.records().len(), told);
    }
    shard.advance(Timestamp::new(2_000, 0));
    assert_eq!(shard.records().len(), 101);
}
