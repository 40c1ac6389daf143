//! The pcapng format (draft-ietf-opsawg-pcapng): blocks, in sections, each with interfaces of its own.
//!
//! ```text
//! type | total length | body, padded to four bytes | total length again
//! ```

use super::clock::Clock;
use super::decode::{Order, Record, Step, Wrong, limit, register};
use crate::source::{Interface, LinkType};
use crate::time::Timestamp;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// The most that options may add to a block that we read, in bytes.
const OPTIONS: usize = 1 << 20;

/// The most of an interface's name that is kept, in bytes.
const NAME: usize = 255;

/// The present section of a file.
#[derive(Default)]
pub(super) struct Ng {
    order: Order,
    interfaces: Vec<Described>,
    /// Time of the packet before: what a Simple Packet Block, which has none of its own, is given.
    latest: Timestamp,
}

/// An interface of the present section.
#[derive(Clone, Copy)]
struct Described {
    /// Its index among all the source's interfaces.
    index: u32,
    link: LinkType,
    clock: Clock,
    snap_length: u32,
    limit: u32,
}

impl Ng {
    /// Whether a file that begins so is pcapng. The number reads the same in either byte order.
    pub(super) fn begins_with(magic: &[u8; 4]) -> bool {
        u32::from_be_bytes(*magic) == SECTION_HEADER
    }

    /// The Enhanced Packet Block at the beginning of `bytes`, which nearly all blocks are; `None` for any other and if
    /// something is the matter. It only saves the way through [`Self::step`], which knows it as well as the others.
    #[inline(always)]
    pub(super) fn packet(&mut self, bytes: &[u8]) -> Option<(Record, usize)> {
        let order = self.order;
        let head = bytes.first_chunk::<28>()?;
        if order.u32(head, 0) != ENHANCED_PACKET {
            return None;
        }
        let total = order.u32(head, 4) as usize;
        let block = bytes.get(..total)?;
        let interface = self.interfaces.get(order.u32(head, 8) as usize)?;
        let (captured, length) = (order.u32(head, 20), order.u32(head, 24));
        let least = 28 + padded(captured as usize) + 4;
        let again = u32::from_ne_bytes(*block.last_chunk::<4>()?) == u32::from_ne_bytes(*head[4..].first_chunk::<4>()?);
        let sound = again && total.is_multiple_of(4) && least <= total && total <= least + OPTIONS;
        if captured > interface.limit || !sound {
            return None;
        }
        let ticks = u64::from(order.u32(head, 12)) << 32 | u64::from(order.u32(head, 16));
        let time = interface.clock.at(ticks);
        self.latest = time;
        let &Described { index, link, .. } = interface;
        let record = Record { start: 28, captured, length: length.max(captured), time, interface: index, link };
        Some((record, total))
    }

    pub(super) fn step(&mut self, bytes: &[u8], interfaces: &mut Vec<Interface>) -> Result<Step, Wrong> {
        let Some(head) = bytes.first_chunk::<12>() else { return Ok(Step::Need(12)) };
        let kind = self.order.u32(head, 0);
        if kind == SECTION_HEADER {
            return self.section(head, bytes);
        }
        let total = block_length(self.order.u32(head, 4))?;
        match kind {
            ENHANCED_PACKET => self.enhanced(bytes, total),
            INTERFACE_DESCRIPTION => self.interface(bytes, total, interfaces),
            SIMPLE_PACKET => self.simple(bytes, total),
            OBSOLETE_PACKET => self.obsolete(bytes, total),
            // Names, statistics, secrets, and whatever else there may be.
            _ => Ok(Step::Skip(total as u64)),
        }
    }

    /// A section begins: its byte order holds from here on and the interfaces before it are no more.
    #[cold]
    fn section(&mut self, head: &[u8; 12], bytes: &[u8]) -> Result<Step, Wrong> {
        let order = match (Order { big: false }.u32(head, 8), Order { big: true }.u32(head, 8)) {
            (0x1a2b_3c4d, _) => Order { big: false },
            (_, 0x1a2b_3c4d) => Order { big: true },
            (other, _) => return damage(format!("a section with the byte-order mark {other:08x}")),
        };
        let total = block_length(order.u32(head, 4))?;
        let Some(block) = whole(order, bytes, total, 28 + OPTIONS)? else { return Ok(Step::Need(total)) };
        let major = order.u16(block, 12);
        if total < 28 || major != 1 {
            return damage(format!("a section header of version {major} and {total} bytes"));
        }
        self.order = order;
        self.interfaces.clear();
        Ok(Step::Skip(total as u64))
    }

    #[cold]
    fn interface(&mut self, bytes: &[u8], total: usize, interfaces: &mut Vec<Interface>) -> Result<Step, Wrong> {
        let Some(block) = whole(self.order, bytes, total, 20 + OPTIONS)? else { return Ok(Step::Need(total)) };
        if total < 20 {
            return damage(format!("an interface description of {total} bytes"));
        }
        let link = LinkType::from_code(self.order.u16(block, 8));
        let snap_length = self.order.u32(block, 12);
        let options = self.interface_options(block.get(16..total - 4).unwrap_or_default());
        let index = register(interfaces, Interface { name: options.name, link, snap_length })?;
        let clock = Clock::new(options.resolution, options.offset);
        self.interfaces.push(Described { index, link, clock, snap_length, limit: limit(snap_length) });
        Ok(Step::Skip(total as u64))
    }

    fn interface_options(&self, mut bytes: &[u8]) -> Options {
        let mut options = Options { name: None, resolution: 6, offset: 0 };
        while let Some((head, rest)) = bytes.split_first_chunk::<4>() {
            let code = self.order.u16(head, 0);
            let length = usize::from(self.order.u16(head, 2));
            // An option that runs over the end of its block costs the block's options, not the file.
            let (Some(value), true) = (rest.get(..length), code != 0) else { break };
            match (code, value) {
                (2, name) => options.name = Some(text(name)).filter(|name| !name.is_empty()),
                (9, &[resolution]) => options.resolution = resolution,
                (14, offset) if length == 8 => {
                    let (low, high) = (self.order.u32(offset, 0), self.order.u32(offset, 4));
                    let (low, high) = if self.order.big { (high, low) } else { (low, high) };
                    options.offset = (u64::from(high) << 32 | u64::from(low)) as i64;
                }
                _ => {}
            }
            bytes = rest.get(padded(length)..).unwrap_or_default();
        }
        options
    }

    fn enhanced(&mut self, bytes: &[u8], total: usize) -> Result<Step, Wrong> {
        let Some(head) = bytes.first_chunk::<28>() else { return Ok(Step::Need(28)) };
        let interface = self.described(self.order.u32(head, 8))?;
        let packet = Packet { head: 28, captured: self.order.u32(head, 20), length: self.order.u32(head, 24) };
        let ticks = u64::from(self.order.u32(head, 12)) << 32 | u64::from(self.order.u32(head, 16));
        self.any_packet(bytes, total, interface, packet, interface.clock.at(ticks))
    }

    /// The Packet Block, which the Enhanced Packet Block replaced (appendix A of the draft).
    fn obsolete(&mut self, bytes: &[u8], total: usize) -> Result<Step, Wrong> {
        let Some(head) = bytes.first_chunk::<28>() else { return Ok(Step::Need(28)) };
        let interface = self.described(u32::from(self.order.u16(head, 8)))?;
        let packet = Packet { head: 28, captured: self.order.u32(head, 20), length: self.order.u32(head, 24) };
        let ticks = u64::from(self.order.u32(head, 12)) << 32 | u64::from(self.order.u32(head, 16));
        self.any_packet(bytes, total, interface, packet, interface.clock.at(ticks))
    }

    /// A packet with nothing but its length; it belongs to the section's first interface.
    fn simple(&mut self, bytes: &[u8], total: usize) -> Result<Step, Wrong> {
        let Some(head) = bytes.first_chunk::<12>() else { return Ok(Step::Need(12)) };
        let interface = self.described(0)?;
        let length = self.order.u32(head, 8);
        let snap_length = if interface.snap_length == 0 { u32::MAX } else { interface.snap_length };
        let room = u32::try_from(total.saturating_sub(16)).unwrap_or(u32::MAX);
        let captured = length.min(snap_length).min(room);
        self.any_packet(bytes, total, interface, Packet { head: 12, captured, length }, self.latest)
    }

    /// What holds for all three kinds of packet blocks.
    fn any_packet(
        &mut self,
        bytes: &[u8],
        total: usize,
        interface: Described,
        packet: Packet,
        time: Timestamp,
    ) -> Result<Step, Wrong> {
        let Packet { head, captured, length } = packet;
        if captured > interface.limit {
            return damage(format!("a packet of {captured} bytes (at most {} make sense)", interface.limit));
        }
        let least = head + padded(captured as usize) + 4;
        if total < least {
            return damage(format!("a packet of {captured} bytes in a block of {total}"));
        }
        if whole(self.order, bytes, total, least + OPTIONS)?.is_none() {
            return Ok(Step::Need(total));
        }
        self.latest = time;
        // Some writers put a captured length above the length on the wire: then that many there were.
        let length = length.max(captured);
        let Described { index, link, .. } = interface;
        Ok(Step::Packet(Record { start: head, captured, length, time, interface: index, link }, total))
    }

    fn described(&self, id: u32) -> Result<Described, Wrong> {
        match self.interfaces.get(id as usize) {
            Some(interface) => Ok(*interface),
            None => damage(format!("a packet of interface {id} where {} are described", self.interfaces.len())),
        }
    }
}

/// What an interface description says beyond the fixed fields.
struct Options {
    name: Option<String>,
    resolution: u8,
    offset: i64,
}

/// What the packet blocks have in common.
struct Packet {
    /// Bytes before the packet.
    head: usize,
    captured: u32,
    length: u32,
}

fn block_length(total: u32) -> Result<usize, Wrong> {
    if total < 12 || !total.is_multiple_of(4) {
        return damage(format!("a block of {total} bytes"));
    }
    Ok(total as usize)
}

/// The first `total` of `bytes`, if they are all there. The length at a block's end must repeat that at its beginning.
fn whole(order: Order, bytes: &[u8], total: usize, most: usize) -> Result<Option<&[u8]>, Wrong> {
    if total > most {
        return damage(format!("a block of {total} bytes (at most {most} make sense)"));
    }
    let Some(block) = bytes.get(..total) else { return Ok(None) };
    let again = order.u32(block, total - 4);
    if again as usize != total {
        return damage(format!("a block of {total} bytes that says {again} at its end"));
    }
    Ok(Some(block))
}

const fn padded(length: usize) -> usize {
    length.next_multiple_of(4)
}

/// Text of an option, which may end at a zero byte before its length.
fn text(value: &[u8]) -> String {
    let end = value.iter().position(|&byte| byte == 0).unwrap_or(value.len()).min(NAME);
    String::from_utf8_lossy(value.get(..end).unwrap_or_default()).into_owned()
}

#[cold]
fn damage<T>(reason: String) -> Result<T, Wrong> {
    Err(Wrong::Damage(reason))
}
