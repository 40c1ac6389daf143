//! One message that comes in pieces, in any order: fragments of DTLS, CRYPTO frames of QUIC.

use std::ops::Range;

use arrayvec::ArrayVec;

/// Where a message may end at most, in bytes: several times the largest flight of handshake messages that is seen.
pub const LIMIT: usize = 64 * 1024;
/// Separate stretches held at once. Browsers cut a hello into a dozen pieces on purpose, and shuffle them.
const MAX_STRETCHES: usize = 64;

/// The pieces so far. Of bytes that came twice, the first are kept.
#[derive(Debug, Default)]
pub struct Pieces {
    bytes: Vec<u8>,
    /// What of `bytes` is there: in order, apart from each other.
    have: ArrayVec<Range<usize>, MAX_STRETCHES>,
}

impl Pieces {
    /// Puts a piece in its place. A piece beyond [`LIMIT`], or one more stretch than can be held, is left out.
    pub fn insert(&mut self, offset: usize, piece: &[u8]) {
        let Some(end) = offset.checked_add(piece.len()).filter(|end| *end <= LIMIT) else { return };
        let joins = |stretch: &Range<usize>| stretch.start <= end && offset <= stretch.end;
        if piece.is_empty() || (self.have.is_full() && !self.have.iter().any(joins)) {
            return;
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.fill(offset, piece);
        self.record(offset..end);
    }

    /// Bytes of heap it takes.
    pub fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    /// The bytes from the start up to the first hole.
    pub fn start(&self) -> &[u8] {
        let end = self.have.first().filter(|stretch| stretch.start == 0).map_or(0, |stretch| stretch.end);
        self.bytes.get(..end).unwrap_or_default()
    }

    /// Copies what falls into holes.
    fn fill(&mut self, offset: usize, piece: &[u8]) {
        let end = offset + piece.len();
        let mut from = offset;
        let overlapping = self.have.iter().filter(|stretch| stretch.end > offset && stretch.start < end);
        for stretch in overlapping.cloned().chain(std::iter::once(end..end)) {
            if let Some(hole) = self.bytes.get_mut(from..stretch.start)
                && let Some(new) = piece.get(from - offset..stretch.start - offset)
            {
                hole.copy_from_slice(new);
            }
            from = from.max(stretch.end);
        }
    }

    /// Notes that a stretch is there, and joins it with those it touches.
    fn record(&mut self, mut new: Range<usize>) {
        self.have.retain(|stretch| {
            let apart = stretch.end < new.start || new.end < stretch.start;
            if !apart {
                new = new.start.min(stretch.start)..new.end.max(stretch.end);
            }
            apart
        });
        let at = self.have.partition_point(|stretch| stretch.start < new.start);
        // Cannot be full: `insert` saw either room or a stretch that was joined and so removed.
        let _ = self.have.try_insert(at, new);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_of_two_versions_is_kept() {
        let mut pieces = Pieces::default();
        pieces.insert(2, b"cd");
        pieces.insert(6, b"gh");
        pieces.insert(0, b"abXXefXXij");
        assert_eq!(pieces.start(), b"abcdefghij");
    }

    #[test]
    fn what_lies_beyond_the_limit_is_left_out() {
        let mut pieces = Pieces::default();
        pieces.insert(LIMIT - 1, b"xy");
        pieces.insert(usize::MAX, b"x");
        assert_eq!(pieces.bytes.len(), 0);
        pieces.insert(LIMIT - 1, b"x");
        assert_eq!(pieces.start(), b"");
    }

    #[test]
    fn more_stretches_than_can_be_held_are_left_out() {
        let mut pieces = Pieces::default();
        for number in 0..2 * MAX_STRETCHES {
            pieces.insert(2 * number, b"x");
        }
        assert_eq!(pieces.have.len(), MAX_STRETCHES);
        pieces.insert(0, &[b'y'; 2 * MAX_STRETCHES]);
        assert_eq!(pieces.start(), b"xy".repeat(MAX_STRETCHES));
    }

    proptest! {
        #[test]
        fn it_is_what_a_map_of_bytes_would_hold(
            list in proptest::collection::vec((0_usize..40, proptest::collection::vec(any::<u8>(), 0..12)), 0..24),
        ) {
            let (mut pieces, mut model) = (Pieces::default(), std::collections::BTreeMap::new());
            for (offset, piece) in &list {
                pieces.insert(*offset, piece);
                for (index, byte) in piece.iter().enumerate() {
                    model.entry(offset + index).or_insert(*byte);
                }
            }
            let expected: Vec<u8> = (0..).map_while(|at| model.get(&at).copied()).collect();
            prop_assert_eq!(pieces.start(), expected);
        }
    }
}
