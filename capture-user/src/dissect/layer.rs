//! The names of the layers below the applications.

use std::fmt;

/// A layer of the walk. Names are those of Wireshark's display filters, so that both tools' lists compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is named after its protocol; `name` gives the usual spelling")]
pub enum Layer {
    Null,
    Sll,
    Ethernet,
    Vlan,
    Llc,
    Pppoed,
    Pppoes,
    Ppp,
    Mpls,
    Arp,
    Ipv4,
    Ipv6,
    Ipv6HopByHop,
    Ipv6Routing,
    Ipv6Fragment,
    Ipv6Destination,
    Ah,
    Gre,
    Erspan,
    Vxlan,
    Geneve,
    Teredo,
    Igmp,
    Icmp,
    Icmpv6,
    Udp,
    Tcp,
}

impl Layer {
    /// Wireshark's name of the protocol.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Sll => "sll",
            Self::Ethernet => "eth",
            Self::Vlan => "vlan",
            Self::Llc => "llc",
            Self::Pppoed => "pppoed",
            Self::Pppoes => "pppoes",
            Self::Ppp => "ppp",
            Self::Mpls => "mpls",
            Self::Arp => "arp",
            Self::Ipv4 => "ip",
            Self::Ipv6 => "ipv6",
            Self::Ipv6HopByHop => "ipv6.hopopts",
            Self::Ipv6Routing => "ipv6.routing",
            Self::Ipv6Fragment => "ipv6.fraghdr",
            Self::Ipv6Destination => "ipv6.dstopts",
            Self::Ah => "ah",
            Self::Gre => "gre",
            Self::Erspan => "erspan",
            Self::Vxlan => "vxlan",
            Self::Geneve => "geneve",
            Self::Teredo => "teredo",
            Self::Igmp => "igmp",
            Self::Icmp => "icmp",
            Self::Icmpv6 => "icmpv6",
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        }
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
