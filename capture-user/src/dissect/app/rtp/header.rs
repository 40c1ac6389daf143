//! The RTP header (RFC 3550 section 5.1), and what else may share its port (RFC 7983).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! |V=2|P|X|  CC   |M|     PT      |       sequence number         |
//! |                           timestamp                           |
//! |                             SSRC                              |
//! |                  CSRC (CC times), extension                   |
//! ```

use crate::dissect::app::Segment;

/// Length of the header without contributing sources and extension.
const FIXED: usize = 12;
/// The profile of a one-byte header extension (RFC 8285 section 4.2).
const ONE_BYTE_EXTENSION: u16 = 0xbede;
/// The STUN magic cookie (RFC 8489 section 5).
const STUN_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];

/// What one RTP packet says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub marker: bool,
    pub payload_type: u8,
    pub sequence: u16,
    /// In units of the payload's clock.
    pub timestamp: u32,
    pub ssrc: u32,
    /// Whether a header extension of RFC 8285 follows: sixteen bits that chance does not set.
    pub one_byte_extension: bool,
}

impl Header {
    /// Reads the header of a payload that had `length` bytes on the wire. None where it cannot be RTP: another
    /// version, an RTCP packet type, or a header that does not fit.
    pub fn parse(bytes: &[u8], length: usize) -> Option<Self> {
        let (fixed, rest) = bytes.split_first_chunk::<FIXED>()?;
        let [flags, kind, s0, s1, t0, t1, t2, t3, c0, c1, c2, c3] = *fixed;
        if flags >> 6 != 2 || is_rtcp_type(kind) || bytes.get(4..8) == Some(&STUN_COOKIE) {
            return None;
        }
        let sources = 4 * usize::from(flags & 0x0f);
        let mut header_length = FIXED + sources;
        let mut one_byte_extension = false;
        if flags & 0x10 != 0 {
            let (extension, _) = rest.get(sources..)?.split_first_chunk::<4>()?;
            one_byte_extension = u16::from_be_bytes([extension[0], extension[1]]) == ONE_BYTE_EXTENSION;
            header_length += 4 + 4 * usize::from(u16::from_be_bytes([extension[2], extension[3]]));
        }
        let padding = flags & 0x20 != 0;
        (header_length + usize::from(padding) <= length).then_some(Self {
            marker: kind & 0x80 != 0,
            payload_type: kind & 0x7f,
            sequence: u16::from_be_bytes([s0, s1]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_be_bytes([c0, c1, c2, c3]),
            one_byte_extension,
        })
    }

    /// Whether its payload type is one that is assigned or may be negotiated: 0 to 34 and 96 to 127 (RFC 3551).
    pub fn is_usual(&self) -> bool {
        matches!(self.payload_type, 0..=34 | 96..=127)
    }
}

/// Whether the second byte of a packet of version 2 makes it RTCP (RFC 5761 section 4).
pub(in crate::dissect::app) fn is_rtcp_type(kind: u8) -> bool {
    matches!(kind, 192..=223)
}

/// Whether a payload is one of the others that media flows carry: STUN, ZRTP, DTLS or TURN channels (RFC 7983).
pub(super) fn is_companion(segment: &Segment<'_>) -> bool {
    match *segment.bytes {
        [0..=3, _, _, _, a, b, c, d, ..] => [a, b, c, d] == STUN_COOKIE,
        [16..=19, _, _, _, b'Z', b'R', b'T', b'P', ..] => true,
        [20..=63, 0xfe, ..] | [64..=79, ..] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(flags: u8, kind: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = vec![flags, kind, 0x12, 0x34, 0, 0, 0x03, 0xc0, 0xde, 0xad, 0xbe, 0xef];
        bytes.extend_from_slice(rest);
        bytes
    }

    #[test]
    fn the_fields_stand_where_the_rfc_puts_them() {
        let bytes = packet(0x80, 0x88, &[0; 20]);
        let header = Header::parse(&bytes, bytes.len()).expect("RTP");
        assert_eq!((header.marker, header.payload_type, header.sequence), (true, 8, 0x1234));
        assert_eq!((header.timestamp, header.ssrc), (960, 0xdead_beef));
        assert!(!header.one_byte_extension && header.is_usual());
    }

    #[test]
    fn sources_and_extensions_must_fit() {
        let extended = packet(0x91, 0x6f, &[0, 0, 0, 1, 0xbe, 0xde, 0, 1, 1, 2, 3, 4, 9]);
        assert!(Header::parse(&extended, extended.len()).expect("RTP").one_byte_extension);
        assert_eq!(Header::parse(&extended[..20], 20), None, "the extension is cut off");
        assert!(Header::parse(&extended[..20], extended.len()).is_some(), "a snapped frame is not a short one");
        let sources = packet(0x8f, 0x00, &[0; 59]);
        assert_eq!(Header::parse(&sources, sources.len()), None);
    }

    #[test]
    fn other_protocols_of_the_same_port_are_told_apart() {
        assert_eq!(Header::parse(&packet(0x80, 200, &[0; 16]), 28), None, "RTCP");
        assert_eq!(Header::parse(&packet(0x40, 0, &[0; 16]), 28), None, "another version");
        let mut stun = packet(0x80, 0, &[0; 8]);
        stun[4..8].copy_from_slice(&STUN_COOKIE);
        assert_eq!(Header::parse(&stun, 20), None, "the STUN cookie");
    }
}
