//! IPv4 (RFC 791) and IPv6 (RFC 8200) with its extension headers.

use std::net::IpAddr;

use etherparse::err::ipv4::HeaderSliceError;
use etherparse::{Ipv4HeaderSlice, Ipv6FragmentHeaderSlice, Ipv6HeaderSlice, Ipv6RawExtHeaderSlice};

use super::{Cursor, Layer, Next, Packet, Stopped, Transport};

/// IP protocol numbers of the IPv6 extension headers (IANA protocol-numbers).
mod extension {
    pub const HOP_BY_HOP: u8 = 0;
    pub const ROUTING: u8 = 43;
    pub const FRAGMENT: u8 = 44;
    pub const AUTHENTICATION: u8 = 51;
    /// No next header: nothing follows.
    pub const NOTHING: u8 = 59;
    pub const DESTINATION: u8 = 60;
}

/// What an IP header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip {
    /// Sender.
    pub source: IpAddr,
    /// Receiver.
    pub destination: IpAddr,
    /// The protocol of the payload (IANA protocol-numbers), after any extension headers.
    pub protocol: u8,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// Bytes of the whole IP packet on the wire, header included.
    pub length: u32,
    /// IPv4's identification; 0 for IPv6.
    pub id: u16,
    /// Where its payload belongs, when it is one fragment of a datagram.
    pub fragment: Option<Fragment>,
}

/// One piece of a fragmented datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Which datagram: equal for all pieces of one.
    pub id: u32,
    /// Where the piece belongs in the datagram's payload, in bytes.
    pub offset: u32,
    /// Whether more pieces follow it.
    pub more: bool,
}

pub(super) fn read<'a>(packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<Next, Stopped> {
    match cursor.rest().first().map(|byte| byte >> 4) {
        Some(4) => v4(packet, cursor),
        Some(6) => v6(packet, cursor),
        Some(_) => Err(cursor.malformed(Layer::Ipv4, "the version is neither 4 nor 6")),
        None => Err(cursor.short(Layer::Ipv4, 1)),
    }
}

fn v4<'a>(packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<Next, Stopped> {
    let header = Ipv4HeaderSlice::from_slice(cursor.rest()).map_err(|error| match error {
        HeaderSliceError::Len(len) => cursor.short(Layer::Ipv4, len.required_len),
        HeaderSliceError::Content(_) => cursor.malformed(Layer::Ipv4, "the header length is under 20 bytes"),
    })?;
    let header_length = header.slice().len();
    // A zero length is what segmentation offload leaves in packets captured before they were cut.
    let length = match usize::from(header.total_len()) {
        0 => cursor.wire_length() as usize,
        length => length,
    };
    packet.enter(Layer::Ipv4);
    let protocol = header.protocol().0;
    let fragment = header.is_fragmenting_payload().then(|| Fragment {
        id: u32::from(header.identification()),
        offset: u32::from(header.fragments_offset().value()) * 8,
        more: header.more_fragments(),
    });
    packet.transport = Transport::None;
    packet.ip = Some(Ip {
        source: header.source_addr().into(),
        destination: header.destination_addr().into(),
        protocol,
        ttl: header.ttl(),
        length: u32::try_from(length).unwrap_or(u32::MAX),
        id: header.identification(),
        fragment,
    });
    if length < header_length {
        return Err(cursor.malformed(Layer::Ipv4, "the total length is shorter than the header"));
    }
    cursor.trim(length);
    cursor.take_slice(Layer::Ipv4, header_length)?;
    Ok(if fragment.is_some() { Next::End } else { Next::IpProtocol(protocol) })
}

fn v6<'a>(packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<Next, Stopped> {
    let header = Ipv6HeaderSlice::from_slice(cursor.rest()).map_err(|_| cursor.short(Layer::Ipv6, 40))?;
    // A zero length is that of a jumbogram, or of segmentation offload: all that follows belongs to it.
    let length = match (usize::from(header.payload_length()), header.next_header().0) {
        (0, extension::NOTHING) => 40,
        (0, _) => cursor.wire_length() as usize,
        (payload, _) => payload + 40,
    };
    packet.enter(Layer::Ipv6);
    packet.transport = Transport::None;
    packet.ip = Some(Ip {
        source: header.source_addr().into(),
        destination: header.destination_addr().into(),
        protocol: header.next_header().0,
        ttl: header.hop_limit(),
        length: u32::try_from(length).unwrap_or(u32::MAX),
        id: 0,
        fragment: None,
    });
    cursor.trim(length);
    cursor.take::<40>(Layer::Ipv6)?;
    extensions(header.next_header().0, packet, cursor)
}

/// Extension headers are as many as the sender likes; each is at least eight bytes, so the packet's end bounds them.
pub(super) fn extensions<'a>(
    mut protocol: u8,
    packet: &mut Packet<'a>,
    cursor: &mut Cursor<'a>,
) -> Result<Next, Stopped> {
    loop {
        let layer = match protocol {
            extension::HOP_BY_HOP => Layer::Ipv6HopByHop,
            extension::ROUTING => Layer::Ipv6Routing,
            extension::DESTINATION => Layer::Ipv6Destination,
            extension::AUTHENTICATION => Layer::Ah,
            extension::FRAGMENT => match fragment(packet, cursor)? {
                (following, true) => {
                    protocol = following;
                    continue;
                }
                (following, false) => {
                    set_protocol(packet, following);
                    return Ok(Next::End);
                }
            },
            _ => break,
        };
        protocol = option_header(layer, packet, cursor)?;
    }
    set_protocol(packet, protocol);
    Ok(Next::IpProtocol(protocol))
}

fn option_header<'a>(layer: Layer, packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<u8, Stopped> {
    let rest = cursor.rest();
    let (next, length) = if layer == Layer::Ah {
        // RFC 4302 section 2.2: the length counts 32-bit words, minus 2.
        match rest {
            [next, words, ..] => (*next, (usize::from(*words) + 2) * 4),
            _ => return Err(cursor.short(layer, 12)),
        }
    } else {
        let header = Ipv6RawExtHeaderSlice::from_slice(rest).map_err(|_| cursor.short(layer, 8))?;
        (header.next_header().0, header.slice().len())
    };
    cursor.take_slice(layer, length)?;
    packet.enter(layer);
    Ok(next)
}

/// The next header, and whether the datagram is whole all the same (an "atomic" fragment, RFC 6946).
fn fragment<'a>(packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<(u8, bool), Stopped> {
    let header =
        Ipv6FragmentHeaderSlice::from_slice(cursor.rest()).map_err(|_| cursor.short(Layer::Ipv6Fragment, 8))?;
    cursor.take::<8>(Layer::Ipv6Fragment)?;
    packet.enter(Layer::Ipv6Fragment);
    let whole = !header.is_fragmenting_payload();
    if !whole && let Some(ip) = &mut packet.ip {
        ip.fragment = Some(Fragment {
            id: header.identification(),
            offset: u32::from(header.fragment_offset().value()) * 8,
            more: header.more_fragments(),
        });
    }
    Ok((header.next_header().0, whole))
}

fn set_protocol(packet: &mut Packet<'_>, protocol: u8) {
    if let Some(ip) = &mut packet.ip {
        ip.protocol = protocol;
    }
}

#[cfg(test)]
mod tests {
    use crate::dissect::samples::*;
    use crate::dissect::{Fragment, Ip, Layer, Reason};

    #[test]
    fn the_fields_of_version_4() {
        let bytes = ethernet(0x0800, &game());
        let expected = Ip {
            source: CONSOLE.into(),
            destination: SERVER.into(),
            protocol: 17,
            ttl: 64,
            length: 32,
            id: 0x1234,
            fragment: None,
        };
        assert_eq!(whole(&bytes).ip, Some(expected));
    }

    #[test]
    fn options_are_read_past() {
        let mut packet = game();
        packet[0] = 0x46;
        packet[3] += 4;
        packet.splice(20..20, [0x94, 4, 0, 0]);
        assert_game(&whole(&ethernet(0x0800, &packet)));
    }

    #[test]
    fn fragments_are_not_read_further() {
        for (field, fragment) in [
            (0x2000, Fragment { id: 7, offset: 0, more: true }),
            (0x00b9, Fragment { id: 7, offset: 1480, more: false }),
        ] {
            let bytes = ethernet(0x0800, &ipv4_piece(17, 7, field, b"12345678"));
            let packet = whole(&bytes);
            assert_eq!(packet.ip.and_then(|ip| ip.fragment), Some(fragment));
            assert_eq!((packet.ports(), packet.payload), (None, &b"12345678"[..]));
        }
    }

    #[test]
    fn the_length_of_an_offloaded_packet_is_the_frames() {
        for (kind, mut packet, at) in [(0x0800, game(), 2), (0x86dd, ipv6(17, &udp(50_000, 26_503, b"tick")), 4)] {
            packet[at..at + 2].fill(0);
            let bytes = ethernet(kind, &packet);
            assert_eq!(whole(&bytes).payload, b"tick");
        }
    }

    #[test]
    fn nothing_follows_no_next_header() {
        let mut bytes = ethernet(0x86dd, &ipv6(59, b""));
        bytes.extend([0xee; 6]);
        let packet = whole(&bytes);
        assert_eq!((packet.payload, packet.ip.map(|ip| ip.length)), (&b""[..], Some(40)));
    }

    #[test]
    fn extension_headers_of_every_kind() {
        let datagram = udp(50_000, 26_503, b"tick");
        let headers = join(&[
            &[43, 0, 1, 4, 0, 0, 0, 0],
            &[60, 0, 0, 0, 0, 0, 0, 0],
            &[51, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[44, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1],
            &[17, 0, 0, 0, 0, 0, 0, 9],
            &datagram,
        ]);
        let bytes = ethernet(0x86dd, &ipv6(0, &headers));
        let packet = whole(&bytes);
        let names = "eth:ipv6:ipv6.hopopts:ipv6.routing:ipv6.dstopts:ah:ipv6.fraghdr:udp";
        assert_eq!(layers(&packet), names);
        assert_eq!(packet.payload, b"tick");
        let ip = packet.ip.expect("an IP header");
        assert_eq!((ip.protocol, ip.fragment), (17, None), "a fragment that is all there is");
    }

    #[test]
    fn headers_that_cannot_be() {
        let with = |at: usize, value| {
            let mut packet = game();
            packet[at] = value;
            ethernet(0x0800, &packet)
        };
        for (bytes, reason) in [
            (with(0, 0x75), "the version is neither 4 nor 6"),
            (with(0, 0x44), "the header length is under 20 bytes"),
            (with(3, 19), "the total length is shorter than the header"),
        ] {
            let stopped = stopped(&bytes);
            assert_eq!((stopped.layer, stopped.offset), (Layer::Ipv4, 14));
            assert_eq!(stopped.reason, Reason::Malformed(reason));
        }
    }
}
