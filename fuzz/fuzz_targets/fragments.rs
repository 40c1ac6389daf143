//! Fragments of any place, length and time. Every byte has the value its place gives it, so that a datagram made whole
//! can be checked; memory stays under the cap and every datagram is accounted for.

#![no_main]

use std::time::Duration;

use capture_user::reassembly::fragments::{Fragments, Key, Limits, Piece};
use capture_user::time::Timestamp;
use libfuzzer_sys::fuzz_target;
use padtap_fuzz::clock;

const LIMITS: Limits = Limits { bytes: 40_000, datagrams: 4, runs: 8, timeout: Duration::from_secs(30) };

/// The byte at each place of every datagram.
static PATTERN: [u8; 70_000] = {
    let mut bytes = [0; 70_000];
    let mut place = 0;
    while place < bytes.len() {
        bytes[place] = (place % 251) as u8;
        place += 1;
    }
    bytes
};

fuzz_target!(|bytes: &[u8]| {
    let (mut table, mut payload, mut time) = (Fragments::new(LIMITS), Vec::new(), Timestamp::default());
    for &[flags, place, high, low, step] in bytes.as_chunks::<5>().0 {
        let offset = u32::from(u16::from_be_bytes([place, flags & 0xe0])) / 4 * 8;
        let length = u16::from_be_bytes([high & 0x0f, low]);
        let is_v6 = flags & 1 == 1;
        let key = Key {
            source: [10, 0, 0, 1].into(),
            destination: [10, 0, 0, 2].into(),
            id: u32::from(flags >> 1 & 7),
            protocol: (!is_v6).then_some(17),
        };
        let start = (offset as usize).min(PATTERN.len());
        let part = &PATTERN[start..(start + usize::from(length)).min(PATTERN.len())];
        let piece = Piece { key, protocol: 17, offset, more: flags & 16 == 0, bytes: part, length: u32::from(length) };
        time = clock::after(time, step);
        if table.insert(&piece, time, &mut payload).is_some() {
            assert_eq!(payload, PATTERN[..payload.len()]);
        }
        assert!(table.memory() <= LIMITS.bytes && table.waiting() <= LIMITS.datagrams);
        let counters = table.counters();
        let ended = counters.completed + counters.timed_out + counters.evicted + counters.overflowed;
        assert_eq!(counters.datagrams, ended + table.waiting() as u64);
    }
});
