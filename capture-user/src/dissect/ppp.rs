//! PPPoE (RFC 2516) and the PPP (RFC 1661) in it.

use super::link::ether_type;
use super::{Cursor, Layer, Next, Packet, Stopped};

/// PPP's data link protocol numbers (IANA ppp-numbers).
mod protocol {
    pub const IPV4: u16 = 0x0021;
    pub const IPV6: u16 = 0x0057;
    pub const MPLS: u16 = 0x0281;
    pub const MPLS_MULTICAST: u16 = 0x0283;
}

/// Address and control field of HDLC-like framing (RFC 1662 section 3.1), which PPPoE leaves out and PPTP may not.
const ALL_STATIONS: [u8; 2] = [0xff, 0x03];

/// The session stage: its header's length field bounds the PPP frame, so that Ethernet padding falls away.
pub(super) fn session<'a>(packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<Next, Stopped> {
    header(Layer::Pppoes, packet, cursor)?;
    frame(packet, cursor)
}

/// The discovery stage carries tags, not packets.
pub(super) fn discovery<'a>(packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<Next, Stopped> {
    header(Layer::Pppoed, packet, cursor)?;
    Ok(Next::End)
}

/// Version 1, type 1; code; session; length.
fn header<'a>(layer: Layer, packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<(), Stopped> {
    if cursor.rest().first().is_some_and(|byte| *byte != 0x11) {
        return Err(cursor.malformed(layer, "the PPPoE version or type is not 1"));
    }
    let [_, _code, _, _, a, b] = *cursor.take::<6>(layer)?;
    packet.enter(layer);
    cursor.trim(usize::from(u16::from_be_bytes([a, b])));
    Ok(())
}

/// A PPP frame: the protocol number is one byte where it was compressed (RFC 1661 section 6.5), and then odd.
pub(super) fn frame<'a>(packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<Next, Stopped> {
    if cursor.rest().starts_with(&ALL_STATIONS) {
        cursor.take::<2>(Layer::Ppp)?;
    }
    let compressed = cursor.rest().first().is_some_and(|byte| byte & 1 == 1);
    let number = if compressed {
        cursor.take::<1>(Layer::Ppp).map(|[byte]| u16::from(*byte))?
    } else {
        cursor.take::<2>(Layer::Ppp).map(|bytes| u16::from_be_bytes(*bytes))?
    };
    packet.enter(Layer::Ppp);
    Ok(match number {
        protocol::IPV4 | protocol::IPV6 => Next::Ip,
        protocol::MPLS | protocol::MPLS_MULTICAST => Next::EtherType(ether_type::MPLS),
        _ => Next::End,
    })
}

#[cfg(test)]
mod tests {
    use crate::dissect::samples::*;
    use crate::dissect::{Layer, Reason};

    fn pppoe(kind: u16, ppp: &[u8]) -> Vec<u8> {
        let length = (ppp.len() as u16).to_be_bytes();
        ethernet(kind, &join(&[&[0x11, 0, 0x00, 0x07, length[0], length[1]], ppp]))
    }

    #[test]
    fn a_session_carries_ip_without_the_padding() {
        let mut bytes = pppoe(0x8864, &join(&[&[0x00, 0x21], &game()]));
        bytes.extend([0xee; 10]);
        let packet = whole(&bytes);
        assert_eq!(layers(&packet), "eth:pppoes:ppp:ip:udp");
        assert_game(&packet);
        assert!(packet.encap.is_empty(), "PPPoE is how a line is reached, not a tunnel");
    }

    #[test]
    fn protocol_numbers_may_be_compressed_and_framed() {
        assert_game(&whole(&pppoe(0x8864, &join(&[&[0x21], &game()]))));
        assert_game(&whole(&pppoe(0x8864, &join(&[&[0xff, 0x03, 0x00, 0x21], &game()]))));
        let v6 = pppoe(0x8864, &join(&[&[0x00, 0x57], &ipv6(17, &udp(1, 2, b"six"))]));
        assert_eq!(whole(&v6).payload, b"six");
    }

    #[test]
    fn mpls_in_ppp() {
        let bytes = pppoe(0x8864, &join(&[&[0x02, 0x81, 0, 0x01, 0x01, 0xff], &game()]));
        assert_eq!(layers(&whole(&bytes)), "eth:pppoes:ppp:mpls:ip:udp");
    }

    #[test]
    fn control_and_discovery_are_payload() {
        let echo = pppoe(0x8864, &[0xc0, 0x21, 9, 0, 0, 8, 1, 2, 3, 4]);
        assert_eq!(whole(&echo).payload, [9, 0, 0, 8, 1, 2, 3, 4]);
        let discovery = pppoe(0x8863, &[1, 1, 0, 0]);
        let packet = whole(&discovery);
        assert_eq!(layers(&packet), "eth:pppoed");
        assert_eq!(packet.payload, [1, 1, 0, 0]);
    }

    #[test]
    fn another_version_is_malformed() {
        let bytes = ethernet(0x8864, &[0x21, 0, 0, 7, 0, 2, 0, 0x21]);
        let stopped = stopped(&bytes);
        assert_eq!((stopped.layer, stopped.offset), (Layer::Pppoes, 14));
        assert_eq!(stopped.reason, Reason::Malformed("the PPPoE version or type is not 1"));
    }
}
