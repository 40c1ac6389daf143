//! Rings on heap memory, with the kernel's side played by the test.

use std::cell::UnsafeCell;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::net::xdp::XdpRingFlags;

use super::{Consumer, Entry, Memory, Offsets, Producer};

/// Zeroed heap memory, aligned for every entry.
pub(crate) struct Heap(Box<[UnsafeCell<u64>]>);

impl Heap {
    pub(crate) fn new(bytes: usize) -> Self {
        Self((0..bytes.div_ceil(8)).map(|_| UnsafeCell::new(0)).collect())
    }
}

// SAFETY: the cells are reached only through raw pointers, by users that keep to the rules of `Memory`.
unsafe impl Sync for Heap {}

// SAFETY: a box does not move its contents and is freed only when dropped; `UnsafeCell` allows writing through `&self`.
unsafe impl Memory for Heap {
    fn base(&self) -> NonNull<u8> {
        NonNull::from(&*self.0).cast()
    }

    fn size(&self) -> usize {
        size_of_val(&*self.0)
    }
}

/// Both sides of a ring of `size` entries whose indices begin at `start`.
pub(crate) fn ring<T: Entry>(size: u32, start: u32) -> (Producer<T>, Consumer<T>) {
    let offsets = Offsets { producer: 0, consumer: 64, flags: 128, entries: 192 };
    let memory: Arc<dyn Memory> = Arc::new(Heap::new(offsets.entries + size as usize * size_of::<T>()));
    // SAFETY: one producer and one consumer, on memory made for them alone.
    let (mut producer, mut consumer) =
        unsafe { (Producer::new(Arc::clone(&memory), offsets, size), Consumer::new(memory, offsets, size)) };
    producer.ring.producer().store(start, Ordering::Relaxed);
    producer.ring.consumer().store(start, Ordering::Relaxed);
    (producer.next, producer.consumed) = (start, start);
    (consumer.next, consumer.produced) = (start, start);
    (producer, consumer)
}

/// What the kernel does when it stops until it is woken, or goes on.
pub(crate) fn set_needs_wakeup<T: Entry>(kernel: &Consumer<T>, needed: bool) {
    let flags = if needed { XdpRingFlags::XDP_RING_NEED_WAKEUP.bits() } else { 0 };
    kernel.ring.flags().store(flags, Ordering::Relaxed);
}

/// Makes the consumer see a producer index that no sane producer writes.
pub(crate) fn corrupt_producer<T: Entry>(consumer: &mut Consumer<T>, index: u32) {
    consumer.ring.producer().store(index, Ordering::Release);
}

/// Makes the producer see a consumer index that no sane consumer writes.
pub(crate) fn corrupt_consumer<T: Entry>(producer: &mut Producer<T>, index: u32) {
    producer.ring.consumer().store(index, Ordering::Release);
}
