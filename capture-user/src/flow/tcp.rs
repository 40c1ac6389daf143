//! What a TCP connection shows of itself: its handshake, its end, and what was sent twice.

use crate::dissect::app::Direction;
use crate::dissect::{Tcp, TcpFlags};
use crate::time::Timestamp;

/// The course of one connection.
#[derive(Debug, Default)]
pub struct Connection {
    /// All control bits each side has sent: out, in.
    pub flags: [TcpFlags; 2],
    /// Segments with payload that repeat what was already seen.
    pub retransmissions: u32,
    /// From SYN to the ACK that completes the handshake, in nanoseconds.
    pub rtt_nanos: Option<i64>,
    syn: Option<Timestamp>,
    /// The sequence number after the last byte seen, per direction.
    next: [Option<u32>; 2],
}

impl Connection {
    pub(super) fn observe(&mut self, direction: Direction, segment: &Tcp<'_>, payload: u32, time: Timestamp) {
        self.handshake(direction, segment, time);
        self.flags[direction.index()].0 |= segment.flags.0;
        let next = &mut self.next[direction.index()];
        let end = segment
            .sequence
            .wrapping_add(payload)
            .wrapping_add(u32::from(segment.flags.syn()))
            .wrapping_add(u32::from(segment.flags.fin()));
        match *next {
            // The distance is signed: sequence numbers wrap (RFC 9293 section 3.4).
            Some(expected) if end.wrapping_sub(expected).cast_signed() <= 0 => {
                // One byte before the expected one is a keep-alive, which asks and does not repeat.
                let keep_alive = payload <= 1 && segment.sequence == expected.wrapping_sub(1);
                if payload > 0 && !keep_alive {
                    self.retransmissions = self.retransmissions.saturating_add(1);
                }
            }
            _ => *next = Some(end),
        }
    }

    fn handshake(&mut self, direction: Direction, segment: &Tcp<'_>, time: Timestamp) {
        let flags = segment.flags;
        if direction == Direction::Out && flags.syn() && !flags.ack() {
            self.syn.get_or_insert(time);
        }
        let answered = self.flags[Direction::In.index()].syn();
        if direction == Direction::Out && flags.ack() && answered && self.rtt_nanos.is_none() {
            self.rtt_nanos = self.syn.map(|syn| time.nanos_since(syn).max(0));
        }
    }

    /// Whether one side reset the connection.
    pub fn reset(&self) -> bool {
        self.flags.iter().any(|flags| flags.rst())
    }

    /// Whether nothing more is to be expected: reset, or closed by both sides.
    pub fn over(&self) -> bool {
        self.reset() || self.flags.iter().all(|flags| flags.fin())
    }
}
