//! What makes packets one flow: the unordered pair of endpoints and the protocol.

use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::dissect::{Icmp, Packet, Transport};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    low: Address,
    high: Address,
    /// Of `low` in the upper half, of `high` in the lower.
    ports: u32,
    protocol: u8,
    v4: bool,
}

/// An address as a number in two halves. Those of IPv4 stand at the upper end, so that they sort among themselves as
/// Community ID sorts them.
type Address = [u64; 2];

impl Hash for Key {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let rest = u64::from(self.ports) << 32 | u64::from(self.protocol) << 1 | u64::from(self.v4);
        if self.v4 {
            state.write_u64(self.low[0] | self.high[0] >> 32);
        } else {
            self.low.into_iter().chain(self.high).for_each(|half| state.write_u64(half));
        }
        state.write_u64(rest);
    }
}

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
        let ports = u32::from(source_port) << 16 | u32::from(destination_port);
        let (low, high, is_later, v4) = match (ip.source, ip.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let (source, destination) = (u64::from(source.to_bits()) << 32, u64::from(destination.to_bits()) << 32);
                // Address and port fit one number.
                let is_later = source | u64::from(source_port) > destination | u64::from(destination_port);
                ([source, 0], [destination, 0], is_later, true)
            }
            (source, destination) => {
                let (source, destination) = (number(source), number(destination));
                (source, destination, (source, source_port) > (destination, destination_port), false)
            }
        };
        let swapped = is_later && !one_way;
        let (low, high, ports) = if swapped { (high, low, ports.rotate_left(16)) } else { (low, high, ports) };
        Some((Self { low, high, ports, protocol: ip.protocol, v4 }, swapped))
    }

    /// The first endpoint, or the second.
    pub fn endpoint(&self, second: bool) -> SocketAddr {
        let (address, port) =
            if second { (self.high, self.ports as u16) } else { (self.low, (self.ports >> 16) as u16) };
        SocketAddr::new(self.address(address), port)
    }

    /// The protocol under IP.
    pub const fn protocol(&self) -> Protocol {
        Protocol(self.protocol)
    }

    /// Whether the endpoints' ports (or what ICMP has in their place) mean anything.
    pub const fn has_ports(&self) -> bool {
        matches!(self.protocol(), Protocol::ICMP | Protocol::TCP | Protocol::UDP | Protocol::ICMPV6)
    }

    fn address(&self, [upper, lower]: Address) -> IpAddr {
        if self.v4 {
            Ipv4Addr::from_bits((upper >> 32) as u32).into()
        } else {
            Ipv6Addr::from_bits(u128::from(upper) << 64 | u128::from(lower)).into()
        }
    }
}

#[inline]
fn number(address: IpAddr) -> Address {
    match address {
        IpAddr::V4(v4) => [u64::from(v4.to_bits()) << 32, 0],
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
