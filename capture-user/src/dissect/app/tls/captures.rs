//! Real handshakes, from the captures that `PADTAP_PCAPS` names a directory of, against what other tools say of them.
//! Without that variable these tests skip. The reading of files and streams here is as simple as those captures allow.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde_json::Value;

use super::super::{Conversation, Direction, Output, Probe, Protocol, Segment, Step};
use super::super::{dtls, quic, testing, tls};
use crate::dissect::{Transport, dissect};
use crate::source::{Frame, LinkType};
use crate::time::Timestamp;

/// Frames of a file: pcap or pcapng, little-endian, Ethernet.
fn frames(bytes: &[u8]) -> Vec<&[u8]> {
    let word = |at: usize| -> Option<usize> {
        Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?) as usize)
    };
    let mut frames = Vec::new();
    if word(0) != Some(0x0a0d_0d0a) {
        let mut at = 24;
        while let Some(captured) = word(at + 8) {
            frames.push(&bytes[at + 16..at + 16 + captured]);
            at += 16 + captured;
        }
        return frames;
    }
    let mut at = 0;
    while let (Some(kind), Some(length)) = (word(at), word(at + 4)) {
        if kind == 6 {
            let captured = word(at + 20).expect("a whole block");
            frames.push(&bytes[at + 28..at + 28 + captured]);
        }
        at += length;
    }
    frames
}

/// One flow: a conversation from the first payload that looks like it on, and the bytes of a stream in their order.
#[derive(Default)]
struct Flow {
    client: Option<SocketAddr>,
    conversation: Option<Box<dyn Conversation>>,
    finished: bool,
    next: [Option<u32>; 2],
    waiting: [Vec<u8>; 2],
    early: Vec<(Direction, u32, Vec<u8>)>,
    out: Output,
}

impl Flow {
    fn stream(&mut self, protocol: &Protocol, segment: Segment<'_>, sequence: u32) {
        if segment.bytes.is_empty() {
            return;
        }
        self.early.push((segment.direction, sequence, segment.bytes.to_vec()));
        while let Some(at) = self.early.iter().position(|(way, sequence, _)| {
            self.next[way.index()].is_none_or(|next| sequence.wrapping_sub(next) as i32 <= 0)
        }) {
            let (direction, sequence, bytes) = self.early.remove(at);
            let next = self.next[direction.index()].unwrap_or(sequence);
            let Some(new) = bytes.get(next.wrapping_sub(sequence) as usize..) else { continue };
            self.next[direction.index()] = Some(next.wrapping_add(new.len() as u32));
            self.waiting[direction.index()].extend_from_slice(new);
            let waiting = std::mem::take(&mut self.waiting[direction.index()]);
            let consumed = self.datagram(protocol, Segment { direction, bytes: &waiting, ..segment });
            self.waiting[direction.index()] = waiting[consumed..].to_vec();
        }
    }

    fn datagram(&mut self, protocol: &Protocol, segment: Segment<'_>) -> usize {
        if self.finished || segment.bytes.is_empty() {
            return 0;
        }
        if self.conversation.is_none() && (protocol.probe)(&segment) == Probe::Yes {
            self.conversation = Some((protocol.open)());
        }
        let Some(conversation) = &mut self.conversation else { return 0 };
        match conversation.read(&segment, &mut self.out) {
            Step::Consumed(count) => count,
            Step::Done | Step::Reject => {
                self.finished = true;
                0
            }
        }
    }
}

/// Every record of `protocol` in a capture, with the client's port and the flow's label.
fn records(name: &str, protocol: &Protocol) -> Option<Vec<(u16, Value, Output)>> {
    let Some(directory) = std::env::var_os("PADTAP_PCAPS") else {
        eprintln!("skipped: PADTAP_PCAPS does not say where {name} is");
        return None;
    };
    let bytes = std::fs::read(PathBuf::from(directory).join(name)).expect("the capture is there");
    let mut flows: HashMap<(SocketAddr, SocketAddr), Flow> = HashMap::new();
    for (index, data) in frames(&bytes).into_iter().enumerate() {
        read_frame(index, data, protocol, &mut flows);
    }
    let mut found = Vec::new();
    for (_, mut flow) in flows {
        if let Some(mut conversation) = flow.conversation.take() {
            conversation.end(Timestamp::from_nanos(0), &mut flow.out);
        }
        let port = flow.client.map_or(0, |client| client.port());
        for event in std::mem::take(&mut flow.out.events) {
            let label = Output { label: flow.out.label.clone(), ..Output::default() };
            found.push((port, testing::json(&event), label));
        }
    }
    found.sort_by_key(|(port, ..)| *port);
    Some(found)
}

fn read_frame(index: usize, data: &[u8], protocol: &Protocol, flows: &mut HashMap<(SocketAddr, SocketAddr), Flow>) {
    let time = Timestamp::from_nanos(index as i64);
    let length = u32::try_from(data.len()).expect("a frame");
    let frame = Frame { number: index as u64 + 1, time, length, link: LinkType::Ethernet, interface: 0, data };
    let packet = dissect(&frame);
    let (Some((from, to)), Some((from_port, to_port))) = (packet.addresses(), packet.ports()) else { return };
    let (source, destination) = (SocketAddr::new(from, from_port), SocketAddr::new(to, to_port));
    let flow = flows.entry((source.min(destination), source.max(destination))).or_default();
    let direction = if *flow.client.get_or_insert(source) == source { Direction::Out } else { Direction::In };
    let stream = matches!(packet.transport, Transport::Tcp(_));
    let (bytes, length) = (packet.payload, packet.payload_length);
    let segment = Segment { time, direction, source, destination, stream, bytes, length };
    match (packet.transport, protocol.over) {
        (Transport::Tcp(tcp), super::super::Over::Tcp) => flow.stream(protocol, segment, tcp.sequence),
        (Transport::Udp(_), super::super::Over::Udp) => {
            flow.datagram(protocol, segment);
        }
        _ => {}
    }
}

/// The records must be these: of each the client's port, and fields with their values.
fn check(name: &str, protocol: &Protocol, expected: &[(u16, &[(&str, &str)])]) {
    let Some(found) = records(name, protocol) else { return };
    let ports: Vec<u16> = found.iter().map(|(port, ..)| *port).collect();
    assert_eq!(ports, expected.iter().map(|(port, _)| *port).collect::<Vec<_>>(), "{name}: {found:#?}");
    for ((port, facts, _), (_, fields)) in found.iter().zip(expected) {
        for (pointer, value) in *fields {
            let actual = facts.pointer(pointer).unwrap_or(&Value::Null);
            let shown = actual.as_str().map_or_else(|| actual.to_string(), str::to_owned);
            assert_eq!(shown, *value, "{name}, port {port}, {pointer}");
        }
    }
}

#[test]
fn desktop_traffic() {
    check("ja4-latest.pcapng", &tls::PROTOCOL, &[]);
}
