//! A buffer full of packets, on its way from a worker to the writer.

use super::encode::{MOST_TEXT, cut, option, pad, ticks};
use crate::source::{Frame, LinkType};
use crate::time::Timestamp;

const ENHANCED_PACKET: u32 = 6;

/// What an Enhanced Packet Block takes apart from the packet, its padding and its options, in bytes.
const FIXED: usize = 32;

/// What may be said of one packet beside its bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Note<'a> {
    /// A comment, shown by Wireshark with the packet.
    pub comment: Option<&'a str>,
    /// Packets lost between this one and the one before it on the same interface.
    pub drops: Option<u64>,
}

/// Enhanced Packet Blocks, one after the other.
#[derive(Debug)]
pub struct Block {
    bytes: Vec<u8>,
    capacity: usize,
    packets: u64,
    /// The interfaces of its packets with their link layers, each once.
    interfaces: Vec<(u32, LinkType)>,
}

/// A packet of a block, as the writer sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    pub(super) time: Timestamp,
    pub(super) bytes: &'a [u8],
}

impl Block {
    /// An empty block that takes up to `capacity` bytes.
    pub fn new(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity), capacity, packets: 0, interfaces: Vec::new() }
    }

    /// Appends a frame, unless the block is too full for it: then it stays as it was and the answer is `false`. An
    /// empty block takes any frame.
    #[inline]
    pub fn push(&mut self, frame: &Frame<'_>, note: Note<'_>) -> bool {
        let options = if note.comment.is_some() || note.drops.is_some() { options(note) } else { Vec::new() };
        let total = FIXED + frame.data.len().next_multiple_of(4) + options.len();
        if self.bytes.len() + total > self.capacity && self.packets > 0 {
            return false;
        }
        self.bytes.reserve(total);
        self.bytes.extend(head(frame, total));
        self.bytes.extend_from_slice(frame.data);
        pad(&mut self.bytes);
        self.bytes.extend_from_slice(&options);
        self.bytes.extend((total as u32).to_le_bytes());
        self.packets += 1;
        let interface = (frame.interface, frame.link);
        if self.interfaces.last() != Some(&interface) && !self.interfaces.contains(&interface) {
            self.interfaces.push(interface);
        }
        true
    }

    /// How many packets it holds.
    pub fn packets(&self) -> u64 {
        self.packets
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.packets == 0
    }

    /// Empties it, to be filled anew. A buffer that a giant frame made larger becomes as small as it was.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(self.capacity);
        self.packets = 0;
        self.interfaces.clear();
    }

    /// The packets as they are written.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn interfaces(&self) -> &[(u32, LinkType)] {
        &self.interfaces
    }

    /// The packets one by one.
    pub(super) fn iter(&self) -> impl Iterator<Item = Packet<'_>> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            let head = rest.first_chunk::<20>()?;
            let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
            let (bytes, after) = rest.split_at_checked(word(4) as usize)?;
            rest = after;
            let nanos = u64::from(word(12)) << 32 | u64::from(word(16));
            Some(Packet { time: Timestamp::from_nanos(nanos as i64), bytes })
        })
    }
}

/// The first 28 bytes of an Enhanced Packet Block.
fn head(frame: &Frame<'_>, total: usize) -> [u8; 28] {
    let mut head = [0; 28];
    head[..4].copy_from_slice(&ENHANCED_PACKET.to_le_bytes());
    head[4..8].copy_from_slice(&(total as u32).to_le_bytes());
    head[8..12].copy_from_slice(&frame.interface.to_le_bytes());
    head[12..20].copy_from_slice(&ticks(frame.time));
    head[20..24].copy_from_slice(&(frame.data.len() as u32).to_le_bytes());
    head[24..].copy_from_slice(&frame.length.to_le_bytes());
    head
}

#[cold]
fn options(note: Note<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(comment) = note.comment {
        option(&mut bytes, 1, cut(comment, MOST_TEXT).as_bytes());
    }
    if let Some(drops) = note.drops {
        option(&mut bytes, 4, &drops.to_le_bytes());
    }
    option(&mut bytes, 0, &[]);
    bytes
}
