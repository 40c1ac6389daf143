//! Packets of established flows allocate nothing, from the frame to the flow's counters.

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use capture_user::output::{Handover, Writers};
use capture_user::pipeline::{self, Control};
use capture_user::shard::Config;
use capture_user::source::{Frame, pcap};
use tests::allocator::{Counting, heap};
use tests::bench::Bench;
use tests::talk::{Message, end, flags};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CONSOLE: u32 = 0xc0a8_0128;
const SERVER: u32 = 0xcb00_7107;
/// Packets until a flow is established: its protocol is settled, its distributions are there, and it is known whether it
/// carries a match.
const WARM: u32 = 1_500;
/// Packets that may allocate nothing.
const MEASURED: u32 = 5_000;
/// Time between packets, in nanoseconds.
const GAP: i64 = 4_000_000;

/// Sends what `next` sends for each number; the allocations after the first [`WARM`].
#[track_caller]
fn check(bench: &mut Bench, mut next: impl FnMut(&mut Bench, u32)) {
    for number in 0..WARM {
        next(bench, number);
        bench.wait(GAP);
    }
    let records = bench.records().len();
    let before = heap().allocations;
    for number in WARM..WARM + MEASURED {
        next(bench, number);
        bench.wait(GAP);
    }
    assert_eq!(heap().allocations - before, 0, "allocations");
    assert_eq!(bench.records().len(), records, "nothing new to tell");
}

fn bench() -> Bench {
    Bench::new(&Config::default())
}

/// The console's end and the server's.
fn ends(here: u16, there: u16) -> [SocketAddrV4; 2] {
    [end(CONSOLE, here), end(SERVER, there)]
}

/// Every other payload goes the other way.
fn turn([here, there]: [SocketAddrV4; 2], number: u32, payload: &[u8]) -> Message<'_> {
    let (from, to) = if number.is_multiple_of(2) { (here, there) } else { (there, here) };
    Message { from, to, id: number as u16, payload }
}

/// A connection on which both sides have said `hello`, and then send `payload` in turn.
fn connection(port: u16, hello: &[u8], payload: &[u8]) {
    let [here, there] = ends(50_000, port);
    let mut bench = bench();
    let from_here = |payload| Message { from: here, to: there, id: 1, payload };
    let from_there = |payload| Message { from: there, to: here, id: 1, payload };
    bench.tcp(from_here(&[]), 0, 0, flags::SYN);
    bench.tcp(from_there(&[]), 0, 1, flags::SYN | flags::ACK);
    bench.tcp(from_here(hello), 1, 1, flags::ACK);
    let hello = hello.len() as u32;
    check(&mut bench, |bench, number| {
        let sent = |packets: u32| 1 + packets * payload.len() as u32;
        let [out, inward] = [hello + sent(number.div_ceil(2)), sent(number / 2)];
        let [sequence, acknowledgement] = if number.is_multiple_of(2) { [out, inward] } else { [inward, out] };
        bench.tcp(turn([here, there], number, payload), sequence, acknowledgement, flags::ACK);
    });
}

#[test]
fn ticks_of_an_unknown_game() {
    check(&mut bench(), |bench, number| bench.udp(turn(ends(50_000, 3_724), number, &[0x3a; 90])));
}

#[test]
fn ticks_of_a_game_whose_server_has_a_name() {
    let mut bench = bench();
    let resolver = SocketAddrV4::new([192, 168, 1, 1].into(), 53);
    let answer = [
        &b"\0\x09\x81\x80\0\x01\0\x01\0\0\0\0\x04game\x07example\0\0\x01\0\x01"[..],
        &[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4],
        &SERVER.to_be_bytes(),
    ]
    .concat();
    bench.udp(Message { from: resolver, to: end(CONSOLE, 40_053), id: 1, payload: &answer });
    check(&mut bench, |bench, number| bench.udp(turn(ends(50_000, 3_724), number, &[0x3a; 90])));
    bench.finish();
    let flows: Vec<_> = bench.records().iter().filter(|record| record.kind == "flow").collect();
    let hosts: Vec<_> = flows.iter().map(|flow| serde_json::to_value(&flow.facts).expect("it serialises")).collect();
    assert!(hosts.iter().any(|flow| flow["host"] == "game.example"), "{hosts:?}");
}

/// Voice on a flow that an INVITE announced.
#[test]
fn voice_of_a_call() {
    let mut bench = bench();
    let sdp =
        "v=0\r\no=- 1 1 IN IP4 192.168.1.40\r\ns=-\r\nc=IN IP4 192.168.1.40\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n";
    let invite = format!(
        "INVITE sip:a@b.example SIP/2.0\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nContent-Type: application/sdp\r\n\
        Content-Length: {}\r\n\r\n{sdp}",
        sdp.len()
    );
    let [here, there] = ends(5_060, 5_060);
    bench.udp(Message { from: here, to: there, id: 1, payload: invite.as_bytes() });
    check(&mut bench, |bench, number| bench.udp(turn(ends(40_000, 30_000), number, &rtp(number))));
    bench.finish();
    assert_eq!(bench.records().iter().filter(|record| record.kind == "rtp").count(), 2);
}

/// The packet of either side's stream.
fn rtp(number: u32) -> [u8; 172] {
    let (sequence, ssrc) = ((number / 2) as u16, number % 2);
    let mut packet = [0x55; 172];
    packet[..2].copy_from_slice(&[0x80, 0]);
    packet[2..4].copy_from_slice(&sequence.to_be_bytes());
    packet[4..8].copy_from_slice(&(number / 2 * 160).to_be_bytes());
    packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
    packet
}

/// Keep-alives of a voice client.
#[test]
fn keep_alives_of_sip() {
    check(&mut bench(), |bench, number| {
        let [here, there] = ends(5_060, 5_060);
        bench.udp(Message { from: here, to: there, id: number as u16, payload: b"jaK\0" });
    });
}

#[test]
fn application_data_of_tls() {
    let data = [&[23, 3, 3, 4, 0][..], &[9; 1_024]].concat();
    connection(443, &data, &data);
}

#[test]
fn a_download_over_http() {
    let request = b"GET /game.pkg HTTP/1.1\r\nHost: cdn.example\r\n\r\n";
    let [here, there] = ends(50_000, 80);
    let mut bench = bench();
    let response = b"HTTP/1.1 200 OK\r\nContent-Length: 4000000000\r\n\r\n";
    bench.tcp(Message { from: here, to: there, id: 1, payload: request }, 1, 1, flags::ACK);
    bench.tcp(Message { from: there, to: here, id: 1, payload: response }, 1, 1 + request.len() as u32, flags::ACK);
    let begin = 1 + response.len() as u32;
    let body = [0x42; 1_400];
    check(&mut bench, |bench, number| {
        let message = Message { from: there, to: here, id: number as u16, payload: &body };
        bench.tcp(message, begin + number * 1_400, 1, flags::ACK);
    });
}

#[test]
fn bulk_of_an_unknown_protocol_over_tcp() {
    connection(6_112, b"\xee\xeehello", &[0xee; 1_200]);
}

#[test]
fn datagrams_in_many_flows_by_turns() {
    let mut bench = bench();
    let flows = |number: u32| ends(10_000 + (number % 16) as u16, 3_074);
    for warm in 0..40 * 16 {
        bench.udp(turn(flows(warm), warm / 16, &[0x3a; 60]));
    }
    check(&mut bench, |bench, number| bench.udp(turn(flows(number), number / 16, &[0x3a; 60])));
}

/// Voice that nothing announced.
#[test]
fn voice_of_nobodys_call() {
    check(&mut bench(), |bench, number| bench.udp(turn(ends(40_000, 30_000), number, &rtp(number))));
}

/// The counter counts: a packet of a new flow allocates.
#[test]
fn a_new_flow_is_not_for_nothing() {
    let mut bench = bench();
    let before = heap().allocations;
    bench.udp(turn(ends(50_000, 3_724), 0, &[0x3a; 90]));
    assert!(heap().allocations > before);
}

/// From a capture file through the pipeline to the outlet, on one thread. The filter is asked of every frame before
/// its burst is dissected, and in the same thread: it looks at the counter.
#[test]
fn from_a_file_through_the_pipeline() {
    const FRAMES: u64 = 40_000;
    // By the 4,000th it is known which flow carries a match.
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), capture(FRAMES as u32)).expect("room for it");
    let seen: Arc<[AtomicU64; 2]> = Arc::default();
    let looks = Arc::clone(&seen);
    let look = move |frame: &Frame<'_>| {
        match frame.number {
            4_000 => looks[0].store(heap().allocations, Ordering::Relaxed),
            FRAMES => looks[1].store(heap().allocations, Ordering::Relaxed),
            _ => {}
        }
        true
    };
    let source = pcap::open([file.path()], |_| Some(0)).expect("the capture opens");
    let config = pipeline::Config { wanted: Some(Arc::new(look)), ..pipeline::Config::default() };
    let outlet = Writers::start(Vec::new()).expect("no threads").outlet(Handover::Dropping);
    let control = Control::default();
    pipeline::run(vec![source], &config, &outlet, &control).expect("the capture is sound");
    assert_eq!(control.ledger().dissected, FRAMES);
    let [before, after] = [&seen[0], &seen[1]].map(|look| look.load(Ordering::Relaxed));
    assert!(before > 0);
    assert_eq!(after - before, 0, "allocations");
}

/// A capture file: ticks of a game and voice, by turns.
fn capture(frames: u32) -> Vec<u8> {
    let mut file = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0, 0];
    let mut frame = Vec::new();
    for number in 0..frames {
        let turns = number / 2;
        match number % 2 {
            0 => turn(ends(50_000, 3_724), turns, &[0x3a; 90]).udp(&mut frame),
            _ => turn(ends(40_000, 30_000), turns, &rtp(turns)).udp(&mut frame),
        }
        let length = (frame.len() as u32).to_le_bytes();
        let (seconds, micros) = (1_700_000_000 + number / 250, number % 250 * 4_000);
        for field in [seconds.to_le_bytes(), micros.to_le_bytes(), length, length] {
            file.extend(field);
        }
        file.extend(&frame);
    }
    file
}
