//! The blocks around the packets, as bytes.

use std::net::IpAddr;

use crate::source::LinkType;
use crate::time::Timestamp;

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const NAME_RESOLUTION: u32 = 4;
const INTERFACE_STATISTICS: u32 = 5;

/// What is said of an interface before its first packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The link layer of its frames.
    pub link: LinkType,
    /// The most bytes kept of a frame; 0 where there is no limit.
    pub snap_length: u32,
    /// Its name, such as `eth0`.
    pub name: Option<String>,
    /// What it is, for people.
    pub description: Option<String>,
    /// The filter that the frames passed.
    pub filter: Option<String>,
    /// The operating system of the machine it is in.
    pub os: Option<String>,
}

impl Description {
    /// An interface of which nothing is known but its link layer.
    pub const fn bare(link: LinkType) -> Self {
        Self { link, snap_length: 0, name: None, description: None, filter: None, os: None }
    }
}

/// What is said of an interface at the end. Unknown counts are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// When these counts were true; the present moment if not given.
    pub at: Option<Timestamp>,
    /// When capturing began.
    pub start: Option<Timestamp>,
    /// When it ended.
    pub end: Option<Timestamp>,
    /// Frames the interface brought (isb_ifrecv).
    pub received: Option<u64>,
    /// Frames the interface dropped for want of resources (isb_ifdrop).
    pub interface_drops: Option<u64>,
    /// Frames that passed the filter (isb_filteraccept).
    pub accepted: Option<u64>,
    /// Frames the operating system dropped (isb_osdrop).
    pub os_drops: Option<u64>,
    /// Frames that came to the user (isb_usrdeliv).
    pub delivered: Option<u64>,
}

/// Appends a Section Header Block of unspecified length.
pub(super) fn section(bytes: &mut Vec<u8>, hardware: Option<&str>, os: Option<&str>, application: Option<&str>) {
    block(bytes, SECTION_HEADER, |bytes| {
        bytes.extend(0x1a2b_3c4d_u32.to_le_bytes());
        bytes.extend([1, 0, 0, 0]);
        bytes.extend(u64::MAX.to_le_bytes());
        texts(bytes, [(2, hardware), (3, os), (4, application)]);
    });
}

/// Appends an Interface Description Block.
pub(super) fn interface(bytes: &mut Vec<u8>, interface: &Description) {
    block(bytes, INTERFACE_DESCRIPTION, |bytes| {
        bytes.extend(interface.link.code().to_le_bytes());
        bytes.extend([0, 0]);
        bytes.extend(interface.snap_length.to_le_bytes());
        option(bytes, 9, &[9]);
        // The filter's first byte says that it is text of libpcap's kind.
        let filter = interface.filter.as_ref().map(|filter| format!("\0{filter}"));
        let Description { name, description, os, .. } = interface;
        let (name, description, os) = (name.as_deref(), description.as_deref(), os.as_deref());
        texts(bytes, [(2, name), (3, description), (11, filter.as_deref()), (12, os)]);
    });
}

/// Appends an Interface Statistics Block.
pub(super) fn statistics(bytes: &mut Vec<u8>, interface: u32, statistics: &Statistics) {
    block(bytes, INTERFACE_STATISTICS, |bytes| {
        bytes.extend(interface.to_le_bytes());
        bytes.extend(ticks(statistics.at.unwrap_or_else(Timestamp::now)));
        for (code, time) in [(2, statistics.start), (3, statistics.end)] {
            if let Some(time) = time {
                option(bytes, code, &ticks(time));
            }
        }
        let Statistics { received, interface_drops, accepted, os_drops, delivered, .. } = *statistics;
        for (code, count) in [(4, received), (5, interface_drops), (6, accepted), (7, os_drops), (8, delivered)] {
            if let Some(count) = count {
                option(bytes, code, &count.to_le_bytes());
            }
        }
        option(bytes, 0, &[]);
    });
}

/// Appends Name Resolution Blocks: each address with all its names.
pub(super) fn names<'a>(bytes: &mut Vec<u8>, names: impl IntoIterator<Item = (IpAddr, &'a str)>) {
    block(bytes, NAME_RESOLUTION, |bytes| {
        for (address, name) in names {
            let name = cut(name, MOST_TEXT);
            match address {
                IpAddr::V4(address) => name_record(bytes, 1, &address.octets(), name),
                IpAddr::V6(address) => name_record(bytes, 2, &address.octets(), name),
            }
        }
        bytes.extend([0; 4]);
    });
}

fn name_record(bytes: &mut Vec<u8>, kind: u16, address: &[u8], name: &str) {
    bytes.extend(kind.to_le_bytes());
    bytes.extend(((address.len() + name.len() + 1) as u16).to_le_bytes());
    bytes.extend(address);
    bytes.extend(name.as_bytes());
    bytes.push(0);
    pad(bytes);
}

/// A time in nanoseconds as its high and low half. There is nothing before 1970.
pub(super) fn ticks(time: Timestamp) -> [u8; 8] {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(0);
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&((nanos >> 32) as u32).to_le_bytes());
    bytes[4..].copy_from_slice(&(nanos as u32).to_le_bytes());
    bytes
}

/// The most bytes of text one option gets.
pub(super) const MOST_TEXT: usize = 32 << 10;

/// Appends an option, padded. `value` is at most 65,535 bytes long.
pub(super) fn option(bytes: &mut Vec<u8>, code: u16, value: &[u8]) {
    bytes.extend(code.to_le_bytes());
    bytes.extend((value.len() as u16).to_le_bytes());
    bytes.extend(value);
    pad(bytes);
}

fn texts<const N: usize>(bytes: &mut Vec<u8>, texts: [(u16, Option<&str>); N]) {
    for (code, text) in texts {
        if let Some(text) = text {
            option(bytes, code, cut(text, MOST_TEXT).as_bytes());
        }
    }
    option(bytes, 0, &[]);
}

/// The beginning of a text, not more than `most` bytes.
pub(super) fn cut(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or_default()
}

fn block(bytes: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = bytes.len();
    bytes.extend(kind.to_le_bytes());
    bytes.extend([0; 4]);
    body(bytes);
    pad(bytes);
    let total = ((bytes.len() - start + 4) as u32).to_le_bytes();
    bytes.extend(total);
    bytes[start + 4..start + 8].copy_from_slice(&total);
}

/// Zeroes up to a multiple of four; blocks begin at one.
pub(super) fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}
