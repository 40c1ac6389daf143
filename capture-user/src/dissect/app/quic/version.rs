//! Versions of QUIC: what each calls itself, and what protects its first packets.

use std::borrow::Cow;

/// What Initial packets of a version are protected with, and how its packet types are numbered.
#[derive(Debug, PartialEq, Eq)]
pub struct Rules {
    /// Salt of the secrets (RFC 9001 section 5.2).
    pub salt: [u8; 20],
    /// Labels of key, IV and header protection key.
    pub labels: [&'static [u8]; 3],
    /// The two bits that say Initial.
    pub initial: u8,
}

const LABELS: [&[u8]; 3] = [b"quic key", b"quic iv", b"quic hp"];

/// RFC 9001, and the last drafts before it.
static V1: Rules = Rules {
    salt: *b"\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a",
    labels: LABELS,
    initial: 0,
};

/// RFC 9369 section 3.
static V2: Rules = Rules {
    salt: *b"\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\x81\xbe\x6e\x26\x9d\xcb\xf9\xbd\x2e\xd9",
    labels: [b"quicv2 key", b"quicv2 iv", b"quicv2 hp"],
    initial: 1,
};

/// draft-ietf-quic-tls-29 to -32.
static DRAFT_29: Rules = Rules {
    salt: *b"\xaf\xbf\xec\x28\x99\x93\xd2\x4c\x9e\x97\x86\xf1\x9c\x61\x11\xe0\x43\x90\xa8\x99",
    labels: LABELS,
    initial: 0,
};

/// draft-ietf-quic-tls-23 to -28.
static DRAFT_23: Rules = Rules {
    salt: *b"\xc3\xee\xf7\x12\xc7\x2e\xbb\x5a\x11\xa7\xd2\x43\x2b\xb4\x63\x65\xbe\xf9\xf5\x02",
    labels: LABELS,
    initial: 0,
};

/// The rules of a version, if padtap knows them.
pub const fn rules(version: u32) -> Option<&'static Rules> {
    match version {
        0x0000_0001 | 0xff00_0021..=0xff00_0022 => Some(&V1),
        0x6b33_43cf => Some(&V2),
        0xff00_001d..=0xff00_0020 => Some(&DRAFT_29),
        0xff00_0017..=0xff00_001c => Some(&DRAFT_23),
        _ => None,
    }
}

/// A version as people write it: `1`, `draft-29`, Google's `Q050`; else in hexadecimal.
pub fn name(version: u32) -> Cow<'static, str> {
    match (version, version.to_be_bytes()) {
        (1, _) => "1".into(),
        (0x6b33_43cf, _) => "2".into(),
        (_, [0xff, 0, 0, draft]) => format!("draft-{draft}").into(),
        (_, google) if is_googles(google) => String::from_utf8_lossy(&google).into_owned().into(),
        _ => format!("{version:#010x}").into(),
    }
}

/// Whether a payload with this version may well be QUIC: one that is known, or one that a client sends so that the
/// server shows which it knows (RFC 9000 section 15).
pub fn is_plausible(version: u32) -> bool {
    rules(version).is_some() || version & 0x0f0f_0f0f == 0x0a0a_0a0a || is_googles(version.to_be_bytes())
}

const fn is_googles(version: [u8; 4]) -> bool {
    matches!(version, [b'Q' | b'T', b'0', b'0'..=b'9', b'0'..=b'9'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_the_names_people_use() {
        let cases = [
            (1, "1"),
            (0x6b33_43cf, "2"),
            (0xff00_001d, "draft-29"),
            (0x5130_3530, "Q050"),
            (0x1a2a_3a4a, "0x1a2a3a4a"),
        ];
        for (version, expected) in cases {
            assert_eq!(name(version), expected);
            assert!(is_plausible(version));
        }
        assert!(!is_plausible(0x8000_0001));
    }

    #[test]
    fn drafts_have_the_rules_of_their_time() {
        assert_eq!(rules(0xff00_001b), Some(&DRAFT_23));
        assert_eq!(rules(0xff00_0020), Some(&DRAFT_29));
        assert_eq!(rules(0xff00_0022), Some(&V1));
        assert_eq!(rules(0xff00_0016), None);
    }
}
