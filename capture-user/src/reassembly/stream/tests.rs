use proptest::prelude::*;

use super::*;

/// A consumer that writes down what it gets: the bytes it consumed, with `~n~` where `n` were lost.
#[derive(Default)]
struct Reader {
    text: Vec<u8>,
    offered: Vec<Vec<u8>>,
    /// How many bytes it leaves unread at most.
    leaves: usize,
}

impl Reader {
    fn take(&mut self, delivery: Delivery<'_>) -> Take {
        match delivery {
            Delivery::Bytes(bytes) => {
                self.offered.push(bytes.to_vec());
                let count = bytes.len().saturating_sub(self.leaves);
                self.text.extend_from_slice(&bytes[..count]);
                Take::Consumed(count)
            }
            Delivery::Gap(length) => {
                self.text.extend(format!("~{length}~").bytes());
                Take::Consumed(0)
            }
        }
    }
}

/// A stream, its shard and its reader.
struct Bench {
    stream: Stream,
    shared: Streams,
    reader: Reader,
}

impl Bench {
    fn new(limits: Limits) -> Self {
        Self { stream: Stream::default(), shared: Streams::new(limits), reader: Reader::default() }
    }

    fn segment(&mut self, segment: &Segment<'_>) -> Arrival {
        self.stream.push(segment, &mut self.shared, |delivery| self.reader.take(delivery))
    }

    fn push(&mut self, sequence: u32, bytes: &[u8]) -> Arrival {
        self.segment(&data(sequence, bytes))
    }

    fn syn(&mut self, sequence: u32) -> Arrival {
        self.segment(&Segment { syn: true, ..data(sequence, b"") })
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.reader.text).expect("text")
    }
}

fn bench() -> Bench {
    Bench::new(Limits::default())
}

fn data(sequence: u32, bytes: &[u8]) -> Segment<'_> {
    Segment { sequence, syn: false, fin: false, bytes, length: bytes.len() as u32 }
}

#[test]
fn in_order_bytes_go_through_uncopied_and_nothing_is_held() {
    let mut bench = bench();
    assert_eq!(bench.syn(999), Arrival::Empty);
    let bytes = b"hello".to_vec();
    let address = bytes.as_ptr();
    let arrival = bench.stream.push(&data(1_000, &bytes), &mut bench.shared, |delivery| {
        assert!(matches!(delivery, Delivery::Bytes(bytes) if bytes.as_ptr() == address));
        Take::Consumed(5)
    });
    assert_eq!(arrival, Arrival::New);
    assert_eq!(bench.push(1_005, b" you"), Arrival::New);
    assert!(bench.stream.held.is_none());
    assert_eq!((bench.text(), bench.shared.memory()), (" you", 0));
}

#[test]
fn a_stream_is_small() {
    assert!(size_of::<Stream>() <= 40);
}

#[test]
fn data_on_the_syn_begins_after_it() {
    let mut bench = bench();
    bench.segment(&Segment { syn: true, ..data(u32::MAX, b"fast") });
    assert_eq!(bench.push(4, b" open"), Arrival::New);
    assert_eq!(bench.text(), "fast open");
}

#[test]
fn without_a_syn_it_begins_at_the_first_payload() {
    let mut bench = bench();
    assert_eq!(bench.segment(&data(77, b"")), Arrival::Empty);
    assert_eq!(bench.push(500, b"mid"), Arrival::New);
    assert_eq!(bench.push(100, b"before"), Arrival::Retransmission);
    assert_eq!(bench.text(), "mid");
}

#[test]
fn unread_bytes_come_again_in_front() {
    let mut bench = bench();
    bench.reader.leaves = 2;
    bench.push(0, b"abcd");
    bench.push(4, b"ef");
    assert_eq!(bench.reader.offered, [b"abcd".to_vec(), b"cdef".to_vec()]);
    assert!(bench.shared.memory() > 0);
    bench.reader.leaves = 0;
    bench.push(6, b"g");
    assert_eq!((bench.text(), bench.shared.memory()), ("abcdefg", 0));
}

#[test]
fn a_hole_is_filled() {
    let mut bench = bench();
    bench.push(0, b"ab");
    assert_eq!(bench.push(4, b"ef"), Arrival::OutOfOrder);
    assert_eq!(bench.push(4, b"ef"), Arrival::Retransmission);
    assert_eq!(bench.push(8, b"ij"), Arrival::OutOfOrder);
    assert_eq!(bench.push(6, b"gh"), Arrival::OutOfOrder);
    assert_eq!(bench.text(), "ab");
    assert_eq!(bench.push(2, b"cd"), Arrival::New);
    assert_eq!((bench.text(), bench.shared.memory()), ("abcdefghij", 0));
    assert_eq!(bench.shared.counters().out_of_order, 3);
}

#[test]
fn the_first_copy_of_a_byte_stays() {
    let mut bench = bench();
    bench.push(0, b"ab");
    assert_eq!(bench.push(1, b"Xc"), Arrival::Overlap);
    bench.push(5, b"fg");
    assert_eq!(bench.push(4, b"eXXh"), Arrival::Overlap);
    assert_eq!(bench.push(3, b"dYYYYYi"), Arrival::New);
    assert_eq!(bench.text(), "abcdefghYi");
}

#[test]
fn sequence_numbers_wrap() {
    let mut bench = bench();
    bench.syn(u32::MAX - 3);
    bench.push(2, b"fg");
    bench.push(u32::MAX - 2, b"abcde");
    assert_eq!(bench.text(), "abcdefg");
    assert_eq!(bench.push(u32::MAX - 2, b"abc"), Arrival::Retransmission);
}

#[test]
fn keep_alives_and_strays_are_no_data() {
    let mut bench = bench();
    bench.push(100, b"abc");
    assert_eq!(bench.push(102, b"\0"), Arrival::KeepAlive);
    assert_eq!(bench.push(102, b""), Arrival::KeepAlive);
    assert_eq!(bench.push(103, b""), Arrival::Empty);
    assert_eq!(bench.push(100 + (1 << 30) + 4, b"far"), Arrival::Outside);
    assert_eq!(bench.push(103, b"d"), Arrival::New);
    assert_eq!(bench.text(), "abcd");
}

#[test]
fn what_the_other_side_has_was_lost_to_us_alone() {
    let mut bench = bench();
    bench.push(0, b"ab");
    bench.push(10, b"kl");
    bench.push(20, b"uv");
    for (acknowledged, text) in [(2, "ab"), (9, "ab"), (12, "ab~8~kl"), (22, "ab~8~kl~8~uv")] {
        bench.stream.acknowledge(acknowledged, &mut bench.shared, |delivery| bench.reader.take(delivery));
        assert_eq!(bench.text(), text);
    }
    assert_eq!((bench.shared.memory(), bench.shared.counters().gap_bytes), (0, 16));
}

#[test]
fn a_gap_drops_what_was_unread() {
    let mut bench = bench();
    bench.reader.leaves = 1;
    bench.push(0, b"ab");
    bench.push(4, b"ef");
    bench.stream.acknowledge(6, &mut bench.shared, |delivery| bench.reader.take(delivery));
    assert_eq!(bench.text(), "a~2~e");
}

#[test]
fn a_hole_is_skipped_when_patience_ends() {
    let mut bench = Bench::new(Limits { patience: 3, ..Limits::default() });
    bench.push(0, b"a");
    for sequence in 2..5 {
        bench.push(sequence, b"x");
        assert_eq!(bench.text(), "a");
    }
    bench.push(5, b"y");
    assert_eq!(bench.text(), "a~1~xxxy");
}

#[test]
fn a_hole_is_skipped_when_too_much_waits_behind_it() {
    let mut bench = Bench::new(Limits { ahead: 2_000, ..Limits::default() });
    bench.push(0, b"a");
    for part in 0..3 {
        bench.push(2 + part * 1_000, &[b'x'; 1_000]);
    }
    assert_eq!(bench.reader.text.len(), 1 + 3 + 3_000);
    let mut bench = Bench::new(Limits { runs: 2, ..Limits::default() });
    for place in 0..4 {
        bench.push(place * 4, b"z");
    }
    assert_eq!(bench.text(), "z~3~z");
}

#[test]
fn bytes_that_were_not_captured_are_a_gap() {
    let mut bench = bench();
    bench.segment(&Segment { length: 10, ..data(0, b"abcd") });
    assert_eq!(bench.push(10, b"k"), Arrival::New);
    bench.push(21, b"v");
    bench.segment(&Segment { length: 12, ..data(11, b"l") });
    assert_eq!(bench.text(), "abcd~6~kl~9~v~1~");
    bench.segment(&Segment { length: 5, ..data(30, b"") });
    assert_eq!(bench.shared.memory(), 0);
}

#[test]
fn the_end_is_reached_in_order() {
    let mut bench = bench();
    bench.push(0, b"ab");
    bench.segment(&Segment { fin: true, ..data(4, b"ef") });
    assert!(!bench.stream.is_closed());
    assert_eq!(bench.push(4, b"efgh"), Arrival::Outside);
    bench.push(2, b"cd");
    assert!(bench.stream.is_closed());
    assert_eq!(bench.text(), "abcdef");
    assert_eq!(bench.push(2, b"cd"), Arrival::Retransmission);
    bench.syn(70_000);
    assert_eq!(bench.push(70_001, b" again"), Arrival::New);
    assert_eq!(bench.text(), "abcdef again");
}

#[test]
fn finishing_delivers_what_waits() {
    let mut bench = bench();
    bench.push(0, b"ab");
    bench.push(4, b"ef");
    bench.stream.finish(&mut bench.shared, |delivery| bench.reader.take(delivery));
    assert_eq!((bench.text(), bench.shared.memory()), ("ab~2~ef", 0));
    assert!(bench.stream.is_closed());
}

#[test]
fn a_consumer_that_is_done_frees_everything_and_arrivals_are_still_told() {
    let mut bench = bench();
    bench.reader.leaves = 9;
    bench.push(0, b"abc");
    bench.push(6, b"ghi");
    let done = bench.stream.push(&data(3, b"d"), &mut bench.shared, |_| Take::Done);
    assert_eq!((done, bench.shared.memory(), bench.stream.is_reading()), (Arrival::New, 0, false));
    assert_eq!(bench.push(4, b"ef"), Arrival::New);
    assert_eq!(bench.push(2, b"cdef"), Arrival::Retransmission);
    assert_eq!(bench.push(4, b"efgh"), Arrival::Overlap);
    assert_eq!(bench.push(20, b"x"), Arrival::OutOfOrder);
    assert_eq!(bench.text(), "");
}

#[test]
fn a_consumer_that_never_consumes_is_given_up() {
    let mut bench = bench();
    bench.reader.leaves = usize::MAX;
    for part in 0..50 {
        bench.push(part * 1_460, &[b'x'; 1_460]);
        assert!(bench.shared.memory() < 2 * (64 << 10));
    }
    assert_eq!(bench.shared.counters().given_up, 1);
    assert_eq!((bench.stream.is_reading(), bench.shared.memory()), (false, 0));
}

#[test]
fn endless_holes_on_many_streams_stay_under_the_cap() {
    let limits = Limits { bytes: 1 << 20, ..Limits::default() };
    let mut shared = Streams::new(limits);
    let mut streams: Vec<Stream> = (0..5_000).map(|_| Stream::default()).collect();
    for round in 0..20_u32 {
        for stream in &mut streams {
            stream.push(&data(round * 200, &[1; 100]), &mut shared, |_| Take::Consumed(usize::MAX));
            assert!(shared.memory() <= limits.bytes);
        }
    }
    assert!(shared.counters().refused > 10_000);
    // A stream that comes in order needs none of the budget.
    let mut bench = Bench { stream: Stream::default(), shared, reader: Reader::default() };
    bench.push(0, b"still ");
    bench.push(6, b"here");
    assert_eq!(bench.text(), "still here");
    drop(streams);
    assert_eq!(bench.shared.memory(), 0, "streams give back what they held");
}

#[test]
fn a_refused_segment_becomes_a_gap_or_comes_again() {
    let mut bench = Bench::new(Limits { bytes: 300, ..Limits::default() });
    bench.push(0, b"a");
    bench.push(2, b"c");
    assert_eq!(bench.push(4, b"e"), Arrival::OutOfOrder);
    assert_eq!(bench.shared.counters().refused, 1);
    bench.push(1, b"b");
    assert_eq!(bench.push(3, b"d"), Arrival::New);
    assert_eq!(bench.push(4, b"e"), Arrival::New);
    assert_eq!(bench.text(), "abcde");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The oracle is the payload itself: whatever the cutting, the order and the repetitions.
    #[test]
    fn any_segmentation_delivers_the_stream(
        payload in prop::collection::vec(any::<u8>(), 1..2_000),
        strays in prop::collection::vec((any::<prop::sample::Index>(), 1_usize..400), 0..30),
        cuts in prop::collection::vec(1_usize..200, 10..20),
        order in any::<u64>(),
        first in any::<u32>(),
        leaves in 0_usize..50,
    ) {
        let mut parts: Vec<(usize, usize)> = Vec::new();
        let mut at = 0;
        for cut in cuts.iter().cycle() {
            let end = (at + cut).min(payload.len());
            parts.push((at, end));
            at = end;
            if at == payload.len() { break; }
        }
        for (index, length) in strays {
            let start = index.index(payload.len());
            parts.push((start, (start + length).min(payload.len())));
        }
        shuffle(&mut parts, order);
        let mut bench = Bench::new(Limits { runs: 1_000, patience: 1_000, ..Limits::default() });
        bench.reader.leaves = leaves;
        bench.syn(first);
        for (start, end) in parts {
            let sequence = first.wrapping_add(1).wrapping_add(start as u32);
            bench.push(sequence, &payload[start..end]);
        }
        prop_assert_eq!(bench.shared.counters().gaps, 0);
        prop_assert_eq!(bench.shared.counters().bytes, payload.len() as u64);
        bench.reader.leaves = 0;
        let end = first.wrapping_add(1).wrapping_add(payload.len() as u32);
        bench.segment(&Segment { fin: true, ..data(end, b"!") });
        prop_assert_eq!(bench.reader.text.split_last(), Some((&b'!', &payload[..])));
        prop_assert_eq!(bench.shared.memory(), 0);
        prop_assert!(bench.stream.is_closed());
    }

    /// Whatever comes: gaps and bytes together are the way that was made, and memory stays under the cap.
    #[test]
    fn nothing_is_lost_unseen(
        segments in prop::collection::vec(
            (0_u32..60_000, 0_usize..1_500, 0_usize..3, any::<bool>(), any::<bool>()), 1..120),
        leaves in 0_usize..200,
    ) {
        let limits = Limits { bytes: 20_000, unread: 100, ahead: 4_000, runs: 4, patience: 5 };
        let mut bench = Bench::new(limits);
        let (bytes, mut seen, mut left) = ([7; 1_500], 0_u64, leaves);
        bench.syn(u32::MAX - 30_000);
        let begin = bench.stream.next;
        for (place, length, snapped, acknowledges, _) in segments {
            let sequence = (u32::MAX - 29_999).wrapping_add(place);
            let segment = Segment { length: (length + snapped * 50) as u32, ..data(sequence, &bytes[..length]) };
            let mut take = |delivery: Delivery<'_>| match delivery {
                Delivery::Bytes(bytes) => Take::Consumed(bytes.len().saturating_sub(left)),
                Delivery::Gap(length) => { seen += u64::from(length); Take::Consumed(0) }
            };
            if acknowledges {
                bench.stream.acknowledge(sequence, &mut bench.shared, &mut take);
            } else {
                bench.stream.push(&segment, &mut bench.shared, &mut take);
            }
            left = (left * 7 + 3) % 200;
            prop_assert!(bench.shared.memory() <= limits.bytes);
            let counters = bench.shared.counters();
            prop_assert_eq!(counters.gap_bytes, seen);
            if bench.stream.is_reading() {
                prop_assert_eq!(bench.stream.next - begin, counters.bytes + counters.gap_bytes);
            }
        }
        bench.stream.finish(&mut bench.shared, |_| Take::Consumed(usize::MAX));
        prop_assert_eq!(bench.shared.memory(), 0);
    }
}

/// Fisher and Yates' shuffle by a small generator, so that one number gives the order.
fn shuffle<T>(items: &mut [T], mut seed: u64) {
    for index in (1..items.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(index, (seed >> 33) as usize % (index + 1));
    }
}
