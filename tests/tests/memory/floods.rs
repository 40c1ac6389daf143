//! What an attacker sends: the `number`th frame of each flood.

use tests::bench::Bench;
use tests::talk::{Message, end, flags};

use crate::honest::hello;

/// The addresses of attackers and of their victims begin here.
const ATTACKER: u32 = 0x0a00_0000;
const VICTIM: u32 = 0xac10_0001;

fn message(number: u32, ports: (u16, u16), payload: &[u8]) -> Message<'_> {
    Message { from: end(ATTACKER + number, ports.0), to: end(VICTIM, ports.1), id: number as u16 | 1, payload }
}

fn reversed(message: Message<'_>) -> Message<'_> {
    Message { from: message.to, to: message.from, ..message }
}

/// A flow of one packet.
pub fn one_packet(bench: &mut Bench, number: u32) {
    bench.udp(message(number, (10_000, 20_000), b"\xee\xee\xee\xee nobody knows this"));
}

/// Packets both ways of the same flow.
pub fn tick(bench: &mut Bench, number: u32, turn: u16) {
    let message = Message { id: turn, ..message(number, (10_000, 20_000), b"\xee\xee\xee\xee nor that") };
    bench.udp(message);
    bench.udp(reversed(message));
}

/// The first fragment of a datagram whose others never come.
pub fn fragment(bench: &mut Bench, number: u32) {
    bench.fragment(message(number, (0, 0), &[0xf0; 1_400]), if number.is_multiple_of(2) { 0 } else { 176 }, true);
}

/// A datagram to port 26503 in two fragments, the second first.
pub fn whole_datagram(bench: &mut Bench) {
    let datagram = [&[0x4e, 0x20, 0x67, 0x87, 0, 40, 0, 0][..], &[7; 32]].concat();
    bench.fragment(message(1, (0, 0), &datagram[24..]), 3, false);
    bench.fragment(message(1, (0, 0), &datagram[..24]), 0, true);
}

/// On ten thousand connections, one after another: a segment a little further beyond a hole.
pub fn beyond_a_hole(bench: &mut Bench, number: u32) {
    let (connection, round) = (number % 10_000, number / 10_000);
    let message = |payload| Message { id: round as u16 + 1, ..message(connection, (10_000, 443), payload) };
    match round {
        0 => bench.tcp(message(&[]), 0, 0, flags::SYN),
        _ => bench.tcp(message(&[0xbb; 1_200]), 100_000 + 2_000 * round, 1, flags::ACK),
    }
}

/// An answer that gives another name to another address.
pub fn name(bench: &mut Bench, number: u32) {
    let label = format!("{number:0>60}");
    let mut payload = vec![number as u8, 7, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
    for _ in 0..4 {
        payload.push(60);
        payload.extend(label.as_bytes());
    }
    payload.extend(b"\0\0\x01\0\x01\xc0\x0c\0\x01\0\x01\0\0\x0e\x10\0\x04");
    payload.extend((0xc000_0000 + number).to_be_bytes());
    let message = Message { id: number as u16 | 1, ..message(0, (30_000, 53), &payload) };
    bench.udp(reversed(message));
}

/// An INVITE that announces sixteen media at other ports, each in as many formats as are kept.
pub fn announcement(bench: &mut Bench, number: u32) {
    let formats: String = (0..64).map(|format| format!(" {}", 64 + format)).collect();
    let media: String = (0..16)
        .map(|place| format!("m=audio {} RTP/AVP{formats}\r\n", 1_024 + (number * 32 + place * 2) % 60_000))
        .collect();
    let address = std::net::Ipv4Addr::from(VICTIM + number / 1_875);
    let sdp = format!("v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\n{media}");
    let invite = format!(
        "INVITE sip:a@b.example SIP/2.0\r\nCall-ID: {number}\r\nCSeq: 1 INVITE\r\nContent-Type: application/sdp\r\n\
        Content-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    );
    let message = Message { id: number as u16 | 1, ..message(0, (5_060, 5_060), invite.as_bytes()) };
    bench.udp(message);
}

/// What [`unfinished`] begins, in its order.
pub const UNFINISHED: [&str; 8] = [
    "a DNS query unanswered",
    "a STUN request unanswered",
    "a DHCP discovery",
    "an SSDP search",
    "QUIC that no key opens",
    "half a TLS hello",
    "half an HTTP head",
    "an HTTP request unanswered",
];

/// The beginning of a conversation that nobody answers, in turn of every protocol that waits for something.
pub fn unfinished(bench: &mut Bench, number: u32) {
    match number % 8 {
        0 => {
            bench.udp(message(number, (10_000, 53), b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x04name\x07example\0\0\x01\0\x01"))
        }
        1 => bench.udp(message(number, (10_000, 3_478), &stun())),
        2 => bench.udp(message(number, (68, 67), &dhcp())),
        3 => bench.udp(message(number, (10_000, 1_900), b"M-SEARCH * HTTP/1.1\r\nST: ssdp:all\r\n\r\n")),
        4 => bench.udp(message(number, (10_000, 443), &quic(number))),
        5 => {
            let hello = hello("unfinished.example");
            bench.tcp(message(number, (10_000, 443), &hello[..hello.len() - 1]), 1, 0, flags::ACK);
        }
        6 => bench.tcp(
            message(number, (10_000, 80), b"GET / HTTP/1.1\r\nHost: unfinished.example\r\n"),
            1,
            0,
            flags::ACK,
        ),
        _ => bench.tcp(message(number, (10_000, 80), b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"), 1, 0, flags::ACK),
    }
}

/// A DTLS fragment of one byte, the last of a message of 60,000.
pub fn claim(bench: &mut Bench, number: u32) {
    let fragment = [&[11, 0, 0xea, 0x60, 0, 0, 0, 0xea, 0x5f, 0, 0, 1][..], b"x"].concat();
    let record = [&[22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, fragment.len() as u8][..], &fragment].concat();
    bench.udp(message(number, (10_000, 4_433), &record));
}

fn stun() -> Vec<u8> {
    [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[5; 12]].concat()
}

fn dhcp() -> Vec<u8> {
    let mut discover = vec![1, 1, 6, 0, 1, 2, 3, 4];
    discover.resize(236, 0);
    discover.extend([0x63, 0x82, 0x53, 0x63, 53, 1, 1, 255]);
    discover
}

/// An Initial packet of QUIC that no key opens.
fn quic(number: u32) -> Vec<u8> {
    let mut packet = vec![0xc3, 0, 0, 0, 1, 8];
    packet.extend(u64::from(number).to_be_bytes());
    packet.extend([0, 0, 0x44, 0x90]);
    packet.resize(1_200, 0x55);
    packet
}
