//! Fields at fixed places, as the datagrams of games have them.

use crate::time::Timestamp;

/// `N` bytes from `offset` on.
pub(super) fn at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

/// A 16-bit field in network order.
pub(super) fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    at(bytes, offset).map(u16::from_be_bytes)
}

/// A 32-bit field in network order.
pub(super) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    at(bytes, offset).map(u32::from_be_bytes)
}

/// Whether `pattern` stands at `offset`.
pub(super) fn has(bytes: &[u8], offset: usize, pattern: &[u8]) -> bool {
    bytes.get(offset..).is_some_and(|rest| rest.starts_with(pattern))
}

/// Milliseconds from one packet to a later one.
pub(super) fn milliseconds(from: Timestamp, to: Timestamp) -> f64 {
    to.nanos_since(from) as f64 / 1e6
}
