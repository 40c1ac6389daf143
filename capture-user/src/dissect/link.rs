//! Link layers: Ethernet, VLAN tags, loopback, Linux "cooked" capture, ARP.

use etherparse::{ArpPacketSlice, Ethernet2HeaderSlice, SingleVlanHeaderSlice};

use super::{Cursor, Layer, Mac, Next, Packet, Stopped};
use crate::source::LinkType;

/// EtherTypes (IEEE 802 numbers registry).
mod ether_type {
    pub const IPV4: u16 = 0x0800;
    pub const ARP: u16 = 0x0806;
    /// IEEE 802.1Q C-tag.
    pub const VLAN: u16 = 0x8100;
    /// IEEE 802.1ad S-tag (QinQ).
    pub const QINQ: u16 = 0x88a8;
    /// The S-tag of equipment older than 802.1ad.
    pub const QINQ_OLD: u16 = 0x9100;
    pub const IPV6: u16 = 0x86dd;
}

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
    Ok(Next::EtherType(header.ether_type().0))
}

pub(super) fn ether_type<'a>(kind: u16, packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<Next, Stopped> {
    match kind {
        ether_type::IPV4 | ether_type::IPV6 => Ok(Next::Ip),
        ether_type::VLAN | ether_type::QINQ | ether_type::QINQ_OLD => vlan(packet, cursor),
        ether_type::ARP => arp(packet, cursor),
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
    Ok(Next::EtherType(u16::from_be_bytes([a, b])))
}

/// LINKTYPE_LINUX_SLL2: protocol, reserved, interface index, hardware type, packet type, address length, address (8).
fn cooked2<'a>(packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<Next, Stopped> {
    let [a, b, ..] = *cursor.take::<20>(Layer::Sll)?;
    packet.enter(Layer::Sll);
    Ok(Next::EtherType(u16::from_be_bytes([a, b])))
}
