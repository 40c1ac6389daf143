//! The presentation language of TLS (RFC 8446 section 3): big-endian numbers and vectors preceded by their length.

/// Bytes not yet read. Every method gives `None`, and moves nowhere, when they do not suffice.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The start of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// What has not been read.
    pub const fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// The next `count` bytes.
    pub fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    /// The next `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(head)
    }

    /// One byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| *byte)
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(|bytes| u16::from_be_bytes(*bytes))
    }

    /// Three bytes.
    pub fn u24(&mut self) -> Option<usize> {
        self.array().map(|[a, b, c]| u32::from_be_bytes([0, *a, *b, *c]) as usize)
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(|bytes| u32::from_be_bytes(*bytes))
    }

    /// A vector whose length is one byte.
    pub fn vec8(&mut self) -> Option<&'a [u8]> {
        self.whole(|reader| reader.u8().map(usize::from))
    }

    /// A vector whose length is two bytes.
    pub fn vec16(&mut self) -> Option<&'a [u8]> {
        self.whole(|reader| reader.u16().map(usize::from))
    }

    /// A vector whose length is three bytes.
    pub fn vec24(&mut self) -> Option<&'a [u8]> {
        self.whole(Self::u24)
    }

    fn whole(&mut self, length: impl FnOnce(&mut Self) -> Option<usize>) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let count = length(&mut ahead)?;
        let vector = ahead.take(count)?;
        *self = ahead;
        Some(vector)
    }
}

/// A vector of 16-bit codes: cipher suites, groups, versions. [GREASE](is_grease) is left out, an odd byte at the end
/// is ignored.
#[derive(Clone, Copy, Debug, Default)]
pub struct Codes<'a>(pub &'a [u8]);

impl<'a> Codes<'a> {
    /// The codes in the order of the wire.
    pub fn iter(self) -> impl Iterator<Item = u16> + 'a {
        let (pairs, _) = self.0.as_chunks::<2>();
        pairs.iter().map(|pair| u16::from_be_bytes(*pair)).filter(|code| !is_grease(*code))
    }
}

/// Whether `code` is one of the values that mean nothing, which clients send so that servers learn to ignore what they
/// do not know (RFC 8701 section 2).
pub const fn is_grease(code: u16) -> bool {
    code & 0x0f0f == 0x0a0a && code >> 8 == code & 0xff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_that_do_not_fit_leave_the_reader_where_it_was() {
        let mut reader = Reader::new(&[0, 2, 7]);
        assert_eq!(reader.vec16(), None);
        assert_eq!(reader.vec8(), Some(&[][..]));
        assert_eq!(reader.vec24(), None);
        assert_eq!(reader.rest(), [2, 7]);
        assert_eq!(reader.u24(), None);
        assert_eq!(reader.u16(), Some(0x0207));
    }

    #[test]
    fn codes_leave_grease_out() {
        let codes = Codes(&[0x1a, 0x1a, 0x13, 0x01, 0xfa, 0xfa, 0x1a, 0x2a, 0x0a, 0x0a, 9]);
        assert_eq!(codes.iter().collect::<Vec<_>>(), [0x1301, 0x1a2a]);
    }
}
