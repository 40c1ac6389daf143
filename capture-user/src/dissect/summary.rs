//! One line about one packet, as a packet list shows it.

use std::fmt::Write;

use super::app::{Over, PROTOCOLS};
use super::{Layer, Packet, Transport};

/// What the packet says, by its innermost protocol; `application` is the one its flow speaks.
pub fn summary(packet: &Packet<'_>, application: Option<&'static str>) -> String {
    let mut line = String::new();
    // A protocol may go by one name over UDP and over TCP, and be framed otherwise there.
    let unfit = if packet.transport.tcp().is_some() { Over::Udp } else { Over::Tcp };
    if let Some(name) = application
        && let Some(protocol) = PROTOCOLS.iter().find(|protocol| protocol.name == name && protocol.over != unfit)
        && !(protocol.over == Over::Tcp && packet.payload.is_empty())
    {
        (protocol.summary)(packet.payload, &mut line);
    }
    if line.is_empty() {
        // Writing to a string cannot fail.
        let _ = transport(packet, &mut line);
    }
    line
}

fn transport(packet: &Packet<'_>, line: &mut String) -> std::fmt::Result {
    match &packet.transport {
        Transport::Udp(udp) => write!(line, "{} → {} Len={}", udp.source, udp.destination, packet.payload_length),
        Transport::Tcp(tcp) => {
            write!(line, "{} → {} [", tcp.source, tcp.destination)?;
            line.extend(tcp.flags.letters());
            write!(line, "] Seq={} Ack={} Win={} ", tcp.sequence, tcp.acknowledgement, tcp.window)?;
            write!(line, "Len={}", packet.payload_length)
        }
        Transport::Icmp(icmp) => write!(line, "type {} code {}", icmp.kind, icmp.code),
        Transport::None => match packet.ip.as_ref() {
            Some(ip) => match ip.fragment {
                Some(fragment) => {
                    write!(line, "Fragmented, proto={} off={} ID={:04x}", ip.protocol, fragment.offset, fragment.id)
                }
                None => write!(line, "proto={}", ip.protocol),
            },
            None if packet.layers.last() == Some(&Layer::Arp) => arp(packet.payload, line),
            None => write!(line, "{} bytes", packet.payload_length),
        },
    }
}

/// RFC 826, over Ethernet and IPv4: operation at 6, sender's MAC at 8 and address at 14, target's address at 24.
fn arp(body: &[u8], line: &mut String) -> std::fmt::Result {
    let (Some(&[_, operation]), Some(&[a, b, c, d]), Some(&[e, f, g, h])) =
        (body.get(6..8), body.get(14..18), body.get(24..28))
    else {
        return Ok(());
    };
    match operation {
        1 => write!(line, "Who has {e}.{f}.{g}.{h}? Tell {a}.{b}.{c}.{d}"),
        2 => match body.get(8..14).and_then(|mac| <[u8; 6]>::try_from(mac).ok()) {
            Some(mac) => write!(line, "{a}.{b}.{c}.{d} is at {}", super::Mac(mac)),
            None => Ok(()),
        },
        other => write!(line, "operation {other}"),
    }
}
