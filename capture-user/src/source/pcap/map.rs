//! A whole file in memory, by page table instead of by reading.

#![allow(
    unsafe_code,
    reason = "mapping a file cannot be expressed in safe Rust; nothing else in this module's parent is unsafe"
)]

use std::fs::File;
use std::io;

use memmap2::{Advice, Mmap, UncheckedAdvice};

/// How much is brought in ahead of the reader and dropped behind it at a time, in bytes. Large enough that the two
/// system calls cost nothing per packet, small enough that a file of any length needs the same memory.
const WINDOW: usize = 1 << 20;

/// Windows that stay behind the reader, for the workers that still hold frames there.
const KEPT: usize = 3;

/// A file that is mapped read-only and shared with the page cache.
pub(super) struct Mapping {
    map: Mmap,
}

impl Mapping {
    /// Maps all that the file holds now.
    ///
    /// # Errors
    /// What the system says of `mmap`.
    pub(super) fn new(file: &File) -> io::Result<Self> {
        // SAFETY: the mapping is read-only and private to `Mapping`. What nobody can promise is that no other process
        // changes the file meanwhile. If it rewrites bytes, a frame reads as garbage: every length is checked against
        // the copy that is then used, and capture files hold no references. If it truncates the file, touching a page
        // beyond the new end raises SIGBUS and the process dies; that is the documented price of not copying.
        let map = unsafe { Mmap::map(file) }?;
        // Advice only: where it is not understood, reading is slower and nothing else.
        let _ = map.advise(Advice::Sequential);
        Ok(Self { map })
    }

    /// The file's bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Tells the kernel that the reader has come to `position`: brings in the window it is about to read, lets the
    /// next one be read ahead, and drops what lies well behind. Returns where to call again.
    pub(super) fn reached(&self, position: usize) -> usize {
        let window = position / WINDOW;
        self.advise(Advice::PopulateRead, window);
        self.advise(Advice::WillNeed, window + 1);
        if let Some(old) = window.checked_sub(KEPT) {
            // SAFETY: the pages are clean pages of a shared file mapping: dropping them loses nothing, whoever still
            // looks at them gets the same bytes again from the page cache.
            let _ = unsafe { self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, old * WINDOW, WINDOW) };
        }
        (window + 1) * WINDOW
    }

    fn advise(&self, advice: Advice, window: usize) {
        let from = window * WINDOW;
        if from < self.map.len() {
            let _ = self.map.advise_range(advice, from, WINDOW.min(self.map.len() - from));
        }
    }
}
