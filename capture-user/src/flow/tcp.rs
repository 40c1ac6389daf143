//! What a TCP connection shows of itself: its handshake, its end, and what was sent twice.

use crate::dissect::app::Direction;
use crate::dissect::{Load, Tcp, TcpFlags};
use crate::reassembly::stream::{Arrival, Delivery, Segment, Stream, Streams, Take};
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
    /// What each side has sent, in order.
    streams: [Stream; 2],
}

impl Connection {
    pub(super) fn observe(&mut self, direction: Direction, segment: &Tcp<'_>, time: Timestamp) {
        self.handshake(direction, segment, time);
        self.flags[direction.index()].0 |= segment.flags.0;
    }

    /// Puts a packet's payload in its place in the stream; `consume` gets what that makes available in either
    /// direction.
    pub fn push(
        &mut self,
        direction: Direction,
        header: &Tcp<'_>,
        load: &Load<'_>,
        streams: &mut Streams,
        mut consume: impl FnMut(Direction, Delivery<'_>) -> Take,
    ) {
        let other = direction.reversed();
        if header.flags.ack() {
            let acknowledged = &mut self.streams[other.index()];
            acknowledged.acknowledge(header.acknowledgement, streams, |delivery| consume(other, delivery));
        }
        let segment = Segment {
            sequence: header.sequence,
            syn: header.flags.syn(),
            fin: header.flags.fin(),
            bytes: load.payload,
            length: load.payload_length,
        };
        let stream = &mut self.streams[direction.index()];
        let arrival = stream.push(&segment, streams, |delivery| consume(direction, delivery));
        self.retransmissions += u32::from(arrival == Arrival::Retransmission);
    }

    /// The connection has ended: what waits beyond holes is delivered.
    pub fn finish(&mut self, streams: &mut Streams, mut consume: impl FnMut(Direction, Delivery<'_>) -> Take) {
        for direction in [Direction::Out, Direction::In] {
            self.streams[direction.index()].finish(streams, |delivery| consume(direction, delivery));
        }
    }

    /// Whether bytes are held for it.
    pub fn holds(&self) -> bool {
        self.streams.iter().any(Stream::holds)
    }

    /// Gives up the streams that hold bytes.
    pub(super) fn give_up(&mut self, streams: &mut Streams) {
        for stream in self.streams.iter_mut().filter(|stream| stream.holds()) {
            stream.give_up(streams);
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

    /// Whether its handshake is over, or was not seen, and its end has not come.
    pub(super) fn goes_on(&self) -> bool {
        !self.over() && (self.rtt_nanos.is_some() || self.syn.is_none())
    }

    /// Whether nothing more is to be expected: reset, or closed by both sides.
    pub fn over(&self) -> bool {
        self.reset() || self.flags.iter().all(|flags| flags.fin())
    }
}
