//! A compiled expression: tests and forward jumps over one truth value, run on the bytes of a frame.
//!
//! ```text
//! a and b or not c        0  test a         value = a
//!                         1  unless 3       if value is false, go to 3
//!                         2  test b         value = b
//!                         3  when 6         if value is true, go to 6
//!                         4  test c
//!                         5  not
//!                         6                 the value is the answer
//! ```
//!
//! Jumps only go forward, so a run is bounded by the length of the program, and it allocates nothing. A test that
//! needs a byte beyond what was captured ends the run with "no", as a load beyond the buffer ends a BPF program.

use crate::dissect::Mac;
use crate::source::{Frame, LinkType};

/// The tests, and what to do with their answers.
#[derive(Clone, Debug, Default)]
pub(super) struct Program(Vec<Op>);

/// One instruction.
#[derive(Clone, Copy, Debug)]
enum Op {
    /// Replaces the value by a test's answer.
    Test(Test, Tags),
    /// Inverts the value.
    Not,
    /// Goes to this instruction if the value is false.
    Unless(usize),
    /// Goes to this instruction if the value is true.
    When(usize),
}

/// How many VLAN tags lie before what a test looks at.
pub(super) type Tags = u32;

/// Where a forward jump stands whose target is not known yet.
#[must_use]
pub(super) struct Jump(usize);

impl Program {
    pub fn test(&mut self, test: Test, tags: Tags) {
        self.0.push(Op::Test(test, tags));
    }

    pub fn not(&mut self) {
        self.0.push(Op::Not);
    }

    /// Begins the right side of an `and`.
    pub fn unless(&mut self) -> Jump {
        self.0.push(Op::Unless(0));
        Jump(self.0.len() - 1)
    }

    /// Begins the right side of an `or`.
    pub fn when(&mut self) -> Jump {
        self.0.push(Op::When(0));
        Jump(self.0.len() - 1)
    }

    /// Ends the right side that `jump` began.
    pub fn land(&mut self, jump: Jump) {
        let here = self.0.len();
        if let Some(Op::Unless(target) | Op::When(target)) = self.0.get_mut(jump.0) {
            *target = here;
        }
    }

    /// The answer for a frame.
    pub fn run(&self, frame: &Frame<'_>) -> bool {
        let (mut value, mut at) = (true, 0);
        while let Some(op) = self.0.get(at) {
            at += 1;
            match *op {
                Op::Test(test, tags) => match (View { frame, tags }).answer(test) {
                    Some(answer) => value = answer,
                    None => return false,
                },
                Op::Not => value = !value,
                Op::Unless(target) if !value => at = target,
                Op::When(target) if value => at = target,
                Op::Unless(_) | Op::When(_) => {}
            }
        }
        value
    }
}

/// One question about a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Test {
    /// Whether the length on the wire lies in this range, ends included.
    Length(u32, u32),
    /// Whether the frame carries this EtherType.
    EtherType(u16),
    /// Whether an IP packet of one of the versions carries this protocol.
    IpProtocol { versions: Versions, protocol: u8 },
    /// An IPv4 address, in IPv4's own header or inside ARP or RARP.
    V4 { carrier: Carrier, side: Side, network: u32, mask: u32 },
    /// An IPv6 address.
    V6 { side: Side, network: u128, mask: u128 },
    /// A port in this range, ends included, of this protocol, or of UDP, TCP or SCTP.
    Port { protocol: Option<u8>, side: Side, low: u16, high: u16 },
    /// An Ethernet address.
    Mac { side: Side, mac: Mac },
    /// An Ethernet destination that is a group, broadcast included.
    EtherMulticast,
    /// An IPv4 destination of 224.0.0.0 or higher.
    V4Multicast,
    /// An IPv6 destination in ff00::/8.
    V6Multicast,
    /// An IPv4 destination of all ones or all zeros.
    V4Broadcast,
    /// A VLAN tag, with this identifier where one is given.
    Vlan(Option<u16>),
}

/// Versions of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Versions {
    V4,
    V6,
    Both,
}

/// Where IPv4 addresses stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    Ip,
    Arp,
    Rarp,
    Any,
}

/// Of source and destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Source,
    Destination,
    Either,
    Both,
}

impl Side {
    /// Asks about the ends this side names, the source first, and about no more of them than is needed.
    fn ask(self, holds: impl Fn(End) -> Option<bool>) -> Option<bool> {
        match self {
            Self::Source => holds(End::Source),
            Self::Destination => holds(End::Destination),
            Self::Either => Some(holds(End::Source)? || holds(End::Destination)?),
            Self::Both => Some(holds(End::Source)? && holds(End::Destination)?),
        }
    }
}

#[derive(Clone, Copy)]
enum End {
    Source,
    Destination,
}

impl End {
    /// Of two offsets, the one for this end.
    fn of(self, source: usize, destination: usize) -> usize {
        match self {
            Self::Source => source,
            Self::Destination => destination,
        }
    }
}

mod ether_type {
    pub const IPV4: u16 = 0x0800;
    pub const ARP: u16 = 0x0806;
    pub const RARP: u16 = 0x8035;
    /// IEEE 802.1Q, 802.1ad, and the S-tag of equipment older than that.
    pub const TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];
    pub const IPV6: u16 = 0x86dd;
}

/// AF_INET and AF_INET6 as LINKTYPE_NULL and LINKTYPE_LOOP have them.
mod address_family {
    pub const INET: [u32; 1] = [2];
    /// NetBSD and OpenBSD; FreeBSD; Darwin.
    pub const INET6: [u32; 3] = [24, 28, 30];
}

/// IP protocol numbers (IANA protocol-numbers).
mod protocol {
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const IPV6_FRAGMENT: u8 = 44;
    pub const SCTP: u8 = 132;
}

/// A frame from behind some VLAN tags. `None`, everywhere: it is not captured that far.
struct View<'a, 'f> {
    frame: &'a Frame<'f>,
    tags: Tags,
}

impl View<'_, '_> {
    fn answer(&self, test: Test) -> Option<bool> {
        match test {
            Test::Length(low, high) => Some((low..=high).contains(&self.frame.length)),
            Test::EtherType(kind) => self.carries(kind),
            Test::IpProtocol { versions, protocol } => self.has_protocol(versions, protocol),
            Test::V4 { carrier, side, network, mask } => self.has_v4(carrier, side, network, mask),
            Test::V6 { side, network, mask } => self.has_v6(side, network, mask),
            Test::Port { protocol, side, low, high } => self.has_port(protocol, side, low, high),
            Test::Mac { side, mac } if self.is_ethernet() => {
                side.ask(|end| Some(self.bytes::<6>(end.of(6, 0))? == mac.0))
            }
            Test::EtherMulticast if self.is_ethernet() => Some(self.bytes::<1>(0)?[0] & 1 == 1),
            Test::Mac { .. } | Test::EtherMulticast => Some(false),
            Test::V4Multicast => Some(self.carries(ether_type::IPV4)? && self.octet(16)? >= 224),
            Test::V6Multicast => Some(self.carries(ether_type::IPV6)? && self.octet(24)? == 255),
            Test::V4Broadcast => Some(self.carries(ether_type::IPV4)? && matches!(self.word(16)?, 0 | u32::MAX)),
            Test::Vlan(id) => self.is_tagged(id),
        }
    }

    fn is_ethernet(&self) -> bool {
        self.frame.link == LinkType::Ethernet
    }

    /// Whether the link layer says that it carries this EtherType.
    fn carries(&self, kind: u16) -> Option<bool> {
        let at = match self.frame.link {
            LinkType::Ethernet => 12 + self.tag_bytes(),
            LinkType::LinuxSll => 14,
            LinkType::LinuxSll2 => 0,
            LinkType::RawIp => return self.is_version(kind),
            LinkType::Null | LinkType::Loop => return self.is_family(kind),
            LinkType::Other(_) => return Some(false),
        };
        Some(u16::from_be_bytes(self.bytes(at)?) == kind)
    }

    /// A raw packet says what it is in its first four bits.
    fn is_version(&self, kind: u16) -> Option<bool> {
        match kind {
            ether_type::IPV4 => Some(self.octet(0)? >> 4 == 4),
            ether_type::IPV6 => Some(self.octet(0)? >> 4 == 6),
            _ => Some(false),
        }
    }

    /// Loopback names the address family: in either byte order, and IPv6's by the number of any BSD.
    fn is_family(&self, kind: u16) -> Option<bool> {
        let families: &[u32] = match kind {
            ether_type::IPV4 => &address_family::INET,
            ether_type::IPV6 => &address_family::INET6,
            _ => return Some(false),
        };
        let family = u32::from_be_bytes(self.bytes(0)?);
        Some(families.contains(&family) || families.contains(&family.swap_bytes()))
    }

    /// Only Ethernet has tags.
    fn is_tagged(&self, id: Option<u16>) -> Option<bool> {
        if !self.is_ethernet() {
            return Some(false);
        }
        let kind = u16::from_be_bytes(self.bytes(12 + self.tag_bytes())?);
        if !ether_type::TAGS.contains(&kind) {
            return Some(false);
        }
        match id {
            Some(id) => Some(self.half(0)? & 0x0fff == id),
            None => Some(true),
        }
    }

    /// Of IPv6, the protocol that the fixed header names, or that a fragment header directly behind it does: further
    /// extension headers are not followed.
    fn has_protocol(&self, versions: Versions, protocol: u8) -> Option<bool> {
        if versions != Versions::V6 && self.carries(ether_type::IPV4)? && self.octet(9)? == protocol {
            return Some(true);
        }
        if versions == Versions::V4 || !self.carries(ether_type::IPV6)? {
            return Some(false);
        }
        let next = self.octet(6)?;
        Some(next == protocol || (next == protocol::IPV6_FRAGMENT && self.octet(40)? == protocol))
    }

    fn has_v4(&self, carrier: Carrier, side: Side, network: u32, mask: u32) -> Option<bool> {
        let covers = |wanted| carrier == wanted || carrier == Carrier::Any;
        let at = |source, destination| side.ask(|end| Some(self.word(end.of(source, destination))? & mask == network));
        if covers(Carrier::Ip) && self.carries(ether_type::IPV4)? {
            return at(12, 16);
        }
        let address_resolution = (covers(Carrier::Arp) && self.carries(ether_type::ARP)?)
            || (covers(Carrier::Rarp) && self.carries(ether_type::RARP)?);
        if address_resolution { at(14, 24) } else { Some(false) }
    }

    fn has_v6(&self, side: Side, network: u128, mask: u128) -> Option<bool> {
        if !self.carries(ether_type::IPV6)? {
            return Some(false);
        }
        side.ask(|end| self.is_in(end.of(8, 24), network, mask))
    }

    /// Compares word by word, so that an address that was captured in part can still differ.
    fn is_in(&self, at: usize, network: u128, mask: u128) -> Option<bool> {
        for word in 0..4 {
            let shift = 96 - 32 * word;
            let (network, mask) = ((network >> shift) as u32, (mask >> shift) as u32);
            if self.word(at + 4 * word)? & mask != network {
                return Some(false);
            }
        }
        Some(true)
    }

    /// Ports stand behind IPv4's header, not in later fragments, and behind IPv6's fixed header: what comes behind
    /// extension headers has none.
    fn has_port(&self, protocol: Option<u8>, side: Side, low: u16, high: u16) -> Option<bool> {
        let carried = |number| match protocol {
            Some(protocol) => number == protocol,
            None => matches!(number, protocol::TCP | protocol::UDP | protocol::SCTP),
        };
        let header = if self.carries(ether_type::IPV6)? {
            if !carried(self.octet(6)?) {
                return Some(false);
            }
            40
        } else if self.carries(ether_type::IPV4)? {
            if !carried(self.octet(9)?) || self.half(6)? & 0x1fff != 0 {
                return Some(false);
            }
            usize::from(self.octet(0)? & 0x0f) * 4
        } else {
            return Some(false);
        };
        side.ask(|end| Some((low..=high).contains(&self.half(header + end.of(0, 2))?)))
    }

    fn tag_bytes(&self) -> usize {
        self.tags as usize * 4
    }

    /// Where the network header begins.
    fn network(&self) -> usize {
        match self.frame.link {
            LinkType::Ethernet => 14 + self.tag_bytes(),
            LinkType::LinuxSll => 16,
            LinkType::LinuxSll2 => 20,
            LinkType::Null | LinkType::Loop => 4,
            LinkType::RawIp | LinkType::Other(_) => 0,
        }
    }

    fn octet(&self, at: usize) -> Option<u8> {
        self.bytes(self.network() + at).map(|[octet]| octet)
    }

    fn half(&self, at: usize) -> Option<u16> {
        self.bytes(self.network() + at).map(u16::from_be_bytes)
    }

    fn word(&self, at: usize) -> Option<u32> {
        self.bytes(self.network() + at).map(u32::from_be_bytes)
    }

    fn bytes<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.frame.data.get(at..)?.first_chunk().copied()
    }
}
