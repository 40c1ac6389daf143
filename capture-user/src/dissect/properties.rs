//! What holds for the walk whatever the bytes are.

use proptest::prelude::*;

use super::samples::*;
use super::{Dissector, dissect};
use crate::source::{Frame, LinkType};

const LINKS: [LinkType; 7] = [
    LinkType::Null,
    LinkType::Ethernet,
    LinkType::RawIp,
    LinkType::Loop,
    LinkType::LinuxSll,
    LinkType::LinuxSll2,
    LinkType::Other(147),
];

/// Walks bytes as every link layer, whole and snapped, with and without a memory.
fn walk_all(bytes: &[u8], dissector: &mut Dissector) {
    for link in LINKS {
        for extra in [0, 100] {
            let length = u32::try_from(bytes.len()).expect("a short frame") + extra;
            let frame = Frame { link, length, ..frame(bytes) };
            check(&dissect(&frame), bytes);
            let packet = dissector.dissect(&frame);
            assert!(packet.payload.len() <= packet.payload_length as usize);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        walk_all(&bytes, &mut Dissector::default());
    }

    #[test]
    fn random_damage_to_tunnels(
        which in any::<prop::sample::Index>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        end in any::<prop::sample::Index>(),
    ) {
        let mut bytes = which.get(&tunnels()).clone();
        for (place, value) in damage {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        let mut dissector = Dissector::default();
        walk_all(&bytes, &mut dissector);
        walk_all(&bytes[..end.index(bytes.len())], &mut dissector);
    }
}

#[test]
fn every_sample_is_read_to_its_end() {
    for bytes in tunnels() {
        let packet = dissect(&frame(&bytes));
        assert!(packet.stopped.is_none() || layers(&packet).ends_with("routing"), "{}", layers(&packet));
    }
}

#[test]
fn padding_is_never_payload() {
    for payload in 0..18 {
        for mut bytes in [
            ethernet(0x0800, &ipv4(17, &udp(1, 2, &vec![7; payload]))),
            ethernet(0x0800, &ipv4(6, &tcp(1, 2, 3, 0x18, &vec![7; payload]))),
            ethernet(0x86dd, &ipv6(17, &udp(1, 2, &vec![7; payload]))),
            ethernet(0x8100, &vlan(3, 0x0800, &ipv4(99, &vec![7; payload]))),
        ] {
            bytes.resize(bytes.len().max(60) + 4, 0xee);
            let packet = whole(&bytes);
            assert_eq!(packet.payload, vec![7; payload]);
            assert_eq!(packet.payload_length as usize, payload);
        }
    }
}

#[test]
fn a_datagram_shorter_than_its_packet_ends_where_it_says() {
    let bytes = ethernet(0x0800, &ipv4(17, &join(&[&udp(1, 2, b"four"), &[0xee; 9]])));
    assert_eq!(whole(&bytes).payload, b"four");
}
