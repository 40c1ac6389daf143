//! Handshake messages of one direction, put together from fragments and in their order (RFC 6347 section 4.2).

use arrayvec::ArrayVec;

use crate::dissect::app::tls::handshake::kind;
use crate::dissect::app::tls::pieces::{LIMIT, Pieces};
use crate::dissect::app::tls::wire::Reader;

/// Messages that may wait for their missing parts, or for their turn, at once. The longest flight has seven.
const MAX_WAITING: usize = 8;

/// A piece of a handshake message.
#[derive(Clone, Copy, Debug)]
pub struct Fragment<'a> {
    /// The message's type.
    pub kind: u8,
    /// The length of the message's body, in bytes.
    pub length: usize,
    /// The message's place in its direction of the handshake.
    pub sequence: u16,
    /// Where in the body the piece begins.
    pub offset: usize,
    /// The piece.
    pub bytes: &'a [u8],
}

impl<'a> Fragment<'a> {
    /// Reads one; a piece that does not lie within its message is none.
    pub fn next(reader: &mut Reader<'a>) -> Option<Self> {
        let (kind, length, sequence) = (reader.u8()?, reader.u24()?, reader.u16()?);
        let (offset, bytes) = (reader.u24()?, reader.vec24()?);
        (offset + bytes.len() <= length).then_some(Self { kind, length, sequence, offset, bytes })
    }

    /// Whether it is all of its message.
    pub const fn is_whole(&self) -> bool {
        self.bytes.len() == self.length
    }
}

/// The messages of one direction.
#[derive(Debug, Default)]
pub struct Flight {
    next: u16,
    waiting: ArrayVec<Waiting, MAX_WAITING>,
}

#[derive(Debug)]
struct Waiting {
    kind: u8,
    sequence: u16,
    length: usize,
    pieces: Pieces,
}

impl Flight {
    /// Puts a fragment in its place. One that finds no room is left out: the sender will send it again.
    ///
    /// A hello is what every flight of interest begins with. It is always the next message, so that retransmissions,
    /// servers that keep no count while they verify an address, and captures that begin late do no harm.
    pub fn insert(&mut self, fragment: &Fragment<'_>) {
        if [kind::CLIENT_HELLO, kind::SERVER_HELLO, kind::HELLO_VERIFY_REQUEST].contains(&fragment.kind) {
            self.next = fragment.sequence;
        }
        let same = |waiting: &&mut Waiting| waiting.sequence == fragment.sequence;
        if let Some(waiting) = self.waiting.iter_mut().find(same) {
            if (waiting.kind, waiting.length) == (fragment.kind, fragment.length) {
                waiting.pieces.insert(fragment.offset, fragment.bytes);
            }
            return;
        }
        let held: usize = self.waiting.iter().map(|waiting| waiting.length).sum();
        if fragment.sequence < self.next || held + fragment.length > LIMIT {
            return;
        }
        let Fragment { kind, length, sequence, .. } = *fragment;
        let mut waiting = Waiting { kind, sequence, length, pieces: Pieces::default() };
        waiting.pieces.insert(fragment.offset, fragment.bytes);
        let _ = self.waiting.try_push(waiting);
    }

    /// Bytes of heap that what waits takes.
    pub fn memory(&self) -> usize {
        self.waiting.iter().map(|waiting| waiting.pieces.memory()).sum()
    }

    /// Takes the next message, if it is whole: its type, and its body in what `read` is given.
    pub fn take<T>(&mut self, read: impl FnOnce(u8, &[u8]) -> T) -> Option<T> {
        let whole = |waiting: &Waiting| waiting.sequence == self.next && waiting.pieces.start().len() == waiting.length;
        let message = self.waiting.remove(self.waiting.iter().position(whole)?);
        self.next = self.next.wrapping_add(1);
        Some(read(message.kind, message.pieces.start()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn fragment(kind: u8, sequence: u16, length: usize, offset: usize, bytes: &[u8]) -> Fragment<'_> {
        Fragment { kind, length, sequence, offset, bytes }
    }

    fn taken(flight: &mut Flight) -> Vec<(u8, Vec<u8>)> {
        std::iter::from_fn(|| flight.take(|kind, body| (kind, body.to_vec()))).collect()
    }

    #[test]
    fn messages_come_whole_and_in_order() {
        let mut flight = Flight::default();
        flight.insert(&fragment(14, 2, 0, 0, b""));
        flight.insert(&fragment(11, 1, 6, 3, b"def"));
        flight.insert(&fragment(2, 0, 2, 0, b"xy"));
        assert_eq!(taken(&mut flight), [(2, b"xy".to_vec())]);
        flight.insert(&fragment(11, 1, 7, 0, b"other"));
        flight.insert(&fragment(11, 1, 6, 0, b"abc"));
        assert_eq!(taken(&mut flight), [(11, b"abcdef".to_vec()), (14, Vec::new())]);
        flight.insert(&fragment(11, 1, 6, 0, b"abcdef"));
        assert_eq!(taken(&mut flight), []);
    }

    #[test]
    fn a_hello_is_always_next() {
        let mut flight = Flight::default();
        flight.insert(&fragment(2, 5, 1, 0, b"x"));
        assert_eq!(taken(&mut flight), [(2, b"x".to_vec())]);
        flight.insert(&fragment(2, 0, 1, 0, b"x"));
        assert_eq!(taken(&mut flight), [(2, b"x".to_vec())]);
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut flight = Flight::default();
        flight.insert(&fragment(11, 1, LIMIT - 10, 0, b"x"));
        flight.insert(&fragment(11, 2, 11, 0, b"x"));
        assert_eq!(flight.waiting.len(), 1);
        for sequence in 2..100 {
            flight.insert(&fragment(11, sequence, 1, 0, b"x"));
        }
        assert_eq!(flight.waiting.len(), MAX_WAITING);
    }

    #[test]
    fn pieces_lie_within_their_message() {
        let mut reader = Reader::new(&[11, 0, 0, 3, 0, 1, 0, 0, 2, 0, 0, 2, 7, 7]);
        assert!(Fragment::next(&mut reader).is_none());
    }
}
