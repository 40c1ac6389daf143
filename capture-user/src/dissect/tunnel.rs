//! Tunnels that IP or UDP carries: IP in IP (RFC 2003, RFC 2473, RFC 4213), VXLAN (RFC 7348), Geneve (RFC 8926),
//! Teredo (RFC 4380).
//!
//! A protocol number says for certain what follows it; a UDP port does not. So the tunnels over UDP are believed only
//! when their header has the values it must have and a plausible header follows. Otherwise the datagram stays what it
//! is, with its payload.

use std::net::IpAddr;

use super::link::ether_type;
use super::{Cursor, Layer, Next, Packet, Stopped, Udp};

/// UDP ports (IANA service-names).
mod port {
    pub const TEREDO: u16 = 3544;
    pub const VXLAN: u16 = 4789;
    pub const GENEVE: u16 = 6081;
    /// What Linux used for VXLAN before IANA gave it a port, and still does unless told otherwise.
    pub const VXLAN_LINUX: u16 = 8472;
}

/// An IP packet directly in an IP packet.
pub(super) fn ip(inner_is_v6: bool, packet: &mut Packet<'_>) -> Result<Next, Stopped> {
    let outer_is_v6 = packet.ip.is_some_and(|ip| matches!(ip.source, IpAddr::V6(_)));
    let name = match (inner_is_v6, outer_is_v6) {
        (false, false) => "ipip",
        (true, false) => "6in4",
        (false, true) => "4in6",
        (true, true) => "6in6",
    };
    packet.tunnel(name, None);
    Ok(Next::Ip)
}

/// VXLAN and Geneve senders put a hash of the inner flow into the source port, so only the destination port tells.
pub(super) fn over_udp<'a>(udp: Udp, packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<Next, Stopped> {
    match udp.destination {
        port::VXLAN | port::VXLAN_LINUX => vxlan(packet, cursor),
        port::GENEVE => geneve(packet, cursor),
        port::TEREDO => teredo(packet, cursor),
        _ if udp.source == port::TEREDO => teredo(packet, cursor),
        _ => Ok(Next::End),
    }
}

/// Whether [`over_udp`] would look into a datagram with these ports.
#[inline]
pub(super) fn may_be_over(udp: Udp) -> bool {
    matches!(udp.destination, port::VXLAN | port::VXLAN_LINUX | port::GENEVE | port::TEREDO)
        || udp.source == port::TEREDO
}

/// Flags (8), reserved (24), network identifier (24), reserved (8); of the flags only the one that says the
/// identifier is valid, and that of the group policy extension, which has its group in the reserved bits.
fn vxlan<'a>(packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<Next, Stopped> {
    const VALID: u8 = 0x08;
    const GROUP_POLICY: u8 = 0x88;

    let Some(([flags, reserved @ .., a, b, c, last], inner)) = cursor.rest().split_first_chunk::<8>() else {
        return Ok(Next::End);
    };
    let flags_fit = *flags == GROUP_POLICY || (*flags == VALID && *reserved == [0, 0, 0]);
    if !flags_fit || *last != 0 || !is_ethernet(inner) {
        return Ok(Next::End);
    }
    packet.enter(Layer::Vxlan);
    packet.tunnel("vxlan", Some(u32::from_be_bytes([0, *a, *b, *c])));
    cursor.take::<8>(Layer::Vxlan)?;
    Ok(Next::EtherType(ether_type::BRIDGED))
}

/// Version (2), length of the options in words (6), flags (8), protocol (16), network identifier (24), reserved (8).
fn geneve<'a>(packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<Next, Stopped> {
    let Some([first, flags, high, low, a, b, c, last]) = cursor.rest().first_chunk::<8>() else {
        return Ok(Next::End);
    };
    let kind = u16::from_be_bytes([*high, *low]);
    let length = 8 + usize::from(first & 0x3f) * 4;
    let inner = cursor.rest().get(length..).unwrap_or_default();
    let reserved_fit = first >> 6 == 0 && flags & 0x3f == 0 && *last == 0;
    let inner_fits = match kind {
        ether_type::BRIDGED => is_ethernet(inner),
        ether_type::IPV4 | ether_type::IPV6 => is_ip(kind, inner),
        _ => false,
    };
    if !reserved_fit || !inner_fits {
        return Ok(Next::End);
    }
    packet.enter(Layer::Geneve);
    packet.tunnel("geneve", Some(u32::from_be_bytes([0, *a, *b, *c])));
    cursor.take_slice(Layer::Geneve, length)?;
    Ok(Next::EtherType(kind))
}

/// An IPv6 packet, after an authentication header, an origin indication, both or neither (RFC 4380 section 5.1.1).
fn teredo<'a>(packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<Next, Stopped> {
    let mut inner = cursor.clone();
    if let [0, 1, id, value, ..] = *inner.rest() {
        let length = 4 + usize::from(id) + usize::from(value) + 8 + 1;
        if inner.take_slice(Layer::Teredo, length).is_err() {
            return Ok(Next::End);
        }
    }
    if inner.rest().starts_with(&[0, 0]) && inner.take::<8>(Layer::Teredo).is_err() {
        return Ok(Next::End);
    }
    if !is_teredo(&inner) {
        return Ok(Next::End);
    }
    packet.enter(Layer::Teredo);
    packet.tunnel("teredo", None);
    *cursor = inner;
    Ok(Next::Ip)
}

/// Whether an IPv6 packet that fits lies here, one end of which has an address that Teredo traffic has: its own
/// prefix 2001::/32, or a link-local one when it asks its server for it.
fn is_teredo(inner: &Cursor<'_>) -> bool {
    let Some(header) = inner.rest().first_chunk::<40>() else { return false };
    let [version, _, _, _, a, b, ..] = *header;
    let fits = usize::from(u16::from_be_bytes([a, b])) + 40 <= inner.wire_length() as usize;
    let of_teredo = |address: &[u8]| {
        address.starts_with(&[0x20, 0x01, 0, 0]) || matches!(address, [0xfe, second, ..] if second & 0xc0 == 0x80)
    };
    let (source, destination) = (&header[8..24], &header[24..40]);
    version >> 4 == 6 && fits && (of_teredo(source) || of_teredo(destination))
}

/// Whether an Ethernet frame that this walk would go into begins here.
fn is_ethernet(bytes: &[u8]) -> bool {
    let Some(([.., a, b], inner)) = bytes.split_first_chunk::<14>() else { return false };
    match u16::from_be_bytes([*a, *b]) {
        kind @ (ether_type::IPV4 | ether_type::IPV6) => is_ip(kind, inner),
        // The hardware type: Ethernet.
        ether_type::ARP => inner.starts_with(&[0, 1]),
        ether_type::VLAN | ether_type::QINQ | ether_type::MPLS | ether_type::PPPOE_SESSION => true,
        // LLC: the spanning tree's service access point, or SNAP's.
        length if length <= ether_type::LAST_LENGTH => matches!(inner, [0x42, 0x42, ..] | [0xaa, 0xaa, ..]),
        _ => false,
    }
}

/// Whether an IP header of the version that `kind` says begins here.
fn is_ip(kind: u16, bytes: &[u8]) -> bool {
    match (kind, bytes.first()) {
        (ether_type::IPV4, Some(first)) => (0x45..=0x4f).contains(first),
        (ether_type::IPV6, Some(first)) => first >> 4 == 6,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::dissect::samples::*;
    use crate::dissect::{Layer, Mac, Packet};

    fn over_udp(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
        outer_ethernet(0x0800, &outer_ipv4(17, &udp(source, destination, payload)))
    }

    /// Nothing of a tunnel is seen: the datagram is the packet.
    fn assert_payload(packet: &Packet<'_>, payload: &[u8]) {
        assert_eq!(layers(packet), "eth:ip:udp");
        assert!(packet.encap.is_empty());
        assert_eq!(packet.tunnel_id, None);
        assert_eq!(packet.addresses(), Some(([10, 200, 0, 3].into(), [10, 200, 0, 4].into())));
        assert_eq!(packet.payload, payload);
    }

    #[test]
    fn ip_in_ip_of_all_four_kinds() {
        let six = ipv6(17, &udp(50_000, 26_503, b"tick"));
        for (outer, name) in [
            (outer_ethernet(0x0800, &outer_ipv4(4, &game())), "ipip"),
            (outer_ethernet(0x0800, &outer_ipv4(41, &six)), "6in4"),
            (outer_ethernet(0x86dd, &ipv6(4, &game())), "4in6"),
            (outer_ethernet(0x86dd, &ipv6(41, &six)), "6in6"),
        ] {
            let packet = whole(&outer);
            assert_eq!(packet.encap.as_slice(), [name]);
            assert_eq!(packet.payload, b"tick");
            assert_eq!(packet.ports(), Some((50_000, 26_503)));
            assert_eq!(packet.macs.map(|macs| macs.1), Some(Mac([0x02, 0, 0, 0, 0, 0xaa])));
        }
    }

    #[test]
    fn vxlan_on_both_ports_and_with_group_policy() {
        for (port, first) in [(4789, [8, 0, 0, 0]), (8472, [8, 0, 0, 0]), (4789, [0x88, 0x48, 0x01, 0x02])] {
            let inner = join(&[&first, &[0, 4, 0x57, 0], &ethernet(0x0800, &game())]);
            let bytes = over_udp(60_000, port, &inner);
            let packet = whole(&bytes);
            assert_eq!(layers(&packet), "eth:ip:udp:vxlan:eth:ip:udp");
            assert_eq!(packet.encap.as_slice(), ["vxlan"]);
            assert_eq!(packet.tunnel_id, Some(1111));
            assert_eq!(packet.macs, Some((Mac(CONSOLE_MAC), Mac(ROUTER_MAC))));
            assert_game(&packet);
        }
    }

    #[test]
    fn tags_of_the_outside_come_before_those_within() {
        let inner = ethernet(0x8100, &vlan(7, 0x0800, &game()));
        let inner = join(&[&[8, 0, 0, 0, 0, 0, 1, 0], &inner]);
        let bytes = outer_ethernet(0x8100, &vlan(5, 0x0800, &outer_ipv4(17, &udp(1, 4789, &inner))));
        assert_eq!(whole(&bytes).vlan.as_slice(), [5, 7]);
    }

    #[test]
    fn other_datagrams_on_the_port_of_vxlan_stay_payload() {
        let inner = ethernet(0x0800, &game());
        let unknown = ethernet(0x1234, &game());
        let not_ip = ethernet(0x0800, &[0x15; 40]);
        for payload in [
            join(&[&[0; 8], &inner]),
            join(&[&[8, 0, 0, 1, 0, 0, 1, 0], &inner]),
            join(&[&[8, 0, 0, 0, 0, 0, 1, 9], &inner]),
            join(&[&[8, 0, 0, 0, 0, 0, 1, 0], &unknown]),
            join(&[&[8, 0, 0, 0, 0, 0, 1, 0], &not_ip]),
            b"\x08\0\0\0short".to_vec(),
        ] {
            assert_payload(&whole(&over_udp(60_000, 4789, &payload)), &payload);
        }
        let reply = join(&[&[8, 0, 0, 0, 0, 0, 1, 0], &inner]);
        assert_payload(&whole(&over_udp(4789, 60_000, &reply)), &reply);
    }

    #[test]
    fn geneve_with_options_carries_ethernet_or_ip() {
        let header = [0x02, 0x40, 0x65, 0x58, 0, 0, 42, 0];
        let options = [1, 2, 3, 1, 9, 9, 9, 9];
        let bytes = over_udp(60_000, 6081, &join(&[&header, &options, &ethernet(0x0800, &game())]));
        let packet = whole(&bytes);
        assert_eq!(layers(&packet), "eth:ip:udp:geneve:eth:ip:udp");
        assert_eq!(packet.encap.as_slice(), ["geneve"]);
        assert_eq!(packet.tunnel_id, Some(42));
        assert_game(&packet);
        assert_game(&whole(&over_udp(60_000, 6081, &join(&[&[0, 0, 8, 0, 0, 0, 42, 0], &game()]))));
    }

    #[test]
    fn other_datagrams_on_the_port_of_geneve_stay_payload() {
        let inner = ethernet(0x0800, &game());
        for header in [
            [0x42, 0, 0x65, 0x58, 0, 0, 42, 0],
            [0, 0x01, 0x65, 0x58, 0, 0, 42, 0],
            [0, 0, 0x65, 0x58, 0, 0, 42, 1],
            [0, 0, 0x12, 0x34, 0, 0, 42, 0],
            [0x3f, 0, 0x65, 0x58, 0, 0, 42, 0],
            [0, 0, 0x86, 0xdd, 0, 0, 42, 0],
        ] {
            let payload = join(&[&header, &inner]);
            assert_payload(&whole(&over_udp(60_000, 6081, &payload)), &payload);
        }
    }

    #[test]
    fn teredo_after_each_of_its_headers() {
        let inner = ipv6(17, &udp(50_000, 26_503, b"tick"));
        let authentication = [0, 1, 2, 1, 7, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0];
        let origin = [0, 0, 0x9c, 0x40, 63, 0, 0, 1];
        for headers in [&[][..], &origin, &authentication, &join(&[&authentication, &origin])] {
            for (source, destination) in [(3544, 50_001), (50_001, 3544)] {
                let bytes = over_udp(source, destination, &join(&[headers, &inner]));
                let packet = whole(&bytes);
                assert_eq!(layers(&packet), "eth:ip:udp:teredo:ipv6:udp");
                assert_eq!(packet.encap.as_slice(), ["teredo"]);
                assert_eq!(packet.payload, b"tick");
                assert_eq!(packet.ports(), Some((50_000, 26_503)));
            }
        }
    }

    #[test]
    fn other_datagrams_on_the_port_of_teredo_stay_payload() {
        let mut foreign = ipv6(17, &udp(1, 2, b"tick"));
        foreign[8..12].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        let mut longer = ipv6(17, &udp(1, 2, b"tick"));
        longer[5] += 1;
        for payload in [foreign, longer, vec![0, 1, 255, 255, 0], vec![0, 0, 1], b"PSN hello".to_vec()] {
            assert_payload(&whole(&over_udp(50_001, 3544, &payload)), &payload);
        }
    }

    #[test]
    fn quoted_packets_in_errors_are_not_gone_into() {
        let quote = join(&[&[3, 3, 0, 0, 0, 0, 0, 0], &game()]);
        let bytes = outer_ethernet(0x0800, &outer_ipv4(1, &quote));
        let packet = whole(&bytes);
        assert_eq!(layers(&packet), "eth:ip:icmp");
        assert_eq!(packet.addresses(), Some(([10, 200, 0, 3].into(), [10, 200, 0, 4].into())));
    }

    #[test]
    fn igmp_is_a_layer() {
        let bytes = ethernet(0x0800, &ipv4(2, &[0x16, 0, 0, 0, 239, 255, 255, 250]));
        let packet = whole(&bytes);
        assert_eq!(layers(&packet), "eth:ip:igmp");
        assert_eq!(packet.payload.len(), 8);
        assert_eq!(stopped(&ethernet(0x0800, &ipv4(2, &[0x16; 7]))).layer, Layer::Igmp);
    }

    #[test]
    fn nesting_ends() {
        let mut inner = game();
        for _ in 0..60 {
            inner = outer_ipv4(4, &inner);
        }
        let bytes = ethernet(0x0800, &inner);
        let packet = whole(&bytes);
        assert_eq!(packet.encap.len(), packet.encap.capacity());
        assert_eq!(packet.addresses(), Some(([10, 200, 0, 3].into(), [10, 200, 0, 4].into())));
    }
}
