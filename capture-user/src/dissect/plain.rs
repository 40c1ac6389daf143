//! The packets that most are, in one straight line: Ethernet, at most one VLAN tag (IEEE 802.1Q), IPv4 without options (RFC
//! 791), UDP (RFC 768) or TCP (RFC 9293).
//!
//! The walk reads the same from layer to layer; this reads it at fixed places, where it finds nothing else. What it
//! cannot read, the walk does: a test compares the two on every kind of frame.

use std::net::Ipv4Addr;

use super::link::ether_type;
use super::transport::protocol;
use super::{Ip, Layer, Load, Mac, Packet, Tcp, TcpFlags, Transport, Udp};
use crate::source::{Frame, LinkType};

const ETHERNET: usize = 14;
const TAG: usize = 4;
/// An IPv4 header without options, and its first byte.
const IPV4: usize = 20;
const VERSION_AND_LENGTH: u8 = 0x45;
const UDP: usize = 8;
const TCP: usize = 20;

/// What such a frame shows at a glance. It is enough to count it in a flow that is known; of any other it becomes a
/// [`Packet`].
#[derive(Clone, Copy, Debug)]
pub struct Plain<'a> {
    ip: &'a [u8; IPV4],
    /// The transport header and what follows, without padding: eight bytes at least.
    body: &'a [u8],
    /// Bytes of that on the wire.
    wire: usize,
}

impl<'a> Plain<'a> {
    /// Reads a frame, if it is as plain as that.
    #[inline(always)]
    pub fn read(frame: &Frame<'a>) -> Option<Self> {
        // So long are all of them; after this the compiler knows it.
        let ethernet = frame.data.first_chunk::<{ ETHERNET + IPV4 + UDP }>()?;
        if frame.link != LinkType::Ethernet {
            return None;
        }
        match u16::from_be_bytes([ethernet[12], ethernet[13]]) {
            ether_type::IPV4 => Self::network::<ETHERNET>(frame),
            ether_type::VLAN if u16::from_be_bytes([ethernet[16], ethernet[17]]) == ether_type::IPV4 => {
                Self::network::<{ ETHERNET + TAG }>(frame)
            }
            _ => None,
        }
    }

    /// A frame whose IPv4 header begins at byte `AT`.
    #[inline(always)]
    fn network<const AT: usize>(frame: &Frame<'a>) -> Option<Self> {
        let (ip, rest) = frame.data.get(AT..)?.split_first_chunk::<IPV4>()?;
        let total = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
        // More fragments, or not the first one.
        let fragmented = u16::from_be_bytes([ip[6], ip[7]]) & 0x3fff != 0;
        if ip[0] != VERSION_AND_LENGTH || fragmented || total < IPV4 + UDP {
            return None;
        }
        // What lies behind the packet is padding.
        if let Some(body) = rest.get(..total - IPV4) {
            return Some(Self { ip, body, wire: body.len() });
        }
        // What the frame lacks of it was not captured.
        let on_wire = (frame.length as usize).max(frame.data.len()) - AT;
        (rest.len() >= UDP).then(|| Self { ip, body: rest, wire: on_wire.min(total) - IPV4 })
    }

    /// Sender and receiver, in host order.
    #[inline(always)]
    pub fn ends(&self) -> (u32, u32) {
        let long = |at: usize| u32::from_be_bytes([self.ip[at], self.ip[at + 1], self.ip[at + 2], self.ip[at + 3]]);
        (long(12), long(16))
    }

    /// Source and destination port, if it is UDP or TCP.
    #[inline(always)]
    pub fn ports(&self) -> (u16, u16) {
        let head = self.head();
        (u16::from_be_bytes([head[0], head[1]]), u16::from_be_bytes([head[2], head[3]]))
    }

    /// Ports, and what UDP and TCP have behind them.
    #[inline(always)]
    fn head(&self) -> &'a [u8; UDP] {
        self.body.first_chunk().unwrap_or(&[0; UDP])
    }

    /// The protocol under IP (IANA protocol-numbers).
    #[inline(always)]
    pub fn protocol(&self) -> u8 {
        self.ip[9]
    }

    /// What a UDP datagram brings to its flow; `None` where it is none, or damaged.
    #[inline(always)]
    pub fn datagram(&self) -> Option<Load<'a>> {
        let [.., high, low, _, _] = self.head();
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if self.protocol() != protocol::UDP || length < UDP {
            return None;
        }
        let payload = self.body.get(UDP..)?;
        let payload = payload.get(..length - UDP).unwrap_or(payload);
        Some(self.load(payload, self.wire.min(length) - UDP))
    }

    /// A TCP segment and what it brings to its flow; `None` where it is none, or damaged.
    #[inline(always)]
    pub fn segment(&self) -> Option<(Tcp<'a>, Load<'a>)> {
        let header = self.body.first_chunk::<TCP>()?;
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let long = |at: usize| u32::from(word(at)) << 16 | u32::from(word(at + 2));
        let length = usize::from(header[12] >> 4) * 4;
        if self.protocol() != protocol::TCP {
            return None;
        }
        let options = self.body.get(TCP..length)?;
        let payload = self.body.get(length..)?;
        let tcp = Tcp {
            source: word(0),
            destination: word(2),
            sequence: long(4),
            acknowledgement: long(8),
            flags: TcpFlags(header[13]),
            window: word(14),
            options,
        };
        Some((tcp, self.load(payload, self.wire - length)))
    }

    /// As [`Plain::segment`], where a connection neither opens nor ends with it.
    #[inline(always)]
    pub fn segment_within(&self) -> Option<(Tcp<'a>, Load<'a>)> {
        self.segment().filter(|(segment, _)| !segment.flags.turn())
    }

    #[inline(always)]
    fn load(&self, payload: &'a [u8], payload_length: usize) -> Load<'a> {
        let bytes = u32::from(u16::from_be_bytes([self.ip[2], self.ip[3]]));
        Load { bytes, payload, payload_length: payload_length as u32 }
    }

    fn content(&self) -> Option<(Transport<'a>, Load<'a>)> {
        if let Some(load) = self.datagram() {
            let (source, destination) = self.ports();
            let transport = Transport::Udp(Udp { source, destination });
            return (!transport.may_tunnel()).then_some((transport, load));
        }
        self.segment().map(|(tcp, load)| (Transport::Tcp(tcp), load))
    }

    /// Fills a packet that is still empty, with the frame that this was read from; whether it could. If not, the packet
    /// is as it was.
    #[inline(always)]
    pub(super) fn unfold(&self, frame: &Frame<'a>, packet: &mut Packet<'a>) -> bool {
        let Some((transport, load)) = self.content() else { return false };
        let Some(before) = frame.data.first_chunk::<{ ETHERNET + TAG }>() else { return false };
        packet.enter(Layer::Ethernet);
        if u16::from_be_bytes([before[12], before[13]]) == ether_type::VLAN {
            packet.enter(Layer::Vlan);
            let _ = packet.vlan.try_push(u16::from_be_bytes([before[14], before[15]]) & 0x0fff);
        }
        packet.enter(Layer::Ipv4);
        packet.enter(if transport.tcp().is_some() { Layer::Tcp } else { Layer::Udp });
        if let Some([a, b, c, d, e, f, g, h, i, j, k, l]) = before.first_chunk::<12>() {
            packet.macs = Some((Mac([*g, *h, *i, *j, *k, *l]), Mac([*a, *b, *c, *d, *e, *f])));
        }
        let (source, destination) = self.ends();
        packet.ip = Some(Ip {
            source: Ipv4Addr::from_bits(source).into(),
            destination: Ipv4Addr::from_bits(destination).into(),
            protocol: self.protocol(),
            ttl: self.ip[8],
            length: load.bytes,
            id: u16::from_be_bytes([self.ip[4], self.ip[5]]),
            fragment: None,
        });
        packet.transport = transport;
        packet.payload = load.payload;
        packet.payload_length = load.payload_length;
        true
    }
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
        let could = Plain::read(frame).is_some_and(|plain| plain.unfold(frame, &mut straight));
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
