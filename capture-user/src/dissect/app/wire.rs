//! Reading numbers and text from payloads, for every protocol.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Bytes of a message not yet read. Every read says `None` at the end and then leaves the rest alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// What has not been read.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// A number in network order, as all of these.
    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn ipv4(&mut self) -> Option<Ipv4Addr> {
        self.array::<4>().map(Ipv4Addr::from)
    }

    pub(super) fn ipv6(&mut self) -> Option<Ipv6Addr> {
        self.array::<16>().map(Ipv6Addr::from)
    }
}

/// Text as a record may hold it: at most `limit` bytes of the wire, control characters and what is no UTF-8 replaced
/// by U+FFFD, zeros and blanks at the ends gone.
pub(super) fn text(bytes: &[u8], limit: usize) -> String {
    let bytes = bytes.get(..limit).unwrap_or(bytes);
    let shown = String::from_utf8_lossy(bytes);
    let shown = shown.trim_matches(|c: char| c == '\0' || c.is_whitespace());
    shown.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// [`text`], or nothing where nothing would be left.
pub(super) fn some_text(bytes: &[u8], limit: usize) -> Option<String> {
    Some(text(bytes, limit)).filter(|text| !text.is_empty())
}

/// Two lower-case digits for each of at most `limit` bytes.
pub(super) fn hex(bytes: &[u8], limit: usize) -> String {
    bytes.iter().take(limit).fold(String::new(), |mut shown, byte| {
        let _ = write!(shown, "{byte:02x}");
        shown
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_until_the_end_and_no_further() {
        let mut reader = Reader::new(&[1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(reader.u8(), Some(1));
        assert_eq!(reader.u16(), Some(0x0203));
        assert_eq!(reader.ipv6(), None);
        assert_eq!(reader.u32(), Some(0x0405_0607));
        assert_eq!(reader.u8(), None);
        assert!(reader.rest().is_empty());
    }

    #[test]
    fn text_is_printable_and_bounded() {
        assert_eq!(text(b" a\x07b\xff\0\0", 64), "a\u{fffd}b\u{fffd}");
        assert_eq!(text(b"abcdef", 3), "abc");
        assert_eq!(some_text(b"\0\0", 3), None);
        assert_eq!(hex(&[0, 0xab, 1], 2), "00ab");
    }
}
