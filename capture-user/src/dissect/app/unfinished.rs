//! Messages of a stream that come in crumbs.
//!
//! A stream offers what was left unread again whenever more has come. Who searches all of it for the end of a head each
//! time touches the bytes of a head that comes one by one as often as there are bytes, squared. So it is remembered
//! what was searched already, and how much a message lacks at least.

/// The message at the front of one direction of a stream, while it is not whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Unfinished {
    /// Bytes of it when it was last offered.
    seen: usize,
    /// Bytes from which on it is looked at again in any case.
    due: usize,
    /// Whether an empty line is awaited: the end of its head.
    in_head: bool,
}

impl Unfinished {
    /// Whether a look at the message makes sense, now that these bytes of it are there.
    pub(super) fn is_due(&mut self, bytes: &[u8]) -> bool {
        // An empty line may have begun in the last two bytes of before: `\n`, `\r`.
        let new = bytes.get(self.seen.saturating_sub(2)..).unwrap_or_default();
        self.seen = bytes.len();
        bytes.len() >= self.due || self.in_head && has_empty_line(new)
    }

    /// It was looked at, and its head has not ended. Another look makes sense when that ends, and whenever there is
    /// twice as much, to see whether it is one at all.
    pub(super) fn in_head(length: usize) -> Self {
        Self { seen: length, due: length.saturating_mul(2).max(1), in_head: true }
    }

    /// It is not whole before there are so many bytes.
    pub(super) fn until(length: usize) -> Self {
        Self { seen: 0, due: length, in_head: false }
    }
}

fn has_empty_line(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|two| two == b"\n\n") || bytes.windows(3).any(|three| three == b"\n\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Offers a message a byte at a time, each look leaving it as it is; the lengths at which it was looked at.
    fn looks(message: &[u8]) -> Vec<usize> {
        let mut unfinished = Unfinished::default();
        let mut looks = Vec::new();
        for length in 1..=message.len() {
            if unfinished.is_due(&message[..length]) {
                looks.push(length);
                unfinished = Unfinished::in_head(length);
            }
        }
        looks
    }

    #[test]
    fn a_head_in_crumbs_is_searched_a_few_times() {
        let head = [b"GET / HTTP/1.1\r\n".to_vec(), b"X: y\r\n".repeat(5_000)].concat();
        let looks = looks(&head);
        let touched: usize = looks.iter().sum();
        assert!(looks.len() <= 16 && touched <= 2 * head.len(), "{looks:?}");
    }

    #[test]
    fn the_end_of_a_head_is_never_missed() {
        for end in ["\n\n", "\r\n\r\n", "\n\r\n"] {
            let head = format!("GET / HTTP/1.1\r\nHost: game.example{end}").into_bytes();
            assert_eq!(looks(&head).last(), Some(&head.len()), "{end:?}");
        }
    }

    #[test]
    fn a_body_is_waited_for_until_it_is_there() {
        let mut unfinished = Unfinished::until(5);
        assert!(!unfinished.is_due(b"\n\n\n\n") && unfinished.is_due(b"\n\n\n\n\n"));
    }
}
