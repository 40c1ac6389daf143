//! Learning signatures of a game that nobody has described yet, from traffic of which a user says what it is.
//!
//! Whoever plays knows from when to when; the flows that were busy then and that no protocol explains are the game's.
//! Of these a signature is proposed for what repeats: bytes that hold in nearly all payloads of a direction at the same
//! place. What is fixed within one session may be that session's own (a key, an identifier), so flows that are alike are
//! taken together, and a proposal says how many of them it rests on.

mod pattern;
mod propose;
mod samples;
mod write;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Range;

pub use pattern::Pattern;
pub use propose::{Proposal, Rest, propose};
pub use write::write;

use self::samples::Samples;
use crate::dissect::{Dissector, Transport as Carrier};
use crate::knowledge::Transport;
use crate::source::Frame;
use crate::time::Timestamp;

/// Flows that are looked at; more are not.
const MOST_FLOWS: usize = 1_024;
/// Payloads of each direction that show how a flow opens: as many datagrams as signatures are looked for in.
const OPENING: u64 = 4;

/// A flow's ends: who sent first, and the other.
pub type Ends = (Transport, SocketAddr, SocketAddr);

/// One direction of a flow.
#[derive(Debug, Default)]
pub struct Way {
    /// Its first payloads, if they were captured.
    pub opening: Samples,
    /// Its payloads within the span.
    pub running: Samples,
    seen: u64,
    length: Option<u32>,
}

/// A flow: what its source sent, and what came back.
pub type Ways = [Way; 2];

/// Looks at frames, and keeps what may become signatures.
pub struct Learner {
    span: Range<Timestamp>,
    dissector: Dissector,
    flows: HashMap<Ends, Ways>,
    missed: u64,
}

impl Learner {
    /// Learns from what is sent in `span`.
    pub fn new(span: Range<Timestamp>) -> Self {
        Self { span, dissector: Dissector::new(&Default::default()), flows: HashMap::new(), missed: 0 }
    }

    /// Looks at a frame.
    pub fn look(&mut self, frame: &Frame<'_>) {
        let packet = self.dissector.dissect(frame);
        let (Some((from, to)), Some((source, destination))) = (packet.ports(), packet.addresses()) else { return };
        let transport = match packet.transport {
            Carrier::Udp(_) => Transport::Udp,
            Carrier::Tcp(_) => Transport::Tcp,
            _ => return,
        };
        let cut = (packet.payload.len() as u64) < u64::from(packet.payload_length);
        if packet.duplicate || packet.payload.is_empty() || cut || destination.is_multicast() {
            return;
        }
        let (one, other) = (SocketAddr::new(source, from), SocketAddr::new(destination, to));
        let known = self.flows.contains_key(&(transport, other, one));
        let (ends, direction) = if known { ((transport, other, one), 1) } else { ((transport, one, other), 0) };
        if self.flows.len() >= MOST_FLOWS && !self.flows.contains_key(&ends) {
            self.missed += 1;
            return;
        }
        let [out, back] = self.flows.entry(ends).or_default();
        let way = if direction == 0 { out } else { back };
        way.take(transport, packet.payload, frame.time, &self.span);
    }

    /// Payloads of flows that were one too many to be looked at.
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// The flows that said something in the span, the busiest first.
    pub fn flows(self) -> Vec<(Ends, Ways)> {
        let count = |[out, back]: &Ways| out.running.count() + back.running.count();
        let mut flows: Vec<_> = self.flows.into_iter().filter(|(_, ways)| count(ways) > 0).collect();
        flows.sort_by_key(|(ends, ways)| (std::cmp::Reverse(count(ways)), *ends));
        flows
    }
}

impl Way {
    fn take(&mut self, transport: Transport, payload: &[u8], time: Timestamp, span: &Range<Timestamp>) {
        self.seen += 1;
        // Of a stream only the first segment is known to begin where a message does.
        let most = if transport == Transport::Udp { OPENING } else { 1 };
        let length = payload.len() as u32;
        let alike = *self.length.get_or_insert(length) == length || transport == Transport::Tcp;
        if self.seen <= most && alike && self.opening.count() + 1 == self.seen {
            self.opening.add(payload, time);
        }
        if span.contains(&time) {
            self.running.add(payload, time);
        }
    }
}
