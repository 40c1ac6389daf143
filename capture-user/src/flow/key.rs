//! What makes packets one flow: the unordered pair of endpoints and the protocol.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::dissect::{Digest, Icmp, Packet, Plain, Transport};

/// An IP protocol number (IANA protocol-numbers).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Protocol(pub u8);

impl Protocol {
    /// ICMP.
    pub const ICMP: Self = Self(1);
    /// TCP.
    pub const TCP: Self = Self(6);
    /// UDP.
    pub const UDP: Self = Self(17);
    /// ICMPv6.
    pub const ICMPV6: Self = Self(58);

    /// Its usual name, where padtap knows it.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            1 => "icmp",
            2 => "igmp",
            6 => "tcp",
            17 => "udp",
            47 => "gre",
            50 => "esp",
            51 => "ah",
            58 => "icmpv6",
            103 => "pim",
            112 => "vrrp",
            132 => "sctp",
            _ => return None,
        })
    }
}

/// The identity of a flow, equal for both directions. Addresses are ordered, so the key says nothing of who began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    low: End,
    high: End,
    /// From the upper end: the ports of `low` and `high` where these have no room for them, 0, the protocol, whether the
    /// addresses are of IPv4.
    rest: u64,
}

/// An endpoint as a number in two halves, such that endpoints sort as Community ID sorts them. Of IPv4 it is the address
/// and, in the lowest 16 bits of the first half, the port; of IPv6 the address alone.
type End = [u64; 2];

impl Key {
    /// The key of a packet, and whether its sender is the key's second endpoint. `None` without IP.
    ///
    /// ICMP messages have their type and code where others have ports, as the Community ID has it: an echo and its
    /// reply are one flow.
    #[inline]
    pub fn of(packet: &Packet<'_>) -> Option<(Self, bool)> {
        let ip = packet.ip.as_ref()?;
        let (source_port, destination_port, one_way) = match &packet.transport {
            Transport::Udp(udp) => (udp.source, udp.destination, false),
            Transport::Tcp(tcp) => (tcp.source, tcp.destination, false),
            Transport::Icmp(icmp) => icmp_ports(icmp, Protocol(ip.protocol)),
            Transport::None => (0, 0, false),
        };
        if let (IpAddr::V4(source), IpAddr::V4(destination)) = (ip.source, ip.destination) {
            let ends = (source.to_bits(), destination.to_bits());
            return Some(Self::v4(ends, (source_port, destination_port), ip.protocol, one_way));
        }
        let (source, destination) = (number(ip.source), number(ip.destination));
        let swapped = (source, source_port) > (destination, destination_port) && !one_way;
        let ((low, first), (high, second)) = if swapped {
            ((destination, destination_port), (source, source_port))
        } else {
            ((source, source_port), (destination, destination_port))
        };
        let rest = u64::from(first) << 48 | u64::from(second) << 32 | u64::from(ip.protocol) << 1;
        Some((Self { low, high, rest }, swapped))
    }

    /// The key of a plain packet, and whether its sender is the key's second endpoint.
    #[inline(always)]
    pub fn of_plain(plain: &Plain<'_>) -> (Self, bool) {
        Self::v4(plain.ends(), plain.ports(), plain.protocol(), false)
    }

    #[inline(always)]
    fn v4(ends: (u32, u32), ports: (u16, u16), protocol: u8, one_way: bool) -> (Self, bool) {
        let source = u64::from(ends.0) << 16 | u64::from(ports.0);
        let destination = u64::from(ends.1) << 16 | u64::from(ports.1);
        let swapped = source > destination && !one_way;
        let low = if one_way { source } else { source.min(destination) };
        let high = if one_way { destination } else { source.max(destination) };
        (Self { low: [low, 0], high: [high, 0], rest: u64::from(protocol) << 1 | 1 }, swapped)
    }

    /// Whether both are the same key, where this one is of IPv4.
    #[inline(always)]
    pub(super) fn is_v4_key(&self, other: &Self) -> bool {
        // Of such a key the second halves are zero.
        self.rest == other.rest && self.low[0] == other.low[0] && self.high[0] == other.high[0]
    }

    /// Its digest, as a hash.
    #[inline(always)]
    pub(super) fn digest(&self, mut digest: Digest) -> u64 {
        if self.is_v4() {
            // UDP and TCP flows between the same ports are few.
            digest.add(self.low[0], self.high[0]);
        } else {
            digest.add(self.low[0], self.low[1]);
            digest.add(self.high[0], self.high[1]);
            digest.add(self.rest, 0);
        }
        digest.state()
    }

    /// The first endpoint, or the second.
    pub fn endpoint(&self, second: bool) -> SocketAddr {
        let [upper, lower] = if second { self.high } else { self.low };
        if self.is_v4() {
            return SocketAddr::new(Ipv4Addr::from_bits((upper >> 16) as u32).into(), upper as u16);
        }
        let port = if second { self.rest >> 32 } else { self.rest >> 48 };
        SocketAddr::new(Ipv6Addr::from_bits(u128::from(upper) << 64 | u128::from(lower)).into(), port as u16)
    }

    /// The protocol under IP.
    pub const fn protocol(&self) -> Protocol {
        Protocol((self.rest >> 1) as u8)
    }

    /// Whether the endpoints' ports (or what ICMP has in their place) mean anything.
    pub const fn has_ports(&self) -> bool {
        matches!(self.protocol(), Protocol::ICMP | Protocol::TCP | Protocol::UDP | Protocol::ICMPV6)
    }

    const fn is_v4(&self) -> bool {
        self.rest & 1 == 1
    }
}

#[inline]
fn number(address: IpAddr) -> End {
    match address {
        IpAddr::V4(v4) => [u64::from(v4.to_bits()), 0],
        IpAddr::V6(v6) => [(v6.to_bits() >> 64) as u64, v6.to_bits() as u64],
    }
}

/// Type of the message and of its counterpart. A message that has none goes one way and has its code instead
/// (Community ID specification, "ICMP").
fn icmp_ports(icmp: &Icmp, protocol: Protocol) -> (u16, u16, bool) {
    let counterpart = match (protocol, icmp.kind) {
        (Protocol::ICMP, 0) => Some(8),
        (Protocol::ICMP, 8) => Some(0),
        (Protocol::ICMP, 9) => Some(10),
        (Protocol::ICMP, 10) => Some(9),
        (Protocol::ICMP, kind @ (13 | 15 | 17)) => Some(kind + 1),
        (Protocol::ICMP, kind @ (14 | 16 | 18)) => Some(kind - 1),
        (Protocol::ICMPV6, kind @ (128 | 133 | 135 | 139 | 144)) => Some(kind + 1),
        (Protocol::ICMPV6, kind @ (129 | 134 | 136 | 140 | 145)) => Some(kind - 1),
        (Protocol::ICMPV6, 130) => Some(131),
        (Protocol::ICMPV6, 131) => Some(130),
        _ => None,
    };
    (u16::from(icmp.kind), u16::from(counterpart.unwrap_or(icmp.code)), counterpart.is_none())
}
