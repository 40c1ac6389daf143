//! IEEE 802.3 frames with a length instead of an EtherType: LLC (IEEE 802.2) and SNAP (RFC 1042).

use super::{Cursor, Layer, Next, Packet, Stopped};

/// Service access points (IEEE 802 LLC registry).
mod sap {
    pub const IP: u8 = 0x06;
    pub const SNAP: u8 = 0xaa;
}

/// The control field of unnumbered information, the one that carries datagrams.
const UNNUMBERED_INFORMATION: u8 = 0x03;
/// The organisation code under which SNAP's protocol number is an EtherType.
const ENCAPSULATED_ETHERNET: [u8; 3] = [0, 0, 0];

/// Reads a frame whose type field gave its `length`; what lies beyond is padding.
pub(super) fn read<'a>(length: u16, packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<Next, Stopped> {
    cursor.trim(usize::from(length));
    header(packet, cursor)
}

pub(super) fn header<'a>(packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<Next, Stopped> {
    let [destination, source, control] = *cursor.take::<3>(Layer::Llc)?;
    packet.enter(Layer::Llc);
    match (destination, source, control) {
        (sap::SNAP, sap::SNAP, UNNUMBERED_INFORMATION) => snap(cursor),
        (sap::IP, sap::IP, UNNUMBERED_INFORMATION) => Ok(Next::Ip),
        _ => Ok(Next::End),
    }
}

fn snap(cursor: &mut Cursor<'_>) -> Result<Next, Stopped> {
    let [organisation @ .., a, b] = *cursor.take::<5>(Layer::Llc)?;
    let number = u16::from_be_bytes([a, b]);
    let known = organisation == ENCAPSULATED_ETHERNET && number >= super::link::ether_type::FIRST;
    Ok(if known { Next::EtherType(number) } else { Next::End })
}

#[cfg(test)]
mod tests {
    use crate::dissect::samples::*;

    #[test]
    fn snap_carries_ip_and_the_length_cuts_the_padding() {
        let inner = join(&[&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &game()]);
        let mut bytes = ethernet(inner.len() as u16, &inner);
        bytes.extend([0xee; 18]);
        let packet = whole(&bytes);
        assert_eq!(layers(&packet), "eth:llc:ip:udp");
        assert_game(&packet);
    }

    #[test]
    fn other_access_points_are_payload_without_padding() {
        let spanning_tree = join(&[&[0x42, 0x42, 3], &[0; 35]]);
        let mut bytes = ethernet(38, &spanning_tree);
        bytes.extend([0xee; 8]);
        let packet = whole(&bytes);
        assert_eq!(layers(&packet), "eth:llc");
        assert_eq!(packet.payload, [0; 35]);
        assert_eq!(packet.ip, None);
    }

    #[test]
    fn snap_of_another_organisation_is_payload() {
        let discovery = [0xaa, 0xaa, 3, 0x00, 0x00, 0x0c, 0x20, 0x00, 2, 180];
        let bytes = ethernet(10, &discovery);
        assert_eq!(whole(&bytes).payload, [2, 180]);
    }

    #[test]
    fn numbers_between_length_and_ether_type_are_neither() {
        let bytes = ethernet(0x05ff, &[0xaa; 40]);
        let packet = whole(&bytes);
        assert_eq!(layers(&packet), "eth");
        assert_eq!(packet.payload.len(), 40);
    }
}
