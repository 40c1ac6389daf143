//! Which frames are wanted: the tables behind [`steer`](capture_common::steer::steer) in user space.
//!
//! Files are filtered by these tables directly. A live capture writes the same tables into the XDP program's maps
//! ([`Program::set_filter`](super::xdp::program::Program::set_filter)), so that both give the same answer.

pub mod rule;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::IpAddr;

use capture_common::config::{
    Address, Class, Config, Direction, FlowKey, MAX_MACS, MAX_PREFIXES, PORT_WORDS, SNAP_FULL, SNAP_HEADERS, flag,
    prefix,
};
use capture_common::steer::Policy;
use rule::{Console, Exclusion, Prefix};

/// How much of a frame to keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Snap {
    /// All of it.
    #[default]
    Full,
    /// As far as the UDP or TCP header, or the last header before that is understood.
    Headers,
    /// At most this many bytes, but never less than an Ethernet header.
    Bytes(u32),
}

/// The consoles that are wanted, and what is not wanted of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsoleFilter {
    config: Config,
    macs: HashSet<u64>,
    /// The prefixes and their `prefix` bits.
    prefixes: HashMap<Prefix, u32>,
    /// The lengths that occur among them, of IPv4 and of IPv6: a lookup tries no other.
    lengths: [BTreeSet<u8>; 2],
    /// One bit for each excluded port, UDP before TCP.
    ports: Vec<u64>,
}

/// A table of the XDP program is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {limit} {what} do not fit into the XDP program's table")]
pub struct Full {
    /// What there is too much of.
    pub what: &'static str,
    /// How many fit.
    pub limit: u32,
}

impl Default for ConsoleFilter {
    fn default() -> Self {
        Self {
            config: Config { flags: flag::DISCOVERY, ..Config::default() },
            macs: HashSet::new(),
            prefixes: HashMap::new(),
            lengths: [BTreeSet::new(), BTreeSet::new()],
            ports: vec![0; PORT_WORDS as usize],
        }
    }
}

impl ConsoleFilter {
    /// A filter that wants discovery traffic only, until consoles are added.
    pub fn new() -> Self {
        Self::default()
    }

    /// A filter that wants everything.
    pub fn everything() -> Self {
        let mut filter = Self::default();
        filter.set_capture_all(true);
        filter
    }

    /// Whether it wants every frame there is, and knows no consoles to tell apart.
    #[inline]
    pub fn wants_everything(&self) -> bool {
        self.config.flags & !flag::DISCOVERY == flag::CAPTURE_ALL
    }

    /// Adds a console.
    ///
    /// # Errors
    /// When the table is full.
    pub fn add_console(&mut self, console: Console) -> Result<(), Full> {
        match console {
            Console::Mac(key) => {
                if !self.macs.contains(&key) && self.macs.len() >= MAX_MACS as usize {
                    return Err(Full { what: "console MACs and OUIs", limit: MAX_MACS });
                }
                self.macs.insert(key);
                self.config.flags |= match key >> 48 {
                    24 => flag::OUI_24,
                    28 => flag::OUI_28,
                    36 => flag::OUI_36,
                    _ => flag::MACS,
                };
                Ok(())
            }
            Console::Prefix(prefix) => self.add_prefix(prefix, prefix::CONSOLE),
        }
    }

    /// Adds what is not wanted.
    ///
    /// # Errors
    /// When the table is full.
    pub fn exclude(&mut self, exclusion: Exclusion) -> Result<(), Full> {
        match exclusion {
            Exclusion::Ports { udp, tcp, ports } => {
                self.config.flags |= flag::PORTS;
                for port in ports {
                    for (wanted, is_tcp) in [(udp, false), (tcp, true)] {
                        if wanted && let Some(word) = self.ports.get_mut(port_word(is_tcp, port)) {
                            *word |= 1 << (port % 64);
                        }
                    }
                }
                Ok(())
            }
            Exclusion::Prefix(prefix) => self.add_prefix(prefix, prefix::EXCLUDED),
        }
    }

    fn add_prefix(&mut self, prefix: Prefix, bits: u32) -> Result<(), Full> {
        if let Some(known) = self.prefixes.get_mut(&prefix) {
            *known |= bits;
            return Ok(());
        }
        let v4 = prefix.address.is_ipv4();
        if self.prefixes.keys().filter(|other| other.address.is_ipv4() == v4).count() >= MAX_PREFIXES as usize {
            return Err(Full { what: "prefixes of one IP version", limit: MAX_PREFIXES });
        }
        self.prefixes.insert(prefix, bits);
        self.lengths[usize::from(!v4)].insert(prefix.bits);
        self.config.flags |= if v4 { flag::PREFIXES_4 } else { flag::PREFIXES_6 };
        Ok(())
    }

    /// Whether to capture every frame that is not excluded.
    pub fn set_capture_all(&mut self, on: bool) {
        self.set(flag::CAPTURE_ALL, on);
    }

    /// Whether to capture what discovers consoles, from anybody. On unless turned off.
    pub fn set_discovery(&mut self, on: bool) {
        self.set(flag::DISCOVERY, on);
    }

    /// Whether a live capture leaves what it does not want to the kernel's stack, instead of dropping it.
    pub fn set_pass_unmatched(&mut self, on: bool) {
        self.set(flag::PASS_UNMATCHED, on);
    }

    /// How much to keep of the frames of a class.
    pub fn set_snap(&mut self, class: Class, snap: Snap) {
        if let Some(bytes) = self.config.snap.get_mut(class as usize) {
            *bytes = match snap {
                Snap::Full => SNAP_FULL,
                Snap::Headers => SNAP_HEADERS,
                Snap::Bytes(bytes) => bytes.clamp(1, SNAP_FULL - 1),
            };
        }
    }

    fn set(&mut self, flag: u32, on: bool) {
        self.config.flags = if on { self.config.flags | flag } else { self.config.flags & !flag };
    }

    /// The consoles given by MAC or OUI, as [`mac_key`](capture_common::config::mac_key)s.
    pub(super) fn macs(&self) -> &HashSet<u64> {
        &self.macs
    }

    /// The excluded ports, one bit each, UDP before TCP.
    pub(super) fn ports(&self) -> &[u64] {
        &self.ports
    }

    /// All prefixes as the maps want them: each with the bits of those that cover it.
    pub(super) fn prefixes(&self) -> impl Iterator<Item = (Prefix, u32)> {
        self.prefixes.keys().map(|&prefix| (prefix, self.covering(prefix)))
    }

    /// The bits of all prefixes that cover `host`, itself among them.
    fn covering(&self, host: Prefix) -> u32 {
        let lengths = self.lengths[usize::from(host.address.is_ipv6())].range(..=host.bits);
        lengths
            .filter_map(|&bits| self.prefixes.get(&Prefix::covering(host.address, bits)))
            .fold(0, |all, bits| all | bits)
    }
}

/// Where a port's bit is.
fn port_word(tcp: bool, port: u16) -> usize {
    usize::from(port / 64) + if tcp { PORT_WORDS as usize / 2 } else { 0 }
}

impl Policy for ConsoleFilter {
    fn config(&self) -> &Config {
        &self.config
    }

    fn has_mac(&self, key: u64) -> bool {
        self.macs.contains(&key)
    }

    fn prefix_v4(&self, address: u32) -> u32 {
        self.covering(Prefix { address: IpAddr::V4(address.into()), bits: 32 })
    }

    fn prefix_v6(&self, address: Address) -> u32 {
        let address = u128::from(address.high) << 64 | u128::from(address.low);
        self.covering(Prefix { address: IpAddr::V6(address.into()), bits: 128 })
    }

    fn excludes_port(&self, tcp: bool, port: u16) -> bool {
        self.ports.get(port_word(tcp, port)).is_some_and(|word| word >> (port % 64) & 1 != 0)
    }

    /// Never: what is in a file has been captured already.
    fn shunt(&self, _: &FlowKey, _: Direction, _: u32, _: u32) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v6(text: &str) -> Address {
        text.parse::<std::net::IpAddr>().unwrap().into()
    }

    #[test]
    fn prefixes_add_up_from_the_shortest_to_the_longest() {
        let mut filter = ConsoleFilter::new();
        filter.add_console("10.0.0.0/8".parse().unwrap()).unwrap();
        filter.exclude("10.1.0.0/16".parse().unwrap()).unwrap();
        filter.add_console("10.1.2.3".parse().unwrap()).unwrap();
        filter.exclude("2001:db8::/32".parse().unwrap()).unwrap();
        assert_eq!(filter.prefix_v4(0x0a02_0001), prefix::CONSOLE);
        assert_eq!(filter.prefix_v4(0x0a01_0001), prefix::CONSOLE | prefix::EXCLUDED);
        assert_eq!(filter.prefix_v4(0x0b00_0001), 0);
        assert_eq!(filter.prefix_v6(v6("2001:db8::1")), prefix::EXCLUDED);
        assert_eq!(filter.prefix_v6(v6("2001:db9::1")), 0);
        // The map's longest match sees one entry only: it must carry what covers it.
        for (prefix, bits) in filter.prefixes() {
            match (prefix.address.is_ipv4(), prefix.bits) {
                (true, 8) => assert_eq!(bits, prefix::CONSOLE),
                (true, _) => assert_eq!(bits, prefix::CONSOLE | prefix::EXCLUDED),
                (false, _) => assert_eq!(bits, prefix::EXCLUDED),
            }
        }
    }

    #[test]
    fn ipv4_and_ipv6_do_not_cover_each_other() {
        let mut filter = ConsoleFilter::new();
        filter.add_console("::/0".parse().unwrap()).unwrap();
        assert_eq!(filter.prefix_v4(1), 0);
        let mut filter = ConsoleFilter::new();
        filter.add_console("0.0.0.0/0".parse().unwrap()).unwrap();
        assert_eq!(filter.prefix_v4(1), prefix::CONSOLE);
        assert_eq!(filter.prefix_v6(v6("::ffff:1.2.3.4")), 0, "an IPv6 packet with a mapped address is IPv6");
    }

    #[test]
    fn ports_are_excluded_by_transport() {
        let mut filter = ConsoleFilter::new();
        filter.exclude("udp/63-65".parse().unwrap()).unwrap();
        filter.exclude("65535".parse().unwrap()).unwrap();
        let excluded = |tcp| (0..=u16::MAX).filter(|&port| filter.excludes_port(tcp, port)).collect::<Vec<_>>();
        assert_eq!(excluded(false), [63, 64, 65, 65535]);
        assert_eq!(excluded(true), [65535]);
    }

    #[test]
    fn tables_have_the_size_of_the_maps() {
        let mut filter = ConsoleFilter::new();
        for mac in 0..u64::from(MAX_MACS) {
            filter.add_console(Console::Mac(48 << 48 | mac)).unwrap();
        }
        assert!(filter.add_console(Console::Mac(48 << 48)).is_ok(), "it is there already");
        assert!(filter.add_console(Console::Mac(48 << 48 | 0xffff)).is_err());
    }
}
