//! The classic pcap format (draft-ietf-opsawg-pcap): a file header, then records of a header and a packet.
//!
//! ```text
//! magic | major minor | reserved | reserved | snap length | FCS and link type     24 bytes
//! seconds | fraction | captured | length | packet                                 16 bytes and the packet
//! ```

use super::decode::{Order, Record, Step, Wrong, limit, register};
use crate::source::{Interface, LinkType};
use crate::time::Timestamp;

/// A classic file after its header.
pub(super) struct Classic {
    variant: Variant,
    link: LinkType,
    interface: u32,
    limit: u32,
    /// Bytes of frame check sequence at the end of each packet.
    fcs: u32,
}

/// What the magic number says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Variant {
    order: Order,
    /// Nanoseconds in one unit of the fraction.
    unit: i64,
    /// Bytes of a record's header: 16, or 24 in Kuznetzov's variant, which adds interface and protocol.
    record: usize,
}

impl Classic {
    pub(super) const HEADER: usize = 24;

    /// The variant that begins with these bytes.
    pub(super) fn variant(magic: &[u8; 4]) -> Option<Variant> {
        [false, true].into_iter().find_map(|big| {
            let order = Order { big };
            let (unit, record) = match order.u32(magic, 0) {
                0xa1b2_c3d4 => (1_000, 16),
                0xa1b2_3c4d => (1, 16),
                0xa1b2_cd34 => (1_000, 24),
                _ => return None,
            };
            Some(Variant { order, unit, record })
        })
    }

    /// Reads the file header and registers the one interface.
    pub(super) fn new(
        variant: Variant,
        header: &[u8; Self::HEADER],
        interfaces: &mut Vec<Interface>,
    ) -> Result<Self, Wrong> {
        let major = variant.order.u16(header, 4);
        if major != 2 {
            return Err(Wrong::Kind(format!("is pcap version {major}; padtap reads version 2")));
        }
        let snap_length = variant.order.u32(header, 16);
        let network = variant.order.u32(header, 20);
        let link = LinkType::from_code(network as u16);
        let interface = register(interfaces, Interface { name: None, link, snap_length })?;
        // Bit 26 says that bits 28 to 31 give the length of the FCS, in units of 16 bits.
        let fcs = if network & 0x0400_0000 != 0 { (network >> 28) * 2 } else { 0 };
        Ok(Self { variant, link, interface, limit: limit(snap_length), fcs })
    }

    /// The packet at the beginning of `bytes`; `None` if something is the matter, and [`Self::step`] says what.
    #[inline(always)]
    pub(super) fn packet(&self, bytes: &[u8]) -> Option<(Record, usize)> {
        let Variant { order, unit, record } = self.variant;
        let header = bytes.first_chunk::<16>()?;
        let captured = order.u32(header, 8);
        let end = record + captured as usize;
        if captured > self.limit || end > bytes.len() {
            return None;
        }
        let seconds = i64::from(order.u32(header, 0));
        let fraction = i64::from(order.u32(header, 4));
        // Some writers put a captured length above the length on the wire: then that many there were.
        let length = order.u32(header, 12).max(captured) - self.fcs.min(captured);
        let record = Record {
            start: record,
            captured: captured.min(length),
            length,
            // 2^32 seconds and 2^32 microseconds both fit.
            time: Timestamp::from_nanos(seconds * 1_000_000_000 + fraction * unit),
            interface: self.interface,
            link: self.link,
        };
        Some((record, end))
    }

    pub(super) fn step(&self, bytes: &[u8]) -> Result<Step, Wrong> {
        if let Some((record, end)) = self.packet(bytes) {
            return Ok(Step::Packet(record, end));
        }
        let Variant { order, record, .. } = self.variant;
        let Some(header) = bytes.first_chunk::<16>() else { return Ok(Step::Need(record)) };
        let captured = order.u32(header, 8);
        if captured > self.limit {
            return Err(Wrong::Damage(format!("a packet of {captured} bytes (at most {} make sense)", self.limit)));
        }
        Ok(Step::Need(record + captured as usize))
    }
}
