//! Domain names as they stand in messages (RFC 1035, section 4.1.4).

use std::fmt;
use std::sync::Arc;

use arrayvec::ArrayVec;

use super::message::Malformed;

/// Bytes of the longest name, its final zero included (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 255;

/// A domain name where it stands in its message: it is read again, not copied. Names are equal whatever the case of
/// their letters.
///
/// It prints as UTF-8 where it is that (multicast DNS), everything else escaped as RFC 1035 section 5.1 says; the
/// root as a dot.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::dissect::app) struct Name<'m> {
    message: &'m [u8],
    /// Where its first label is, behind a pointer that the name may begin with.
    at: usize,
    /// Bytes of its labels, each behind its length, without the final zero.
    length: usize,
}

impl<'m> Name<'m> {
    /// Reads the name at `at` and says where the next field begins.
    ///
    /// A compression pointer must lead to before the place where the labels in hand began, as "prior occurrence"
    /// demands; so each goes further back than the one before it, and a chain of them ends.
    #[inline]
    pub(super) fn read(message: &'m [u8], at: usize) -> Result<(Self, usize), Malformed> {
        let mut name = Self { message, at, length: 0 };
        let (mut place, mut began, mut after) = (at, at, None);
        loop {
            let length = *message.get(place).ok_or(Malformed::Short)?;
            match length >> 6 {
                0b00 if length == 0 => return Ok((name, after.unwrap_or(place + 1))),
                0b00 => {
                    place += 1 + usize::from(length);
                    name.length += 1 + usize::from(length);
                    if place > message.len() {
                        return Err(Malformed::Short);
                    }
                    // The final zero is not part of the length, but it counts.
                    if name.length + 1 > MAX_NAME {
                        return Err(Malformed::LongName);
                    }
                }
                0b11 => {
                    let target = pointer(message, place).ok_or(Malformed::Short)?;
                    after.get_or_insert(place + 2);
                    if target >= began {
                        return Err(Malformed::Pointer);
                    }
                    if name.length == 0 {
                        name.at = target;
                    }
                    (place, began) = (target, target);
                }
                _ => return Err(Malformed::LabelType),
            }
        }
    }

    /// The labels, without their lengths.
    pub(in crate::dissect::app) fn labels(&self) -> impl Iterator<Item = &'m [u8]> + use<'m> {
        let (message, mut place) = (self.message, self.at);
        // That the pointers end was seen when the name was read.
        std::iter::from_fn(move || {
            loop {
                let length = *message.get(place)?;
                if length >> 6 == 0b11 {
                    place = pointer(message, place)?;
                    continue;
                }
                let end = place + 1 + usize::from(length);
                let label = message.get(place + 1..end).filter(|label| !label.is_empty())?;
                place = end;
                return Some(label);
            }
        })
    }

    /// The labels in lower case, each behind its length, without the final zero.
    pub(super) fn lowercase(&self) -> ArrayVec<u8, MAX_NAME> {
        let mut wire = ArrayVec::new();
        for label in self.labels() {
            let _ = wire.try_push(label.len() as u8);
            let _ = wire.try_extend_from_slice(label);
        }
        // A length is at most 63, so it is no letter and case does not touch it.
        wire.make_ascii_lowercase();
        wire
    }

    /// As it prints, in lower case: hosts are known by it.
    pub(super) fn host(&self) -> Arc<str> {
        match self.plain().filter(|plain| !plain.is_empty()) {
            Some(mut plain) => {
                plain.make_ascii_lowercase();
                String::from_utf8_lossy(&plain).into()
            }
            None => self.to_string().to_lowercase().into(),
        }
    }

    /// Whether it is the root.
    pub(super) fn is_root(&self) -> bool {
        self.length == 0
    }

    /// As it prints, where nothing has to be escaped, as most names.
    fn plain(&self) -> Option<ArrayVec<u8, MAX_NAME>> {
        let is_plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'.' | b'\\');
        let mut text = ArrayVec::new();
        for label in self.labels() {
            if !text.is_empty() {
                let _ = text.try_push(b'.');
            }
            let _ = text.try_extend_from_slice(Some(label).filter(|label| label.iter().all(is_plain))?);
        }
        Some(text)
    }
}

/// Where the pointer at `at` leads.
#[inline]
fn pointer(message: &[u8], at: usize) -> Option<usize> {
    let (high, low) = (*message.get(at)?, *message.get(at + 1)?);
    Some(usize::from(high & 0x3f) << 8 | usize::from(low))
}

impl PartialEq for Name<'_> {
    fn eq(&self, other: &Self) -> bool {
        let same_place = self.at == other.at && std::ptr::eq(self.message, other.message);
        same_place
            || self.length == other.length
                && self.labels().zip(other.labels()).all(|(one, other)| one.eq_ignore_ascii_case(other))
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        if let Some(plain) = self.plain()
            && let Ok(text) = std::str::from_utf8(&plain)
        {
            return f.write_str(text);
        }
        for (index, label) in self.labels().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            for chunk in label.utf8_chunks() {
                chunk.valid().chars().try_for_each(|c| write_char(f, c))?;
                chunk.invalid().iter().try_for_each(|byte| write!(f, "\\{byte:03}"))?;
            }
        }
        Ok(())
    }
}

fn write_char(f: &mut fmt::Formatter<'_>, c: char) -> fmt::Result {
    match c {
        '.' | '\\' => write!(f, "\\{c}"),
        c if c.is_ascii_control() => write!(f, "\\{:03}", u32::from(c)),
        c if c.is_control() => fmt::Write::write_char(f, char::REPLACEMENT_CHARACTER),
        c => fmt::Write::write_char(f, c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(message: &[u8], at: usize, expected: Result<(&str, usize), Malformed>) {
        let read = Name::read(message, at).map(|(name, after)| (name.to_string(), after));
        assert_eq!(read, expected.map(|(name, after)| (name.to_owned(), after)));
    }

    #[test]
    fn names_and_pointers_backwards() {
        let message = b"\x07example\x03org\0\x03www\xc0\x00\xc0\x0d";
        check(message, 0, Ok(("example.org", 13)));
        check(message, 13, Ok(("www.example.org", 19)));
        check(message, 12, Ok((".", 13)));
        check(message, 19, Ok(("www.example.org", 21)));
    }

    #[test]
    fn what_a_name_may_not_do() {
        check(b"\xc0\x00", 0, Err(Malformed::Pointer));
        check(b"\x01a\xc0\x04\x01b\xc0\x00", 0, Err(Malformed::Pointer));
        // Back to the label that leads here: a loop.
        check(b"\x01a\xc0\x00", 0, Err(Malformed::Pointer));
        check(b"\x01a\x01b\xc0\x02", 2, Err(Malformed::Pointer));
        check(b"\x40a\0", 0, Err(Malformed::LabelType));
        check(b"\x80a\0", 0, Err(Malformed::LabelType));
        check(b"\x05abc", 0, Err(Malformed::Short));
        check(b"\xc0", 0, Err(Malformed::Short));
        check(b"\x01a", 9, Err(Malformed::Short));
    }

    #[test]
    fn the_longest_name_is_255_bytes() {
        let mut message = [[63_u8; 64], [63; 64], [63; 64], [61; 64]].concat();
        message.truncate(64 * 3 + 62);
        message.push(0);
        assert_eq!(message.len(), 255);
        assert!(Name::read(&message, 0).is_ok());
        message[192] = 62;
        message.insert(200, b'x');
        assert_eq!(Name::read(&message, 0).map(|_| ()), Err(Malformed::LongName));
    }

    #[test]
    fn prints_what_is_not_a_host_name_too() {
        check(b"\x04a.b\\\x02\xc3\xa9\x02\x00\xff\0", 0, Ok(("a\\.b\\\\.é.\\000\\255", 12)));
    }

    #[test]
    fn case_makes_no_difference() {
        let read = |bytes| Name::read(bytes, 0).expect("a name").0;
        assert_eq!(read(b"\x03WwW\x02tV\0"), read(b"\x03www\x02tv\0"));
        assert_ne!(read(b"\x03www\x02tv\0"), read(b"\x03www\x02to\0"));
        assert_ne!(read(b"\x03www\x02tv\0"), read(b"\x02ww\x03wtv\0"));
        assert_eq!(read(b"\x03WwW\x02tV\0").lowercase().as_slice(), b"\x03www\x02tv");
    }
}
