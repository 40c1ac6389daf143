//! From bytes to packet records, whichever way the bytes come.

use super::classic::Classic;
use super::ng::Ng;
use crate::source::{Interface, LinkType};
use crate::time::Timestamp;

/// The least of the limits on a captured length, in bytes: no link layer that we read has longer frames, even after
/// the kernel has joined TCP segments.
const CAPTURE_LIMIT: u32 = 256 << 10;

/// A snap length in the file may raise the limit so far. More than this for one packet is damage.
const SNAP_LIMIT: u32 = 16 << 20;

/// The most interfaces one source may describe.
const INTERFACES: usize = 1 << 16;

/// Where a packet lies and what the file says of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    /// Where its bytes begin, from the beginning of the bytes given to [`Decoder::step`].
    pub(super) start: usize,
    /// How many bytes there are.
    pub(super) captured: u32,
    /// How many there were on the wire.
    pub(super) length: u32,
    pub(super) time: Timestamp,
    /// Index among the source's interfaces.
    pub(super) interface: u32,
    pub(super) link: LinkType,
}

/// What the next bytes are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    /// A packet; the next step begins so many bytes on.
    Packet(Record, usize),
    /// Something else, so many bytes long; they need not all be there.
    Skip(u64),
    /// Not decidable with fewer than so many bytes.
    Need(usize),
}

/// What is wrong with the bytes.
#[derive(Debug)]
pub(super) enum Wrong {
    /// The file has begun well.
    Damage(String),
    /// It is of another kind.
    Kind(String),
}

/// Reads one file's records in order. It keeps no bytes: each step is given those at the present position.
pub(super) enum Decoder {
    /// The kind is not known yet.
    Fresh,
    Classic(Classic),
    Ng(Ng),
}

impl Decoder {
    /// The packet that `bytes` begin with, and how far it reaches; `None` leaves it to [`Self::step`] to say what there
    /// is instead. The short way for the common case: its answer stays in registers.
    #[inline(always)]
    pub(super) fn packet(&mut self, bytes: &[u8]) -> Option<(Record, usize)> {
        match self {
            Self::Classic(file) => file.packet(bytes),
            Self::Ng(file) => file.packet(bytes),
            Self::Fresh => None,
        }
    }

    /// Looks at `bytes`, which begin where the step before has ended.
    pub(super) fn step(&mut self, bytes: &[u8], interfaces: &mut Vec<Interface>) -> Result<Step, Wrong> {
        match self {
            Self::Classic(file) => file.step(bytes),
            Self::Ng(file) => file.step(bytes, interfaces),
            Self::Fresh => self.begin(bytes, interfaces),
        }
    }

    fn begin(&mut self, bytes: &[u8], interfaces: &mut Vec<Interface>) -> Result<Step, Wrong> {
        let Some(magic) = bytes.first_chunk::<4>() else { return Ok(Step::Need(4)) };
        if Ng::begins_with(magic) {
            *self = Self::Ng(Ng::default());
            return Ok(Step::Skip(0));
        }
        let Some(variant) = Classic::variant(magic) else { return Err(Wrong::Kind(unknown(magic))) };
        let Some(header) = bytes.first_chunk::<{ Classic::HEADER }>() else { return Ok(Step::Need(Classic::HEADER)) };
        *self = Self::Classic(Classic::new(variant, header, interfaces)?);
        Ok(Step::Skip(Classic::HEADER as u64))
    }
}

fn unknown(magic: &[u8; 4]) -> String {
    let [a, b, c, d] = magic;
    let compressed = match magic {
        [0x28, 0xb5, 0x2f, 0xfd] => " (zstd: decompress it into padtap with `zstd -dc FILE | padtap read -`)",
        [0x04, 0x22, 0x4d, 0x18] => " (lz4: decompress it into padtap with `lz4 -dc FILE | padtap read -`)",
        [0xfd, b'7', b'z', b'X'] => " (xz: decompress it into padtap with `xz -dc FILE | padtap read -`)",
        _ => "",
    };
    format!("begins with {a:02x} {b:02x} {c:02x} {d:02x}{compressed}; padtap reads pcap and pcapng, also gzipped")
}

/// The longest captured length that is believed for an interface with this snap length.
pub(super) fn limit(snap_length: u32) -> u32 {
    snap_length.clamp(CAPTURE_LIMIT, SNAP_LIMIT)
}

/// Adds an interface and returns its index.
pub(super) fn register(interfaces: &mut Vec<Interface>, interface: Interface) -> Result<u32, Wrong> {
    if interfaces.len() >= INTERFACES {
        return Err(Wrong::Damage(format!("more than {INTERFACES} interfaces")));
    }
    interfaces.push(interface);
    Ok(interfaces.len() as u32 - 1)
}

/// Byte order of the one who wrote the file, or the section.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Order {
    pub(super) big: bool,
}

impl Order {
    /// The two bytes at `at`; zero beyond the end, which callers rule out by giving a fixed-size header.
    #[inline]
    pub(super) fn u16(self, bytes: &[u8], at: usize) -> u16 {
        let raw = bytes.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
        if self.big { u16::from_be_bytes(raw) } else { u16::from_le_bytes(raw) }
    }

    /// The four bytes at `at`, likewise.
    #[inline]
    pub(super) fn u32(self, bytes: &[u8], at: usize) -> u32 {
        let raw = bytes.get(at..).and_then(<[u8]>::first_chunk).copied().unwrap_or_default();
        if self.big { u32::from_be_bytes(raw) } else { u32::from_le_bytes(raw) }
    }
}
