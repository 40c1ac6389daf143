//! Inputs that are a sequence of payloads. Each has four bytes before it: flags, the time since the one before, and
//! its length in network order; a length beyond the input's end means all that is left.

use std::iter;
use std::net::SocketAddr;

use capture_user::dissect::app::{Direction, PROTOCOLS, Protocol, Segment};
use capture_user::time::Timestamp;

use crate::clock;

/// One payload.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    flags: u8,
    step: u8,
    /// The payload.
    pub bytes: &'a [u8],
}

/// The pieces of an input.
pub fn pieces(mut input: &[u8]) -> impl Iterator<Item = Piece<'_>> {
    iter::from_fn(move || {
        let ([flags, step, high, low], rest) = input.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (bytes, rest) = rest.split_at(length);
        input = rest;
        Some(Piece { flags: *flags, step: *step, bytes })
    })
}

impl Piece<'_> {
    /// Whether the server sent it.
    pub fn direction(&self) -> Direction {
        if self.flags & 1 == 0 { Direction::Out } else { Direction::In }
    }

    /// Whether it runs over a stream, where the protocol leaves a choice.
    pub fn prefers_stream(&self) -> bool {
        self.flags & 2 != 0
    }

    /// Bytes of its stream that are lost before it.
    pub fn gap(&self) -> Option<u32> {
        (self.flags & 4 != 0).then(|| u32::from(self.step) * 64)
    }

    /// Bytes at its end that were not captured.
    pub fn snapped(&self) -> u32 {
        if self.flags & 8 == 0 { 0 } else { 100 }
    }

    /// A number from 0 to 15.
    pub fn choice(&self) -> u8 {
        self.flags >> 4
    }

    /// When it is on the wire, if the one before was at `before`.
    pub fn time(&self, before: Timestamp) -> Timestamp {
        clock::after(before, self.step)
    }

    /// It in segments of at most `cut` bytes; one where it is empty.
    pub fn segments(&self, cut: usize) -> impl Iterator<Item = Piece<'_>> {
        let empty = self.bytes.is_empty().then_some(self.bytes);
        empty.into_iter().chain(self.bytes.chunks(cut)).map(|bytes| Piece { bytes, ..*self })
    }

    /// The port of the server: usually the first that `protocol` has.
    pub fn port(&self, protocol: &Protocol) -> u16 {
        let ports = || protocol.ports.iter().copied().chain([40_000]);
        ports().nth(usize::from(self.choice())).or_else(|| ports().next()).unwrap_or_default()
    }

    /// It as a flow would give it to a conversation, with `bytes` for all that is unread.
    pub fn segment<'a>(&self, port: u16, time: Timestamp, stream: bool, bytes: &'a [u8]) -> Segment<'a> {
        let client = SocketAddr::from(([192, 168, 1, 40], 50_000));
        let server = SocketAddr::from(([203, 0, 113, 10], port));
        let direction = self.direction();
        let (source, destination) = if direction == Direction::Out { (client, server) } else { (server, client) };
        let length = u32::try_from(bytes.len()).expect("a short payload") + if stream { 0 } else { self.snapped() };
        Segment { time, direction, source, destination, stream, bytes, length }
    }
}

/// The protocol of this name.
pub fn named(name: &str) -> &'static Protocol {
    PROTOCOLS.iter().find(|protocol| protocol.name == name).expect("a registered protocol")
}

/// The first bytes of the client, where no input says more of them.
pub fn only<'a>(protocol: &Protocol, stream: bool, bytes: &'a [u8]) -> Segment<'a> {
    let piece = Piece { flags: 0, step: 0, bytes };
    piece.segment(piece.port(protocol), Timestamp::from_nanos(1_700_000_000_000_000_000), stream, bytes)
}
