//! Packets with long headers (RFC 9000 section 17.2, RFC 8999 section 5.1).

use super::version::{self, Rules};
use crate::dissect::app::tls::wire::Reader;

/// The longest connection identifier of any version that is known, in bytes.
pub const MAX_ID: usize = 20;

/// What a long header announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The first packets, protected with keys that anybody can derive.
    Initial,
    /// Data sent before the handshake is over.
    ZeroRtt,
    /// The rest of the handshake.
    Handshake,
    /// The server wants to see the client's address confirmed.
    Retry,
    /// The server does not speak the client's version.
    VersionNegotiation,
    /// The version is not known, so nothing else is.
    Unknown,
}

/// A packet with a long header.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its version; 0 for a version negotiation.
    pub version: u32,
    /// The connection as its receiver calls it.
    pub destination: &'a [u8],
    /// The connection as its sender calls it.
    pub source: &'a [u8],
    /// The protected part of the packet, if all of it is there.
    pub protected: Option<Protected<'a>>,
}

/// A whole packet with a packet number.
#[derive(Clone, Copy, Debug)]
pub struct Protected<'a> {
    /// The rules of its version.
    pub rules: &'static Rules,
    /// The packet.
    pub bytes: &'a [u8],
    /// Where in it the packet number begins.
    pub number_at: usize,
}

impl<'a> Packet<'a> {
    /// Reads the packet at the start of `reader` and moves to the next one of the datagram, or to its end where there
    /// is no next. `None` for what has no long header.
    pub fn next(reader: &mut Reader<'a>) -> Option<Self> {
        let bytes = reader.rest();
        let (first, version) = (reader.u8()?, reader.u32()?);
        let destination = reader.vec8().filter(|id| id.len() <= MAX_ID)?;
        let source = reader.vec8().filter(|id| id.len() <= MAX_ID)?;
        if first & 0x80 == 0 || (version != 0 && first & 0x40 == 0) {
            return None;
        }
        let rules = version::rules(version);
        let kind = rules.map_or(Kind::Unknown, |rules| kind(rules, first));
        let kind = if version == 0 { Kind::VersionNegotiation } else { kind };
        let protected =
            rules.filter(|_| kind != Kind::Retry).and_then(|rules| Protected::read(bytes, reader, rules, kind));
        if protected.is_none() {
            reader.take(reader.rest().len());
        }
        Some(Self { kind, version, destination, source, protected })
    }
}

impl<'a> Protected<'a> {
    fn read(bytes: &'a [u8], reader: &mut Reader<'a>, rules: &'static Rules, kind: Kind) -> Option<Self> {
        if kind == Kind::Initial {
            let token = varint(reader)?;
            reader.take(usize::try_from(token).ok()?)?;
        }
        let length = usize::try_from(varint(reader)?).ok()?;
        let number_at = bytes.len() - reader.rest().len();
        reader.take(length)?;
        Some(Self { rules, bytes: bytes.get(..number_at + length)?, number_at })
    }
}

/// Version 2 counts the same types from another place (RFC 9369 section 3.2).
const fn kind(rules: &Rules, first: u8) -> Kind {
    match ((first >> 4) & 3).wrapping_sub(rules.initial) & 3 {
        0 => Kind::Initial,
        1 => Kind::ZeroRtt,
        2 => Kind::Handshake,
        _ => Kind::Retry,
    }
}

/// A number whose first two bits say how long it is (RFC 9000 section 16).
pub fn varint(reader: &mut Reader<'_>) -> Option<u64> {
    let mut ahead = *reader;
    let first = ahead.u8()?;
    let rest = ahead.take((1 << (first >> 6)) - 1)?;
    *reader = ahead;
    Some(rest.iter().fold(u64::from(first & 0x3f), |value, byte| value << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dissect::app::tls::samples::unhex;

    #[test]
    fn numbers_are_those_of_rfc_9000() {
        let cases =
            [("c2197c5eff14e88c", 151_288_809_941_952_652), ("9d7f3e7d", 494_878_333), ("7bbd", 15_293), ("25", 37)];
        for (digits, expected) in cases {
            let bytes = unhex(digits);
            assert_eq!(varint(&mut Reader::new(&bytes)), Some(expected));
            assert_eq!(varint(&mut Reader::new(&bytes[..bytes.len() - 1])), None);
        }
    }

    #[test]
    fn types_are_numbered_by_version() {
        let kind = |first, version| {
            let bytes = [&[first][..], &u32::to_be_bytes(version), &[0, 0]].concat();
            Packet::next(&mut Reader::new(&bytes)).map(|packet| packet.kind)
        };
        for (bits, expected) in [Kind::Initial, Kind::ZeroRtt, Kind::Handshake, Kind::Retry].into_iter().enumerate() {
            let bits = u8::try_from(bits).expect("two bits");
            assert_eq!(kind(0xc0 | bits << 4, 1), Some(expected));
            assert_eq!(kind(0xc0 | ((bits + 1) & 3) << 4, 0x6b33_43cf), Some(expected));
        }
        assert_eq!(kind(0x80, 0), Some(Kind::VersionNegotiation));
        assert_eq!(kind(0x80, 1), None);
        assert_eq!(kind(0x40, 1), None);
        assert_eq!(kind(0xc0, 0xbad), Some(Kind::Unknown));
    }
}
