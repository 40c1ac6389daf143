//! From a frame to a [`Packet`]: one walk through its headers, outermost first.
//!
//! The walk never fails. It keeps what it read and, where it could not go on, says at which layer and offset and why
//! ([`Packet::stopped`]). Where a tunnel carries another packet, the inner one is what the addresses, ports and
//! payload of the `Packet` speak of; [`Packet::encap`] says how it came.

pub mod app;
mod cursor;
mod digest;
mod dissector;
mod duplicates;
mod gre;
mod ip;
mod layer;
mod link;
mod llc;
mod mac;
mod mpls;
#[cfg(test)]
mod oracle;
mod plain;
mod ppp;
#[cfg(test)]
mod properties;
mod recent;
#[cfg(test)]
pub(crate) mod samples;
mod summary;
mod transport;
mod tunnel;

use std::net::IpAddr;

use arrayvec::ArrayVec;

pub use cursor::{Cursor, Reason, Stopped};
pub(crate) use digest::Digest;
pub use dissector::{Dissector, Settings};
pub use duplicates::Duplicates;
pub use ip::{Fragment, Ip};
pub use layer::Layer;
pub use mac::{Mac, MacError};
pub use plain::Plain;
pub use summary::summary;
pub use transport::{Icmp, Tcp, TcpFlags, Transport, Udp};

use crate::source::Frame;

/// Layers that one packet's list holds; what lies deeper is walked all the same up to [`MAX_STEPS`].
const MAX_LAYERS: usize = 16;
/// Headers that one walk reads at most, so that nested headers cannot hold a worker.
const MAX_STEPS: usize = 32;

/// Tags, and tunnels, that are told of at most; of more, the outermost.
pub const MOST_WRAPPINGS: usize = 4;

/// What the walk found in one frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The layers read, outermost first.
    pub layers: ArrayVec<Layer, MAX_LAYERS>,
    /// Source and destination of the innermost Ethernet header.
    pub macs: Option<(Mac, Mac)>,
    /// VLAN identifiers, outermost first; those of a tunnel's outside come before those of what it carries.
    pub vlan: ArrayVec<u16, MOST_WRAPPINGS>,
    /// The tunnels it came through, outermost first.
    pub encap: ArrayVec<&'static str, MOST_WRAPPINGS>,
    /// The number of the innermost tunnel that has one: VXLAN's and Geneve's network, ERSPAN's session, GRE's key,
    /// the last MPLS label.
    pub tunnel_id: Option<u32>,
    /// The innermost IP header.
    pub ip: Option<Ip>,
    /// What the innermost IP header carries.
    pub transport: Transport<'a>,
    /// What follows the last header read, without padding: as much of it as was captured.
    pub payload: &'a [u8],
    /// Bytes of payload on the wire; more than `payload` holds when the frame was snapped.
    pub payload_length: u32,
    /// Of how many fragments the innermost fragmented datagram was put together, when this frame made it whole.
    pub reassembled: Option<u32>,
    /// Whether a mirror delivered the frame before: it is the same packet again and counts no second time.
    pub duplicate: bool,
    /// Where packets from its sender to its receiver have long had no copies, so that not each need be compared: as of
    /// which [generation](Dissector::generation); else 0.
    pub quiet: u32,
    /// Where the walk had to stop, if it did not reach the end.
    pub stopped: Option<Stopped>,
}

/// What a packet brings to its flow.
#[derive(Clone, Copy, Debug)]
pub struct Load<'a> {
    /// Bytes of IP, headers included; 0 without IP.
    pub bytes: u32,
    /// As [`Packet::payload`].
    pub payload: &'a [u8],
    /// As [`Packet::payload_length`].
    pub payload_length: u32,
}

impl<'a> Packet<'a> {
    /// What it brings to its flow.
    #[inline]
    pub fn load(&self) -> Load<'a> {
        let bytes = self.ip.as_ref().map_or(0, |ip| ip.length);
        Load { bytes, payload: self.payload, payload_length: self.payload_length }
    }

    /// Source and destination address.
    pub fn addresses(&self) -> Option<(IpAddr, IpAddr)> {
        self.ip.as_ref().map(|ip| (ip.source, ip.destination))
    }

    /// Source and destination port, where the transport has ports.
    pub fn ports(&self) -> Option<(u16, u16)> {
        match &self.transport {
            Transport::Udp(udp) => Some((udp.source, udp.destination)),
            Transport::Tcp(tcp) => Some((tcp.source, tcp.destination)),
            _ => None,
        }
    }

    /// Notes that what follows came through a tunnel; a full list keeps the outermost ones.
    fn tunnel(&mut self, name: &'static str, id: Option<u32>) {
        let _ = self.encap.try_push(name);
        self.tunnel_id = id.or(self.tunnel_id);
    }

    /// Notes a layer; a full list keeps the outermost ones.
    fn enter(&mut self, layer: Layer) {
        let _ = self.layers.try_push(layer);
    }
}

/// What the next header is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    Link(crate::source::LinkType),
    EtherType(u16),
    /// What follows an IPv6 header or one of its extension headers.
    Ipv6Header(u8),
    /// An IP packet whose version stands in its first four bits.
    Ip,
    /// What follows an IP header, by its protocol number.
    IpProtocol(u8),
    /// Nothing more that this walk reads.
    End,
}

/// Walks the headers of `frame`, and nothing but this frame: a fragment stays one. See [`Dissector`] for the rest.
pub fn dissect<'a>(frame: &Frame<'a>) -> Packet<'a> {
    let mut packet = Packet::default();
    begin(&mut packet, frame, Plain::read(frame).as_ref());
    packet
}

/// Reads all headers of a frame into an empty packet; `plain` is what was read of it at a glance.
#[inline(always)]
fn begin<'a>(packet: &mut Packet<'a>, frame: &Frame<'a>, plain: Option<&Plain<'a>>) {
    if !plain.is_some_and(|plain| plain.unfold(frame, packet)) {
        walk(packet, Cursor::new(frame.data, frame.length), Next::Link(frame.link));
    }
}

#[inline(never)]
fn walk<'a>(packet: &mut Packet<'a>, mut cursor: Cursor<'a>, mut next: Next) {
    for _ in 0..MAX_STEPS {
        let step = match next {
            Next::Link(link) => link::read(link, packet, &mut cursor),
            Next::EtherType(ether_type) => link::ether_type(ether_type, packet, &mut cursor),
            Next::Ip => ip::read(packet, &mut cursor),
            Next::Ipv6Header(kind) => ip::extensions(kind, packet, &mut cursor),
            Next::IpProtocol(protocol) => transport::read(protocol, packet, &mut cursor),
            Next::End => break,
        };
        match step {
            Ok(following) => next = following,
            Err(stopped) => {
                packet.stopped = Some(stopped);
                break;
            }
        }
    }
    packet.payload = cursor.rest();
    packet.payload_length = cursor.wire_length();
}
