//! The rings a socket shares with the kernel: one side produces, the other consumes, each owns one index.
//!
//! ```text
//!            consumer            producer        free-running u32 counters; slot = counter & (size - 1)
//!               v                   v
//!   |   free   | d0 | d1 | d2 | d3 |   free  |   entries published = producer - consumer (wrapping)
//! ```
//! The producer writes entries, then stores its index with release; the consumer loads that index with acquire, reads,
//! then stores its own with release, which hands the slots back (`net/xdp/xsk_queue.h` has the kernel's half).
//! Each side keeps the other's index cached and looks again only when the cached one does not suffice, so that the
//! cache line which the other side writes is not fetched for every entry.
//!
//! Both halves are here: padtap consumes RX and produces fill. The kernel's halves, played by the same code on heap
//! memory, are what `mock` gives to tests, Miri and proptest.
#![allow(unsafe_code, reason = "indices and entries live in memory that the kernel writes as well")]

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use memmap2::MmapRaw;
use rustix::net::xdp::{XdpDesc, XdpRingFlags};

#[cfg(test)]
pub(crate) mod mock;

/// Memory that somebody outside Rust's rules (the kernel) also reads and writes.
///
/// # Safety
/// `base()..base() + size()` stays mapped, in place and writable as long as `self` lives, and nobody ever makes a Rust
/// reference to the whole of it.
pub unsafe trait Memory: Send + Sync {
    /// Its first byte.
    fn base(&self) -> NonNull<u8>;
    /// How many bytes.
    fn size(&self) -> usize;
}

// SAFETY: the mapping lives until the MmapRaw is dropped, never moves, and MmapRaw makes no references of its own.
unsafe impl Memory for MmapRaw {
    fn base(&self) -> NonNull<u8> {
        NonNull::new(self.as_mut_ptr()).expect("mmap never returns null")
    }

    fn size(&self) -> usize {
        MmapRaw::len(self)
    }
}

/// What may lie in a ring: plain numbers, valid for every bit pattern, since the kernel writes them.
///
/// # Safety
/// Every bit pattern is a value of the type.
pub unsafe trait Entry: Copy + Send + 'static {}

// SAFETY: every u64 is a u64: the entries of the fill ring.
unsafe impl Entry for u64 {}
// SAFETY: `repr(C)` of u64, u32 and a transparent u32: the entries of the RX ring.
unsafe impl Entry for XdpDesc {}

/// Where the parts of one ring lie in its mapping, in bytes (XDP_MMAP_OFFSETS).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offsets {
    /// The producer's index.
    pub producer: usize,
    /// The consumer's index.
    pub consumer: usize,
    /// The flags word.
    pub flags: usize,
    /// The first entry.
    pub entries: usize,
}

/// What both sides see.
struct Shared<T> {
    producer: NonNull<AtomicU32>,
    consumer: NonNull<AtomicU32>,
    flags: NonNull<AtomicU32>,
    entries: NonNull<T>,
    size: u32,
    /// Keeps the pointers valid.
    _memory: Arc<dyn Memory>,
}

// SAFETY: the pointers lead into `_memory`, which is Send and lives as long; the indices are atomics, and the entries
// are handed from one side to the other by them.
unsafe impl<T: Entry> Send for Shared<T> {}

impl<T: Entry> Shared<T> {
    /// # Panics
    /// When `size` is no power of two or a part does not lie, aligned, in the memory: the kernel chose the offsets, so
    /// that this would be a broken kernel or a broken caller.
    fn new(memory: Arc<dyn Memory>, offsets: Offsets, size: u32) -> Self {
        assert!(size.is_power_of_two(), "a ring of {size} entries");
        Self {
            producer: part(&*memory, offsets.producer, 1),
            consumer: part(&*memory, offsets.consumer, 1),
            flags: part(&*memory, offsets.flags, 1),
            entries: part(&*memory, offsets.entries, size as usize),
            size,
            _memory: memory,
        }
    }

    fn producer(&self) -> &AtomicU32 {
        // SAFETY: `part` checked place and alignment; the word is only ever used as an atomic.
        unsafe { self.producer.as_ref() }
    }

    fn consumer(&self) -> &AtomicU32 {
        // SAFETY: as for `producer`.
        unsafe { self.consumer.as_ref() }
    }

    fn flags(&self) -> &AtomicU32 {
        // SAFETY: as for `producer`.
        unsafe { self.flags.as_ref() }
    }

    /// Where the entry of a free-running index lies.
    fn slot(&self, index: u32) -> NonNull<T> {
        // SAFETY: masking keeps it below `size`, and `part` checked that `size` entries lie in the memory.
        unsafe { self.entries.add((index & (self.size - 1)) as usize) }
    }
}

/// `count` values of `T` at `offset` of `memory`.
fn part<T>(memory: &dyn Memory, offset: usize, count: usize) -> NonNull<T> {
    let end = count.checked_mul(size_of::<T>()).and_then(|bytes| bytes.checked_add(offset));
    assert!(end.is_some_and(|end| end <= memory.size()), "a ring part at {offset} is outside its mapping");
    // SAFETY: `offset` is within the memory.
    let pointer = unsafe { memory.base().add(offset) }.cast::<T>();
    assert!(pointer.is_aligned(), "a ring part at {offset} is not aligned");
    pointer
}

/// The side that writes entries.
pub struct Producer<T> {
    ring: Shared<T>,
    /// Our index: the next slot to write.
    next: u32,
    /// The consumer's index when last looked at.
    consumed: u32,
}

impl<T: Entry> Producer<T> {
    /// The producing side of the ring of `size` entries in `memory`.
    ///
    /// # Safety
    /// There is no other producer of this ring, and the memory at `offsets` is used as this ring and nothing else.
    pub unsafe fn new(memory: Arc<dyn Memory>, offsets: Offsets, size: u32) -> Self {
        let ring = Shared::new(memory, offsets, size);
        let next = ring.producer().load(Ordering::Relaxed);
        let consumed = ring.consumer().load(Ordering::Acquire);
        Self { ring, next, consumed }
    }

    /// Writes what `next` yields until it yields nothing, `max` are written, or the ring is full; publishes them
    /// together and says how many.
    pub fn produce(&mut self, max: u32, mut next: impl FnMut() -> Option<T>) -> u32 {
        let room = self.room(max);
        let mut made = 0;
        while made < room {
            let Some(entry) = next() else { break };
            let slot = self.ring.slot(self.next.wrapping_add(made));
            // SAFETY: `room` says that the consumer has handed this slot back (acquire in `room`), and it does not look
            // at it again before the index below is published; there is no other producer.
            unsafe { slot.write(entry) };
            made += 1;
        }
        if made > 0 {
            self.next = self.next.wrapping_add(made);
            self.ring.producer().store(self.next, Ordering::Release);
        }
        made
    }

    /// How many of `wanted` entries fit now.
    fn room(&mut self, wanted: u32) -> u32 {
        if self.free() < wanted {
            self.consumed = self.ring.consumer().load(Ordering::Acquire);
        }
        self.free().min(wanted)
    }

    /// Free slots as far as the cached index tells; none where the consumer's index makes no sense.
    fn free(&self) -> u32 {
        self.ring.size.saturating_sub(self.next.wrapping_sub(self.consumed))
    }

    /// Whether the kernel sleeps until it is told that there are new entries (XDP_RING_NEED_WAKEUP).
    pub fn needs_wakeup(&self) -> bool {
        self.ring.flags().load(Ordering::Relaxed) & XdpRingFlags::XDP_RING_NEED_WAKEUP.bits() != 0
    }
}

/// The side that reads entries.
pub struct Consumer<T> {
    ring: Shared<T>,
    /// Our index: the next slot to read.
    next: u32,
    /// The producer's index when last looked at.
    produced: u32,
}

impl<T: Entry> Consumer<T> {
    /// The consuming side of the ring of `size` entries in `memory`.
    ///
    /// # Safety
    /// There is no other consumer of this ring, and the memory at `offsets` is used as this ring and nothing else.
    pub unsafe fn new(memory: Arc<dyn Memory>, offsets: Offsets, size: u32) -> Self {
        let ring = Shared::new(memory, offsets, size);
        let next = ring.consumer().load(Ordering::Relaxed);
        let produced = ring.producer().load(Ordering::Acquire);
        Self { ring, next, produced }
    }

    /// Gives at most `max` entries to `each`, hands their slots back together, and says how many.
    pub fn consume(&mut self, max: u32, mut each: impl FnMut(T)) -> u32 {
        let count = self.ready(max);
        for offset in 0..count {
            let slot = self.ring.slot(self.next.wrapping_add(offset));
            // SAFETY: `ready` says that the producer has published this entry (acquire), and it does not write to it
            // again before the index below is published; any bit pattern is an `Entry`.
            each(unsafe { slot.read() });
        }
        if count > 0 {
            self.next = self.next.wrapping_add(count);
            self.ring.consumer().store(self.next, Ordering::Release);
        }
        count
    }

    /// Whether there is nothing to consume now.
    pub fn is_empty(&mut self) -> bool {
        self.ready(1) == 0
    }

    /// How many of `wanted` entries are there now; never more than the ring has slots, whatever the producer's index.
    fn ready(&mut self, wanted: u32) -> u32 {
        if self.produced.wrapping_sub(self.next) < wanted {
            self.produced = self.ring.producer().load(Ordering::Acquire);
        }
        self.produced.wrapping_sub(self.next).min(self.ring.size).min(wanted)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::mock::{corrupt_consumer, corrupt_producer, ring, set_needs_wakeup};
    use super::*;

    fn feed(producer: &mut Producer<u64>, max: u32, items: &mut VecDeque<u64>) -> u32 {
        producer.produce(max, || items.pop_front())
    }

    fn drain(consumer: &mut Consumer<u64>, max: u32) -> Vec<u64> {
        let mut out = Vec::new();
        let count = consumer.consume(max, |entry| out.push(entry));
        assert_eq!(count as usize, out.len());
        out
    }

    #[test]
    fn a_full_ring_takes_no_more_and_loses_nothing() {
        let (mut producer, mut consumer) = ring::<u64>(4, 0);
        let mut items: VecDeque<u64> = (0..6).collect();
        assert_eq!(feed(&mut producer, 6, &mut items), 4);
        assert_eq!(items, [4, 5]);
        assert_eq!(feed(&mut producer, 6, &mut items), 0);
        assert_eq!(drain(&mut consumer, 3), [0, 1, 2]);
        assert_eq!(feed(&mut producer, 6, &mut items), 2);
        assert_eq!(drain(&mut consumer, 64), [3, 4, 5]);
        assert!(consumer.is_empty());
    }

    #[test]
    fn indices_wrap_past_two_to_the_32() {
        let (mut producer, mut consumer) = ring::<u64>(8, u32::MAX - 2);
        for round in 0..4 {
            let mut items: VecDeque<u64> = (round * 8..round * 8 + 8).collect();
            let expected = Vec::from(items.clone());
            assert_eq!(feed(&mut producer, 64, &mut items), 8);
            assert_eq!(drain(&mut consumer, 64), expected);
        }
    }

    #[test]
    fn nonsense_from_the_other_side_is_bounded_by_the_ring() {
        let (mut producer, mut consumer) = ring::<u64>(8, 100);
        corrupt_producer(&mut consumer, 100 + 5000);
        assert_eq!(drain(&mut consumer, 64).len(), 8);
        corrupt_consumer(&mut producer, 101);
        assert_eq!(feed(&mut producer, 64, &mut VecDeque::from([1])), 0);
    }

    #[test]
    fn the_wakeup_flag_is_read_as_it_is_now() {
        let (producer, consumer) = ring::<u64>(8, 0);
        assert!(!producer.needs_wakeup());
        set_needs_wakeup(&consumer, true);
        assert!(producer.needs_wakeup());
        set_needs_wakeup(&consumer, false);
        assert!(!producer.needs_wakeup());
    }

    #[test]
    fn two_threads_pass_everything_in_order() {
        let total: u64 = if cfg!(miri) { 200 } else { 200_000 };
        let (mut producer, mut consumer) = ring::<u64>(16, u32::MAX - 50);
        let sender = std::thread::spawn(move || {
            let mut items = 0..total;
            while items.start < total {
                if producer.produce(7, || items.next()) == 0 {
                    std::thread::yield_now();
                }
            }
        });
        let mut expected = 0;
        while expected < total {
            let count = consumer.consume(5, |entry| {
                assert_eq!(entry, expected);
                expected += 1;
            });
            if count == 0 {
                std::thread::yield_now();
            }
        }
        sender.join().unwrap();
        assert!(consumer.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: if cfg!(miri) { 8 } else { 512 },
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        /// Any sequence of produce and consume, from any starting index, is a bounded queue.
        #[test]
        fn a_ring_is_a_bounded_queue(
            bits in 0_u32..6,
            start in prop_oneof![Just(0), (u32::MAX - 100)..=u32::MAX, any::<u32>()],
            steps in prop::collection::vec((any::<bool>(), 0_u32..40, 0_u32..40), 1..60),
        ) {
            let size = 1 << bits;
            let (mut producer, mut consumer) = ring::<u64>(size, start);
            let mut oracle = VecDeque::new();
            let mut counter = 0_u64;
            for (produce, max, supply) in steps {
                if produce {
                    let expected = (size - oracle.len() as u32).min(max).min(supply);
                    let mut left = supply;
                    let made = producer.produce(max, || {
                        left = left.checked_sub(1)?;
                        counter += 1;
                        oracle.push_back(counter);
                        Some(counter)
                    });
                    prop_assert_eq!(made, expected);
                } else {
                    let expected: Vec<u64> = oracle.drain(..oracle.len().min(max as usize)).collect();
                    prop_assert_eq!(drain(&mut consumer, max), expected);
                }
                prop_assert_eq!(consumer.is_empty(), oracle.is_empty());
            }
        }
    }
}
