//! Whole captures through flows and announcements, for tests: those of others (PADTAP_PCAPS) and those made here.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::dissect::app::{Conversation, Direction, Event, Protocol, Segment};
use crate::dissect::{Transport, dissect};
use crate::flow::{Application, Surroundings};
use crate::source::{Frame, LinkType, Received, Source, View, pcap};
use crate::time::Timestamp;

/// The events of a foreign capture as pairs of kind and fields; none (said aloud) where it is not there. With `protocol`
/// every datagram goes to a conversation of it, whatever probes say.
pub(crate) fn events_of(name: &str, protocol: Option<&'static Protocol>) -> Option<Vec<(String, Value)>> {
    let Some(folder) = std::env::var_os("PADTAP_PCAPS") else {
        eprintln!("skipped: PADTAP_PCAPS is not set");
        return None;
    };
    Some(events(&frames(&Path::new(&folder).join(name)), protocol))
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
    around.settle(Timestamp::default());
    let json = |event: &Event| serde_json::to_value(&*event.facts).expect("facts serialise");
    told.extend(around.output.events.drain(..).map(|event| (event.kind.to_owned(), json(&event))));
}

/// The frames of a capture file.
fn frames(path: &Path) -> Vec<(Timestamp, LinkType, Vec<u8>)> {
    let mut source = pcap::open([path], |_| Some(0)).expect("a capture file");
    let (view, mut tokens, mut scratch) = (source.view(), Vec::new(), Vec::new());
    while source.receive(1_024, Duration::ZERO, &mut tokens).expect("frames") != Received::End {}
    let read = |token| {
        let frame = view.frame(token, &mut scratch);
        (frame.time, frame.link, frame.data.to_vec())
    };
    tokens.iter().map(read).collect()
}
