//! Link layers: Ethernet, VLAN tags, loopback, Linux "cooked" capture, ARP.

use etherparse::{ArpPacketSlice, Ethernet2HeaderSlice, SingleVlanHeaderSlice};

use super::{Cursor, Layer, Mac, Next, Packet, Stopped, Transport, llc, mpls, ppp};
use crate::source::LinkType;

/// EtherTypes (IEEE 802 numbers registry).
pub(super) mod ether_type {
    /// IEEE 802.3 clause 3.2.6: what is below this is no EtherType.
    pub const FIRST: u16 = 0x0600;
    /// The largest value that is a length.
    pub const LAST_LENGTH: u16 = 1500;
    pub const IPV4: u16 = 0x0800;
    pub const ARP: u16 = 0x0806;
    /// Transparent Ethernet bridging: a whole Ethernet frame follows (RFC 1701).
    pub const BRIDGED: u16 = 0x6558;
    /// IEEE 802.1Q C-tag.
    pub const VLAN: u16 = 0x8100;
    /// IEEE 802.1ad S-tag (QinQ).
    pub const QINQ: u16 = 0x88a8;
    /// The S-tag of equipment older than 802.1ad.
    pub const QINQ_OLD: u16 = 0x9100;
    pub const IPV6: u16 = 0x86dd;
    pub const MPLS: u16 = 0x8847;
    pub const MPLS_MULTICAST: u16 = 0x8848;
    pub const PPPOE_DISCOVERY: u16 = 0x8863;
    pub const PPPOE_SESSION: u16 = 0x8864;
}

/// The protocol number with which Linux "cooked" capture marks an LLC header (linux/if_ether.h, ETH_P_802_2).
const COOKED_LLC: u16 = 0x0004;

pub(super) fn read<'a>(link: LinkType, packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<Next, Stopped> {
    match link {
        LinkType::Ethernet => ethernet(packet, cursor),
        LinkType::RawIp => Ok(Next::Ip),
        LinkType::Null | LinkType::Loop => loopback(packet, cursor),
        LinkType::LinuxSll => cooked(packet, cursor),
        LinkType::LinuxSll2 => cooked2(packet, cursor),
        LinkType::Other(_) => Ok(Next::End),
    }
}

pub(super) fn ethernet<'a>(packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<Next, Stopped> {
    let header = Ethernet2HeaderSlice::from_slice(cursor.rest()).map_err(|_| cursor.short(Layer::Ethernet, 14))?;
    cursor.take::<14>(Layer::Ethernet)?;
    packet.enter(Layer::Ethernet);
    packet.macs = Some((Mac(header.source()), Mac(header.destination())));
    // Inside a tunnel, what carried the tunnel is not what this frame is about.
    packet.ip = None;
    packet.transport = Transport::None;
    Ok(Next::EtherType(header.ether_type().0))
}

pub(super) fn ether_type<'a>(kind: u16, packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<Next, Stopped> {
    match kind {
        ether_type::IPV4 | ether_type::IPV6 => Ok(Next::Ip),
        ether_type::VLAN | ether_type::QINQ | ether_type::QINQ_OLD => vlan(packet, cursor),
        ether_type::ARP => arp(packet, cursor),
        ether_type::MPLS | ether_type::MPLS_MULTICAST => mpls::read(packet, cursor),
        ether_type::PPPOE_SESSION => ppp::session(packet, cursor),
        ether_type::PPPOE_DISCOVERY => ppp::discovery(packet, cursor),
        ether_type::BRIDGED => ethernet(packet, cursor),
        length if length <= ether_type::LAST_LENGTH => llc::read(length, packet, cursor),
        _ => Ok(Next::End),
    }
}

fn vlan<'a>(packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<Next, Stopped> {
    let tag = SingleVlanHeaderSlice::from_slice(cursor.rest()).map_err(|_| cursor.short(Layer::Vlan, 4))?;
    cursor.take::<4>(Layer::Vlan)?;
    packet.enter(Layer::Vlan);
    let _ = packet.vlan.try_push(tag.vlan_identifier().value());
    Ok(Next::EtherType(tag.ether_type().0))
}

/// ARP carries no payload; the packet inside stays as the payload, for whoever prints it.
fn arp<'a>(packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<Next, Stopped> {
    let arp = ArpPacketSlice::from_slice(cursor.rest()).map_err(|_| cursor.short(Layer::Arp, 28))?;
    cursor.trim(arp.slice().len());
    packet.enter(Layer::Arp);
    Ok(Next::End)
}

/// The address family is in the byte order of the machine that captured; IP's own version field needs no such guess.
fn loopback<'a>(packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<Next, Stopped> {
    cursor.take::<4>(Layer::Null)?;
    packet.enter(Layer::Null);
    Ok(Next::Ip)
}

/// LINKTYPE_LINUX_SLL: packet type, hardware type, address length, address (8), protocol.
fn cooked<'a>(packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<Next, Stopped> {
    let [.., a, b] = *cursor.take::<16>(Layer::Sll)?;
    packet.enter(Layer::Sll);
    cooked_protocol(u16::from_be_bytes([a, b]), packet, cursor)
}

/// LINKTYPE_LINUX_SLL2: protocol, reserved, interface index, hardware type, packet type, address length, address (8).
fn cooked2<'a>(packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<Next, Stopped> {
    let [a, b, ..] = *cursor.take::<20>(Layer::Sll)?;
    packet.enter(Layer::Sll);
    cooked_protocol(u16::from_be_bytes([a, b]), packet, cursor)
}

/// Below the EtherTypes, Linux puts numbers of its own here, never a length.
fn cooked_protocol<'a>(number: u16, packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<Next, Stopped> {
    match number {
        COOKED_LLC => llc::header(packet, cursor),
        ether_type::FIRST.. => Ok(Next::EtherType(number)),
        _ => Ok(Next::End),
    }
}

#[cfg(test)]
mod tests {
    use crate::dissect::samples::*;
    use crate::dissect::{Layer, Mac, dissect};
    use crate::source::{Frame, LinkType};

    #[test]
    fn tags_are_listed_outermost_first() {
        let bytes = ethernet(0x88a8, &vlan(0x2064, 0x8100, &vlan(20, 0x0800, &game())));
        let packet = whole(&bytes);
        assert_eq!(layers(&packet), "eth:vlan:vlan:ip:udp");
        assert_eq!(packet.vlan.as_slice(), [0x64, 20], "the priority is no part of the number");
        assert_eq!(packet.macs, Some((Mac(CONSOLE_MAC), Mac(ROUTER_MAC))));
        assert_game(&packet);
    }

    #[test]
    fn more_tags_than_are_kept_are_still_read_past() {
        let mut inner = game();
        let mut kind = 0x0800;
        for id in (1..=6).rev() {
            inner = vlan(id, kind, &inner);
            kind = 0x8100;
        }
        let bytes = ethernet(kind, &inner);
        let packet = whole(&bytes);
        assert_eq!(packet.vlan.as_slice(), [1, 2, 3, 4]);
        assert_game(&packet);
    }

    #[test]
    fn arp_is_the_payload_without_its_padding() {
        let arp = join(&[&[0, 1, 8, 0, 6, 4, 0, 1], &CONSOLE_MAC, &CONSOLE, &[0; 6], &SERVER]);
        let mut bytes = ethernet(0x0806, &arp);
        bytes.extend([0xee; 18]);
        let packet = whole(&bytes);
        assert_eq!((layers(&packet).as_str(), packet.payload), ("eth:arp", &arp[..]));
    }

    #[test]
    fn link_layers_of_other_captures() {
        let cooked = join(&[&[0, 4, 0, 1, 0, 6], &CONSOLE_MAC, &[0, 0, 8, 0], &game()]);
        let cooked2 = join(&[&[8, 0, 0, 0, 0, 0, 0, 3, 0, 1, 0, 6], &CONSOLE_MAC, &[0, 0], &game()]);
        for (link, bytes, names) in [
            (LinkType::RawIp, game(), "ip:udp"),
            (LinkType::Null, join(&[&[2, 0, 0, 0], &game()]), "null:ip:udp"),
            (LinkType::Loop, join(&[&[0, 0, 0, 2], &game()]), "null:ip:udp"),
            (LinkType::LinuxSll, cooked, "sll:ip:udp"),
            (LinkType::LinuxSll2, cooked2, "sll:ip:udp"),
        ] {
            let packet = dissect(&Frame { link, ..frame(&bytes) });
            assert_eq!(layers(&packet), names);
            assert_eq!(packet.macs, None);
            assert_game(&packet);
        }
    }

    #[test]
    fn numbers_of_cooked_captures_are_no_lengths() {
        let llc = join(&[&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &game()]);
        for (number, names) in [(4, "sll:llc:ip:udp"), (1, "sll"), (12, "sll")] {
            let bytes = join(&[&[0, 4, 0, 1, 0, 6], &CONSOLE_MAC, &[0, 0, 0, number], &llc]);
            let packet = dissect(&Frame { link: LinkType::LinuxSll, ..frame(&bytes) });
            assert_eq!(layers(&packet), names);
        }
    }

    #[test]
    fn a_frame_too_short_for_its_header() {
        let stopped = stopped(&[0; 13]);
        assert_eq!((stopped.layer, stopped.offset), (Layer::Ethernet, 0));
        assert_eq!(stopped.reason.to_string(), "needs 14 bytes, has 13");
    }
}
