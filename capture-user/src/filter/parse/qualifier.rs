//! The words before a value: protocol, direction, kind.

use crate::filter::lex::Token;
use crate::filter::program::{Side, Versions};

/// What is known of a value before it is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Qualifiers<'a> {
    /// The protocol word, where there is one.
    pub protocol: Option<(Protocol, Token<'a>)>,
    /// Source, destination; either where nothing is said.
    pub side: Side,
    /// What the value is.
    pub kind: Kind,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `host`, or nothing but a direction.
    Host,
    Net,
    Port,
    PortRange,
    Proto,
}

impl Kind {
    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "host" => Self::Host,
            "net" => Self::Net,
            "port" => Self::Port,
            "portrange" => Self::PortRange,
            "proto" => Self::Proto,
            _ => return None,
        })
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Net => "net",
            Self::Port => "port",
            Self::PortRange => "portrange",
            Self::Proto => "proto",
        }
    }
}

/// A protocol's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Ether,
    /// A network protocol, by EtherType.
    Network(u16),
    /// A protocol above IP, by its number, and the versions of IP that its abbreviation stands for.
    Transport(u8, Versions),
}

impl Protocol {
    pub const IP: Self = Self::Network(0x0800);
    pub const ARP: Self = Self::Network(0x0806);
    pub const RARP: Self = Self::Network(0x8035);
    pub const IP6: Self = Self::Network(0x86dd);

    pub fn from_word(word: &str) -> Option<Self> {
        Some(match word {
            "ether" => Self::Ether,
            "ip" => Self::IP,
            "ip6" => Self::IP6,
            "arp" => Self::ARP,
            "rarp" => Self::RARP,
            "icmp" => Self::Transport(1, Versions::V4),
            "igmp" => Self::Transport(2, Versions::V4),
            "tcp" => Self::Transport(6, Versions::Both),
            "udp" => Self::Transport(17, Versions::Both),
            "esp" => Self::Transport(50, Versions::Both),
            "ah" => Self::Transport(51, Versions::Both),
            "icmp6" => Self::Transport(58, Versions::V6),
            "pim" => Self::Transport(103, Versions::Both),
            "vrrp" => Self::Transport(112, Versions::V4),
            "sctp" => Self::Transport(132, Versions::Both),
            _ => return None,
        })
    }
}

/// A protocol number above IP by its name, behind `proto`.
pub(super) fn ip_protocol(name: &str) -> Option<u8> {
    match (name, Protocol::from_word(name)) {
        ("gre", _) => Some(47),
        ("ipv6-icmp", _) => Some(58),
        (_, Some(Protocol::Transport(number, _))) => Some(number),
        _ => None,
    }
}
