//! Valve's Steam: how its clients, a Steam Deck among them, find each other on a network (In-Home Streaming, UDP 27036),
//! and the probes of its relays (Steam Datagram Relay), by which a game chooses its way to a server.

use schemars::JsonSchema;
use serde::Serialize;

use self::protobuf::{Fields, Value};
use super::bytes::has;
use super::wire::some_text;
use super::{Conversation, Output, Over, People, Probe, Protocol, RecordKind, Segment, Step};

/// Discovery: Wireshark's name of it.
pub static DISCOVERY: Protocol = Protocol {
    name: "steam_ihs_discovery",
    over: Over::Udp,
    ports: &[27_036],
    probe: |segment| if Message::of(segment.bytes).is_some() { Probe::Yes } else { Probe::No },
    open: || Box::new(Discovery::default()),
    kinds: &[RecordKind::of::<Facts>("steam")],
    summary: |bytes, line| {
        if let Some(message) = Message::of(bytes) {
            line.push_str("Steam ");
            line.push_str(message.name());
        }
    },
};

/// Probes of relays: nothing but their name is known.
pub static RELAY: Protocol = Protocol {
    name: "steam_sdr",
    over: Over::Udp,
    ports: &[27_015, 27_016, 27_017],
    probe: |segment| if is_ping(segment.bytes) { Probe::Yes } else { Probe::No },
    open: || Box::new(Relay),
    kinds: &[],
    summary: |bytes, line| {
        if is_ping(bytes) {
            line.push_str("Steam relay ping");
        }
    },
};

/// What every datagram of discovery begins with.
const MAGIC: &[u8] = b"\xff\xff\xff\xff\x21\x4c\x5f\xa0";
/// Bytes of a host's name that are kept.
const MAX_NAME: usize = 64;

fn is_ping(bytes: &[u8]) -> bool {
    bytes.len() >= 100 && has(bytes, 2, b"sdping")
}

/// A datagram of discovery: two protobuf messages, each with its length before it.
struct Message<'a> {
    /// Field 2 of the header (ERemoteClientBroadcastMsg).
    kind: u64,
    body: &'a [u8],
}

impl<'a> Message<'a> {
    const STATUS: u64 = 1;

    fn of(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = part(bytes.strip_prefix(MAGIC)?)?;
        let (body, _) = part(rest)?;
        let kind = Fields::of(header).find_map(|field| match field {
            (2, Value::Number(kind)) => Some(kind),
            _ => None,
        });
        Some(Self { kind: kind.unwrap_or(0), body })
    }

    const fn name(&self) -> &'static str {
        match self.kind {
            0 => "discovery",
            Self::STATUS => "status",
            2 => "offline",
            3..=10 => "pairing",
            _ => "message",
        }
    }
}

/// A part with its length, 32 bits in little-endian order, before it.
fn part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(u32::from_le_bytes(*length) as usize)
}

/// What a Steam client tells its network of itself.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
struct Facts {
    /// The host's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<String>,
    /// Where it can be connected to (TCP and UDP).
    #[serde(skip_serializing_if = "Option::is_none")]
    connect_port: Option<u16>,
    /// Whether a game runs on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    games_running: Option<bool>,
}

impl Facts {
    fn of(body: &[u8], people: &People) -> Self {
        let mut facts = Self { hostname: None, connect_port: None, games_running: None };
        for field in Fields::of(body) {
            match field {
                (3, Value::Number(port)) => facts.connect_port = u16::try_from(port).ok(),
                (4, Value::Bytes(name)) => facts.hostname = some_text(name, MAX_NAME).map(|name| people.show(&name)),
                (14, Value::Number(runs)) => facts.games_running = Some(runs != 0),
                _ => {}
            }
        }
        facts
    }
}

/// A flow: the status repeats, so only changes are told.
#[derive(Default)]
struct Discovery {
    last: Option<Facts>,
}

impl Conversation for Discovery {
    fn read(&mut self, segment: &Segment<'_>, out: &mut Output) -> Step {
        let Some(message) = Message::of(segment.bytes) else { return Step::Consumed(segment.bytes.len()) };
        out.identify(DISCOVERY.name);
        if message.kind == Message::STATUS {
            let facts = Facts::of(message.body, &out.people);
            if self.last.as_ref() != Some(&facts) {
                let told = Facts { hostname: facts.hostname.clone(), ..facts };
                self.last = Some(facts);
                out.emit(segment.time, "steam", told);
            }
        }
        Step::Consumed(segment.bytes.len())
    }

    fn memory(&self) -> usize {
        self.last.as_ref().and_then(|facts| facts.hostname.as_ref()).map_or(0, String::capacity)
    }
}

struct Relay;

impl Conversation for Relay {
    fn read(&mut self, _: &Segment<'_>, out: &mut Output) -> Step {
        out.identify(RELAY.name);
        Step::Done
    }
}

/// As much of protobuf's encoding as these messages need (protobuf.dev/programming-guides/encoding).
mod protobuf {
    /// A field's value.
    pub(super) enum Value<'a> {
        /// Of the types that are a varint.
        Number(u64),
        /// Text, bytes, or a message within.
        Bytes(&'a [u8]),
        /// 32 or 64 bits, which nobody here asks for.
        Fixed,
    }

    /// Number and value of each field, as far as they can be read.
    pub(super) struct Fields<'a>(&'a [u8]);

    impl<'a> Fields<'a> {
        pub(super) const fn of(message: &'a [u8]) -> Self {
            Self(message)
        }

        fn varint(&mut self) -> Option<u64> {
            let mut value = 0;
            for shift in (0..64).step_by(7) {
                let (byte, rest) = self.0.split_first()?;
                self.0 = rest;
                value |= u64::from(byte & 0x7f) << shift;
                if byte & 0x80 == 0 {
                    return Some(value);
                }
            }
            None
        }

        fn take(&mut self, length: u64) -> Option<&'a [u8]> {
            let (bytes, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
            self.0 = rest;
            Some(bytes)
        }

        fn field(&mut self) -> Option<(u64, Value<'a>)> {
            let tag = self.varint()?;
            let value = match tag & 7 {
                0 => Value::Number(self.varint()?),
                1 => self.take(8).map(|_| Value::Fixed)?,
                2 => {
                    let length = self.varint()?;
                    Value::Bytes(self.take(length)?)
                }
                5 => self.take(4).map(|_| Value::Fixed)?,
                _ => return None,
            };
            Some((tag >> 3, value))
        }
    }

    impl<'a> Iterator for Fields<'a> {
        type Item = (u64, Value<'a>);

        fn next(&mut self) -> Option<Self::Item> {
            let field = self.field();
            if field.is_none() {
                // What follows something unreadable has no meaning.
                self.0 = &[];
            }
            field
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dissect::app::Direction::Out;
    use crate::dissect::app::testing::{self, converse, mistreat};

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let header = [0x08, 0xb9, 0x60, 0x10, kind];
        let length = |part: &[u8]| u32::try_from(part.len()).expect("short").to_le_bytes();
        [MAGIC, &length(&header), &header, &length(body), body].concat()
    }

    fn status(games: u8) -> Vec<u8> {
        let mut body = vec![0x08, 8, 0x10, 6, 0x18, 0x9c, 0xd3, 0x01, 0x22, 9];
        body.extend(b"steamdeck");
        // A user: a fixed number of 64 bits within.
        body.extend([0x4a, 9, 0x09, 1, 2, 3, 4, 5, 6, 7, 8, 0x70, games]);
        message(1, &body)
    }

    #[test]
    fn a_client_tells_of_itself_and_of_changes() {
        let (quiet, busy) = (status(0), status(1));
        let out = converse(&DISCOVERY, &[(Out, &quiet), (Out, &quiet), (Out, &busy)]);
        let told: Vec<_> = out.events.iter().map(testing::json).collect();
        let facts = |games| json!({"hostname": "steamdeck", "connect_port": 27_036, "games_running": games});
        assert_eq!(told, [facts(false), facts(true)]);
        assert_eq!(out.label.app, Some("steam_ihs_discovery"));
        let mut line = String::new();
        (DISCOVERY.summary)(&quiet, &mut line);
        assert_eq!(line, "Steam status");
    }

    #[test]
    fn a_search_is_recognised_and_tells_nothing() {
        let out = converse(&DISCOVERY, &[(Out, &message(0, &[0x08, 1]))]);
        assert!(out.events.is_empty());
        assert_eq!(out.label.app, Some("steam_ihs_discovery"));
    }

    #[test]
    fn a_relay_is_probed() {
        let ping = [&[0x18, 0][..], b"sdping", &[0; 92]].concat();
        let out = converse(&RELAY, &[(Out, &ping)]);
        assert_eq!((out.events.len(), out.label.app), (0, Some("steam_sdr")));
        assert_eq!(testing::probe(&RELAY, &ping[..99]), Probe::No);
    }

    #[test]
    fn lengths_that_lie_are_not_believed() {
        let whole = status(0);
        for end in 0..whole.len() {
            assert_eq!(testing::probe(&DISCOVERY, &whole[..end]), Probe::No, "{end}");
        }
        assert_eq!(testing::probe(&DISCOVERY, &whole), Probe::Yes);
        let endless = message(1, &[0xff; 20]);
        assert_eq!(testing::json(&converse(&DISCOVERY, &[(Out, &endless)]).events[0]), json!({}));
    }

    #[test]
    fn survives_damage() {
        mistreat(&DISCOVERY, &[(Out, &status(1)), (Out, &message(0, &[0x08, 1]))]);
        mistreat(&RELAY, &[(Out, &[&[0x18, 0][..], b"sdping", &[0; 92]].concat())]);
    }
}
