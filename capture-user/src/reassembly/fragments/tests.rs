use proptest::prelude::*;

use super::*;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_nanos(1_000_000_000_000 + millis * 1_000_000)
}

fn key(id: u32) -> Key {
    Key { source: [10, 0, 0, 1].into(), destination: [10, 0, 0, 2].into(), id, protocol: Some(17) }
}

fn key6(id: u32) -> Key {
    Key { source: [1; 16].into(), destination: [2; 16].into(), id, protocol: None }
}

fn piece(key: Key, offset: u32, more: bool, bytes: &[u8]) -> Piece<'_> {
    Piece { key, protocol: 17, offset, more, bytes, length: bytes.len() as u32 }
}

/// Inserts pieces of one datagram; the datagram if they made it whole.
fn join(table: &mut Fragments, pieces: &[Piece<'_>]) -> Option<(Joined, Vec<u8>)> {
    let mut payload = Vec::new();
    let mut joined = None;
    for piece in pieces {
        joined = joined.or(table.insert(piece, at(0), &mut payload));
    }
    joined.map(|joined| (joined, payload))
}

#[test]
fn in_order_and_out_of_order() {
    let parts =
        [piece(key(1), 0, true, b"abcdefgh"), piece(key(1), 8, true, b"ijklmnop"), piece(key(1), 16, false, b"q")];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [0, 2, 1]] {
        let mut table = Fragments::default();
        let (joined, payload) = join(&mut table, &order.map(|index| parts[index])).expect("a whole datagram");
        assert_eq!(joined, Joined { fragments: 3, protocol: 17 });
        assert_eq!(payload, b"abcdefghijklmnopq");
        assert_eq!((table.waiting(), table.memory()), (0, 0));
        let counters = Counters { fragments: 3, datagrams: 1, completed: 1, ..Counters::default() };
        assert_eq!(table.counters(), counters);
    }
}

#[test]
fn datagrams_that_differ_in_anything_are_apart() {
    let mut table = Fragments::default();
    let swapped = Key { source: key(1).destination, destination: key(1).source, ..key(1) };
    for key in [key(1), key(2), swapped, Key { protocol: Some(6), ..key(1) }, key6(1)] {
        assert_eq!(join(&mut table, &[piece(key, 0, true, b"abcdefgh")]), None);
    }
    assert_eq!(table.waiting(), 5);
    assert_eq!(
        join(&mut table, &[piece(key(2), 8, false, b"x")]).map(|(_, payload)| payload),
        Some(b"abcdefghx".to_vec())
    );
}

#[test]
fn the_first_fragment_names_the_protocol() {
    let mut table = Fragments::default();
    let last = Piece { protocol: 59, ..piece(key6(1), 8, false, b"x") };
    let first = Piece { protocol: 60, ..piece(key6(1), 0, true, b"abcdefgh") };
    assert_eq!(join(&mut table, &[last, first]).map(|(joined, _)| joined.protocol), Some(60));
}

#[test]
fn teardrop_keeps_what_came_first() {
    let mut table = Fragments::default();
    let parts = [
        piece(key(1), 0, true, b"abcdefghijklmnop"),
        piece(key(1), 8, true, b"XXXXXXXXqrstuvwx"),
        piece(key(1), 16, false, b"YYYYYYYYz"),
    ];
    let (_, payload) = join(&mut table, &parts).expect("a whole datagram");
    assert_eq!(payload, b"abcdefghijklmnopqrstuvwxz");
    assert_eq!(table.counters().overlaps, 2);
}

#[test]
fn a_last_fragment_inside_another_contradicts_it() {
    let mut table = Fragments::default();
    let parts =
        [piece(key(1), 0, true, b"abcdefghijklmnop"), piece(key(1), 8, false, b"!"), piece(key(1), 16, false, b"q")];
    assert_eq!(join(&mut table, &parts).map(|(_, payload)| payload), Some(b"abcdefghijklmnopq".to_vec()));
    assert_eq!(table.counters().inconsistent, 1);
}

#[test]
fn nothing_reaches_beyond_a_known_end() {
    let mut table = Fragments::default();
    let parts = [
        piece(key(1), 8, false, b"end"),
        piece(key(1), 8, false, b"later end"),
        piece(key(1), 16, true, b"beyond it"),
        piece(key(1), 0, true, b"abcdefgh"),
    ];
    assert_eq!(join(&mut table, &parts).map(|(_, payload)| payload), Some(b"abcdefghend".to_vec()));
    assert_eq!(table.counters().inconsistent, 2);
}

#[test]
fn duplicates_count_and_change_nothing() {
    let mut table = Fragments::default();
    let first = piece(key(1), 0, true, b"abcdefgh");
    let last = piece(key(1), 8, false, b"x");
    let (joined, _) = join(&mut table, &[first, first, last, last]).expect("a whole datagram");
    assert_eq!(joined.fragments, 2);
    assert_eq!(table.counters().duplicates, 2);
    assert_eq!(table.waiting(), 0, "the late copy of the last fragment begins nothing");
}

#[test]
fn an_identification_is_free_again_after_a_while() {
    let mut table = Fragments::default();
    join(&mut table, &[piece(key(1), 0, true, b"abcdefgh"), piece(key(1), 8, false, b"x")]).expect("a whole datagram");
    table.insert(&piece(key(1), 0, true, b"ABCDEFGH"), at(101), &mut Vec::new());
    assert_eq!(table.waiting(), 1);
}

#[test]
fn lengths_that_are_no_multiple_of_eight() {
    let mut table = Fragments::default();
    let parts = [piece(key(1), 0, true, b"abcdefgh??"), piece(key(1), 8, false, b"x")];
    assert_eq!(join(&mut table, &parts).map(|(_, payload)| payload), Some(b"abcdefghx".to_vec()));
    let parts = [piece(key6(1), 0, true, b"abcdefgh??"), piece(key6(1), 8, false, b"x")];
    assert_eq!(join(&mut table, &parts), None);
    assert_eq!(table.counters().tiny, 1);
}

#[test]
fn tiny_too_large_and_snapped_fragments_are_left_out() {
    let mut table = Fragments::default();
    let snapped = Piece { length: 100, ..piece(key(1), 0, true, b"abcdefgh") };
    assert_eq!(
        join(&mut table, &[piece(key(1), 0, true, b"abc"), piece(key(1), 65_528, false, b"abcdefgh"), snapped]),
        None
    );
    let counters = Counters { fragments: 3, tiny: 1, too_large: 1, snapped: 1, ..Counters::default() };
    assert_eq!(table.counters(), counters);
    assert_eq!(table.waiting(), 0);
}

#[test]
fn the_longest_datagram_fits() {
    let mut table = Fragments::default();
    let parts = [piece(key(1), 0, true, &[1; 65_528]), piece(key(1), 65_528, false, &[2; 7])];
    assert_eq!(join(&mut table, &parts).map(|(_, payload)| payload.len()), Some(65_535));
}

#[test]
fn an_empty_last_fragment_still_ends_the_datagram() {
    let mut table = Fragments::default();
    let parts = [piece(key(1), 0, true, b"abcdefgh"), piece(key(1), 8, false, b"")];
    assert_eq!(join(&mut table, &parts).map(|(_, payload)| payload), Some(b"abcdefgh".to_vec()));
}

#[test]
fn datagrams_wait_for_the_timeout_by_the_time_on_the_wire() {
    let mut table = Fragments::default();
    let mut payload = Vec::new();
    table.insert(&piece(key(1), 0, true, b"abcdefgh"), at(0), &mut payload);
    table.insert(&piece(key(2), 0, true, b"abcdefgh"), at(30_000), &mut payload);
    assert_eq!(table.waiting(), 2);
    assert_eq!(table.insert(&piece(key(1), 8, false, b"x"), at(30_001), &mut payload), None);
    assert_eq!(table.counters().timed_out, 1);
}

#[test]
fn a_clock_set_back_keeps_nothing_for_ever() {
    let mut table = Fragments::default();
    let mut payload = Vec::new();
    table.insert(&piece(key(1), 0, true, b"abcdefgh"), at(0), &mut payload);
    table.insert(&piece(key(2), 0, true, b"abcdefgh"), at(-1_000), &mut payload);
    assert_eq!(table.waiting(), 2, "a small step is jitter");
    table.insert(&piece(key(3), 0, true, b"abcdefgh"), at(-3_600_000), &mut payload);
    assert_eq!((table.waiting(), table.counters().timed_out), (1, 2));
}

#[test]
fn a_flood_of_first_fragments_stays_under_the_cap() {
    let limits = Limits { bytes: 100_000, datagrams: 50, ..Limits::default() };
    let mut table = Fragments::new(limits);
    let mut payload = Vec::new();
    for id in 0..100_000 {
        table.insert(&piece(key(id), 0, true, &[7; 64]), at(0), &mut payload);
        assert!(table.waiting() <= 50 && table.memory() <= 100_000);
    }
    assert_eq!(table.counters().evicted, 100_000 - 50);
    // The newest are still there, and other datagrams get through.
    table.insert(&piece(key(200_000), 0, true, b"abcdefgh"), at(0), &mut payload);
    table.insert(&piece(key(200_000), 8, false, b"x"), at(0), &mut payload).expect("a whole datagram");
}

#[test]
fn a_flood_of_large_datagrams_stays_under_the_cap() {
    let mut table = Fragments::new(Limits { bytes: 200_000, ..Limits::default() });
    let mut payload = Vec::new();
    for id in 0..1_000 {
        for part in 0..30 {
            table.insert(&piece(key(id), part * 1_480, true, &[7; 1_480]), at(0), &mut payload);
            assert!(table.memory() <= 200_000);
        }
    }
    let counters = table.counters();
    assert!(counters.evicted > 900);
    assert_eq!(counters.datagrams, counters.evicted + counters.overflowed + table.waiting() as u64);
}

#[test]
fn a_datagram_in_too_many_runs_or_too_large_alone_is_given_up() {
    let mut table = Fragments::new(Limits { runs: 8, ..Limits::default() });
    let mut payload = Vec::new();
    for part in 0..9 {
        table.insert(&piece(key(1), part * 16, true, b"abcdefgh"), at(0), &mut payload);
    }
    assert_eq!((table.waiting(), table.counters().overflowed), (0, 1));
    let mut table = Fragments::new(Limits { bytes: 1_000, ..Limits::default() });
    table.insert(&piece(key(1), 0, true, &[1; 2_000]), at(0), &mut payload);
    assert_eq!((table.waiting(), table.memory(), table.counters().overflowed), (0, 0, 1));
}

/// A datagram cut at multiples of eight bytes: `(offset, more, bytes)`.
fn cut(payload: &[u8], cuts: &[usize]) -> Vec<(u32, bool, Vec<u8>)> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut * 8).filter(|cut| *cut < payload.len()).collect();
    places.extend([0, payload.len()]);
    places.sort_unstable();
    places.dedup();
    let piece = |pair: &[usize]| (pair[0] as u32, pair[1] < payload.len(), payload[pair[0]..pair[1]].to_vec());
    places.windows(2).map(piece).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_cutting_in_any_order_with_duplicates_joins_to_the_same(
        payload in prop::collection::vec(any::<u8>(), 9..3_000),
        cuts in prop::collection::vec(1_usize..375, 1..60),
        order in prop::collection::vec(any::<usize>(), 1..200),
    ) {
        let parts = cut(&payload, &cuts);
        let mut sequence: Vec<usize> = order.iter().map(|value| value % parts.len()).collect();
        sequence.extend(0..parts.len());
        let mut table = Fragments::default();
        let (mut joined, mut bytes, mut used) = (None, Vec::new(), std::collections::HashSet::new());
        for index in sequence {
            let (offset, more, part) = &parts[index];
            if joined.is_none() {
                used.insert(index);
            }
            joined = joined.or(table.insert(&piece(key(1), *offset, *more, part), at(0), &mut bytes));
        }
        prop_assume!(parts.len() > 1);
        prop_assert_eq!(joined, Some(Joined { fragments: parts.len() as u32, protocol: 17 }));
        prop_assert_eq!(used.len(), parts.len());
        prop_assert_eq!(bytes, payload);
        prop_assert_eq!((table.waiting(), table.memory()), (0, 0));
    }

    #[test]
    fn whatever_comes_is_accounted_for(
        pieces in prop::collection::vec(
            (0_u32..6, 0_u32..9_000, any::<bool>(), 0_usize..3_000, any::<bool>(), -40_000_i64..40_000), 1..200),
    ) {
        let limits = Limits { bytes: 20_000, datagrams: 4, runs: 8, ..Limits::default() };
        let mut table = Fragments::new(limits);
        let (mut payload, bytes) = (Vec::new(), [0x5a; 3_000]);
        for (id, offset, more, length, v6, time) in pieces {
            let key = if v6 { key6(id) } else { key(id) };
            if let Some(joined) = table.insert(&piece(key, offset * 8, more, &bytes[..length]), at(time), &mut payload) {
                prop_assert!(payload.iter().all(|byte| *byte == 0x5a) && joined.fragments > 0);
            }
            prop_assert!(table.memory() <= limits.bytes && table.waiting() <= limits.datagrams);
            let c = table.counters();
            prop_assert_eq!(c.datagrams, c.completed + c.timed_out + c.evicted + c.overflowed + table.waiting() as u64);
        }
    }
}
