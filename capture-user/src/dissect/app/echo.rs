//! Latency probes: short datagrams that a server gives back, by which a game chooses its server before a match.
//!
//! Their bytes prove little, so a flow is one of probes once a reply has answered a request as its game does; then the
//! first round trip is told. Battle.net's are of 2015; Demonware's are those of Call of Duty.

use schemars::JsonSchema;
use serde::Serialize;

use super::bytes::milliseconds;
use super::{Conversation, Direction, Output, Over, Probe, Protocol, RecordKind, Segment, Step};
use crate::time::Timestamp;

/// Battle.net's probes of its regions, on UDP 1119.
pub static BATTLENET: Protocol = Protocol {
    name: "battlenet_probe",
    over: Over::Udp,
    ports: &[1119],
    probe: |segment| probe(&Rules::BATTLENET, segment),
    open: || Box::new(Echo::new(&Rules::BATTLENET)),
    kinds: &[RecordKind::of::<Facts>("battlenet_probe")],
    summary: |bytes, line| summary(&Rules::BATTLENET, bytes, line),
};

/// Demonware's probes, on UDP 3074.
pub static DEMONWARE: Protocol = Protocol {
    name: "demonware",
    over: Over::Udp,
    ports: &[3074],
    probe: |segment| probe(&Rules::DEMONWARE, segment),
    open: || Box::new(Echo::new(&Rules::DEMONWARE)),
    kinds: &[RecordKind::of::<Facts>("demonware")],
    summary: |bytes, line| summary(&Rules::DEMONWARE, bytes, line),
};

/// Bytes of a request that are kept for comparison: more than any probe has.
const KEPT: usize = 64;
/// Requests without a reply before the flow is taken for something else.
const PATIENCE: u8 = 16;

/// One game's probes.
struct Rules {
    protocol: &'static Protocol,
    is_request: fn(&[u8]) -> bool,
    /// Whether the second answers the first.
    answers: fn(&[u8], &[u8]) -> bool,
}

impl Rules {
    const BATTLENET: Self = Self {
        protocol: &BATTLENET,
        is_request: |bytes| matches!(bytes, [9, _] | [1 | 3]),
        // The opcode plus one; the two-byte form echoes its second byte, the other carries six bytes of the server's.
        answers: |request, reply| match (request, reply) {
            ([9, asked], [10, echoed]) => asked == echoed,
            ([opcode @ (1 | 3)], [answer, ..]) => reply.len() == 7 && *answer == opcode + 1,
            _ => false,
        },
    };

    const DEMONWARE: Self = Self {
        protocol: &DEMONWARE,
        is_request: |bytes| match bytes {
            [0x0d, 2, ..] => bytes.len() >= 29,
            [0x28, ..] => bytes.len() == 18,
            _ => false,
        },
        // The longer form comes back from byte 2 on; of the shorter, bytes 1 to 4 come back as 5 to 8.
        answers: |request, reply| match (request, reply) {
            ([0x0d, 2, asked @ ..], [0x0c, 2, echoed @ ..]) => reply.len() >= 29 && begin_alike(asked, echoed),
            ([0x28, asked @ ..], [0x29, _, _, _, _, echoed @ ..]) => {
                reply.len() == 27 && asked.first_chunk::<4>() == echoed.first_chunk::<4>()
            }
            _ => false,
        },
    };
}

/// Whether the shorter is the start of the longer.
fn begin_alike(one: &[u8], other: &[u8]) -> bool {
    one.iter().zip(other).all(|(one, other)| one == other)
}

fn probe(rules: &Rules, segment: &Segment<'_>) -> Probe {
    if segment.on_port(rules.protocol.ports) && (rules.is_request)(segment.bytes) { Probe::Maybe } else { Probe::No }
}

/// The first probe of a flow that was answered.
#[derive(Debug, Serialize, JsonSchema)]
struct Facts {
    /// From the first request that was answered to its reply, where this sensor stands.
    rtt_ms: f64,
}

/// The last request, which a reply has to fit.
struct Echo {
    rules: &'static Rules,
    /// When it was sent, which way, how long it was, and its first bytes.
    request: Option<(Timestamp, Direction, usize)>,
    bytes: [u8; KEPT],
    asked: u8,
}

impl Echo {
    const fn new(rules: &'static Rules) -> Self {
        Self { rules, request: None, bytes: [0; KEPT], asked: 0 }
    }

    fn keep(&mut self, segment: &Segment<'_>) {
        let length = segment.bytes.len().min(KEPT);
        if let (Some(kept), Some(bytes)) = (self.bytes.get_mut(..length), segment.bytes.get(..length)) {
            kept.copy_from_slice(bytes);
        }
        self.request = Some((segment.time, segment.direction, length));
        self.asked += 1;
    }
}

impl Conversation for Echo {
    fn read(&mut self, segment: &Segment<'_>, out: &mut Output) -> Step {
        if let Some((sent, direction, length)) = self.request
            && direction != segment.direction
            && (self.rules.answers)(self.bytes.get(..length).unwrap_or_default(), segment.bytes)
        {
            out.identify(self.rules.protocol.name);
            out.emit(segment.time, self.rules.protocol.name, Facts { rtt_ms: milliseconds(sent, segment.time) });
            return Step::Done;
        }
        if !(self.rules.is_request)(segment.bytes) || self.asked >= PATIENCE {
            return Step::Reject;
        }
        self.keep(segment);
        Step::Consumed(segment.bytes.len())
    }
}

fn summary(rules: &Rules, bytes: &[u8], line: &mut String) {
    if (rules.is_request)(bytes) {
        line.push_str("Latency probe");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dissect::app::Direction::{In, Out};
    use crate::dissect::app::testing::{self, converse, mistreat};

    fn long(opcode: u8) -> Vec<u8> {
        [&[opcode, 2][..], &(0..30).collect::<Vec<u8>>()].concat()
    }

    fn short_pair() -> (Vec<u8>, Vec<u8>) {
        let request = [&[0x28, 1, 2, 3, 4][..], &[0; 13]].concat();
        let reply = [&[0x29, 9, 9, 9, 9, 1, 2, 3, 4][..], &[0; 18]].concat();
        (request, reply)
    }

    #[test]
    fn an_answered_probe_tells_its_round_trip() {
        let (short, short_reply) = short_pair();
        for (protocol, request, reply) in [
            (&BATTLENET, &[9, 0x42][..], &[10, 0x42][..]),
            (&BATTLENET, &[1], &[2, 198, 51, 100, 7, 0xc3, 0x50]),
            (&BATTLENET, &[3], &[4, 198, 51, 100, 7, 0xc3, 0x50]),
            (&DEMONWARE, &long(0x0d), &long(0x0c)),
            (&DEMONWARE, &short, &short_reply),
        ] {
            assert_eq!(testing::probe(protocol, request), Probe::Maybe);
            let out = converse(protocol, &[(Out, request), (Out, request), (In, reply), (In, reply)]);
            let [event] = &out.events[..] else { panic!("{out:?}") };
            assert_eq!((event.kind, testing::json(event)), (protocol.name, json!({"rtt_ms": 20.0})));
            assert_eq!(out.label.app, Some(protocol.name));
        }
    }

    #[test]
    fn what_does_not_answer_is_something_else() {
        let mut wrong = long(0x0c);
        wrong[20] ^= 1;
        for (protocol, request, reply) in [
            (&BATTLENET, &[9, 0x42][..], &[10, 0x43][..]),
            (&BATTLENET, &[1], &[4, 198, 51, 100, 7, 0xc3, 0x50]),
            (&DEMONWARE, &long(0x0d), &wrong[..]),
        ] {
            let out = converse(protocol, &[(Out, request), (In, reply)]);
            assert!(out.label.app.is_none() && out.events.is_empty(), "{out:?}");
            let out = converse(protocol, &[(Out, request); 40]);
            assert!(out.label.app.is_none(), "{out:?}");
        }
    }

    #[test]
    fn the_port_is_needed() {
        for (protocol, request) in [(&BATTLENET, &[9, 1][..]), (&DEMONWARE, &long(0x0d))] {
            let mut elsewhere = testing::segment(protocol, 0, Out, request);
            elsewhere.destination.set_port(4000);
            assert_eq!((protocol.probe)(&elsewhere), Probe::No);
        }
    }

    #[test]
    fn survives_damage() {
        let (short, short_reply) = short_pair();
        mistreat(&BATTLENET, &[(Out, &[9, 0x42]), (In, &[10, 0x42])]);
        mistreat(&DEMONWARE, &[(Out, &long(0x0d)), (Out, &short), (In, &short_reply), (In, &long(0x0c))]);
    }
}
