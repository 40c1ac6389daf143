//! Whole captures through flows and announcements, for tests: those of others (PADTAP_PCAPS) and those made here.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;

use crate::dissect::app::{Conversation, Direction, Event, Protocol, Segment};
use crate::dissect::{Transport, dissect};
use crate::flow::{Application, Surroundings};
use crate::source::{Frame, LinkType};
use crate::time::Timestamp;

/// The events of a foreign capture as pairs of kind and fields; none (said aloud) where it is not there. With `protocol`
/// every datagram goes to a conversation of it, whatever probes say.
pub(crate) fn events_of(name: &str, protocol: Option<&'static Protocol>) -> Option<Vec<(String, Value)>> {
    let Some(folder) = std::env::var_os("PADTAP_PCAPS") else {
        eprintln!("skipped: PADTAP_PCAPS is not set");
        return None;
    };
    let bytes = std::fs::read(Path::new(&folder).join(name)).expect("a capture of PADTAP_PCAPS");
    Some(events(&frames(&bytes), protocol))
}

/// The events of frames, in order.
pub(crate) fn events(
    frames: &[(Timestamp, LinkType, Vec<u8>)],
    protocol: Option<&'static Protocol>,
) -> Vec<(String, Value)> {
    let mut flows: HashMap<(SocketAddr, SocketAddr, bool), One> = HashMap::new();
    let mut order = Vec::new();
    let mut around = Surroundings::default();
    let mut told = Vec::new();
    for (number, (time, link, data)) in frames.iter().enumerate() {
        let length = data.len() as u32;
        let frame = Frame { number: number as u64 + 1, time: *time, length, link: *link, interface: 0, data };
        let packet = dissect(&frame);
        let (Some((from, to)), Some((source, destination))) = (packet.addresses(), packet.ports()) else { continue };
        let stream = matches!(packet.transport, Transport::Tcp(_));
        let (source, destination) = (SocketAddr::new(from, source), SocketAddr::new(to, destination));
        let (key, direction) = if flows.contains_key(&(destination, source, stream)) {
            ((destination, source, stream), Direction::In)
        } else {
            ((source, destination, stream), Direction::Out)
        };
        let one = flows.entry(key).or_insert_with(|| {
            order.push(key);
            One { forced: protocol.map(|protocol| (protocol.open)()), ..One::default() }
        });
        one.last = *time;
        one.kept[direction.index()].extend_from_slice(packet.payload);
        let bytes = std::mem::take(&mut one.kept[direction.index()]);
        let segment = Segment {
            time: *time,
            direction,
            source,
            destination,
            stream,
            bytes: &bytes,
            length: if stream { bytes.len() as u32 } else { packet.payload_length },
        };
        if bytes.is_empty() {
            continue;
        }
        let read = match &mut one.forced {
            Some(conversation) => {
                conversation.read(&segment, &mut around.output);
                bytes.len()
            }
            None => one.application.read(&segment, &mut around),
        };
        if stream {
            one.kept[direction.index()] = bytes[read..].to_vec();
        }
        collect(&mut around, &mut told);
    }
    for key in order {
        let one = flows.get_mut(&key).expect("listed flows are kept");
        one.application.end(one.last, &mut around);
        if let Some(conversation) = &mut one.forced {
            conversation.end(one.last, &mut around.output);
        }
        collect(&mut around, &mut told);
    }
    told
}

#[derive(Default)]
struct One {
    application: Application,
    forced: Option<Box<dyn Conversation>>,
    kept: [Vec<u8>; 2],
    last: Timestamp,
}

fn collect(around: &mut Surroundings, told: &mut Vec<(String, Value)>) {
    around.settle();
    let json = |event: &Event| serde_json::to_value(&*event.facts).expect("facts serialise");
    told.extend(around.output.events.drain(..).map(|event| (event.kind.to_owned(), json(&event))));
}

/// The frames of a little-endian pcap or pcapng file.
fn frames(bytes: &[u8]) -> Vec<(Timestamp, LinkType, Vec<u8>)> {
    match word(bytes, 0) {
        0x0a0d_0d0a => pcapng(bytes),
        0xa1b2_c3d4 => pcap(bytes),
        magic => panic!("magic {magic:x}"),
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn link(number: u32) -> LinkType {
    match number {
        1 => LinkType::Ethernet,
        101 => LinkType::RawIp,
        other => panic!("link type {other}"),
    }
}

fn pcap(bytes: &[u8]) -> Vec<(Timestamp, LinkType, Vec<u8>)> {
    let link = link(word(bytes, 20));
    let (mut at, mut frames) = (24, Vec::new());
    while at < bytes.len() {
        let length = word(bytes, at + 8) as usize;
        let time = Timestamp::new(i64::from(word(bytes, at)), word(bytes, at + 4) * 1_000);
        frames.push((time, link, bytes[at + 16..at + 16 + length].to_vec()));
        at += 16 + length;
    }
    frames
}

fn pcapng(bytes: &[u8]) -> Vec<(Timestamp, LinkType, Vec<u8>)> {
    let (mut at, mut frames, mut interface) = (0, Vec::new(), (LinkType::Ethernet, 1_000));
    while at < bytes.len() {
        let block = &bytes[at..at + word(bytes, at + 4) as usize];
        match word(block, 0) {
            1 => interface = (link(word(block, 8) & 0xffff), unit(&block[16..block.len() - 4])),
            6 => {
                let ticks = i64::from(word(block, 12)) << 32 | i64::from(word(block, 16));
                let data = block[28..28 + word(block, 20) as usize].to_vec();
                frames.push((Timestamp::from_nanos(ticks * interface.1), interface.0, data));
            }
            _ => {}
        }
        at += block.len();
    }
    frames
}

/// Nanoseconds per tick, by the option if_tsresol.
fn unit(mut options: &[u8]) -> i64 {
    while let [code, _, length, _, rest @ ..] = options {
        match (code, rest.first()) {
            (9, Some(exponent)) => return 10_i64.pow(9 - u32::from(*exponent)),
            (0, _) => break,
            _ => options = rest.get(usize::from(*length).next_multiple_of(4)..).unwrap_or_default(),
        }
    }
    1_000
}
