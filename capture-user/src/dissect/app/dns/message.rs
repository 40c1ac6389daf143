//! The message format of RFC 1035 section 4.1, which DNS, multicast DNS, LLMNR and the NetBIOS name service share.
//!
//! ```text
//! | id 16 | QR 1 opcode 4 AA 1 TC 1 RD 1 RA 1 Z 3 rcode 4 | questions 16 | answers 16 | authority 16 | additional 16 |
//! ```

use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::name::Name;
use crate::dissect::app::wire::Reader;

/// Length of the header.
pub(super) const HEADER: usize = 12;
/// Questions and records read of one message; what follows them is not looked at, so that a message cannot hold a
/// worker.
const MAX_ENTRIES: usize = 256;

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Malformed {
    /// It ends inside a field.
    Short,
    /// A compression pointer leads to itself, in a circle, or forward.
    Pointer,
    /// A name is longer than 255 bytes.
    LongName,
    /// A label is neither text nor a pointer.
    LabelType,
}

/// The fixed part of a message.
#[derive(Clone, Copy, Debug)]
pub(in crate::dissect::app) struct Header {
    /// What pairs questions and answers.
    pub(in crate::dissect::app) id: u16,
    /// QR to rcode.
    pub(in crate::dissect::app) flags: u16,
    /// Questions, answers, authority and additional records.
    counts: [u16; 4],
}

impl Header {
    /// Reads the first twelve bytes.
    pub(in crate::dissect::app) fn read(message: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(message);
        let (id, flags) = (reader.u16()?, reader.u16()?);
        let counts = [reader.u16()?, reader.u16()?, reader.u16()?, reader.u16()?];
        Some(Self { id, flags, counts })
    }

    /// Whether it answers rather than asks.
    pub(in crate::dissect::app) const fn is_response(&self) -> bool {
        self.flags & 0x8000 != 0
    }

    /// The kind of query (RFC 1035 section 4.1.1; RFC 1002 section 4.2.1.1).
    pub(in crate::dissect::app) const fn opcode(&self) -> u8 {
        (self.flags >> 11 & 0x0f) as u8
    }

    /// Whether the message was cut to fit a datagram.
    pub(super) const fn is_truncated(&self) -> bool {
        self.flags & 0x0200 != 0
    }

    /// The low four bits of the response code.
    pub(in crate::dissect::app) const fn rcode(&self) -> u16 {
        self.flags & 0x0f
    }

    /// How many questions there should be.
    pub(super) const fn questions(&self) -> u16 {
        self.counts[0]
    }

    /// Whether the counts could be those of a message of `length` bytes: a question needs at least 5, a record 11.
    pub(super) fn fits(&self, length: usize) -> bool {
        let [questions, records @ ..] = self.counts.map(usize::from);
        HEADER + questions * 5 + records.iter().sum::<usize>() * 11 <= length
    }

    /// The number of entries in all sections.
    fn entries(&self) -> usize {
        self.counts.iter().copied().map(usize::from).sum()
    }

    /// The section of an entry.
    fn section(&self, index: usize) -> Section {
        let [questions, answers, authority, _] = self.counts.map(usize::from);
        match index.checked_sub(questions + answers) {
            None => Section::Answer,
            Some(behind) if behind < authority => Section::Authority,
            Some(_) => Section::Additional,
        }
    }
}

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dissect::app) enum Section {
    /// It answers the question.
    Answer,
    /// It says who knows.
    Authority,
    /// It may help.
    Additional,
}

/// A type of records, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Type(pub u16);

impl Type {
    pub(super) const A: Self = Self(1);
    pub(super) const CNAME: Self = Self(5);
    pub(super) const AAAA: Self = Self(28);
    pub(super) const OPT: Self = Self(41);

    /// Its mnemonic in IANA's registry, of those a console's network shows.
    const fn mnemonic(self) -> Option<&'static str> {
        Some(match self.0 {
            1 => "A",
            2 => "NS",
            5 => "CNAME",
            6 => "SOA",
            12 => "PTR",
            13 => "HINFO",
            15 => "MX",
            16 => "TXT",
            28 => "AAAA",
            33 => "SRV",
            35 => "NAPTR",
            39 => "DNAME",
            41 => "OPT",
            43 => "DS",
            46 => "RRSIG",
            47 => "NSEC",
            48 => "DNSKEY",
            50 => "NSEC3",
            64 => "SVCB",
            65 => "HTTPS",
            255 => "ANY",
            257 => "CAA",
            _ => return None,
        })
    }
}

impl std::fmt::Display for Type {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.mnemonic() {
            Some(name) => f.write_str(name),
            // RFC 3597 section 5.
            None => write!(f, "TYPE{}", self.0),
        }
    }
}

impl Serialize for Type {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What is asked.
#[derive(Debug)]
pub(in crate::dissect::app) struct Question<'m> {
    pub(in crate::dissect::app) name: Name<'m>,
    pub(in crate::dissect::app) qtype: Type,
    /// The class; in multicast DNS the top bit asks for a unicast answer.
    pub(super) class: u16,
}

/// A resource record. Its data may hold names that point elsewhere in the message.
#[derive(Debug)]
pub(in crate::dissect::app) struct Record<'m> {
    pub(in crate::dissect::app) section: Section,
    pub(in crate::dissect::app) name: Name<'m>,
    pub(in crate::dissect::app) rtype: Type,
    /// Seconds that it may be kept; of an OPT record, other things (RFC 6891 section 6.1.3).
    pub(super) ttl: u32,
    pub(in crate::dissect::app) data: &'m [u8],
    /// The whole message.
    pub(super) message: &'m [u8],
    /// Where in it the data begin.
    pub(super) data_at: usize,
}

/// One question or record.
#[derive(Debug)]
pub(in crate::dissect::app) enum Entry<'m> {
    Question(Question<'m>),
    Record(Record<'m>),
}

/// The questions and records of a message in their order; after an error there are no more.
#[derive(Debug)]
pub(in crate::dissect::app) struct Entries<'m> {
    message: &'m [u8],
    header: Header,
    at: usize,
    index: usize,
}

impl<'m> Entries<'m> {
    /// Those of a message with this header.
    pub(in crate::dissect::app) const fn new(message: &'m [u8], header: Header) -> Self {
        Self { message, header, at: HEADER, index: 0 }
    }

    /// Where the next one begins.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let fields = self.message.get(self.at..).and_then(|rest| rest.first_chunk::<N>()).ok_or(Malformed::Short)?;
        self.at += N;
        Ok(*fields)
    }

    fn read(&mut self, index: usize) -> Result<Entry<'m>, Malformed> {
        let (name, after) = Name::read(self.message, self.at)?;
        self.at = after;
        if index < usize::from(self.header.questions()) {
            let [a, b, c, d] = self.fixed()?;
            let (qtype, class) = (Type(u16::from_be_bytes([a, b])), u16::from_be_bytes([c, d]));
            return Ok(Entry::Question(Question { name, qtype, class }));
        }
        let [a, b, _, _, ttl @ .., e, f]: [u8; 10] = self.fixed()?;
        let data_at = self.at;
        self.at += usize::from(u16::from_be_bytes([e, f]));
        Ok(Entry::Record(Record {
            section: self.header.section(index),
            name,
            rtype: Type(u16::from_be_bytes([a, b])),
            ttl: u32::from_be_bytes(ttl),
            data: self.message.get(data_at..self.at).ok_or(Malformed::Short)?,
            message: self.message,
            data_at,
        }))
    }
}

impl<'m> Iterator for Entries<'m> {
    type Item = Result<Entry<'m>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.index >= self.header.entries().min(MAX_ENTRIES) {
            return None;
        }
        let entry = self.read(self.index);
        self.index = if entry.is_ok() { self.index + 1 } else { usize::MAX };
        Some(entry)
    }
}

/// A number for the questions of a message, equal for equal questions whatever the case of their letters and whether
/// they ask for a unicast answer: what a repeated query has in common with the first.
#[derive(Debug, Default)]
pub(in crate::dissect::app) struct Fingerprint(u64);

impl Fingerprint {
    pub(in crate::dissect::app) fn add(&mut self, question: &Question<'_>) {
        let seed = self.0 ^ u64::from(question.qtype.0);
        self.0 = xxh3_64_with_seed(&question.name.lowercase(), seed);
    }

    pub(in crate::dissect::app) const fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_follow_the_counts() {
        let header = Header { id: 0, flags: 0, counts: [1, 2, 1, 1] };
        assert_eq!(header.section(2), Section::Answer);
        assert_eq!(header.section(3), Section::Authority);
        assert_eq!(header.section(4), Section::Additional);
        assert!(header.fits(12 + 5 + 44));
        assert!(!header.fits(12 + 5 + 43));
    }

    #[test]
    fn entries_are_bounded() {
        let header = Header { id: 0, flags: 0, counts: [u16::MAX; 4] };
        let message = vec![0; 65_535];
        assert_eq!(Entries::new(&message, header).filter(Result::is_ok).count(), MAX_ENTRIES);
        let short = Entries::new(&message[..20], header).collect::<Vec<_>>();
        assert_eq!(short.len(), 2);
        assert!(matches!(short.last(), Some(Err(Malformed::Short))));
    }

    #[test]
    fn types_have_names_or_numbers() {
        assert_eq!(Type::AAAA.to_string(), "AAAA");
        assert_eq!(Type(65_280).to_string(), "TYPE65280");
    }
}
