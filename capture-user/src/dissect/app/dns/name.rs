//! Domain names as they stand in messages (RFC 1035, section 4.1.4).

use std::fmt;

use arrayvec::ArrayVec;

use super::message::Malformed;

/// Bytes of the longest name, its final zero included (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 255;

/// A domain name: its labels, each behind its length. Names are equal whatever the case of their letters.
///
/// It prints as UTF-8 where it is that (multicast DNS), everything else escaped as RFC 1035 section 5.1 says; the
/// root as a dot.
#[derive(Clone, Debug, Default)]
pub(in crate::dissect::app) struct Name(ArrayVec<u8, MAX_NAME>);

impl Name {
    /// Reads the name at `at` and says where the next field begins.
    ///
    /// A compression pointer must lead to before the place where the labels in hand began, as "prior occurrence"
    /// demands; so each goes further back than the one before it, and a chain of them ends.
    pub(super) fn read(message: &[u8], at: usize) -> Result<(Self, usize), Malformed> {
        let mut name = ArrayVec::new();
        let (mut place, mut began, mut after) = (at, at, None);
        loop {
            let length = *message.get(place).ok_or(Malformed::Short)?;
            match length >> 6 {
                0b00 if length == 0 => return Ok((Self(name), after.unwrap_or(place + 1))),
                0b00 => {
                    let end = place + 1 + usize::from(length);
                    let label = message.get(place..end).ok_or(Malformed::Short)?;
                    // The final zero is not stored, but it counts.
                    if name.len() + label.len() + 1 > MAX_NAME {
                        return Err(Malformed::LongName);
                    }
                    let _ = name.try_extend_from_slice(label);
                    place = end;
                }
                0b11 => {
                    let low = *message.get(place + 1).ok_or(Malformed::Short)?;
                    after.get_or_insert(place + 2);
                    let target = usize::from(length & 0x3f) << 8 | usize::from(low);
                    if target >= began {
                        return Err(Malformed::Pointer);
                    }
                    (place, began) = (target, target);
                }
                _ => return Err(Malformed::LabelType),
            }
        }
    }

    /// The labels, without their lengths.
    pub(in crate::dissect::app) fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.0.as_slice();
        std::iter::from_fn(move || {
            let (&length, behind) = rest.split_first()?;
            let (label, following) = behind.split_at_checked(usize::from(length))?;
            rest = following;
            Some(label)
        })
    }

    /// The labels behind their lengths, without the final zero.
    pub(super) fn wire(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is the root.
    pub(super) fn is_root(&self) -> bool {
        self.0.is_empty()
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        // A length is at most 63, so it is no letter and case does not touch it.
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        for (index, label) in self.labels().enumerate() {
            if index > 0 {
                f.write_str(".")?;
            }
            // Most labels need nothing escaped.
            let is_plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'.' | b'\\');
            if let Some(plain) = std::str::from_utf8(label).ok().filter(|_| label.iter().all(is_plain)) {
                f.write_str(plain)?;
                continue;
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
    }
}
