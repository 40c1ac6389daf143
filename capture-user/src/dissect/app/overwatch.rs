//! Overwatch's request to join a match: a client sends it, counting, until the match server answers. As build 1.74 of the
//! PC does; the match itself is enciphered.

use schemars::JsonSchema;
use serde::Serialize;

use super::bytes::{at, has, milliseconds};
use super::{Conversation, Direction, Output, Over, Probe, Protocol, RecordKind, Segment, Step};
use crate::time::Timestamp;

/// The protocol.
pub static PROTOCOL: Protocol = Protocol {
    name: "overwatch",
    over: Over::Udp,
    ports: &[],
    probe,
    open: || Box::new(Overwatch::default()),
    kinds: &[RecordKind::of::<Facts>("overwatch")],
    summary,
};

/// One of them proves little, so the conversation waits for the next.
fn probe(segment: &Segment<'_>) -> Probe {
    if Request::of(segment.bytes).is_some() { Probe::Maybe } else { Probe::No }
}

/// A request to join.
#[derive(Clone, Copy)]
struct Request {
    /// A truncated authentication tag: another one in every packet.
    tag: [u8; 12],
    count: u32,
}

impl Request {
    fn of(bytes: &[u8]) -> Option<Self> {
        // The word's byte order is not settled between the sources.
        let marked = has(bytes, 12, &[0x10, 0, 0, 0xf0]) || has(bytes, 12, &[0xf0, 0, 0, 0x10]);
        let shaped = bytes.len() == 34 && marked && has(bytes, 20, &[0; 12]) && has(bytes, 32, &[0x01, 0xad]);
        shaped.then_some(Self { tag: at(bytes, 0)?, count: u32::from_le_bytes(at(bytes, 16)?) })
    }

    fn follows(&self, earlier: &Self) -> bool {
        self.tag != earlier.tag && self.count == earlier.count.wrapping_add(1)
    }
}

/// A client's requests to join a game server, and the server's answer.
#[derive(Debug, Serialize, JsonSchema)]
struct Facts {
    /// Requests sent until the answer, or until the client gave up.
    requests: u32,
    /// From the first request to the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    answered_ms: Option<f64>,
}

#[derive(Default)]
struct Overwatch {
    first: Option<(Timestamp, Direction)>,
    last: Option<Request>,
    requests: u32,
    told: bool,
}

impl Overwatch {
    fn is_sure(&self) -> bool {
        self.requests >= 2
    }

    fn tell(&mut self, time: Timestamp, answered_ms: Option<f64>, out: &mut Output) {
        self.told = true;
        out.emit(time, "overwatch", Facts { requests: self.requests, answered_ms });
    }
}

impl Conversation for Overwatch {
    fn read(&mut self, segment: &Segment<'_>, out: &mut Output) -> Step {
        let request = Request::of(segment.bytes);
        match (self.first, request, self.last) {
            (None, Some(_), _) => self.first = Some((segment.time, segment.direction)),
            (Some((_, direction)), Some(request), Some(last))
                if direction == segment.direction && request.follows(&last) => {}
            (Some((begun, direction)), None, _) if self.is_sure() => {
                if direction != segment.direction {
                    self.tell(segment.time, Some(milliseconds(begun, segment.time)), out);
                }
                return if direction == segment.direction { Step::Consumed(segment.bytes.len()) } else { Step::Done };
            }
            // A request sent twice by the network, or one lost, is no contradiction once it is sure.
            (Some(_), Some(_), _) if self.is_sure() => {}
            _ => return Step::Reject,
        }
        self.last = request;
        self.requests = self.requests.saturating_add(1);
        if self.is_sure() {
            out.identify(PROTOCOL.name);
        }
        Step::Consumed(segment.bytes.len())
    }

    fn end(&mut self, time: Timestamp, out: &mut Output) {
        if self.is_sure() && !self.told {
            self.tell(time, None, out);
        }
    }
}

fn summary(bytes: &[u8], line: &mut String) {
    if let Some(request) = Request::of(bytes) {
        line.push_str(&format!("Overwatch match, request {} to join", request.count));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dissect::app::Direction::{In, Out};
    use crate::dissect::app::testing::{self, converse, mistreat};

    fn request(count: u8, word: [u8; 4]) -> Vec<u8> {
        let mut packet = vec![count.wrapping_mul(37) ^ 0x5a; 12];
        packet.extend(word);
        packet.extend([count, 0, 0, 0]);
        packet.extend([0; 12]);
        packet.extend([0x01, 0xad]);
        packet
    }

    const WORD: [u8; 4] = [0x10, 0, 0, 0xf0];

    #[test]
    fn requests_that_count_are_answered() {
        for word in [WORD, [0xf0, 0, 0, 0x10]] {
            let requests: Vec<_> = (0..3).map(|count| request(count, word)).collect();
            let out = converse(
                &PROTOCOL,
                &[(Out, &requests[0]), (Out, &requests[1]), (Out, &requests[2]), (In, b"answer"), (Out, b"more")],
            );
            let [event] = &out.events[..] else { panic!("{out:?}") };
            assert_eq!(testing::json(event), json!({"requests": 3, "answered_ms": 60.0}));
            assert_eq!(out.label.app, Some("overwatch"));
        }
    }

    #[test]
    fn unanswered_requests_are_told_at_the_end() {
        let (first, second) = (request(4, WORD), request(5, WORD));
        let out = converse(&PROTOCOL, &[(Out, &first), (Out, &second)]);
        assert_eq!(testing::json(&out.events[0]), json!({"requests": 2}));
    }

    #[test]
    fn one_request_or_no_count_is_not_enough() {
        let packet = request(0, WORD);
        for packets in [&[(Out, &packet[..])][..], &[(Out, &packet), (Out, &packet)], &[(Out, &packet), (In, b"x")]] {
            let out = converse(&PROTOCOL, packets);
            assert!(out.label.app.is_none() && out.events.is_empty(), "{out:?}");
        }
        assert_eq!(testing::probe(&PROTOCOL, &packet), Probe::Maybe);
        assert_eq!(testing::probe(&PROTOCOL, &packet[..33]), Probe::No);
        assert_eq!(testing::probe(&PROTOCOL, &[0; 34]), Probe::No);
    }

    #[test]
    fn survives_damage() {
        mistreat(&PROTOCOL, &[(Out, &request(0, WORD)), (Out, &request(1, WORD)), (In, b"answer")]);
    }
}
