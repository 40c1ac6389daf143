//! An allocator that counts, for tests of memory: what each thread has allocated and what of it is still held.
#![allow(unsafe_code, reason = "an allocator is unsafe to be one; it does no more than count and pass on")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, counting: to be a test's `#[global_allocator]`.
#[derive(Debug)]
pub struct Counting;

/// What a thread has allocated so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heap {
    /// Calls that allocated or moved memory.
    pub allocations: u64,
    /// Bytes allocated and not freed.
    pub live: usize,
    /// The most that `live` has been since [`watch`].
    pub peak: usize,
}

thread_local! {
    // Constant and without a destructor: reading it allocates nothing.
    static HEAP: Cell<Heap> = const { Cell::new(Heap { allocations: 0, live: 0, peak: 0 }) };
}

/// What the calling thread has allocated so far.
pub fn heap() -> Heap {
    HEAP.get()
}

/// Begins to look for the calling thread's peak, and says what it holds now.
pub fn watch() -> usize {
    let heap = HEAP.get();
    HEAP.set(Heap { peak: heap.live, ..heap });
    heap.live
}

fn count(grown: usize, shrunk: usize) {
    // A thread that ends has no counters left; what it frees then is of no interest.
    let _ = HEAP.try_with(|cell| {
        let heap = cell.get();
        // Memory that another thread allocated may be freed here.
        let live = (heap.live + grown).saturating_sub(shrunk);
        let allocations = heap.allocations + u64::from(grown > 0);
        cell.set(Heap { allocations, live, peak: heap.peak.max(live) });
    });
}

// SAFETY: every call goes to the system's allocator as it came; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promises are the system allocator's demands.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: as above; all memory came from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
