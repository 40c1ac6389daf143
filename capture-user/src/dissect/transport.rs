//! UDP (RFC 768), TCP (RFC 9293), ICMP (RFC 792), ICMPv6 (RFC 4443) and IGMP (RFC 3376).

use etherparse::err::tcp::HeaderSliceError;
use etherparse::{Icmpv4Slice, Icmpv6Slice, TcpHeaderSlice, UdpHeaderSlice};

use super::{Cursor, Layer, Next, Packet, Stopped, gre, tunnel};

/// IP protocol numbers (IANA protocol-numbers).
pub(super) mod protocol {
    pub const ICMP: u8 = 1;
    pub const IGMP: u8 = 2;
    /// An IPv4 packet (RFC 2003).
    pub const IPV4: u8 = 4;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    /// An IPv6 packet (RFC 4213).
    pub const IPV6: u8 = 41;
    pub const GRE: u8 = 47;
    pub const ICMPV6: u8 = 58;
}

/// What the innermost IP header carries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Transport<'a> {
    /// A UDP datagram.
    Udp(Udp),
    /// A TCP segment.
    Tcp(Tcp<'a>),
    /// An ICMP or ICMPv6 message.
    Icmp(Icmp),
    /// Nothing that was read: another protocol, a fragment, or no IP at all.
    #[default]
    None,
}

impl<'a> Transport<'a> {
    /// The TCP header, if it is one.
    pub const fn tcp(&self) -> Option<&Tcp<'a>> {
        match self {
            Self::Tcp(tcp) => Some(tcp),
            _ => None,
        }
    }

    /// Whether its payload may be a packet again.
    pub(crate) fn may_tunnel(&self) -> bool {
        matches!(self, Self::Udp(udp) if tunnel::may_be_over(*udp))
    }
}

/// A UDP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Udp {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
}

/// A TCP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tcp<'a> {
    /// Source port.
    pub source: u16,
    /// Destination port.
    pub destination: u16,
    /// Sequence number of the first byte of payload (of the SYN itself when that is set).
    pub sequence: u32,
    /// The next sequence number expected from the other side.
    pub acknowledgement: u32,
    /// The control bits.
    pub flags: TcpFlags,
    /// Receive window as it stands in the header, not scaled.
    pub window: u16,
    /// The options, not decoded.
    pub options: &'a [u8],
}

/// TCP control bits as they stand in byte 13 of the header: FIN 0x01 up to CWR 0x80.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpFlags(pub u8);

impl TcpFlags {
    /// FIN: the sender has no more data.
    pub const fn fin(self) -> bool {
        self.0 & 0x01 != 0
    }
    /// SYN: synchronise sequence numbers.
    pub const fn syn(self) -> bool {
        self.0 & 0x02 != 0
    }
    /// RST: reset the connection.
    pub const fn rst(self) -> bool {
        self.0 & 0x04 != 0
    }
    /// ACK: the acknowledgement field counts.
    pub const fn ack(self) -> bool {
        self.0 & 0x10 != 0
    }
    /// Whether a connection begins or ends with them.
    pub const fn turn(self) -> bool {
        self.0 & 0x07 != 0
    }
    /// The bits by their usual letters, FIN first: `S`, `SA`, `PA`, `FSRPAUEC`.
    pub fn letters(self) -> impl Iterator<Item = char> {
        "FSRPAUEC".chars().enumerate().filter(move |(bit, _)| self.0 >> bit & 1 == 1).map(|(_, letter)| letter)
    }
}

/// The start of an ICMP or ICMPv6 message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmp {
    /// Type.
    pub kind: u8,
    /// Code.
    pub code: u8,
    /// Bytes 4 to 7: identifier and sequence number of an echo, something else in other types.
    pub rest: [u8; 4],
}

pub(super) fn read<'a>(number: u8, packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<Next, Stopped> {
    match number {
        protocol::UDP => udp(packet, cursor),
        protocol::TCP => tcp(packet, cursor),
        protocol::ICMP => {
            let message = Icmpv4Slice::from_slice(cursor.rest()).map_err(|_| cursor.short(Layer::Icmp, 8))?;
            let icmp = Icmp { kind: message.type_u8(), code: message.code_u8(), rest: message.bytes5to8() };
            enter_icmp(Layer::Icmp, icmp, packet, cursor)
        }
        protocol::ICMPV6 => {
            let message = Icmpv6Slice::from_slice(cursor.rest()).map_err(|_| cursor.short(Layer::Icmpv6, 8))?;
            let icmp = Icmp { kind: message.type_u8(), code: message.code_u8(), rest: message.bytes5to8() };
            enter_icmp(Layer::Icmpv6, icmp, packet, cursor)
        }
        protocol::IPV4 | protocol::IPV6 => tunnel::ip(number == protocol::IPV6, packet),
        protocol::GRE => gre::read(packet, cursor),
        protocol::IGMP => igmp(packet, cursor),
        _ => Ok(Next::End),
    }
}

fn udp<'a>(packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<Next, Stopped> {
    let header = UdpHeaderSlice::from_slice(cursor.rest()).map_err(|_| cursor.short(Layer::Udp, 8))?;
    packet.enter(Layer::Udp);
    let udp = Udp { source: header.source_port(), destination: header.destination_port() };
    packet.transport = Transport::Udp(udp);
    match usize::from(header.length()) {
        // Zero: a jumbogram (RFC 2675) or offload; the IP length already bounds it.
        0 => {}
        length if length < 8 => return Err(cursor.malformed(Layer::Udp, "the length is under 8 bytes")),
        length => cursor.trim(length),
    }
    cursor.take::<8>(Layer::Udp)?;
    tunnel::over_udp(udp, packet, cursor)
}

fn tcp<'a>(packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<Next, Stopped> {
    let rest = cursor.rest();
    let header = TcpHeaderSlice::from_slice(rest).map_err(|error| match error {
        HeaderSliceError::Len(len) => cursor.short(Layer::Tcp, len.required_len),
        HeaderSliceError::Content(_) => cursor.malformed(Layer::Tcp, "the data offset is under 20 bytes"),
    })?;
    let length = header.slice().len();
    let flags = TcpFlags(header.slice().get(13).copied().unwrap_or_default());
    packet.enter(Layer::Tcp);
    packet.transport = Transport::Tcp(Tcp {
        source: header.source_port(),
        destination: header.destination_port(),
        sequence: header.sequence_number(),
        acknowledgement: header.acknowledgment_number(),
        flags,
        window: header.window_size(),
        options: rest.get(20..length).unwrap_or_default(),
    });
    cursor.take_slice(Layer::Tcp, length)?;
    Ok(Next::End)
}

fn enter_icmp<'a>(layer: Layer, icmp: Icmp, packet: &mut Packet<'a>, cursor: &mut Cursor<'a>) -> Result<Next, Stopped> {
    cursor.take::<8>(layer)?;
    packet.enter(layer);
    packet.transport = Transport::Icmp(icmp);
    Ok(Next::End)
}

/// All of IGMP's messages begin with the same eight bytes; they stay part of the payload, for whoever reads the rest.
fn igmp<'a>(packet: &mut Packet<'a>, cursor: &Cursor<'a>) -> Result<Next, Stopped> {
    if cursor.rest().len() < 8 {
        return Err(cursor.short(Layer::Igmp, 8));
    }
    packet.enter(Layer::Igmp);
    Ok(Next::End)
}

#[cfg(test)]
mod tests {
    use super::{Icmp, Tcp, TcpFlags, Transport};
    use crate::dissect::samples::*;
    use crate::dissect::{Layer, Reason};

    #[test]
    fn the_fields_of_tcp() {
        let mut segment = tcp(50_000, 443, 0xdead_beef, 0x12, b"data");
        segment[12] = 0x60;
        segment.splice(20..20, [2, 4, 5, 0xb4]);
        let bytes = ethernet(0x0800, &ipv4(6, &segment));
        let packet = whole(&bytes);
        let expected = Tcp {
            source: 50_000,
            destination: 443,
            sequence: 0xdead_beef,
            acknowledgement: 9,
            flags: TcpFlags(0x12),
            window: 0x2000,
            options: &[2, 4, 5, 0xb4],
        };
        assert_eq!(packet.transport, Transport::Tcp(expected));
        assert_eq!((packet.payload, packet.ports()), (&b"data"[..], Some((50_000, 443))));
        assert_eq!(expected.flags.letters().collect::<String>(), "SA");
    }

    #[test]
    fn messages_of_icmp_and_icmpv6() {
        for bytes in [
            ethernet(0x0800, &ipv4(1, &[8, 0, 0, 0, 1, 2, 3, 4, b'p'])),
            ethernet(0x86dd, &ipv6(58, &[8, 0, 0, 0, 1, 2, 3, 4, b'p'])),
        ] {
            let packet = whole(&bytes);
            assert_eq!(packet.transport, Transport::Icmp(Icmp { kind: 8, code: 0, rest: [1, 2, 3, 4] }));
            assert_eq!(packet.payload, b"p");
        }
    }

    #[test]
    fn a_datagram_of_length_zero_is_bounded_by_its_packet() {
        let mut datagram = udp(50_000, 26_503, b"tick");
        datagram[4..6].fill(0);
        assert_game(&whole(&ethernet(0x0800, &ipv4(17, &datagram))));
    }

    #[test]
    fn headers_that_cannot_be() {
        let mut datagram = udp(1, 2, b"tick");
        datagram[5] = 7;
        let short = stopped(&ethernet(0x0800, &ipv4(17, &datagram)));
        assert_eq!(short.reason, Reason::Malformed("the length is under 8 bytes"));
        let mut segment = tcp(1, 2, 3, 0x10, b"");
        segment[12] = 0x40;
        let low = stopped(&ethernet(0x0800, &ipv4(6, &segment)));
        assert_eq!((low.layer, low.offset), (Layer::Tcp, 34));
        assert_eq!(low.reason, Reason::Malformed("the data offset is under 20 bytes"));
        segment[12] = 0x60;
        let long = stopped(&ethernet(0x0800, &ipv4(6, &segment)));
        assert_eq!(long.reason, Reason::Truncated { wanted: 24, had: 20 });
    }

    #[test]
    fn a_snapped_segment_has_its_length_on_the_wire() {
        let bytes = ethernet(0x0800, &ipv4(6, &tcp(1, 2, 3, 0x10, &[7; 100])));
        let snapped = crate::source::Frame { length: bytes.len() as u32, ..frame(&bytes[..74]) };
        let packet = crate::dissect::dissect(&snapped);
        assert_eq!((packet.payload.len(), packet.payload_length), (20, 100));
    }
}
