//! Where a frame of any link layer belongs: the XDP program's decision, made in user space.

use capture_common::steer::{self, Steered, Verdict};

use super::policy::ConsoleFilter;
use super::{Frame, LinkType};

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// The shard of a frame, or `None` where `filter` does not want it.
pub fn route(frame: &Frame<'_>, filter: &ConsoleFilter) -> Option<u32> {
    let Steered { verdict, shard, .. } = match frame.link {
        LinkType::Ethernet => steer::steer(frame.data, filter),
        LinkType::RawIp => steer::steer_network(frame.data, version(frame.data, 0), 0, filter),
        // The address family is in the byte order of whoever captured; IP's own version needs no guess.
        LinkType::Null | LinkType::Loop => steer::steer_network(frame.data, version(frame.data, 4), 4, filter),
        LinkType::LinuxSll => steer::steer_network(frame.data, protocol(frame.data, 14), 16, filter),
        LinkType::LinuxSll2 => steer::steer_network(frame.data, protocol(frame.data, 0), 20, filter),
        LinkType::Other(_) => steer::steer_network(frame.data, 0, 0, filter),
    };
    matches!(verdict, Verdict::Capture(_)).then_some(shard)
}

fn version(bytes: &[u8], at: usize) -> u16 {
    match bytes.get(at).map(|byte| byte >> 4) {
        Some(4) => IPV4,
        Some(6) => IPV6,
        _ => 0,
    }
}

fn protocol(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|pair| pair.try_into().ok()).map_or(0, u16::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    /// A UDP packet from 192.168.1.40 to 203.0.113.10.
    const PACKET: [u8; 28] = [
        0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0, 192, 168, 1, 40, 203, 0, 113, 10, 0x13, 0xc4, 0x13, 0xc6, 0, 8, 0, 0,
    ];

    fn routed(link: LinkType, before: &[u8], filter: &ConsoleFilter) -> Option<u32> {
        let data = [before, &PACKET].concat();
        let length = data.len() as u32;
        route(&Frame { number: 1, time: Timestamp::default(), length, link, interface: 0, data: &data }, filter)
    }

    #[test]
    fn a_console_is_found_behind_every_link_layer() {
        let mut filter = ConsoleFilter::new();
        filter.add_console("192.168.1.40".parse().expect("an address")).expect("room");
        let ethernet = [0x02, 0, 0, 0, 0, 1, 0xbc, 0x60, 0xa7, 0, 0, 0x40, 0x08, 0x00];
        let sll = [0, 0, 0, 1, 0, 6, 0, 0, 0, 0, 0, 1, 0, 0, 0x08, 0x00];
        let sll2 = [0x08, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 0, 0, 0, 0, 0, 1, 0, 0];
        let shards = [
            routed(LinkType::Ethernet, &ethernet, &filter),
            routed(LinkType::RawIp, &[], &filter),
            routed(LinkType::Null, &[2, 0, 0, 0], &filter),
            routed(LinkType::Loop, &[0, 0, 0, 2], &filter),
            routed(LinkType::LinuxSll, &sll, &filter),
            routed(LinkType::LinuxSll2, &sll2, &filter),
        ];
        assert!(shards[0].is_some());
        assert_eq!(shards, [shards[0]; 6]);
        assert_eq!(routed(LinkType::Other(147), &[], &filter), None);
        assert!(routed(LinkType::Other(147), &[], &ConsoleFilter::everything()).is_some());
        assert_eq!(routed(LinkType::RawIp, &[], &ConsoleFilter::new()), None);
    }
}
