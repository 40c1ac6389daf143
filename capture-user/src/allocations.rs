//! The binary's allocator: mimalloc, and a count of how often each thread asked it for memory.
//!
//! Records are made by one thread and freed by another, and that is what mimalloc is good at.
//!
//! A thread's counter is one instruction on memory of its own, so the count is always on: what `padtap bench dissect`
//! says of allocations is said of the program that captures.
#![allow(unsafe_code, reason = "an allocator is unsafe to be one; it does no more than count and pass on")]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

struct Counting;

thread_local! {
    // Constant and without a destructor: reading it allocates nothing.
    static MADE: Cell<u64> = const { Cell::new(0) };
}

/// How often the calling thread has asked for memory, or for more of it.
pub fn made() -> u64 {
    MADE.get()
}

fn count() {
    MADE.set(MADE.get().wrapping_add(1));
}

// SAFETY: every call goes to mimalloc as it came; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promises are mimalloc's demands.
        unsafe { MiMalloc.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { MiMalloc.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above; all memory came from mimalloc.
        unsafe { MiMalloc.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as above.
        unsafe { MiMalloc.realloc(pointer, layout, size) }
    }
}
