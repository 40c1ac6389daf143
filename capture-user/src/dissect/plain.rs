//! The packets that most are, in one straight line: Ethernet, at most one VLAN tag, IPv4 without options, UDP or TCP.
//!
//! The walk reads the same from layer to layer; this reads it at fixed places, where it finds nothing else. What it
//! cannot do it leaves alone, and the walk does it all: a test compares the two on every kind of frame.

use std::net::Ipv4Addr;

use super::link::ether_type;
use super::transport::protocol;
use super::{Ip, Layer, Mac, Packet, Tcp, TcpFlags, Transport, Udp, tunnel};
use crate::source::{Frame, LinkType};

const ETHERNET: usize = 14;
const TAG: usize = 4;
/// An IPv4 header without options, and its first byte.
const IPV4: usize = 20;
const VERSION_AND_LENGTH: u8 = 0x45;
const UDP: usize = 8;
const TCP: usize = 20;

/// Reads a frame into a packet that is still empty; whether it could. If not, the packet is as it was.
#[inline(always)]
pub(super) fn read<'a>(packet: &mut Packet<'a>, frame: &Frame<'a>) -> bool {
    let data = frame.data;
    let Some(head) = data.first_chunk::<{ ETHERNET + IPV4 + UDP }>() else { return false };
    if frame.link != LinkType::Ethernet {
        return false;
    }
    match u16::from_be_bytes([head[12], head[13]]) {
        ether_type::IPV4 => network::<ETHERNET>(packet, frame, None),
        ether_type::VLAN if u16::from_be_bytes([head[16], head[17]]) == ether_type::IPV4 => {
            let tag = u16::from_be_bytes([head[14], head[15]]) & 0x0fff;
            network::<{ ETHERNET + TAG }>(packet, frame, Some(tag))
        }
        _ => false,
    }
}

/// An IPv4 header that begins at byte `AT`.
#[inline(always)]
fn network<'a, const AT: usize>(packet: &mut Packet<'a>, frame: &Frame<'a>, tag: Option<u16>) -> bool {
    let Some((before, rest)) = frame.data.split_at_checked(AT) else { return false };
    let Some((header, body)) = rest.split_first_chunk::<IPV4>() else { return false };
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let total = usize::from(word(2));
    // More fragments, or not the first one.
    let fragmented = word(6) & 0x3fff != 0;
    if header[0] != VERSION_AND_LENGTH || fragmented || total < IPV4 {
        return false;
    }
    // What lies behind the packet is padding; what the frame lacks of it was not captured.
    let on_wire = (frame.length as usize).max(frame.data.len()) - AT;
    let wire = on_wire.min(total) - IPV4;
    let body = body.get(..total - IPV4).unwrap_or(body);
    let layer = match header[9] {
        protocol::UDP if udp(packet, body, wire) => Layer::Udp,
        protocol::TCP if tcp(packet, body, wire) => Layer::Tcp,
        _ => return false,
    };
    packet.enter(Layer::Ethernet);
    if let Some(tag) = tag {
        packet.enter(Layer::Vlan);
        let _ = packet.vlan.try_push(tag);
    }
    packet.enter(Layer::Ipv4);
    packet.enter(layer);
    if let Some([a, b, c, d, e, f, g, h, i, j, k, l]) = before.first_chunk::<12>() {
        packet.macs = Some((Mac([*g, *h, *i, *j, *k, *l]), Mac([*a, *b, *c, *d, *e, *f])));
    }
    packet.ip = Some(Ip {
        source: Ipv4Addr::from_octets([header[12], header[13], header[14], header[15]]).into(),
        destination: Ipv4Addr::from_octets([header[16], header[17], header[18], header[19]]).into(),
        protocol: header[9],
        ttl: header[8],
        length: total as u32,
        id: word(4),
        fragment: None,
    });
    true
}

/// Reads the UDP header that `body` begins with; `wire` is how long the body was on the wire.
#[inline(always)]
fn udp<'a>(packet: &mut Packet<'a>, body: &'a [u8], wire: usize) -> bool {
    let Some((header, rest)) = body.split_first_chunk::<UDP>() else { return false };
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let udp = Udp { source: word(0), destination: word(2) };
    let length = usize::from(word(4));
    if length < UDP || tunnel::may_be_over(udp) {
        return false;
    }
    packet.transport = Transport::Udp(udp);
    packet.payload = rest.get(..length - UDP).unwrap_or(rest);
    packet.payload_length = (wire.min(length) - UDP) as u32;
    true
}

/// Reads the TCP header that `body` begins with; `wire` is how long the body was on the wire.
#[inline(always)]
fn tcp<'a>(packet: &mut Packet<'a>, body: &'a [u8], wire: usize) -> bool {
    let Some(header) = body.first_chunk::<TCP>() else { return false };
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let long = |at: usize| u32::from(word(at)) << 16 | u32::from(word(at + 2));
    let length = usize::from(header[12] >> 4) * 4;
    let (Some(options), Some(payload)) = (body.get(TCP..length), body.get(length..)) else { return false };
    packet.transport = Transport::Tcp(Tcp {
        source: word(0),
        destination: word(2),
        sequence: long(4),
        acknowledgement: long(8),
        flags: TcpFlags(header[13]),
        window: word(14),
        options,
    });
    packet.payload = payload;
    packet.payload_length = (wire - length) as u32;
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::dissect::samples::*;
    use crate::dissect::{Cursor, Next, walk};

    /// The packet as this reads it, if it does, and as the walk does.
    fn both<'a>(frame: &Frame<'a>) -> (Option<Packet<'a>>, Packet<'a>) {
        let (mut straight, mut walked) = (Packet::default(), Packet::default());
        let could = read(&mut straight, frame);
        walk(&mut walked, Cursor::new(frame.data, frame.length), Next::Link(frame.link));
        if !could {
            assert_eq!(straight, Packet::default(), "left as it was");
        }
        (could.then_some(straight), walked)
    }

    fn plain() -> Vec<Vec<u8>> {
        let segment = tcp(50_000, 443, 7, 0x18, &[5; 40]);
        let mut padded = ethernet(0x0800, &ipv4(17, &udp(1, 2, b"x")));
        padded.extend([0; 17]);
        vec![
            ethernet(0x0800, &game()),
            ethernet(0x0800, &ipv4(6, &segment)),
            ethernet(0x8100, &join(&[&[0xb0, 9, 0x08, 0x00], &game()])),
            padded,
        ]
    }

    #[test]
    fn what_most_packets_are_is_read_as_the_walk_does() {
        for bytes in plain() {
            let (straight, walked) = both(&frame(&bytes));
            assert_eq!(straight.as_ref(), Some(&walked));
        }
    }

    #[test]
    fn snapped_frames() {
        for bytes in plain() {
            for kept in 0..bytes.len() {
                let cut = Frame { length: bytes.len() as u32, ..frame(&bytes[..kept]) };
                let (straight, walked) = both(&cut);
                assert!(straight.is_none_or(|straight| straight == walked), "{kept} bytes kept");
            }
        }
    }

    proptest! {
        #[test]
        fn damaged_frames(which in 0..4_usize, damage in prop::collection::vec((0..60_usize, any::<u8>()), 0..4)) {
            let mut bytes = plain().swap_remove(which);
            for (at, value) in damage {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            let (straight, walked) = both(&frame(&bytes));
            prop_assert!(straight.is_none_or(|straight| straight == walked));
        }
    }
}
