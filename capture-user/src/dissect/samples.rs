//! Packets built by hand, for the tests of the layers.

use crate::dissect::{Packet, Stopped, dissect};
use crate::source::{Frame, LinkType};
use crate::time::Timestamp;

pub(crate) const CONSOLE_MAC: [u8; 6] = [0x00, 0xd9, 0xd1, 0x11, 0x22, 0x33];
pub(crate) const ROUTER_MAC: [u8; 6] = [0x02, 0x00, 0x5e, 0x00, 0x00, 0x01];
pub(crate) const CONSOLE: [u8; 4] = [192, 168, 1, 40];
pub(crate) const SERVER: [u8; 4] = [203, 0, 113, 10];

/// Headers and payload, one behind the other.
pub(crate) fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

pub(crate) fn ethernet(kind: u16, inner: &[u8]) -> Vec<u8> {
    join(&[&ROUTER_MAC, &CONSOLE_MAC, &kind.to_be_bytes(), inner])
}

/// An Ethernet frame between two other stations: what carries a tunnel.
pub(crate) fn outer_ethernet(kind: u16, inner: &[u8]) -> Vec<u8> {
    join(&[&[0x02, 0, 0, 0, 0, 0xaa], &[0x02, 0, 0, 0, 0, 0xbb], &kind.to_be_bytes(), inner])
}

pub(crate) fn vlan(id: u16, kind: u16, inner: &[u8]) -> Vec<u8> {
    join(&[&id.to_be_bytes(), &kind.to_be_bytes(), inner])
}

/// From the console to the server.
pub(crate) fn ipv4(protocol: u8, inner: &[u8]) -> Vec<u8> {
    ipv4_piece(protocol, 0x1234, 0, inner)
}

/// `field` is that of flags and fragment offset.
pub(crate) fn ipv4_piece(protocol: u8, id: u16, field: u16, inner: &[u8]) -> Vec<u8> {
    ipv4_between(CONSOLE, SERVER, protocol, id, field, inner)
}

/// Between the ends of a tunnel.
pub(crate) fn outer_ipv4(protocol: u8, inner: &[u8]) -> Vec<u8> {
    ipv4_between([10, 200, 0, 3], [10, 200, 0, 4], protocol, 0x0bad, 0, inner)
}

pub(crate) fn ipv4_between(from: [u8; 4], to: [u8; 4], protocol: u8, id: u16, field: u16, inner: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + inner.len()).expect("a short payload").to_be_bytes();
    let (id, field) = (id.to_be_bytes(), field.to_be_bytes());
    let header = [0x45, 0, length[0], length[1], id[0], id[1], field[0], field[1], 64, protocol, 0, 0];
    join(&[&header, &from, &to, inner])
}

pub(crate) fn ipv6(next: u8, inner: &[u8]) -> Vec<u8> {
    let mut from = [0; 16];
    from[..4].copy_from_slice(&[0x20, 0x01, 0, 0]);
    from[15] = 1;
    let mut to = [0; 16];
    to[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
    to[15] = 2;
    let length = u16::try_from(inner.len()).expect("a short payload").to_be_bytes();
    join(&[&[0x60, 0, 0, 0, length[0], length[1], next, 64], &from, &to, inner])
}

pub(crate) fn udp(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).expect("a short payload").to_be_bytes();
    join(&[&source.to_be_bytes(), &destination.to_be_bytes(), &length, &[0, 0], payload])
}

pub(crate) fn tcp(source: u16, destination: u16, sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let tail = [0, 0, 0, 9, 0x50, flags, 0x20, 0, 0, 0, 0, 0];
    join(&[&source.to_be_bytes(), &destination.to_be_bytes(), &sequence.to_be_bytes(), &tail, payload])
}

/// The packet most tunnels carry in these tests.
pub(crate) fn game() -> Vec<u8> {
    ipv4(17, &udp(50_000, 26_503, b"tick"))
}

pub(crate) fn frame(bytes: &[u8]) -> Frame<'_> {
    frame_at(0, bytes)
}

pub(crate) fn frame_at(nanos: i64, bytes: &[u8]) -> Frame<'_> {
    Frame {
        number: 1,
        time: Timestamp::from_nanos(nanos),
        length: u32::try_from(bytes.len()).expect("a short frame"),
        link: LinkType::Ethernet,
        interface: 0,
        data: bytes,
    }
}

/// Names of the layers, joined by colons as tshark's `frame.protocols` has them.
pub(crate) fn layers(packet: &Packet<'_>) -> String {
    packet.layers.iter().map(|layer| layer.name()).collect::<Vec<_>>().join(":")
}

/// Dissects a frame that must be read to its end, and all that remains when its end is cut off.
pub(crate) fn whole(bytes: &[u8]) -> Packet<'_> {
    mistreat(bytes);
    let packet = dissect(&frame(bytes));
    assert_eq!(packet.stopped, None);
    packet
}

/// Dissects a frame that must not be read to its end; says why.
pub(crate) fn stopped(bytes: &[u8]) -> Stopped {
    mistreat(bytes);
    dissect(&frame(bytes)).stopped.expect("a walk that stopped")
}

/// Every prefix, both as a short frame and as a long one that was snapped: what was read of it stays within it.
fn mistreat(bytes: &[u8]) {
    for end in 0..=bytes.len() {
        let short = &bytes[..end];
        check(&dissect(&frame(short)), short);
        let snapped = Frame { length: u32::try_from(bytes.len()).expect("a short frame"), ..frame(short) };
        check(&dissect(&snapped), short);
    }
}

/// What holds for the walk of any bytes whatsoever.
pub(crate) fn check(packet: &Packet<'_>, bytes: &[u8]) {
    assert!(packet.payload.len() <= bytes.len());
    assert!(packet.payload.len() <= packet.payload_length as usize);
    if let Some(stopped) = packet.stopped {
        assert!(stopped.offset <= bytes.len(), "stopped at {} of {}", stopped.offset, bytes.len());
    }
}

/// Asserts that the console's packet came out of a tunnel: its addresses, ports and payload, nothing of the outside.
pub(crate) fn assert_game(packet: &Packet<'_>) {
    assert_eq!(packet.addresses(), Some((CONSOLE.into(), SERVER.into())));
    assert_eq!(packet.ports(), Some((50_000, 26_503)));
    assert_eq!(packet.payload, b"tick");
    assert_eq!(packet.payload_length, 4);
}

/// One frame of each tunnel, so that damage to them reaches what is deep inside.
pub(crate) fn tunnels() -> Vec<Vec<u8>> {
    let inner = ethernet(0x8100, &vlan(7, 0x0800, &game()));
    let gre = |flags: u16, kind: u16, rest: &[u8]| {
        outer_ethernet(0x0800, &outer_ipv4(47, &join(&[&flags.to_be_bytes(), &kind.to_be_bytes(), rest])))
    };
    let over_udp = |port, rest: &[u8]| outer_ethernet(0x0800, &outer_ipv4(17, &udp(60_000, port, rest)));
    vec![
        inner.clone(),
        ethernet(0x0800, &ipv4_piece(17, 1, 0x2000, &udp(1, 2, &[0; 16]))),
        ethernet(0x86dd, &ipv6(0, &join(&[&[43, 0, 0, 0, 0, 0, 0, 0, 44, 0, 0, 0, 0, 0, 0, 0], &[17; 40]]))),
        ethernet(0x8864, &join(&[&[0x11, 0, 0, 1, 0, 34, 0, 0x21], &game()])),
        ethernet(0x8847, &join(&[&[0, 1, 0, 64, 0, 1, 1, 64, 0, 0, 0, 0], &inner])),
        ethernet(40, &join(&[&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &game()])),
        gre(0xb000, 0x6558, &join(&[&[0; 12], &inner])),
        gre(0x1000, 0x88be, &join(&[&[0, 0, 0, 1, 0x10, 7, 0x10, 1, 0, 0, 0, 0], &inner])),
        gre(0x1000, 0x22eb, &join(&[&[0, 0, 0, 1, 0x20, 7, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1], &[0; 8], &inner])),
        gre(0x3081, 0x880b, &join(&[&[0; 12], &[0xff, 3, 0, 0x21], &game()])),
        over_udp(4789, &join(&[&[8, 0, 0, 0, 0, 0, 1, 0], &inner])),
        over_udp(6081, &join(&[&[1, 0, 0x65, 0x58, 0, 0, 1, 0, 0, 0, 0, 0], &inner])),
        over_udp(3544, &join(&[&[0, 0, 1, 2, 3, 4, 5, 6], &ipv6(17, &udp(1, 2, b"x"))])),
        outer_ethernet(0x0800, &outer_ipv4(41, &ipv6(4, &game()))),
    ]
}
