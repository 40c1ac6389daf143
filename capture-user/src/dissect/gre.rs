//! GRE (RFC 2784, RFC 2890; version 1 of PPTP: RFC 2637) and ERSPAN, the remote mirror session in it
//! (draft-foschiano-erspan-03).

use super::link::ether_type;
use super::{Cursor, Layer, Next, Packet, Stopped, link, ppp};

/// Protocol types that are no EtherTypes of frames (IEEE 802 numbers registry).
mod protocol {
    pub const ERSPAN: u16 = 0x88be;
    pub const ERSPAN_III: u16 = 0x22eb;
    pub const PPP: u16 = 0x880b;
}

/// Flags in the first two bytes.
mod flag {
    pub const CHECKSUM: u16 = 0x8000;
    /// RFC 1701's source routing, which RFC 2784 did away with.
    pub const ROUTING: u16 = 0x4000;
    pub const KEY: u16 = 0x2000;
    pub const SEQUENCE: u16 = 0x1000;
    /// Version 1 only.
    pub const ACKNOWLEDGEMENT: u16 = 0x0080;
    pub const VERSION: u16 = 0x0007;
}

pub(super) fn read<'a>(packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<Next, Stopped> {
    let start = cursor.clone();
    let [a, b, c, d] = *cursor.take::<4>(Layer::Gre)?;
    let (flags, kind) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let version = flags & flag::VERSION;
    if version > 1 {
        return Err(start.malformed(Layer::Gre, "the GRE version is neither 0 nor 1"));
    }
    let key = options(flags, cursor)?;
    packet.enter(Layer::Gre);
    if flags & flag::ROUTING != 0 {
        return Ok(Next::End);
    }
    if version == 1 {
        return point_to_point(kind, key, packet, cursor);
    }
    match kind {
        protocol::ERSPAN if flags & flag::SEQUENCE == 0 => {
            packet.tunnel("gre", key);
            erspan1(packet, cursor)
        }
        protocol::ERSPAN => {
            packet.tunnel("gre", key);
            erspan2(packet, cursor)
        }
        protocol::ERSPAN_III => {
            packet.tunnel("gre", key);
            erspan3(packet, cursor)
        }
        protocol::PPP => point_to_point(kind, key, packet, cursor),
        ether_type::IPV4
        | ether_type::IPV6
        | ether_type::BRIDGED
        | ether_type::ARP
        | ether_type::MPLS
        | ether_type::MPLS_MULTICAST => {
            packet.tunnel("gre", key);
            Ok(Next::EtherType(kind))
        }
        // Among others the keep-alives of some routers, which have the type 0.
        _ => Ok(Next::End),
    }
}

/// The optional fields in their order; the key, if there is one.
fn options(flags: u16, cursor: &mut Cursor<'_>) -> Result<Option<u32>, Stopped> {
    let mut key = None;
    if flags & (flag::CHECKSUM | flag::ROUTING) != 0 {
        cursor.take::<4>(Layer::Gre)?;
    }
    if flags & flag::KEY != 0 {
        key = Some(u32::from_be_bytes(*cursor.take::<4>(Layer::Gre)?));
    }
    if flags & flag::SEQUENCE != 0 {
        cursor.take::<4>(Layer::Gre)?;
    }
    if flags & flag::VERSION == 1 && flags & flag::ACKNOWLEDGEMENT != 0 {
        cursor.take::<4>(Layer::Gre)?;
    }
    Ok(key)
}

/// PPTP: the upper half of the key is the payload's length, the lower one names the call. A packet that only
/// acknowledges has no payload.
fn point_to_point<'a>(
    kind: u16,
    key: Option<u32>,
    packet: &mut Packet<'a>,
    cursor: &mut Cursor<'a>,
) -> Result<Next, Stopped> {
    if kind != protocol::PPP || cursor.rest().is_empty() {
        return Ok(Next::End);
    }
    packet.tunnel("gre", key.map(|key| key & 0xffff));
    ppp::frame(packet, cursor)
}

/// Type I has no header of its own, and no sequence number in GRE's to tell it by.
fn erspan1<'a>(packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<Next, Stopped> {
    packet.enter(Layer::Erspan);
    packet.tunnel("erspan1", None);
    link::ethernet(packet, cursor)
}

/// Type II (its version field says 1):
/// version (4), VLAN (12), class (3), encapsulation (2), truncated (1), session (10), reserved (12), index (20).
fn erspan2<'a>(packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<Next, Stopped> {
    let start = cursor.clone();
    let [a, b, c, d, ..] = *cursor.take::<8>(Layer::Erspan)?;
    if a >> 4 != 1 {
        return Err(start.malformed(Layer::Erspan, "the ERSPAN version is not 1"));
    }
    packet.enter(Layer::Erspan);
    packet.tunnel("erspan2", Some(session([c, d])));
    // Encapsulation 2: the frame had an 802.1Q tag, and only this header still knows of it.
    let stripped = (c >> 3 & 3 == 2).then(|| u16::from_be_bytes([a, b]) & 0x0fff);
    let next = link::ethernet(packet, cursor)?;
    if let Some(vlan) = stripped {
        let _ = packet.vlan.try_push(vlan);
    }
    Ok(next)
}

/// Type III (its version field says 2): version (4), VLAN (12), class (3), condition (2), truncated (1),
/// session (10), time (32), group (16), P (1), frame type (5), hardware (6), direction (1), granularity (2), O (1);
/// with O, eight bytes that the platform defines.
fn erspan3<'a>(packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<Next, Stopped> {
    /// Frame types.
    const ETHERNET: u8 = 0;
    const IP: u8 = 2;

    let start = cursor.clone();
    let [a, _, c, d, .., frame, options] = cursor.take::<12>(Layer::Erspan)?;
    if a >> 4 != 2 {
        return Err(start.malformed(Layer::Erspan, "the ERSPAN version is not 2"));
    }
    if options & 1 == 1 {
        cursor.take::<8>(Layer::Erspan)?;
    }
    packet.enter(Layer::Erspan);
    let next = match frame >> 2 & 0x1f {
        ETHERNET => Next::EtherType(ether_type::BRIDGED),
        IP => Next::Ip,
        _ => return Ok(Next::End),
    };
    packet.tunnel("erspan3", Some(session([*c, *d])));
    Ok(next)
}

fn session(bytes: [u8; 2]) -> u32 {
    u32::from(u16::from_be_bytes(bytes) & 0x03ff)
}

#[cfg(test)]
mod tests {
    use crate::dissect::samples::*;
    use crate::dissect::{Layer, Mac, Packet, Reason};

    fn gre(flags: u16, kind: u16, rest: &[&[u8]]) -> Vec<u8> {
        let header = join(&[&flags.to_be_bytes(), &kind.to_be_bytes(), &rest.concat()]);
        outer_ethernet(0x0800, &outer_ipv4(47, &header))
    }

    fn assert_inner_macs(packet: &Packet<'_>) {
        assert_eq!(packet.macs, Some((Mac(CONSOLE_MAC), Mac(ROUTER_MAC))));
    }

    #[test]
    fn plain_gre_keeps_the_outer_macs() {
        let bytes = gre(0, 0x0800, &[&game()]);
        let packet = whole(&bytes);
        assert_eq!(layers(&packet), "eth:ip:gre:ip:udp");
        assert_eq!(packet.encap.as_slice(), ["gre"]);
        assert_eq!(packet.tunnel_id, None);
        assert_eq!(packet.macs.map(|macs| macs.1), Some(Mac([0x02, 0, 0, 0, 0, 0xaa])));
        assert_game(&packet);
    }

    #[test]
    fn checksum_key_and_sequence_are_read_past() {
        let options: [&[u8]; 4] = [&[0xab, 0xcd, 0, 0], &[0, 0, 0, 99], &[0, 0, 0, 1], &game()];
        let bytes = gre(0xb000, 0x0800, &options);
        let packet = whole(&bytes);
        assert_eq!(packet.tunnel_id, Some(99));
        assert_game(&packet);
        let v6 = gre(0x2000, 0x86dd, &[&[0, 0, 0, 1], &ipv6(17, &udp(1, 2, b"six"))]);
        assert_eq!(whole(&v6).payload, b"six");
    }

    #[test]
    fn bridged_ethernet_brings_its_own_macs_and_tags() {
        let inner = ethernet(0x88a8, &vlan(100, 0x8100, &vlan(20, 0x0800, &game())));
        let bytes = gre(0x2000, 0x6558, &[&[2, 0, 0, 0], &inner]);
        let packet = whole(&bytes);
        assert_eq!(layers(&packet), "eth:ip:gre:eth:vlan:vlan:ip:udp");
        assert_eq!(packet.vlan.as_slice(), [100, 20]);
        assert_inner_macs(&packet);
        assert_game(&packet);
    }

    #[test]
    fn what_is_not_ip_has_no_address_of_the_tunnel() {
        let arp = join(&[&[0, 1, 8, 0, 6, 4, 0, 1], &CONSOLE_MAC, &CONSOLE, &[0; 6], &SERVER]);
        let bytes = gre(0, 0x6558, &[&ethernet(0x0806, &arp)]);
        let packet = whole(&bytes);
        assert_eq!(packet.layers.last(), Some(&Layer::Arp));
        assert_eq!(packet.ip, None);
        assert_inner_macs(&packet);
    }

    #[test]
    fn erspan_1_has_no_header() {
        let bytes = gre(0, 0x88be, &[&ethernet(0x0800, &game())]);
        let packet = whole(&bytes);
        assert_eq!(layers(&packet), "eth:ip:gre:erspan:eth:ip:udp");
        assert_eq!(packet.encap.as_slice(), ["gre", "erspan1"]);
        assert_inner_macs(&packet);
        assert_game(&packet);
    }

    #[test]
    fn erspan_2_gives_session_and_the_tag_it_took_off() {
        for (encapsulation, tags) in [(0, &[9][..]), (2, &[0x123, 9]), (3, &[9])] {
            let header = [0x11, 0x23, encapsulation << 3 | 0x02, 0x01, 0, 0, 0, 5];
            let inner = ethernet(0x8100, &vlan(9, 0x0800, &game()));
            let bytes = gre(0x1000, 0x88be, &[&[0, 0, 0, 1], &header, &inner]);
            let packet = whole(&bytes);
            assert_eq!(packet.encap.as_slice(), ["gre", "erspan2"]);
            assert_eq!(packet.tunnel_id, Some(0x201));
            assert_eq!(packet.vlan.as_slice(), tags);
            assert_inner_macs(&packet);
            assert_game(&packet);
        }
    }

    #[test]
    fn erspan_3_with_and_without_platform_header() {
        for (options, platform) in [(0, &[][..]), (1, &[0x30, 0, 0, 0, 0, 0, 0, 0])] {
            let header = [0x20, 0x05, 0x00, 0x07, 1, 2, 3, 4, 0, 0, 0, options];
            let bytes = gre(0x1000, 0x22eb, &[&[0, 0, 0, 1], &header, platform, &ethernet(0x0800, &game())]);
            let packet = whole(&bytes);
            assert_eq!(packet.encap.as_slice(), ["gre", "erspan3"]);
            assert_eq!(packet.tunnel_id, Some(7));
            assert_inner_macs(&packet);
            assert_game(&packet);
        }
    }

    #[test]
    fn erspan_3_may_carry_ip_alone() {
        let header = [0x20, 0, 0, 7, 1, 2, 3, 4, 0, 0, 2 << 2, 0];
        let bytes = gre(0x1000, 0x22eb, &[&[0; 4], &header, &game()]);
        assert_game(&whole(&bytes));
    }

    #[test]
    fn pptp_carries_ppp() {
        let bytes = gre(0x3081, 0x880b, &[&[0, 34, 0, 7], &[0; 4], &[0; 4], &[0xff, 3, 0, 0x21], &game()]);
        let packet = whole(&bytes);
        assert_eq!(layers(&packet), "eth:ip:gre:ppp:ip:udp");
        assert_eq!(packet.tunnel_id, Some(7));
        assert_game(&packet);
        let acknowledges = gre(0x2081, 0x880b, &[&[0, 0, 0, 7], &[0; 4]]);
        assert_eq!(whole(&acknowledges).encap.as_slice(), [""; 0]);
    }

    #[test]
    fn what_is_no_packet_leaves_the_tunnel_as_the_packet() {
        for (flags, kind) in [(0, 0), (0, 0x2000), (0x4000, 0x0800)] {
            let bytes = gre(flags, kind, &[&[0; 8]]);
            let packet = whole(&bytes);
            assert!(packet.encap.is_empty());
            assert_eq!(packet.addresses(), Some(([10, 200, 0, 3].into(), [10, 200, 0, 4].into())));
        }
    }

    #[test]
    fn versions_that_are_not() {
        let gre2 = stopped(&gre(2, 0x0800, &[&game()]));
        assert_eq!((gre2.layer, gre2.offset), (Layer::Gre, 34));
        assert_eq!(gre2.reason, Reason::Malformed("the GRE version is neither 0 nor 1"));
        assert_eq!(stopped(&gre(0x1000, 0x88be, &[&[0; 40]])).layer, Layer::Erspan);
        assert_eq!(stopped(&gre(0x1000, 0x22eb, &[&[0; 40]])).layer, Layer::Erspan);
    }
}
