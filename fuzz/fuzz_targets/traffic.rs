//! Payloads of any bytes in well-formed packets of sixteen flows at the ports of the protocols, through the whole
//! engine: so that they reach what lies behind checks of headers, reassembly, recognition and announcements. Every
//! packet is in a flow's count or a copy.

#![no_main]

use capture_user::dissect::app::Direction;
use capture_user::source::{Frame, LinkType};
use capture_user::time::Timestamp;
use libfuzzer_sys::fuzz_target;
use padtap_fuzz::engine::Engine;
use padtap_fuzz::script::{Piece, pieces};

/// Protocol under IP, port of the server, port of the client.
const FLOWS: [(u8, u16, u16); 16] = [
    (UDP, 53, 50_000),
    (UDP, 5353, 5353),
    (UDP, 443, 50_001),
    (TCP, 443, 50_000),
    (TCP, 53, 50_001),
    (TCP, 80, 50_002),
    (UDP, 5060, 5060),
    (TCP, 5060, 50_003),
    (UDP, 4000, 4000),
    (UDP, 4001, 4001),
    (UDP, 3478, 50_002),
    (UDP, 67, 68),
    (UDP, 1900, 50_003),
    (UDP, 40_000, 50_004),
    (TCP, 40_000, 50_004),
    (UDP, 123, 123),
];
const TCP: u8 = 6;
const UDP: u8 = 17;

fuzz_target!(|input: &[u8]| {
    let (mut engine, mut time) = (Engine::default(), Timestamp::from_nanos(1_700_000_000_000_000_000));
    let mut next = [[1_000_u32; 2]; FLOWS.len()];
    for (piece, number) in pieces(input).zip(1_u16..) {
        time = piece.time(time);
        let place = &mut next[usize::from(piece.choice())][piece.direction().index()];
        let bytes = packet(&piece, number, place);
        let length = u32::try_from(bytes.len()).expect("a short frame");
        let data = &bytes[..bytes.len() - (piece.snapped() as usize).min(piece.bytes.len())];
        let (link, interface, number) = (LinkType::RawIp, 0, u64::from(number));
        engine.process(&Frame { number, time, length, link, interface, data });
    }
    let counted = engine.finish();
    assert_eq!(counted.in_flows, counted.frames - counted.duplicates);
});

/// The packet that carries a piece. `place` is the next sequence number of its side, should it be TCP.
fn packet(piece: &Piece<'_>, number: u16, place: &mut u32) -> Vec<u8> {
    let (protocol, server, client) = FLOWS[usize::from(piece.choice())];
    let (from, to) = if piece.direction() == Direction::Out { (client, server) } else { (server, client) };
    let ports = [from.to_be_bytes(), to.to_be_bytes()].concat();
    // The ends of the range are for tests of lengths elsewhere.
    let payload = &piece.bytes[..piece.bytes.len().min(60_000)];
    let header = if protocol == UDP { udp(payload.len()).to_vec() } else { tcp(piece, payload.len(), place).to_vec() };
    let length = u16::try_from(20 + 4 + header.len() + payload.len()).expect("a short packet").to_be_bytes();
    let id = number.to_be_bytes();
    let (console, service) = ([192, 168, 1, 40], [203, 0, 113, 10]);
    let (source, destination) =
        if piece.direction() == Direction::Out { (console, service) } else { (service, console) };
    let ip = [0x45, 0, length[0], length[1], id[0], id[1], 0, 0, 64, protocol, 0, 0];
    [&ip[..], &source, &destination, &ports, &header, payload].concat()
}

/// What follows the ports.
fn udp(payload: usize) -> [u8; 4] {
    let length = u16::try_from(8 + payload).expect("a short datagram").to_be_bytes();
    [length[0], length[1], 0, 0]
}

/// What follows the ports: a gap moves the segment on, the stream's flag back over what was sent, and an empty segment
/// is the first or the last.
fn tcp(piece: &Piece<'_>, payload: usize, place: &mut u32) -> [u8; 16] {
    const FIN: u8 = 1;
    const SYN: u8 = 2;
    const ACK: u8 = 16;
    *place = place.wrapping_add(piece.gap().unwrap_or(0));
    let sequence = place.wrapping_sub(if piece.prefers_stream() && payload > 0 { 24 } else { 0 });
    let flags = match payload {
        0 if piece.prefers_stream() => SYN,
        0 => FIN | ACK,
        _ => ACK,
    };
    let taken = u32::try_from(payload).expect("a short segment") + u32::from(payload == 0);
    *place = sequence.wrapping_add(taken);
    let [a, b, c, d] = sequence.to_be_bytes();
    [a, b, c, d, 0, 0, 0, 1, 0x50, flags, 0x20, 0, 0, 0, 0, 0]
}
