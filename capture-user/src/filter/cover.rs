//! What of a filter the XDP program can do in the kernel.
//!
//! The program selects frames by whole MACs and by address prefixes, either direction, and it can be told to let every
//! ARP frame pass (with the rest of discovery). It cannot negate, and it reads through VLAN tags, which a filter
//! without `vlan` does not; so what it selects is made to *cover* the filter's frames, and user space decides.

use std::net::IpAddr;

use crate::dissect::Mac;

/// Addresses one of which every (well-formed) Ethernet frame of a filter comes from or goes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cover {
    /// Stations.
    pub macs: Vec<Mac>,
    /// Prefixes of IPv4 and IPv6 addresses, with their length in bits.
    pub prefixes: Vec<(IpAddr, u8)>,
    /// Whether ARP frames are needed too, from anybody, because the filter looks for addresses inside them.
    pub arp: bool,
}

impl Cover {
    /// What covers `left and right`: either does alone.
    pub(super) fn both(left: Option<Self>, right: Option<Self>) -> Option<Self> {
        match (left, right) {
            (Some(left), Some(right)) => Some(if left.arp && !right.arp { right } else { left }),
            (left, right) => left.or(right),
        }
    }

    /// What covers `left or right`.
    pub(super) fn either(left: Option<Self>, right: Option<Self>) -> Option<Self> {
        let (mut left, right) = (left?, right?);
        left.macs.extend(right.macs);
        left.prefixes.extend(right.prefixes);
        left.arp |= right.arp;
        Some(left)
    }
}
