//! The innermost flows, with packets and bytes each way.
//!
//! tshark counts the bytes of whole frames and padtap's flows those of IP, so the frames' bytes are taken from the
//! `packet` records; the packets must be right in both.

use std::collections::BTreeMap;

use serde_json::Value;

use super::capture::Capture;
use tests::facts::{Facts, items, text};

/// Packets and bytes of one direction.
type Way = (u64, u64);

/// Both directions by protocol and endpoints, the lesser endpoint first.
#[derive(Default)]
struct Flows(BTreeMap<(String, String, String), [Way; 2]>);

impl Flows {
    fn add(&mut self, protocol: &str, from: String, to: String, way: Way) {
        let swapped = from > to;
        let (one, other) = if swapped { (to, from) } else { (from, to) };
        let ways = self.0.entry((protocol.to_owned(), one, other)).or_default();
        let sum = &mut ways[usize::from(swapped)];
        *sum = (sum.0 + way.0, sum.1 + way.1);
    }

    fn tell(&self, of: Of, facts: &mut Facts) {
        for ((protocol, one, other), [out, back]) in &self.0 {
            let mut tell = |what: &str, pair: String| {
                facts.insert(format!("{what} of {protocol} {one} {other}"), pair);
            };
            match of {
                Of::Frames => {
                    tell("frames", format!("{} and {}", out.0, back.0));
                    tell("frame bytes", format!("{} and {}", out.1, back.1));
                }
                Of::Flows => tell("packets in flow records", format!("{} and {}", out.0, back.0)),
            }
        }
    }
}

/// Which records tell.
#[derive(Clone, Copy)]
enum Of {
    Frames,
    Flows,
}

fn endpoint(record: &Value, side: &str) -> Option<String> {
    let port = record[format!("{side}_port")].as_u64()?;
    Some(format!("{} {port}", text(record, &format!("{side}_ip"))))
}

fn count(record: &Value, name: &str) -> u64 {
    record[name].as_u64().unwrap_or(0)
}

pub fn ours(capture: &Capture, _: &Value) -> Facts {
    let (mut by_packet, mut by_flow) = (Flows::default(), Flows::default());
    for record in &capture.run.records {
        let (Some(from), Some(to)) = (endpoint(record, "src"), endpoint(record, "dst")) else { continue };
        let protocol = text(record, "proto");
        match text(record, "kind") {
            "packet" => by_packet.add(protocol, from, to, (1, count(record, "length"))),
            // Silence may have cut one conversation into several flows.
            "flow" => {
                by_flow.add(protocol, from.clone(), to.clone(), (count(record, "packets_out"), 0));
                by_flow.add(protocol, to, from, (count(record, "packets_in"), 0));
            }
            _ => {}
        }
    }
    let mut facts = Facts::new();
    by_packet.tell(Of::Frames, &mut facts);
    by_flow.tell(Of::Flows, &mut facts);
    facts
}

pub fn theirs(expected: &Value) -> Facts {
    let mut flows = Flows::default();
    for flow in items(&expected["tshark"], "flows_innermost") {
        let end = |name: &str| {
            let port = flow[format!("{name}port")].to_string();
            format!("{} {}", text(flow, name), port.trim_matches('"'))
        };
        let way = |name: &str| (count(flow, &format!("packets_{name}")), count(flow, &format!("bytes_{name}")));
        flows.add(text(flow, "proto"), end("a"), end("b"), way("ab"));
        flows.add(text(flow, "proto"), end("b"), end("a"), way("ba"));
    }
    let mut facts = Facts::new();
    flows.tell(Of::Frames, &mut facts);
    flows.tell(Of::Flows, &mut facts);
    facts
}
