//! Lines that wait for a socket: a bounded queue that knows where each line ends.

use std::collections::VecDeque;

/// The queue. A line of which a part was sent stays whole in it until the rest is sent, too.
pub(super) struct Outbox {
    bytes: VecDeque<u8>,
    /// The length of each line.
    lengths: VecDeque<usize>,
    /// Bytes of the first line that were sent.
    sent: usize,
    capacity: usize,
}

impl Outbox {
    pub(super) fn new(capacity: usize) -> Self {
        Self { bytes: VecDeque::new(), lengths: VecDeque::new(), sent: 0, capacity }
    }

    /// Whether there is room for so many bytes. A line longer than the queue has room in an empty one.
    pub(super) fn has_room(&self, length: usize) -> bool {
        self.lengths.is_empty() || self.bytes.len() + length <= self.capacity
    }

    pub(super) fn push(&mut self, line: &[u8]) {
        self.bytes.extend(line);
        self.lengths.push_back(line.len());
    }

    pub(super) fn lines(&self) -> usize {
        self.lengths.len()
    }

    /// Bytes that are not sent.
    pub(super) fn unsent(&self) -> usize {
        self.bytes.len() - self.sent
    }

    /// What to send next of a stream: as much as lies together.
    pub(super) fn next_bytes(&self) -> &[u8] {
        let (front, back) = self.bytes.as_slices();
        match front.get(self.sent..) {
            Some(rest) if !rest.is_empty() => rest,
            _ => back.get(self.sent - front.len()..).unwrap_or_default(),
        }
    }

    /// The first line, whole.
    pub(super) fn next_line(&mut self) -> &[u8] {
        let length = self.lengths.front().copied().unwrap_or(0);
        self.bytes.make_contiguous().get(..length).unwrap_or_default()
    }

    /// So many bytes more were sent.
    pub(super) fn advance(&mut self, count: usize) {
        self.sent += count;
        while let Some(&length) = self.lengths.front().filter(|&&length| length <= self.sent) {
            self.sent -= length;
            self.bytes.drain(..length);
            self.lengths.pop_front();
        }
    }

    /// The connection is gone: the line that it cut begins again.
    pub(super) fn rewind(&mut self) {
        self.sent = 0;
    }

    /// Gives up the first line.
    pub(super) fn drop_line(&mut self) {
        self.rewind();
        let length = self.lengths.front().copied().unwrap_or(0);
        self.advance(length);
    }

    /// Gives up all lines; how many those were.
    pub(super) fn clear(&mut self) -> usize {
        let lines = self.lines();
        self.bytes.clear();
        self.lengths.clear();
        self.sent = 0;
        lines
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_that_was_cut_begins_again() {
        let mut outbox = Outbox::new(100);
        outbox.push(b"one\n");
        outbox.push(b"two\n");
        outbox.advance(6);
        assert_eq!((outbox.lines(), outbox.unsent(), outbox.next_bytes()), (1, 2, &b"o\n"[..]));
        outbox.rewind();
        assert_eq!(outbox.next_bytes(), b"two\n");
        outbox.advance(1);
        outbox.drop_line();
        assert_eq!((outbox.lines(), outbox.unsent(), outbox.next_bytes()), (0, 0, &b""[..]));
    }

    #[test]
    fn room_is_bounded_but_for_one_line() {
        let mut outbox = Outbox::new(4);
        assert!(outbox.has_room(9));
        outbox.push(b"123456789");
        assert!(!outbox.has_room(1));
        assert_eq!(outbox.clear(), 1);
        outbox.push(b"12");
        assert!(outbox.has_room(2) && !outbox.has_room(3));
    }

    proptest! {
        /// However a connection takes them, and wherever the ring of bytes wraps, lines come out whole and in order.
        #[test]
        fn what_goes_in_comes_out(lines in vec(vec(any::<u8>(), 1..40), 1..40), steps in vec(1_usize..60, 1..200)) {
            let mut outbox = Outbox::new(64);
            let (mut received, mut lines_left) = (Vec::new(), lines.iter());
            let mut next = lines_left.next();
            for step in steps.iter().cycle().take(10_000) {
                while let Some(line) = next.filter(|line| outbox.has_room(line.len())) {
                    outbox.push(line);
                    next = lines_left.next();
                }
                let piece = outbox.next_bytes();
                let piece = &piece[..piece.len().min(*step)];
                received.extend_from_slice(piece);
                let length = piece.len();
                outbox.advance(length);
                if next.is_none() && outbox.unsent() == 0 {
                    break;
                }
            }
            prop_assert_eq!(received, lines.concat());
            prop_assert_eq!(outbox.lines(), 0);
        }
    }
}
