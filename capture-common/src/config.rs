//! What user space writes into the program's maps, all of it while the program runs.

use core::net::IpAddr;

/// Queues the socket map has room for; frames of a higher queue count as redirect errors.
pub const MAX_QUEUES: u32 = 64;
/// Console MACs and OUIs of a filter.
pub const MAX_MACS: u32 = 1024;
/// Prefixes of a filter, of each IP version.
pub const MAX_PREFIXES: u32 = 1024;
/// Flows that can be shunted at a time.
pub const MAX_SHUNTED: u32 = 4096;
/// Words of the map of excluded ports: one bit a port, UDP before TCP.
pub const PORT_WORDS: u32 = 2 * 65_536 / 64;

/// The run-time configuration: the one value of the `CONFIG` map.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Bits of [`flag`].
    pub flags: u32,
    /// Always 0, which the kernel's verifier does not know: see [`Packet::forget`](crate::steer::Packet::forget).
    pub zero: u32,
    /// Bytes to keep of a frame, by [`Class`]: a number, [`SNAP_HEADERS`] or [`SNAP_FULL`].
    pub snap: [u32; Class::COUNT],
}

/// Keep the whole frame.
pub const SNAP_FULL: u32 = u32::MAX;
/// Keep what ends with the last header that the walk understands.
pub const SNAP_HEADERS: u32 = 0;

impl Default for Config {
    fn default() -> Self {
        Self { flags: 0, zero: 0, snap: [SNAP_FULL; Class::COUNT] }
    }
}

impl Config {
    /// Whether any bit of `flag` is set.
    #[inline(always)]
    pub fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// The snap length of a class.
    #[inline(always)]
    pub fn snap(&self, class: Class) -> u32 {
        self.snap.get(class as usize).copied().unwrap_or(SNAP_FULL)
    }
}

/// Bits of [`Config::flags`]. Those of the tables spare the program lookups in tables that are empty.
pub mod flag {
    /// Capture every frame that is not excluded.
    pub const CAPTURE_ALL: u32 = 1 << 0;
    /// Leave what is not captured to the kernel's stack, instead of dropping it.
    pub const PASS_UNMATCHED: u32 = 1 << 1;
    /// Capture what discovers consoles, from anybody.
    pub const DISCOVERY: u32 = 1 << 2;
    /// Some flows are shunted.
    pub const SHUNT: u32 = 1 << 3;
    /// Some consoles are given by their whole MAC.
    pub const MACS: u32 = 1 << 4;
    /// Some are given by a 24-bit OUI.
    pub const OUI_24: u32 = 1 << 5;
    /// Some are given by a 28-bit block.
    pub const OUI_28: u32 = 1 << 6;
    /// Some are given by a 36-bit block.
    pub const OUI_36: u32 = 1 << 7;
    /// The IPv4 prefix map has entries.
    pub const PREFIXES_4: u32 = 1 << 8;
    /// The IPv6 prefix map has entries.
    pub const PREFIXES_6: u32 = 1 << 9;
    /// Some ports are excluded.
    pub const PORTS: u32 = 1 << 10;
    /// Any of the MAC tables.
    pub const ANY_MAC: u32 = MACS | OUI_24 | OUI_28 | OUI_36;
}

/// Why a frame is captured; each class has its snap length.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// A console's frame.
    Console = 0,
    /// Traffic by which consoles are discovered, whoever sent it.
    Discovery = 1,
    /// Neither: captured because everything is.
    Other = 2,
}

impl Class {
    /// How many there are.
    pub const COUNT: usize = 3;

    /// The class with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Console),
            1 => Some(Self::Discovery),
            2 => Some(Self::Other),
            _ => None,
        }
    }
}

/// Key of the `MACS` map: the first `bits` bits of a MAC, and how many they are. A MAC is a number whose 48 bits are in
/// the order of transmission.
#[inline(always)]
pub const fn mac_key(mac: u64, bits: u32) -> u64 {
    (mac >> (48 - bits) << (48 - bits)) | (bits as u64) << 48
}

/// Bits of a value in the prefix maps. An entry carries also the bits of the shorter prefixes that cover it, because a
/// lookup sees the longest only.
pub mod prefix {
    /// Consoles have addresses in this prefix.
    pub const CONSOLE: u32 = 1;
    /// Frames to or from this prefix are not wanted.
    pub const EXCLUDED: u32 = 2;
}

/// An IPv4 or IPv6 address as a number; IPv4 as an IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2).
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The first 64 bits.
    pub high: u64,
    /// The last 64 bits.
    pub low: u64,
}

impl Address {
    /// An IPv4 address.
    #[inline(always)]
    pub const fn v4(address: u32) -> Self {
        Self { high: 0, low: 0xffff_0000_0000 | address as u64 }
    }

    /// The address in the type of the standard library.
    pub fn to_ip(self) -> IpAddr {
        IpAddr::from(((self.high as u128) << 64 | self.low as u128).to_be_bytes()).to_canonical()
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::v4(address.to_bits()),
            IpAddr::V6(address) => Self { high: (address.to_bits() >> 64) as u64, low: address.to_bits() as u64 },
        }
    }
}

/// A UDP or TCP flow, the same for both directions: key of the `SHUNTED` map.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// The lower end's address; the ends are ordered by address, then port.
    pub low: Address,
    /// The higher end's address.
    pub high: Address,
    /// The lower end's port.
    pub low_port: u16,
    /// The higher end's port.
    pub high_port: u16,
    /// IP protocol number: 6 or 17.
    pub protocol: u32,
}

/// Which way a frame of a flow goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the key's lower end to its higher end.
    Up = 0,
    /// From the higher end to the lower.
    Down = 1,
}

impl FlowKey {
    /// The flow of a packet, and which way the packet goes.
    #[inline(always)]
    pub fn new(source: (Address, u16), destination: (Address, u16), protocol: u8) -> (Self, Direction) {
        let up = source <= destination;
        let (low, high) = if up { (source, destination) } else { (destination, source) };
        let key = Self { low: low.0, high: high.0, low_port: low.1, high_port: high.1, protocol: protocol as u32 };
        (key, if up { Direction::Up } else { Direction::Down })
    }
}

/// What was counted of a shunted flow: value of the `SHUNTED` map, each pair by [`Direction`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowCount {
    /// Frames.
    pub packets: [u64; 2],
    /// Bytes of the frames on the wire.
    pub bytes: [u64; 2],
    /// Bytes from the IP header on, as the IP header says (Ethernet padding is not among them).
    pub ip_bytes: [u64; 2],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mac_keys_mask_and_differ_by_length() {
        let mac = 0xbc60_a712_3456;
        assert_eq!(mac_key(mac, 24), 0x0018_bc60_a700_0000);
        assert_eq!(mac_key(mac, 28), 0x001c_bc60_a710_0000);
        assert_eq!(mac_key(mac, 36), 0x0024_bc60_a712_3000);
        assert_eq!(mac_key(mac, 48), 0x0030_bc60_a712_3456);
    }

    #[test]
    fn addresses_go_both_ways() {
        for text in ["192.168.1.40", "2001:db8::1", "fe80::1", "255.255.255.255"] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(Address::from(address).to_ip(), address);
        }
    }

    #[test]
    fn a_flow_has_one_key_and_two_directions() {
        let (a, b) = ((Address::v4(1), 5000), (Address::v4(1), 80));
        assert_eq!(FlowKey::new(a, b, 17).0, FlowKey::new(b, a, 17).0);
        assert_eq!(FlowKey::new(a, b, 17).1, Direction::Down);
        assert_eq!(FlowKey::new(b, a, 17).1, Direction::Up);
        assert_ne!(FlowKey::new(a, b, 17).0, FlowKey::new(a, b, 6).0);
    }

    #[test]
    fn values_have_no_padding() {
        // Hash maps compare keys as bytes: padding would be compared too.
        assert_eq!(size_of::<FlowKey>(), 40);
        assert_eq!(size_of::<FlowCount>(), 48);
        assert_eq!(size_of::<Config>(), 20);
    }
}
