//! The bounded walk over a frame's headers: Ethernet, up to two VLAN tags, IPv4 or IPv6, UDP or TCP.

use super::{Packet, flag};
use crate::config::Address;

/// The walk reads no byte beyond this one. The kernel hands the program only the first piece of a scattered frame, so
/// without a limit of our own the answer would depend on the driver.
pub const MAX_WALK: usize = 1024;
/// Extension headers of IPv6 that are walked; one more and the packet counts as malformed.
pub const MAX_EXTENSIONS: usize = 8;

const ETHERNET: usize = 14;
const VLAN: usize = 4;
const TAGS: usize = 2;

const TYPE_IPV4: u16 = 0x0800;
const TYPE_ARP: u16 = 0x0806;
const TYPE_IPV6: u16 = 0x86dd;

const HOP_BY_HOP: u8 = 0;
pub(super) const TCP: u8 = 6;
const UDP: u8 = 17;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION: u8 = 60;

/// What the walk found. Fields that it did not reach are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// Bits of [`flag`], those of consoles excepted.
    pub flags: u16,
    /// Whether the two MACs were read.
    pub has_macs: bool,
    /// The receiver's MAC, as a number of 48 bits.
    pub destination_mac: u64,
    /// The sender's.
    pub source_mac: u64,
    /// What follows Ethernet and its VLAN tags.
    pub ether_type: u16,
    /// Where the IP header begins.
    pub network: u8,
    /// The sender's address.
    pub source: Address,
    /// The receiver's.
    pub destination: Address,
    /// Bytes from the IP header on, as it says itself.
    pub ip_bytes: u32,
    /// IP protocol number of what follows the IP header and its extensions.
    pub protocol: u8,
    /// Where that begins.
    pub transport: u16,
    /// The sender's port.
    pub source_port: u16,
    /// The receiver's.
    pub destination_port: u16,
    /// Where the last header that was understood ends.
    pub end: u16,
}

impl Headers {
    /// Walks an Ethernet frame; `None` where not even that header is whole.
    #[inline(always)]
    pub fn of_ethernet<P: Packet + ?Sized>(packet: &P) -> Option<Self> {
        let [d0, d1, d2, s0, s1, s2, mut ether_type] = read::<7, P>(packet, 0)?;
        let mut headers =
            Self { has_macs: true, destination_mac: mac(d0, d1, d2), source_mac: mac(s0, s1, s2), ..Self::default() };
        let (group, everybody) = (d0 & 0x0100 != 0, d0 & d1 & d2 == 0xffff);
        let mut offset = ETHERNET;
        for _ in 0..TAGS {
            // 802.1Q, 802.1ad, and what came before 802.1ad.
            if !matches!(ether_type, 0x8100 | 0x88a8 | 0x9100) {
                break;
            }
            let Some([_, inner]) = read::<2, P>(packet, offset) else {
                headers.flags |= flag::MALFORMED;
                break;
            };
            headers.flags |= flag::VLAN;
            ether_type = inner;
            offset += VLAN;
        }
        // Behind the MAC of a group may be one host's address (a cluster of servers has such), and that host answers
        // alone: where there are addresses, they decide, but for those of a subnet's broadcasts, which look like any.
        headers.note_group(everybody || (group && !matches!(ether_type, TYPE_IPV4 | TYPE_IPV6)));
        headers.walk_network(packet, ether_type, packet.forget(offset as u64) as usize);
        headers.forget(packet);
        Some(headers)
    }

    /// Walks from the network header on, of the Ethernet type `ether_type`, at `offset`.
    pub fn of_network<P: Packet + ?Sized>(packet: &P, ether_type: u16, offset: u8) -> Self {
        let mut headers = Self::default();
        headers.walk_network(packet, ether_type, offset as usize);
        headers
    }

    /// Whether the frame is of a kind by which consoles are discovered: ARP, or a UDP port of discovery.
    #[inline(always)]
    pub fn is_discovery(&self) -> bool {
        self.ether_type == TYPE_ARP
            || (self.protocol == UDP
                && self.flags & flag::PORTS != 0
                && (is_discovery_port(self.source_port) || is_discovery_port(self.destination_port)))
    }

    #[inline(always)]
    fn walk_network<P: Packet + ?Sized>(&mut self, packet: &P, ether_type: u16, offset: usize) {
        self.ether_type = ether_type;
        self.end = offset as u16;
        let whole = match ether_type {
            TYPE_IPV4 => self.walk_ipv4(packet, offset),
            TYPE_IPV6 => self.walk_ipv6(packet, offset),
            _ => Some(()),
        };
        if whole.is_none() {
            self.flags |= flag::MALFORMED;
        }
    }

    /// RFC 791 section 3.1. `None`: cut short or impossible.
    #[inline(always)]
    fn walk_ipv4<P: Packet + ?Sized>(&mut self, packet: &P, offset: usize) -> Option<()> {
        let [first, total, _, fragment, ttl_protocol, _, s0, s1, d0, d1] = read::<10, P>(packet, offset)?;
        let header = (first >> 8 & 0x0f) as usize * 4;
        if first >> 12 != 4 || header < 20 {
            return None;
        }
        self.flags |= flag::IPV4;
        self.network = offset as u8;
        self.source = Address::v4(double(s0, s1));
        self.destination = Address::v4(double(d0, d1));
        self.note_group(self.destination.low as u32 >= 0xe000_0000);
        self.protocol = ttl_protocol as u8;
        self.ip_bytes = said_or_rest(packet, offset, total as u32);
        self.end = (offset + 20) as u16;
        // More fragments, or not the first.
        if fragment & 0x3fff != 0 {
            self.flags |= flag::FRAGMENT;
        }
        self.reach_transport(packet, packet.forget((offset + header) as u64) as usize, fragment & 0x1fff != 0)
    }

    /// RFC 8200 section 3. `None`: cut short or impossible.
    #[inline(always)]
    fn walk_ipv6<P: Packet + ?Sized>(&mut self, packet: &P, offset: usize) -> Option<()> {
        let words = read::<20, P>(packet, offset)?;
        if words[0] >> 12 != 6 {
            return None;
        }
        self.flags |= flag::IPV6;
        self.network = offset as u8;
        self.source = Address { high: quad(&words, 4), low: quad(&words, 8) };
        self.destination = Address { high: quad(&words, 12), low: quad(&words, 16) };
        self.note_group(words[12] >> 8 == 0xff);
        let said = if words[2] == 0 { 0 } else { words[2] as u32 + 40 };
        self.ip_bytes = said_or_rest(packet, offset, said);
        self.end = (offset + 40) as u16;
        self.walk_extensions(packet, offset + 40, (words[3] >> 8) as u8)
    }

    /// RFC 8200 section 4, RFC 4302 for the authentication header.
    #[inline(always)]
    fn walk_extensions<P: Packet + ?Sized>(&mut self, packet: &P, start: usize, first: u8) -> Option<()> {
        let mut at = start;
        let mut protocol = first;
        for walked in 0..=MAX_EXTENSIONS {
            at = packet.forget(at as u64) as usize;
            protocol = packet.forget(protocol as u64) as u8;
            self.protocol = protocol;
            self.end = at as u16;
            if !matches!(protocol, HOP_BY_HOP | ROUTING | DESTINATION | FRAGMENT | AUTHENTICATION) {
                return self.reach_transport(packet, at, false);
            }
            if walked == MAX_EXTENSIONS {
                break;
            }
            let [next_length, field] = read::<2, P>(packet, at)?;
            let next = (next_length >> 8) as u8;
            let units = (next_length & 0xff) as usize;
            at += match protocol {
                FRAGMENT => {
                    // Offset in the upper 13 bits, "more fragments" in the lowest. An atomic fragment (RFC 6946) has
                    // neither and is a whole packet.
                    self.flags |= if field & 0xfff9 != 0 { flag::FRAGMENT } else { 0 };
                    if field & 0xfff8 != 0 {
                        self.protocol = next;
                        return self.reach_transport(packet, at + 8, true);
                    }
                    8
                }
                AUTHENTICATION => (units + 2) * 4,
                _ => (units + 1) * 8,
            };
            protocol = next;
        }
        None
    }

    /// Notes where the transport begins and reads its ports, unless they are in another fragment (`later`).
    #[inline(always)]
    fn reach_transport<P: Packet + ?Sized>(&mut self, packet: &P, at: usize, later: bool) -> Option<()> {
        self.transport = at as u16;
        self.end = at as u16;
        if later {
            return Some(());
        }
        let (source, destination, least, length) = match self.protocol {
            UDP => {
                let [source, destination, ..] = read::<4, P>(packet, at)?;
                (source, destination, 8, 8)
            }
            TCP => {
                let [source, destination, _, _, _, _, offset_flags, ..] = read::<10, P>(packet, at)?;
                (source, destination, 20, (offset_flags >> 12) as u32 * 4)
            }
            _ => return Some(()),
        };
        // What the IP header does not count is Ethernet padding.
        if self.ip_bytes + (self.network as u32) < at as u32 + least || length < least {
            return None;
        }
        self.flags |= flag::PORTS;
        self.source_port = source;
        self.destination_port = destination;
        self.end = (at as u32 + length) as u16;
        Some(())
    }

    /// Here all paths of the walk meet.
    #[inline(always)]
    fn forget<P: Packet + ?Sized>(&mut self, packet: &P) {
        self.flags = packet.forget(self.flags as u64) as u16;
        self.ether_type = packet.forget(self.ether_type as u64) as u16;
        self.protocol = packet.forget(self.protocol as u64) as u8;
        self.network = packet.forget(self.network as u64) as u8;
        self.transport = packet.forget(self.transport as u64) as u16;
        self.end = packet.forget(self.end as u64) as u16;
        self.ip_bytes = packet.forget(self.ip_bytes as u64) as u32;
        self.source.high = packet.forget(self.source.high);
        self.source.low = packet.forget(self.source.low);
        self.destination.high = packet.forget(self.destination.high);
        self.destination.low = packet.forget(self.destination.low);
        self.source_port = packet.forget(self.source_port as u64) as u16;
        self.destination_port = packet.forget(self.destination_port as u64) as u16;
    }

    #[inline(always)]
    fn note_group(&mut self, group: bool) {
        if group {
            self.flags |= flag::GROUP;
        }
    }
}

/// DHCP, DHCPv6, mDNS, SSDP, LLMNR, PlayStation (987, 9302), SmartGlass (5050) and Steam (27036).
#[inline(always)]
fn is_discovery_port(port: u16) -> bool {
    matches!(port, 67 | 68 | 546 | 547 | 987 | 1900 | 5050 | 5353 | 5355 | 9302 | 27036)
}

/// Reads within the limit of the walk.
#[inline(always)]
fn read<const N: usize, P: Packet + ?Sized>(packet: &P, offset: usize) -> Option<[u16; N]> {
    if offset > MAX_WALK - 2 * N {
        return None;
    }
    packet.words(offset)
}

/// The length that an IP header says; where it says 0 (segmentation offload, jumbograms) all that follows.
#[inline(always)]
fn said_or_rest<P: Packet + ?Sized>(packet: &P, offset: usize, said: u32) -> u32 {
    if said == 0 { packet.length().saturating_sub(offset as u32) } else { said }
}

#[inline(always)]
fn mac(a: u16, b: u16, c: u16) -> u64 {
    (a as u64) << 32 | (b as u64) << 16 | c as u64
}

#[inline(always)]
fn double(a: u16, b: u16) -> u32 {
    (a as u32) << 16 | b as u32
}

/// The 64 bits from word `at` of an IPv6 header on.
#[inline(always)]
fn quad(words: &[u16; 20], at: usize) -> u64 {
    (double(words[at], words[at + 1]) as u64) << 32 | double(words[at + 2], words[at + 3]) as u64
}
