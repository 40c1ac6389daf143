//! Certificates of any bytes in a TLS 1.2 handshake: what they say is kept short, whatever they are.

#![no_main]

use capture_user::dissect::app::{Direction, Output, Segment};
use capture_user::time::Timestamp;
use libfuzzer_sys::fuzz_target;
use padtap_fuzz::check;
use padtap_fuzz::script::{named, only};

fuzz_target!(|certificate: &[u8]| {
    if certificate.len() > 8_000 {
        return;
    }
    let hello = [&[3, 3][..], &[0x55; 32], &[0, 0, 2, 0xc0, 0x2f, 1, 0]].concat();
    let answer = [&[3, 3][..], &[0x66; 32], &[0, 0xc0, 0x2f, 0]].concat();
    let list = vector(&vector(certificate));
    let flight = [message(2, &answer), message(11, &list), message(14, &[])].concat();
    let (tls, mut out) = (named("tls"), Output::default());
    let mut conversation = (tls.open)();
    conversation.read(&only(tls, true, &record(&message(1, &hello))), &mut out);
    let flight = record(&flight);
    let segment = only(tls, true, &flight);
    let (source, destination) = (segment.destination, segment.source);
    conversation.read(&Segment { direction: Direction::In, source, destination, ..segment }, &mut out);
    conversation.end(Timestamp::default(), &mut out);
    assert_eq!(out.events.len(), 1);
    let said = check::events(out.events.drain(..));
    assert!(said <= 128 * 1024, "a record of {said} bytes");
});

/// Bytes behind their length in three.
fn vector(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).expect("short").to_be_bytes();
    [&length[1..], bytes].concat()
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &vector(body)].concat()
}

fn record(messages: &[u8]) -> Vec<u8> {
    let length = u16::try_from(messages.len()).expect("short").to_be_bytes();
    [&[22, 3, 3], &length[..], messages].concat()
}
