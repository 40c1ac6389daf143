//! Where a frame of any link layer belongs: the XDP program's decision, made in user space.

use capture_common::config::Address;
use capture_common::steer::{self, Steered, Verdict};

use super::policy::ConsoleFilter;
use super::{Frame, LinkType};

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;

/// The shard of a frame, or `None` where `filter` does not want it.
#[inline]
pub fn route(frame: &Frame<'_>, filter: &ConsoleFilter) -> Option<u32> {
    if filter.wants_everything()
        && let Some(address) = private_host(frame)
    {
        return Some(shard_of(address));
    }
    decide(frame, filter)
}

/// The whole decision.
fn decide(frame: &Frame<'_>, filter: &ConsoleFilter) -> Option<u32> {
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

/// The one private address of an IPv4 packet in an Ethernet frame: whose shard it is, whatever else the frame holds. Most
/// frames on a mirror port are such.
#[inline]
fn private_host(frame: &Frame<'_>) -> Option<u32> {
    let (ethernet, packet) = frame.data.split_first_chunk::<14>().filter(|_| frame.link == LinkType::Ethernet)?;
    let header = packet.first_chunk::<20>()?;
    let is_plain = ethernet[12..] == IPV4.to_be_bytes() && ethernet[..6] != [0xff; 6];
    if !is_plain || header[0] >> 4 != 4 || header[0] & 0xf < 5 {
        return None;
    }
    let source = u32::from_be_bytes([header[12], header[13], header[14], header[15]]);
    let destination = u32::from_be_bytes([header[16], header[17], header[18], header[19]]);
    match (is_private(source), is_private(destination)) {
        (true, false) if destination < 0xe000_0000 => Some(source),
        (false, true) => Some(destination),
        _ => None,
    }
}

/// As [`steer`] has it: RFC 1918 and RFC 6598.
#[inline]
fn is_private(address: u32) -> bool {
    address >> 24 == 10 || address >> 20 == 0xac1 || address >> 16 == 0xc0a8 || address >> 22 == 0x6440_0000 >> 22
}

/// As [`steer`] has it: the finaliser of MurmurHash3 over both halves, folded.
#[inline]
fn shard_of(address: u32) -> u32 {
    let address = Address::v4(address);
    let x = mix(address.low ^ mix(address.high));
    (x >> 32) as u32 ^ x as u32
}

#[inline]
fn mix(mut x: u64) -> u64 {
    x ^= x >> 33;
    x = x.wrapping_mul(0xff51_afd7_ed55_8ccd);
    x ^= x >> 33;
    x = x.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ x >> 33
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
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn the_short_way_decides_as_the_long_one(
            ends in prop::collection::vec(prop::sample::select(vec![10_u8, 100, 127, 172, 192, 203, 224, 255]), 2),
            others in prop::collection::vec(prop::sample::select(vec![0_u8, 16, 31, 64, 127, 168, 255]), 6),
            damage in prop::collection::vec((0..34_usize, any::<u8>()), 0..3),
            length in 0..64_usize,
        ) {
            let mut data = [&[2, 0, 0, 0, 0, 1, 0xbc, 0x60, 0xa7, 0, 0, 0x40, 0x08, 0x00][..], &PACKET].concat();
            (data[26], data[30]) = (ends[0], ends[1]);
            data[27..30].copy_from_slice(&others[..3]);
            data[31..34].copy_from_slice(&others[3..]);
            for (at, value) in damage {
                data[at] = value;
            }
            data.truncate(length);
            let length = data.len() as u32;
            let link = LinkType::Ethernet;
            let frame = Frame { number: 1, time: Timestamp::default(), length, link, interface: 0, data: &data };
            let filter = ConsoleFilter::everything();
            prop_assert_eq!(route(&frame, &filter), decide(&frame, &filter));
        }
    }
}
