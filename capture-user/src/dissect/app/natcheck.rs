//! Nintendo's NAT check: four 32-bit words to servers that answer with the address they see, so that a console knows
//! whether others can reach it. Nothing marks its datagrams, so the port and an answer are needed to be sure.

use std::net::Ipv4Addr;

use schemars::JsonSchema;
use serde::Serialize;

use super::bytes::u32_at;
use super::{Conversation, Direction, Output, Over, Probe, Protocol, RecordKind, Segment, Step};

/// The protocol.
pub static PROTOCOL: Protocol = Protocol {
    name: "natcheck",
    over: Over::Udp,
    ports: &[10_025, 10_125, 33_334, 33_335],
    probe,
    open: || Box::new(NatCheck::default()),
    kinds: &[RecordKind::of::<Facts>("natcheck")],
    summary,
};

/// Datagrams without an answer before the flow is taken for something else.
const PATIENCE: u8 = 12;

fn probe(segment: &Segment<'_>) -> Probe {
    let request = Message::of(segment.bytes).is_some_and(|message| message.is_request(segment));
    if request && segment.on_port(PROTOCOL.ports) { Probe::Maybe } else { Probe::No }
}

struct Message {
    kind: u32,
    port: u32,
    address: u32,
}

impl Message {
    fn of(bytes: &[u8]) -> Option<Self> {
        let message = Self { kind: u32_at(bytes, 0)?, port: u32_at(bytes, 4)?, address: u32_at(bytes, 8)? };
        (bytes.len() == 16).then_some(message)
    }

    /// Type 1 or 101; the port 33334 gets nothing but zeros.
    fn is_request(&self, segment: &Segment<'_>) -> bool {
        let zeros = segment.bytes.iter().all(|byte| *byte == 0);
        matches!(self.kind, 1 | 101) || (zeros && segment.destination.port() == 33_334)
    }

    /// Where the server saw the request come from.
    fn mapped(&self) -> Option<(Ipv4Addr, u16)> {
        let address = Ipv4Addr::from_bits(self.address);
        let port = u16::try_from(self.port).ok().filter(|port| *port != 0)?;
        let public = !address.is_unspecified() && !address.is_multicast() && !address.is_broadcast();
        (public && matches!(self.kind, 1 | 101)).then_some((address, port))
    }
}

/// A console learned how the server sees it.
#[derive(Debug, Serialize, JsonSchema)]
struct Facts {
    /// The address that the server saw.
    mapped_ip: Ipv4Addr,
    /// The port that the server saw.
    mapped_port: u16,
}

#[derive(Default)]
struct NatCheck {
    asked: u8,
}

impl Conversation for NatCheck {
    fn read(&mut self, segment: &Segment<'_>, out: &mut Output) -> Step {
        let Some(message) = Message::of(segment.bytes) else { return Step::Reject };
        if segment.direction == Direction::In
            && let Some((mapped_ip, mapped_port)) = message.mapped()
        {
            out.identify(PROTOCOL.name);
            out.emit(segment.time, "natcheck", Facts { mapped_ip, mapped_port });
            return Step::Done;
        }
        self.asked += 1;
        let known = message.is_request(segment) && self.asked < PATIENCE;
        if known { Step::Consumed(segment.bytes.len()) } else { Step::Reject }
    }
}

fn summary(bytes: &[u8], line: &mut String) {
    if let Some(message) = Message::of(bytes) {
        line.push_str(&format!("NAT check {}", message.kind));
        if let Some((address, port)) = message.mapped() {
            line.push_str(&format!(", {address}:{port}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dissect::app::Direction::{In, Out};
    use crate::dissect::app::testing::{self, converse, mistreat};

    const REQUEST: &[u8] = &[0, 0, 0, 101, 0, 0, 0, 0, 0, 0, 0, 0, 192, 168, 1, 40];
    const REPLY: &[u8] = &[0, 0, 0, 101, 0, 0, 0xc3, 0x50, 198, 51, 100, 7, 192, 168, 1, 40];

    #[test]
    fn an_answer_tells_the_mapped_address() {
        let out = converse(&PROTOCOL, &[(Out, REQUEST), (Out, REQUEST), (In, REPLY), (In, REPLY)]);
        let [event] = &out.events[..] else { panic!("{out:?}") };
        assert_eq!(testing::json(event), json!({"mapped_ip": "198.51.100.7", "mapped_port": 50_000}));
        assert_eq!(out.label.app, Some("natcheck"));
    }

    #[test]
    fn without_an_answer_nothing_is_said() {
        let out = converse(&PROTOCOL, &[(Out, REQUEST); 20]);
        assert!(out.label.app.is_none() && out.events.is_empty(), "{out:?}");
        let out = converse(&PROTOCOL, &[(Out, REQUEST), (In, &[7; 16])]);
        assert!(out.label.app.is_none(), "{out:?}");
    }

    #[test]
    fn the_port_is_needed() {
        assert_eq!(testing::probe(&PROTOCOL, REQUEST), Probe::Maybe);
        let mut elsewhere = testing::segment(&PROTOCOL, 0, Out, REQUEST);
        elsewhere.destination.set_port(3478);
        assert_eq!(probe(&elsewhere), Probe::No);
        assert_eq!(testing::probe(&PROTOCOL, &REQUEST[..15]), Probe::No);
        assert_eq!(testing::probe(&PROTOCOL, &[0; 16]), Probe::No, "zeros belong to another port");
    }

    #[test]
    fn survives_damage() {
        mistreat(&PROTOCOL, &[(Out, REQUEST), (In, REPLY)]);
    }
}
