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
    packet.vlan.clear();
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
