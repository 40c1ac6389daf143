//! A word to the processor's cache.
#![allow(unsafe_code, reason = "an instruction that has no safe name")]

/// Bytes of a line of the cache.
pub const LINE: usize = 64;

/// Asks the processor to bring the line with this address, which may be any, into its cache. Where the next work lies is
/// often known long before it is its turn; waiting for memory costs as much as a hundred instructions and more.
#[inline(always)]
pub fn prefetch_line(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing that the program could see, and faults at no address.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// The same for a value, from the line that it begins in on; what of it reaches into one line more is not asked for.
#[inline(always)]
pub fn prefetch<T>(value: &T) {
    let first = std::ptr::from_ref(value).cast::<u8>();
    (0..size_of::<T>().div_ceil(LINE)).for_each(|line| prefetch_line(first.wrapping_add(line * LINE)));
}
