//! Nintendo Pia: traffic between the consoles of a game (Switch, Wii U). Its contents are enciphered; the header tells
//! the version, and in the older form the round trip that the sender measured.

use schemars::JsonSchema;
use serde::Serialize;

use super::bytes::{has, u16_at};
use super::{Conversation, Output, Over, Probe, Protocol, RecordKind, Segment, Step};

/// The protocol.
pub static PROTOCOL: Protocol = Protocol {
    name: "pia",
    over: Over::Udp,
    ports: &[49_152, 49_153, 49_154, 49_155],
    probe,
    open: || Box::new(Pia::default()),
    kinds: &[RecordKind::of::<Facts>("pia")],
    summary,
};

const MAGIC: &[u8] = &[0x32, 0xab, 0x98, 0x64];
/// Packets of a flow that may come before one tells a round trip.
const PATIENCE: u32 = 64;

fn probe(segment: &Segment<'_>) -> Probe {
    if Header::of(segment.bytes).is_some() { Probe::Yes } else { Probe::No }
}

/// The start of every packet.
struct Header {
    connection_id: u8,
    form: Form,
}

enum Form {
    /// Wii U, and Switch up to version 5.10: with timers.
    Old { encrypted: bool, rtt_ms: u16 },
    /// Later: the version stands in the byte that said whether it is encrypted.
    New { version: u8 },
}

impl Header {
    fn of(bytes: &[u8]) -> Option<Self> {
        if !has(bytes, 0, MAGIC) || bytes.len() < 12 {
            return None;
        }
        let form = match *bytes.get(4)? {
            kind @ (1 | 2) => Form::Old { encrypted: kind == 2, rtt_ms: u16_at(bytes, 10)? },
            kind => Form::New { version: Some(kind & 0x7f).filter(|version| is_version(kind, *version))? },
        };
        Some(Self { connection_id: *bytes.get(5)?, form })
    }
}

fn is_version(kind: u8, version: u8) -> bool {
    kind & 0x80 != 0 && matches!(version, 3 | 4 | 9 | 11 | 15 | 16)
}

/// A connection between two consoles.
#[derive(Debug, Serialize, JsonSchema)]
struct Facts {
    /// The sender's number of the connection.
    connection_id: u8,
    /// The header's version, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u8>,
    /// Whether the payload is encrypted, where the header says.
    #[serde(skip_serializing_if = "Option::is_none")]
    encrypted: Option<bool>,
    /// The round trip to the other console as the sender measured it.
    #[serde(skip_serializing_if = "Option::is_none")]
    rtt_ms: Option<u16>,
}

/// A flow until it has told what it can.
#[derive(Default)]
struct Pia {
    seen: u32,
}

impl Conversation for Pia {
    fn read(&mut self, segment: &Segment<'_>, out: &mut Output) -> Step {
        self.seen += 1;
        let Some(header) = Header::of(segment.bytes) else { return Step::Consumed(segment.bytes.len()) };
        out.identify(PROTOCOL.name);
        let connection_id = header.connection_id;
        let facts = match header.form {
            Form::New { version } => Facts { connection_id, version: Some(version), encrypted: None, rtt_ms: None },
            // The timer is zero until the first answer.
            Form::Old { rtt_ms: 0, .. } if self.seen < PATIENCE => return Step::Consumed(segment.bytes.len()),
            Form::Old { encrypted, rtt_ms } => Facts {
                connection_id,
                version: None,
                encrypted: Some(encrypted),
                rtt_ms: Some(rtt_ms).filter(|rtt| *rtt != 0),
            },
        };
        out.emit(segment.time, "pia", facts);
        Step::Done
    }
}

fn summary(bytes: &[u8], line: &mut String) {
    match Header::of(bytes).map(|header| header.form) {
        Some(Form::Old { encrypted: true, .. }) => line.push_str("Encrypted"),
        Some(Form::Old { .. }) => line.push_str("Plain"),
        Some(Form::New { version }) => line.push_str(&format!("Version {version}")),
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dissect::app::Direction::{In, Out};
    use crate::dissect::app::testing::{self, converse, mistreat};

    fn old(rtt: u8) -> Vec<u8> {
        [&[0x32, 0xab, 0x98, 0x64, 2, 7, 0, 1, 0, 20, 0, rtt][..], &[0xaa; 40]].concat()
    }

    #[test]
    fn the_old_header_tells_a_round_trip() {
        let out = converse(&PROTOCOL, &[(Out, &old(0)), (In, &old(0)), (Out, &old(34)), (Out, &old(35))]);
        let [event] = &out.events[..] else { panic!("{out:?}") };
        assert_eq!(testing::json(event), json!({"connection_id": 7, "encrypted": true, "rtt_ms": 34}));
        assert_eq!(out.label.app, Some("pia"));
    }

    #[test]
    fn patience_ends() {
        let packet = old(0);
        let out = converse(&PROTOCOL, &vec![(Out, &packet[..]); 70]);
        assert_eq!(testing::json(&out.events[0]), json!({"connection_id": 7, "encrypted": true}));
    }

    #[test]
    fn the_new_header_tells_a_version() {
        let packet = [&[0x32, 0xab, 0x98, 0x64, 0x8b, 3][..], &[0x55; 30]].concat();
        let out = converse(&PROTOCOL, &[(Out, &packet)]);
        assert_eq!(testing::json(&out.events[0]), json!({"connection_id": 3, "version": 11}));
    }

    #[test]
    fn other_headers_are_not_it() {
        for kind in [0, 3, 0x80, 0x85, 0xff] {
            let packet = [&[0x32, 0xab, 0x98, 0x64, kind][..], &[0; 60]].concat();
            assert_eq!(testing::probe(&PROTOCOL, &packet), Probe::No, "{kind}");
        }
        assert_eq!(testing::probe(&PROTOCOL, &old(1)[..11]), Probe::No);
    }

    #[test]
    fn survives_damage() {
        mistreat(&PROTOCOL, &[(Out, &old(0)), (In, &old(9))]);
    }
}
