//! Memory under attack: whoever floods one shard with flows, fragments, holes, names, announcements or conversations
//! without an end, it holds no more than `docs/memory.md` says, counts what it gives up, and a console in the midst of
//! it is told of as ever.

mod floods;
mod honest;

use capture_user::flow::{self, Connection, Flow};
use capture_user::limits::Reached;
use capture_user::shard;
use honest::Honest;
use tests::allocator::{Counting, heap, watch};
use tests::bench::Bench;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Flows of the shards that are flooded.
const CAPACITY: usize = 50_000;
/// Frames of a flood from one tick of the honest console to the next.
const BETWEEN: u32 = 500;
/// What a shard takes whatever it sees: tables of a fixed size, and lists that grow with bursts of records.
const FIXED: usize = 2 << 20;
/// A flow's place in the table and in its index (a power of two of places, 7/8 of them used, 5 bytes each; while it
/// grows, two of them).
const SLOT: usize = size_of::<Option<Flow>>() + 4 + 20;

/// What a flood came to.
struct Outcome {
    /// Bytes held at the worst moment.
    peak: usize,
    reached: Reached,
    bench: Bench,
}

fn config() -> shard::Config {
    shard::Config { flows: flow::Config { capacity: CAPACITY, ..flow::Config::default() }, ..shard::Config::default() }
}

/// Sends `frames` frames of a flood, the second half of them with the honest console between, and checks what is told
/// of that.
fn flood(frames: u32, mut next: impl FnMut(&mut Bench, u32)) -> Outcome {
    let before = watch();
    let mut bench = Bench::new(&config());
    let mut honest = Honest::default();
    for number in 0..frames {
        next(&mut bench, number);
        bench.wait(5_000);
        honest.hear(bench.records());
        if number == frames / 2 {
            honest.begin(&mut bench);
        }
        if number >= frames / 2 && number % BETWEEN == 0 {
            honest.tick(&mut bench);
        }
    }
    let peak = heap().peak - before;
    bench.finish();
    honest.hear(bench.records());
    honest.check();
    let reached = bench.reached();
    eprintln!("{frames} frames: {} KiB at most; {reached:?}", peak / 1024);
    Outcome { peak, reached, bench }
}

/// Bytes that the flow table may take.
fn flows() -> usize {
    CAPACITY * SLOT + config().flows.memory()
}

#[test]
fn a_million_flows() {
    let Outcome { peak, reached, .. } = flood(1_000_000, floods::one_packet);
    assert!(peak <= CAPACITY * SLOT + FIXED, "{peak} bytes");
    assert!((1_000_000 - CAPACITY as u64..1_001_000).contains(&reached.flows_evicted), "{reached:?}");
}

/// Bytes that a flow takes in a full table, after `send` was called for each.
fn bytes_each(mut send: impl FnMut(&mut Bench, u32)) -> usize {
    let before = watch();
    let flows = flow::Config { capacity: FEW, ..flow::Config::default() };
    let mut bench = Bench::new(&shard::Config { flows, ..shard::Config::default() });
    let empty = heap().live;
    for number in 0..FEW as u32 {
        send(&mut bench, number);
        bench.records().clear();
    }
    let each = (heap().live - empty) / FEW;
    assert_eq!(bench.reached(), Reached::default(), "it fits");
    assert!(before <= empty);
    each
}

/// Bytes that the classifier keeps of all flows together: meetings and bursts.
const CLASSIFIER: usize = 128 << 10;

/// Flows whose size is measured.
const FEW: usize = 4_096;

#[test]
fn bytes_of_a_flow() {
    let ticks = |most| {
        bytes_each(move |bench, number| {
            for turn in 1..=most {
                floods::tick(bench, number, turn);
                bench.wait(1_000);
            }
        })
    };
    let (short, middle, long) = (bytes_each(floods::one_packet), ticks(8), ticks(40));
    eprintln!("bytes a flow: {short} of few packets, {middle} of eight each way, {long} of forty");
    for (kind, name) in floods::UNFINISHED.iter().enumerate() {
        let each = bytes_each(|bench, number| floods::unfinished(bench, number * 8 + kind as u32));
        eprintln!("bytes a flow: {each} with {name}");
        assert!(each <= SLOT + 4_096, "{name}: {each}");
    }
    // Tables of a fixed size, which are full by then, are spread over the flows.
    let slot = SLOT + (FIXED + CLASSIFIER) / FEW;
    assert!(short <= slot && middle <= slot + 1_024, "{short}, {middle}");
    assert!(long <= slot + flow::Config::default().each, "{long}");
}

#[test]
fn fragments_without_an_end() {
    let Outcome { peak, reached, mut bench } = flood(200_000, floods::fragment);
    assert!(peak <= (4 << 20) + 1_024 * 512 + FIXED, "{peak} bytes");
    assert!(reached.fragments_evicted + reached.fragments_timed_out > 190_000, "{reached:?}");
    floods::whole_datagram(&mut bench);
    bench.finish();
    let whole = bench.records().iter().any(|record| record.subject.dst_port == Some(26_503));
    assert!(whole, "a datagram that comes whole is put together");
}

#[test]
fn tcp_that_never_fills_its_holes() {
    let Outcome { peak, reached, .. } = flood(200_000, floods::beyond_a_hole);
    // A connection, and of each way a few dozen gaps and sizes.
    let beside = size_of::<Connection>() + 2 * 272;
    assert!(peak <= 10_000 * (2 * SLOT + beside) + (32 << 20) + FIXED, "{peak} bytes");
    assert!(reached.streams_given_up > 1_000, "{reached:?}");
    assert_eq!(reached.segments_refused, 0, "there is always room for a new stream");
}

#[test]
fn names_without_an_end() {
    let Outcome { peak, reached, .. } = flood(60_000, floods::name);
    assert!(peak <= 16_384 * 768 + FIXED, "{peak} bytes");
    assert!(reached.names_evicted > 40_000, "{reached:?}");
}

#[test]
fn announcements_without_an_end() {
    let Outcome { peak, reached, .. } = flood(4_000, floods::announcement);
    assert!(peak <= 4_096 * 4_096 + FIXED, "{peak} bytes");
    assert!(reached.expectations_evicted > 100_000, "{reached:?}");
}

#[test]
fn conversations_without_an_end() {
    let Outcome { peak, reached, .. } = flood(120_000, floods::unfinished);
    assert!(peak <= flows() + (32 << 20) + FIXED, "{peak} bytes");
    assert!(reached.flows_evicted > 60_000, "{reached:?}");
}

#[test]
fn half_messages_that_claim_much() {
    let Outcome { peak, reached, .. } = flood(20_000, floods::claim);
    assert!(peak <= flows() + FIXED, "{peak} bytes");
    assert!(reached.flows_evicted_for_memory > 15_000, "{reached:?}");
}
