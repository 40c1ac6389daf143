//! How Blizzard's services open TCP connections: fixed bytes that name the service, before everything is enciphered.

use super::bytes::has;
use super::{Conversation, Output, Over, Probe, Protocol, Segment, Step};

/// The protocol.
pub static PROTOCOL: Protocol = Protocol {
    name: "blizzard",
    over: Over::Tcp,
    ports: &[3724, 1119],
    probe,
    open: || Box::new(Blizzard),
    kinds: &[],
    summary,
};

/// One service's opening.
struct Opening {
    /// What the flow is labelled.
    service: &'static str,
    at: usize,
    bytes: &'static [u8],
    /// The length of the payload that holds it, where that is fixed.
    length: Option<usize>,
    meaning: &'static str,
}

const OPENINGS: &[Opening] = &[
    Opening {
        service: "overwatch_lobby",
        at: 0,
        bytes: b"HELLO PRO CLIENT\0",
        length: Some(17),
        meaning: "Overwatch lobby, hello of the client",
    },
    Opening {
        service: "overwatch_lobby",
        at: 0,
        bytes: b"HELLO PRO SERVER\0",
        length: Some(17),
        meaning: "Overwatch lobby, hello of the server",
    },
    Opening {
        service: "wow",
        at: 0,
        bytes: b"WORLD OF WARCRAFT CONNECTION",
        length: None,
        meaning: "World of Warcraft, hello",
    },
    Opening {
        service: "wow",
        at: 2,
        bytes: b"WORLD OF WARCRAFT CONNECTION",
        length: Some(50),
        meaning: "World of Warcraft, hello",
    },
    Opening {
        service: "battlenet",
        at: 0,
        bytes: b"\x4a\x00\x00\x0a\x66\x02\x0a\xed\x2d\x66",
        length: None,
        meaning: "Battle.net logon",
    },
    Opening {
        service: "battlenet",
        at: 0,
        bytes: b"\x49\x00\x00\x0a\x66\x02\x0a\xed\x2d\x66",
        length: None,
        meaning: "Battle.net logon",
    },
    Opening {
        service: "battlenet",
        at: 0,
        bytes: b"\x41\x00\x00\x0a\x66\x52\xed\xc6",
        length: None,
        meaning: "Battle.net logon",
    },
];

fn opening(bytes: &[u8]) -> Option<&'static Opening> {
    OPENINGS.iter().find(|opening| {
        has(bytes, opening.at, opening.bytes) && opening.length.is_none_or(|length| bytes.len() == length)
    })
}

/// The ports are the publisher's, but the bytes suffice.
fn probe(segment: &Segment<'_>) -> Probe {
    if opening(segment.bytes).is_some() { Probe::Yes } else { Probe::No }
}

struct Blizzard;

impl Conversation for Blizzard {
    fn read(&mut self, segment: &Segment<'_>, out: &mut Output) -> Step {
        let Some(opening) = opening(segment.bytes) else { return Step::Reject };
        out.identify(opening.service);
        Step::Done
    }
}

fn summary(bytes: &[u8], line: &mut String) {
    if let Some(opening) = opening(bytes) {
        line.push_str(opening.meaning);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dissect::app::Direction::{In, Out};
    use crate::dissect::app::testing::{self, converse, mistreat};

    #[test]
    fn openings_name_the_service() {
        let old = [b"\x30\0WORLD OF WARCRAFT CONNECTION - SERVER TO CLIENT".as_slice(), &[0]].concat();
        for (service, hello) in [
            ("overwatch_lobby", &b"HELLO PRO CLIENT\0"[..]),
            ("overwatch_lobby", b"HELLO PRO SERVER\0"),
            ("wow", b"WORLD OF WARCRAFT CONNECTION - CLIENT TO SERVER - V2\n"),
            ("wow", &old),
            ("battlenet", b"\x41\x00\x00\x0a\x66\x52\xed\xc6more"),
        ] {
            for direction in [Out, In] {
                let out = converse(&PROTOCOL, &[(direction, hello)]);
                assert_eq!(out.label.app, Some(service), "{}", hello.escape_ascii());
            }
            assert_eq!(testing::probe(&PROTOCOL, hello), Probe::Yes);
        }
    }

    #[test]
    fn other_bytes_are_not_it() {
        for other in [
            &b"HELLO PRO CLIENT"[..],
            b"HELLO PRO CLIENT\0more",
            b"xxWORLD OF WARCRAFT CONNECTION",
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01",
            b"",
        ] {
            assert_eq!(testing::probe(&PROTOCOL, other), Probe::No, "{}", other.escape_ascii());
        }
    }

    #[test]
    fn survives_damage() {
        mistreat(&PROTOCOL, &[(Out, b"HELLO PRO CLIENT\0"), (In, b"HELLO PRO SERVER\0")]);
    }
}
