//! The short way of packets that only go on, beside the long way of all.

use proptest::prelude::*;

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
    /// What is done to the frame.
    twist: u8,
    /// Whether a mirror delivers it twice.
    doubled: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Mostly what long flows are made of; now and then what they begin and end with, or a long silence.
    let flags = prop_oneof![30 => Just(0x10_u8), 4 => Just(0x18), 1 => Just(0x02), 1 => Just(0x12), 1 => Just(0x11), 1 => Just(0x04)];
    let gap = prop_oneof![40 => 0..8_000_000_i64, 4 => 0..90_000_000_i64, 1 => -20_000_000..0_i64, 1 => Just(130_000_000_000)];
    let twist = prop_oneof![20 => Just(0_u8), 1 => 1..6_u8];
    let step = (0..6_u8, any::<bool>(), gap, 0..60_usize, flags, twist, prop::bool::weighted(0.2));
    let step = step.prop_map(|(flow, up, gap, length, flags, twist, doubled)| Step {
        flow,
        up,
        gap,
        length,
        flags,
        twist,
        doubled,
    });
    prop::collection::vec(step, 200..1_200)
}

/// The frame of a step, and how much of it was captured.
fn frame_of(step: &Step, number: u16, sent: &mut [u32; 12]) -> (Vec<u8>, usize) {
    let (console, server) = ([192, 168, 1, 40], [203, 0, 113, 10 + step.flow]);
    let (from, to) = if step.up { (console, server) } else { (server, console) };
    let payload = vec![number as u8 ^ 0xa5; step.length];
    let (near, far) = (50_000 + u16::from(step.flow), if step.flow == 4 { 4_789 } else { 26_503 });
    let (source, destination) = if step.up { (near, far) } else { (far, near) };
    let id = if step.flow.is_multiple_of(3) { number } else { 0 };
    let packet = if step.flow.is_multiple_of(2) {
        ipv4_between(from, to, 17, id, 0x4000, &udp(source, destination, &payload))
    } else {
        let sequence = &mut sent[usize::from(step.flow) * 2 + usize::from(step.up)];
        let segment = tcp(source, destination, *sequence, step.flags, &payload);
        *sequence = sequence.wrapping_add(step.length as u32);
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

/// What a shard says of the flows of a conversation; the long way, if packets are told of.
fn told(steps: &[Step], packets: bool) -> (Vec<String>, u64) {
    let mut shard = Shard::new(&Config { packets, ..Config::default() });
    let (mut watch, mut latency) = (Stopwatch::default(), Latency::default());
    let (mut time, mut sent) = (0, [1_000; 12]);
    for (number, step) in steps.iter().enumerate() {
        time += step.gap;
        let (bytes, kept) = frame_of(step, number as u16, &mut sent);
        for copy in 0..=i64::from(step.doubled) {
            let whole = frame_at(time + copy * 50_000, &bytes);
            let frame = Frame { length: bytes.len() as u32, data: &bytes[..kept], ..whole };
            shard.process(&frame, &mut watch, &mut latency);
        }
    }
    shard.finish(Timestamp::from_nanos(time));
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

/// A test of which the short way takes nothing would show nothing.
#[test]
fn long_flows_take_the_short_way() {
    let mut shard = Shard::new(&Config::default());
    let (mut watch, mut latency) = (Stopwatch::default(), Latency::default());
    let mut short = 0;
    for number in 0..2_000_u16 {
        let bytes = ethernet(0x0800, &ipv4(17, &udp(50_000, 26_503, &number.to_be_bytes().repeat(20))));
        let frame = frame_at(i64::from(number) * 16_000_000, &bytes);
        let plain = Plain::read(&frame).expect("a plain frame");
        let generation = shard.dissector.generation();
        short += u32::from(shard.traffic.flows.settled(&plain, frame.time, generation).is_some());
        shard.process(&frame, &mut watch, &mut latency);
    }
    assert!(short > 1_900, "{short} of 2,000");
}
