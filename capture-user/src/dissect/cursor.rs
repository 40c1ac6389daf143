//! The place a walk has reached, and why it could go no further.

use std::fmt;

use super::Layer;

/// Bytes not yet read, how far into the frame they begin, and how many more there were on the wire.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    offset: usize,
    /// Bytes that belong here by the headers read so far, captured or not.
    wire: usize,
}

impl<'a> Cursor<'a> {
    /// The start of a frame (or of a reassembled datagram) that had `length` bytes on the wire.
    pub fn new(bytes: &'a [u8], length: u32) -> Self {
        Self { bytes, offset: 0, wire: (length as usize).max(bytes.len()) }
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// Bytes from the start of the frame.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// How many bytes [`Cursor::rest`] would hold had the frame been captured whole.
    pub fn wire_length(&self) -> u32 {
        u32::try_from(self.wire).unwrap_or(u32::MAX)
    }

    /// Reads `N` bytes and moves past them.
    pub fn take<const N: usize>(&mut self, layer: Layer) -> Result<&'a [u8; N], Stopped> {
        let Some((head, _)) = self.bytes.split_first_chunk::<N>() else { return Err(self.short(layer, N)) };
        self.skip(N);
        Ok(head)
    }

    /// Reads `count` bytes and moves past them.
    pub fn take_slice(&mut self, layer: Layer, count: usize) -> Result<&'a [u8], Stopped> {
        let Some(head) = self.bytes.get(..count) else { return Err(self.short(layer, count)) };
        self.skip(count);
        Ok(head)
    }

    /// Drops what lies beyond the first `length` bytes: padding, which is no part of the packet.
    pub fn trim(&mut self, length: usize) {
        self.wire = self.wire.min(length);
        self.bytes = self.bytes.get(..length).unwrap_or(self.bytes);
    }

    /// Moves past `count` bytes that are known to be there.
    fn skip(&mut self, count: usize) {
        self.bytes = self.bytes.get(count..).unwrap_or_default();
        self.offset += count;
        self.wire = self.wire.saturating_sub(count);
    }

    /// The bytes end before this header does.
    pub fn short(&self, layer: Layer, wanted: usize) -> Stopped {
        Stopped { layer, offset: self.offset, reason: Reason::Truncated { wanted, had: self.bytes.len() } }
    }

    /// This header contradicts itself.
    pub fn malformed(&self, layer: Layer, what: &'static str) -> Stopped {
        Stopped { layer, offset: self.offset, reason: Reason::Malformed(what) }
    }
}

/// Where and why a walk ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// The layer that could not be read.
    pub layer: Layer,
    /// Where it begins, in bytes from the start of the frame (or of the reassembled datagram).
    pub offset: usize,
    /// What was wrong with it.
    pub reason: Reason,
}

/// What was wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It needs `wanted` bytes where `had` were left.
    Truncated {
        /// Bytes needed.
        wanted: usize,
        /// Bytes left.
        had: usize,
    },
    /// A field has a value that cannot be.
    Malformed(&'static str),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated { wanted, had } => write!(f, "needs {wanted} bytes, has {had}"),
            Self::Malformed(what) => f.write_str(what),
        }
    }
}
