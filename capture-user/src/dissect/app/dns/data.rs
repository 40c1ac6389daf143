//! The data of a record as text (RFC 1035 section 3.3, RFC 2782, RFC 3596, RFC 9460).

use std::fmt::Write as _;
use std::net::IpAddr;

use super::message::{Record, Type};
use super::name::Name;
use crate::dissect::app::wire::{Reader, text};

/// Bytes of text kept of a TXT record.
const MAX_TEXT: usize = 512;

impl<'m> Record<'m> {
    /// The address of an A or AAAA record.
    pub(super) fn address(&self) -> Option<IpAddr> {
        match self.rtype {
            Type::A => <[u8; 4]>::try_from(self.data).ok().map(IpAddr::from),
            Type::AAAA => <[u8; 16]>::try_from(self.data).ok().map(IpAddr::from),
            _ => None,
        }
    }

    /// The name that begins `skip` bytes into the data. It may point out of them, but not end outside.
    pub(super) fn name_at(&self, skip: usize) -> Option<Name<'m>> {
        let (name, after) = Name::read(self.message, self.data_at + skip).ok()?;
        (after <= self.data_at + self.data.len()).then_some(name)
    }

    /// The data as a zone file has them; the type alone where padtap does not read it, "malformed" where the data
    /// are not what the type says.
    pub(super) fn text(&self) -> String {
        match self.rtype.0 {
            1 | 28 => self.address().map(|address| address.to_string()),
            2 | 5 | 12 | 39 => self.name_at(0).map(|name| name.to_string()),
            6 => self.soa(),
            15 => self.numbers_and_name::<1>(),
            16 => Some(self.strings()),
            33 => self.numbers_and_name::<3>(),
            64 | 65 => self.numbers_and_name::<1>(),
            _ => Some(self.rtype.to_string()),
        }
        .unwrap_or_else(|| "malformed".to_owned())
    }

    /// `COUNT` 16-bit numbers and a name: MX (preference), SRV (priority, weight, port), SVCB and HTTPS (priority,
    /// whose parameters behind the name are left out).
    fn numbers_and_name<const COUNT: usize>(&self) -> Option<String> {
        let mut reader = Reader::new(self.data);
        let mut shown = String::new();
        for _ in 0..COUNT {
            let _ = write!(shown, "{} ", reader.u16()?);
        }
        let _ = write!(shown, "{}", self.name_at(2 * COUNT)?);
        Some(shown)
    }

    fn soa(&self) -> Option<String> {
        let (server, after) = Name::read(self.message, self.data_at).ok()?;
        let (mailbox, after) = Name::read(self.message, after).ok()?;
        let mut reader = Reader::new(self.data.get(after.checked_sub(self.data_at)?..)?);
        let mut shown = format!("{server} {mailbox}");
        for _ in 0..5 {
            let _ = write!(shown, " {}", reader.u32()?);
        }
        Some(shown)
    }

    /// The strings of a TXT record, blanks between them.
    fn strings(&self) -> String {
        let mut reader = Reader::new(self.data);
        let mut shown = String::new();
        while let Some(string) = reader.u8().and_then(|length| reader.take(usize::from(length))) {
            let room = MAX_TEXT.saturating_sub(shown.len());
            if room == 0 {
                break;
            }
            if !shown.is_empty() && !string.is_empty() {
                shown.push(' ');
            }
            shown.push_str(&text(string, room));
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::Section;
    use super::*;

    #[track_caller]
    fn check(rtype: u16, data: &[u8], expected: &str) {
        let message = [b"\x07example\x03org\0".as_slice(), data].concat();
        let record = Record {
            section: Section::Answer,
            name: Name::default(),
            rtype: Type(rtype),
            ttl: 0,
            data: &message[13..],
            message: &message,
            data_at: 13,
        };
        assert_eq!(record.text(), expected);
    }

    #[test]
    fn every_type_that_is_read() {
        check(1, &[192, 0, 2, 1], "192.0.2.1");
        check(28, &[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], "2001:db8::1");
        check(5, b"\x03www\xc0\x00", "www.example.org");
        check(15, b"\x00\x0a\x02mx\xc0\x00", "10 mx.example.org");
        check(33, b"\x00\x01\x00\x02\x13\xc4\xc0\x00", "1 2 5060 example.org");
        check(65, b"\x00\x01\x00\x00\x01\x00\x03\x02h2", "1 .");
        check(16, b"\x03a=b\x05c=d\x07e\0", "a=b c=d\u{fffd}e");
        let soa = b"\xc0\x00\x02me\xc0\x00\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05";
        check(6, soa, "example.org me.example.org 1 2 3 4 5");
        check(47, b"anything", "NSEC");
    }

    #[test]
    fn data_that_break_their_type() {
        check(1, &[192, 0, 2], "malformed");
        check(5, b"\x03ww", "malformed");
        check(33, b"\x00\x01\x00\x02\x13", "malformed");
        check(6, b"\xc0\x00\xc0\x00\0\0", "malformed");
    }
}
