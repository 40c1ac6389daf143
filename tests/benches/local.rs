//! Local work, one thing at a time, to compare one change with another on a quiet machine: `cargo bench -p tests`.

use std::hint::black_box;
use std::sync::Arc;

use capture_user::dissect::{Dissector, Packet, Settings};
use capture_user::flow::EndReason;
use capture_user::flow::{CommunityId, Config, Table};
use capture_user::latency::{Latency, Stopwatch};
use capture_user::output::lines::Encode;
use capture_user::output::ndjson::Ndjson;
use capture_user::shard::{self, Shard};
use capture_user::source::{Frame, LinkType};
use capture_user::time::Timestamp;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};

const CONSOLE: &str = "bc:60:a7:00:00:40";
const GATEWAY: &str = "02:00:00:00:00:01";

/// A tick of a game, from one of many consoles.
fn tick(host: u32) -> Vec<u8> {
    let [_, a, b, c] = host.to_be_bytes();
    let frame = tests::frame::Frame::ethernet(CONSOLE, GATEWAY).ipv4(&format!("10.{a}.{b}.{c}"), "198.51.100.7");
    frame.udp(3074, 30_000).payload(120).build()
}

/// The same in a VLAN, which takes the longer way through the headers if the tag is doubled.
fn tagged() -> Vec<u8> {
    let frame = tests::frame::Frame::ethernet(CONSOLE, GATEWAY).tag(0x88a8, 7).tag(0x8100, 12);
    frame.ipv4("10.0.0.40", "198.51.100.7").udp(3074, 30_000).payload(120).build()
}

/// Frames of the same bytes, `gap` nanoseconds apart.
struct Clock {
    number: u64,
    gap: i64,
}

impl Clock {
    fn frame<'a>(&mut self, data: &'a [u8]) -> Frame<'a> {
        self.number += 1;
        let time = Timestamp::from_nanos(self.number as i64 * self.gap);
        let length = data.len() as u32;
        Frame { number: self.number, time, length, link: LinkType::Ethernet, interface: 0, data }
    }
}

fn walk(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("headers");
    // Copies would be recognised, which is not what is measured here.
    let settings = Settings { duplicate_window: std::time::Duration::ZERO, ..Settings::default() };
    for (name, data) in [("plain", tick(1)), ("two tags", tagged())] {
        let (mut dissector, mut clock) = (Dissector::new(&settings), Clock { number: 0, gap: 1_000_000 });
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let mut packet = Packet::default();
                dissector.read(&clock.frame(&data), &mut packet);
                black_box(packet.payload_length)
            });
        });
    }
}

/// A packet of a flow that has long begun, among so many others.
fn established(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("established flow");
    for flows in [1_u32, 10_000] {
        let frames: Vec<_> = (0..flows).map(tick).collect();
        let (mut shard, mut watch, mut latency) =
            (Shard::new(&shard::Config::default()), Stopwatch::default(), Latency::default());
        let mut clock = Clock { number: 0, gap: 16_000_000 / i64::from(flows) };
        let mut turn = 0;
        group.bench_function(BenchmarkId::new("flows", flows), |bencher| {
            bencher.iter(|| {
                turn = (turn + 1) % frames.len();
                shard.process(&clock.frame(&frames[turn]), &mut watch, &mut latency);
                if shard.records().len() > 1_000 {
                    shard.records().clear();
                }
            });
        });
    }
}

fn records(criterion: &mut Criterion) {
    let data = tick(1);
    let mut clock = Clock { number: 0, gap: 16_000_000 };
    let (mut table, mut dissector) = (Table::new(Config::default()), Dissector::new(&Settings::default()));
    let frame = clock.frame(&data);
    let packet = dissector.dissect(&frame);
    let mut key = None;
    if let Some((flow, _)) = table.observe(&packet, &frame, &mut |_, _: EndReason| {}) {
        key = Some(*flow.key());
    }
    if let Some(key) = key {
        criterion.bench_function("Community ID", |bencher| bencher.iter(|| CommunityId::of(black_box(&key))));
    }
    let mut shard = Shard::new(&shard::Config::default());
    let (mut watch, mut latency) = (Stopwatch::default(), Latency::default());
    for _ in 0..20 {
        shard.process(&clock.frame(&data), &mut watch, &mut latency);
    }
    shard.finish(Timestamp::from_nanos(1_000_000_000));
    let Some(record) = shard.records().iter().find(|record| record.kind == "flow") else { return };
    let (mut encoder, mut line) = (Ndjson::new(Arc::from("bench")), Vec::new());
    criterion.bench_function("flow record as NDJSON", |bencher| {
        bencher.iter(|| {
            line.clear();
            encoder.encode(record, &mut line).map(|()| line.len())
        });
    });
}

criterion_group!(local, walk, established, records);
criterion_main!(local);
