//! RakNet: the offline messages by which a game finds a server and opens a connection. Sixteen fixed bytes mark each of
//! them; what follows the handshake is not read.

use schemars::JsonSchema;
use serde::Serialize;

use super::bytes::{at, has, u16_at};
use super::{Conversation, Output, Over, Probe, Protocol, RecordKind, Segment, Step};

/// The protocol.
pub static PROTOCOL: Protocol = Protocol {
    name: "raknet",
    over: Over::Udp,
    ports: &[19_132],
    probe,
    open: || Box::new(RakNet::default()),
    kinds: &[RecordKind::of::<Facts>("raknet")],
    summary,
};

/// The mark of an offline message.
const MAGIC: &[u8] = &[0x00, 0xff, 0xff, 0x00, 0xfe, 0xfe, 0xfe, 0xfe, 0xfd, 0xfd, 0xfd, 0xfd, 0x12, 0x34, 0x56, 0x78];
/// Bytes of a server's text that are kept.
const MAX_TEXT: usize = 256;
/// Offline messages of a flow that are read: what comes later tells nothing new.
const PATIENCE: u32 = 32;

fn probe(segment: &Segment<'_>) -> Probe {
    if Message::of(segment.bytes).is_some() { Probe::Yes } else { Probe::No }
}

/// An offline message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Message<'a> {
    /// 01, 02: is a server there?
    Ping,
    /// 1c: a server says who it is.
    Pong { guid: [u8; 8], text: &'a [u8] },
    /// 05: padded to the size that it tries.
    OpenRequest1 { version: u8 },
    /// 06.
    OpenReply1 { guid: [u8; 8], mtu: u16 },
    /// 07.
    OpenRequest2 { mtu: Option<u16> },
    /// 08: the connection is there.
    OpenReply2 { guid: [u8; 8], mtu: Option<u16> },
    /// 19: the server speaks another version.
    Incompatible { version: u8 },
    /// Marked, but with another opcode: Roblox has its own.
    Variant,
}

impl<'a> Message<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let opcode = *bytes.first()?;
        if matches!(opcode, 1 | 2) && has(bytes, 9, MAGIC) && bytes.len() <= 33 {
            return Some(Self::Ping);
        }
        if opcode == 0x1c && has(bytes, 17, MAGIC) {
            return Some(Self::Pong { guid: at(bytes, 9)?, text: bytes.get(35..).unwrap_or_default() });
        }
        if has(bytes, 32, MAGIC) {
            return Some(Self::Variant);
        }
        if !has(bytes, 1, MAGIC) {
            return None;
        }
        Some(match (opcode, bytes.len()) {
            (5, _) => Self::OpenRequest1 { version: *bytes.get(17)? },
            (6, 28) => Self::OpenReply1 { guid: at(bytes, 17)?, mtu: u16_at(bytes, 26)? },
            // An address of either version lies before; the end is fixed.
            (7, length @ 34..) => Self::OpenRequest2 { mtu: u16_at(bytes, length - 10) },
            (8, length @ 35..) => Self::OpenReply2 { guid: at(bytes, 17)?, mtu: u16_at(bytes, length - 3) },
            (0x19, _) => Self::Incompatible { version: *bytes.get(17)? },
            _ => Self::Variant,
        })
    }
}

/// What a flow's handshake says. Fields that it did not say are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
struct Facts {
    /// Version of RakNet's protocol that the client speaks.
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol_version: Option<u8>,
    /// Version that the server speaks, where it refused the client's.
    #[serde(skip_serializing_if = "Option::is_none")]
    server_version: Option<u8>,
    /// The greatest packet the two agreed on, in bytes, IP and UDP headers included.
    #[serde(skip_serializing_if = "Option::is_none")]
    mtu: Option<u16>,
    /// The server's own identifier, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    server_guid: Option<String>,
    /// What the server says of itself to who asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    server_text: Option<String>,
}

/// A handshake as far as it has come.
#[derive(Default)]
struct RakNet {
    known: Facts,
    told: bool,
    seen: u32,
}

impl Conversation for RakNet {
    fn read(&mut self, segment: &Segment<'_>, out: &mut Output) -> Step {
        self.seen += 1;
        if let Some(message) = Message::of(segment.bytes) {
            out.identify(PROTOCOL.name);
            if self.learn(message) {
                self.tell(segment, out);
                return Step::Done;
            }
        }
        if self.seen < PATIENCE {
            return Step::Consumed(segment.bytes.len());
        }
        self.tell(segment, out);
        Step::Done
    }

    fn end(&mut self, time: crate::time::Timestamp, out: &mut Output) {
        self.tell_at(time, out);
    }
}

impl RakNet {
    /// Whether the handshake is over.
    fn learn(&mut self, message: Message<'_>) -> bool {
        let known = &mut self.known;
        match message {
            Message::Ping | Message::Variant => {}
            Message::Pong { guid, text } => {
                known.server_guid = Some(hex(guid));
                known.server_text = shown(text);
            }
            Message::OpenRequest1 { version } => known.protocol_version = Some(version),
            Message::OpenReply1 { guid, mtu } => {
                known.server_guid = Some(hex(guid));
                known.mtu = Some(mtu);
            }
            Message::OpenRequest2 { mtu } => known.mtu = mtu.or(known.mtu),
            Message::OpenReply2 { guid, mtu } => {
                known.server_guid = Some(hex(guid));
                known.mtu = mtu.or(known.mtu);
                return true;
            }
            Message::Incompatible { version } => {
                known.server_version = Some(version);
                return true;
            }
        }
        false
    }

    fn tell(&mut self, segment: &Segment<'_>, out: &mut Output) {
        self.tell_at(segment.time, out);
    }

    fn tell_at(&mut self, time: crate::time::Timestamp, out: &mut Output) {
        if !self.told && self.known != Facts::default() {
            self.told = true;
            out.emit(time, "raknet", self.known.clone());
        }
    }
}

fn hex(guid: [u8; 8]) -> String {
    format!("{:016x}", u64::from_be_bytes(guid))
}

fn shown(text: &[u8]) -> Option<String> {
    let text = text.get(..MAX_TEXT).unwrap_or(text);
    (!text.is_empty()).then(|| String::from_utf8_lossy(text).into_owned())
}

fn summary(bytes: &[u8], line: &mut String) {
    let Some(message) = Message::of(bytes) else { return };
    line.push_str(match message {
        Message::Ping => "Unconnected ping",
        Message::Pong { .. } => "Unconnected pong",
        Message::OpenRequest1 { .. } => "Open connection request 1",
        Message::OpenReply1 { .. } => "Open connection reply 1",
        Message::OpenRequest2 { .. } => "Open connection request 2",
        Message::OpenReply2 { .. } => "Open connection reply 2",
        Message::Incompatible { .. } => "Incompatible protocol version",
        Message::Variant => "Offline message of a variant",
    });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dissect::app::Direction::{In, Out};
    use crate::dissect::app::testing::{self, converse, mistreat};

    const GUID: &[u8] = &[1, 2, 3, 4, 5, 6, 7, 8];

    fn message(opcode: u8, body: &[&[u8]]) -> Vec<u8> {
        [&[opcode], MAGIC, &body.concat()].concat()
    }

    fn handshake() -> [Vec<u8>; 4] {
        [
            message(5, &[&[11], &[0; 1374]]),
            message(6, &[GUID, &[0, 0x05, 0x78]]),
            message(7, &[&[4, 10, 0, 0, 1, 0x4a, 0xbc], &[0x05, 0x78], GUID]),
            message(8, &[GUID, &[4, 10, 0, 0, 2, 0xc3, 0x50], &[0x05, 0x78], &[0]]),
        ]
    }

    #[test]
    fn a_handshake_tells_version_and_size() {
        let [a, b, c, d] = handshake();
        let out = converse(&PROTOCOL, &[(Out, &a), (In, &b), (Out, &c), (In, &d), (Out, &[0x84, 0, 0, 0])]);
        let [event] = &out.events[..] else { panic!("{out:?}") };
        let expected = json!({"protocol_version": 11, "mtu": 1400, "server_guid": "0102030405060708"});
        assert_eq!(testing::json(event), expected);
        assert_eq!(out.label.app, Some("raknet"));
    }

    #[test]
    fn a_pong_tells_the_server() {
        let ping = [&[1][..], &[0; 8], MAGIC, GUID].concat();
        let pong = [&[0x1c][..], &[0; 8], GUID, MAGIC, &[0, 9], b"A server;"].concat();
        let out = converse(&PROTOCOL, &[(Out, &ping), (In, &pong)]);
        let expected = json!({"server_guid": "0102030405060708", "server_text": "A server;"});
        assert_eq!(testing::json(&out.events[0]), expected);
    }

    #[test]
    fn variants_are_named_and_tell_nothing() {
        let shifted = [&[1; 32][..], MAGIC, &[5, 0, 0]].concat();
        for variant in [message(0x7b, &[&[5; 20]]), shifted] {
            let out = converse(&PROTOCOL, &[(Out, &variant)]);
            assert_eq!((out.label.app, out.events.len()), (Some("raknet"), 0));
        }
    }

    #[test]
    fn an_unfinished_handshake_is_told_in_the_end() {
        let [a, ..] = handshake();
        let out = converse(&PROTOCOL, &[(Out, &a), (Out, &a)]);
        assert_eq!(testing::json(&out.events[0]), json!({"protocol_version": 11}));
    }

    #[test]
    fn without_the_mark_it_is_not_it() {
        for other in [&[5; 40][..], &[1; 33], MAGIC, &[0x84, 0, 0, 0], b""] {
            assert_eq!(testing::probe(&PROTOCOL, other), Probe::No, "{other:?}");
        }
    }

    #[test]
    fn survives_damage() {
        let [mut a, b, c, d] = handshake();
        a.truncate(40);
        let pong = [&[0x1c][..], &[0; 8], GUID, MAGIC, &[0, 1], b"A"].concat();
        mistreat(&PROTOCOL, &[(Out, &a), (In, &pong), (In, &b), (Out, &c), (In, &d)]);
    }
}
