//! What the XDP program writes in front of each frame that it sends to a socket.

use core::mem::size_of;

/// The 32 bytes immediately before a frame (`bpf_xdp_adjust_meta` takes no more on older kernels).
///
/// The descriptor of an AF_XDP ring does not say whether there is metadata, and a buffer that is used again still holds
/// that of its last frame. So whoever hands a buffer back to the fill ring must first overwrite the magic with
/// [`Meta::clear`]: a driver that refuses metadata then yields frames without any, and [`Meta::read`] says so.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meta {
    /// [`Meta::MAGIC`].
    pub magic: u32,
    /// [`Meta::VERSION`].
    pub version: u8,
    /// A [`Class`](crate::config::Class) as a number.
    pub class: u8,
    /// Bits of [`flag`](crate::steer::flag).
    pub flags: u16,
    /// `bpf_ktime_get_ns` when the program ran: CLOCK_MONOTONIC, nanoseconds.
    pub time: u64,
    /// Bytes of the frame before it was snapped.
    pub length: u32,
    /// The shard key: equal for all frames of one console.
    pub shard: u32,
    /// Hash of the flow, equal in both directions; see [`Steered::flow`](crate::steer::Steered::flow).
    pub flow: u32,
    /// Where the transport header begins, in bytes from the start of the frame; 0 where none was found.
    pub transport: u16,
    /// Where the IP header begins; 0 where there is none.
    pub network: u8,
    /// IP protocol number of what begins at `transport`.
    pub protocol: u8,
}

const _: () = assert!(size_of::<Meta>() == Meta::SIZE && Meta::SIZE.is_multiple_of(4));

impl Meta {
    /// Bytes of metadata before a frame.
    pub const SIZE: usize = 32;
    /// "PADT": the first four bytes.
    pub const MAGIC: u32 = u32::from_ne_bytes(*b"PADT");
    /// Raised whenever a field moves or changes its meaning.
    pub const VERSION: u8 = 1;

    /// Reads the metadata that ends where `headroom` ends; `None` where there is none of this version.
    pub fn read(headroom: &[u8]) -> Option<Self> {
        let bytes = headroom.last_chunk::<{ Self::SIZE }>()?;
        let meta = Self {
            magic: u32::from_ne_bytes(part(bytes, 0)),
            version: bytes[4],
            class: bytes[5],
            flags: u16::from_ne_bytes(part(bytes, 6)),
            time: u64::from_ne_bytes(part(bytes, 8)),
            length: u32::from_ne_bytes(part(bytes, 16)),
            shard: u32::from_ne_bytes(part(bytes, 20)),
            flow: u32::from_ne_bytes(part(bytes, 24)),
            transport: u16::from_ne_bytes(part(bytes, 28)),
            network: bytes[30],
            protocol: bytes[31],
        };
        (meta.magic == Self::MAGIC && meta.version == Self::VERSION).then_some(meta)
    }

    /// The metadata as it lies in memory.
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let mut bytes = [0; Self::SIZE];
        bytes[0..4].copy_from_slice(&self.magic.to_ne_bytes());
        bytes[4] = self.version;
        bytes[5] = self.class;
        bytes[6..8].copy_from_slice(&self.flags.to_ne_bytes());
        bytes[8..16].copy_from_slice(&self.time.to_ne_bytes());
        bytes[16..20].copy_from_slice(&self.length.to_ne_bytes());
        bytes[20..24].copy_from_slice(&self.shard.to_ne_bytes());
        bytes[24..28].copy_from_slice(&self.flow.to_ne_bytes());
        bytes[28..30].copy_from_slice(&self.transport.to_ne_bytes());
        bytes[30] = self.network;
        bytes[31] = self.protocol;
        bytes
    }

    /// Wipes the magic of metadata that ends where `headroom` ends, so that the buffer's next frame cannot inherit it.
    pub fn clear(headroom: &mut [u8]) {
        if let Some(bytes) = headroom.last_chunk_mut::<{ Self::SIZE }>() {
            bytes[..4].fill(0);
        }
    }
}

/// `N` bytes from `at`, a constant that callers keep within the 32.
fn part<const N: usize>(bytes: &[u8; Meta::SIZE], at: usize) -> [u8; N] {
    let mut part = [0; N];
    part.copy_from_slice(&bytes[at..at + N]);
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: Meta = Meta {
        magic: Meta::MAGIC,
        version: Meta::VERSION,
        class: 2,
        flags: 0x0a05,
        time: 0x0102_0304_0506_0708,
        length: 9014,
        shard: 0xdead_beef,
        flow: 0x1234_5678,
        transport: 34,
        network: 14,
        protocol: 17,
    };

    #[test]
    fn what_was_written_is_read_and_ends_at_the_frame() {
        let mut headroom = [0xff; 64];
        headroom[32..].copy_from_slice(&SAMPLE.to_bytes());
        assert_eq!(Meta::read(&headroom), Some(SAMPLE));
        Meta::clear(&mut headroom);
        assert_eq!(Meta::read(&headroom), None);
    }

    #[test]
    fn the_bytes_are_those_of_the_kernel_side() {
        // The XDP program stores the fields one by one at the offsets that repr(C) gives them.
        let bytes = SAMPLE.to_bytes();
        for (offset, field) in [
            (core::mem::offset_of!(Meta, flags), &SAMPLE.flags.to_ne_bytes()[..]),
            (core::mem::offset_of!(Meta, time), &SAMPLE.time.to_ne_bytes()[..]),
            (core::mem::offset_of!(Meta, length), &SAMPLE.length.to_ne_bytes()[..]),
            (core::mem::offset_of!(Meta, shard), &SAMPLE.shard.to_ne_bytes()[..]),
            (core::mem::offset_of!(Meta, flow), &SAMPLE.flow.to_ne_bytes()[..]),
            (core::mem::offset_of!(Meta, transport), &SAMPLE.transport.to_ne_bytes()[..]),
            (core::mem::offset_of!(Meta, network), &[SAMPLE.network, SAMPLE.protocol][..]),
        ] {
            assert_eq!(&bytes[offset..offset + field.len()], field);
        }
    }

    #[test]
    fn no_magic_other_version_or_too_short_is_none() {
        assert_eq!(Meta::read(&SAMPLE.to_bytes()[1..]), None);
        assert_eq!(Meta::read(&[0; 32]), None);
        assert_eq!(Meta::read(&Meta { version: 9, ..SAMPLE }.to_bytes()), None);
    }
}
