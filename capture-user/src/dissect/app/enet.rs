//! ENet: the connect command, which opens a connection of the games built on that library. Later packets have no mark.

use schemars::JsonSchema;
use serde::Serialize;

use super::bytes::{at, has, u32_at};
use super::{Conversation, Output, Over, Probe, Protocol, RecordKind, Segment, Step};

/// The protocol.
pub static PROTOCOL: Protocol = Protocol {
    name: "enet",
    over: Over::Udp,
    ports: &[],
    probe,
    open: || Box::new(Enet),
    kinds: &[RecordKind::of::<Connect>("enet")],
    summary,
};

/// The connect command, with the acknowledge flag, on no channel, as the first reliable one.
const CONNECT: &[u8] = &[0x82, 0xff, 0x00, 0x01];

fn probe(segment: &Segment<'_>) -> Probe {
    if Connect::of(segment.bytes).is_some() { Probe::Yes } else { Probe::No }
}

/// What a client asks for.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
struct Connect {
    /// The greatest packet it takes, in bytes.
    mtu: u32,
    /// Channels it wants.
    channels: u32,
    /// Whether packets carry a checksum.
    checksum: bool,
}

impl Connect {
    fn of(bytes: &[u8]) -> Option<Self> {
        // No peer yet, and the time of sending follows.
        let [0x8f, 0xff, _, _] = at(bytes, 0)? else { return None };
        let command = match bytes.len() {
            52 => 4,
            56 => 8,
            _ => return None,
        };
        // Command (4), peer (2), sessions (2), MTU, window, channels…
        has(bytes, command, CONNECT).then_some(Self {
            mtu: u32_at(bytes, command + 8)?,
            channels: u32_at(bytes, command + 16)?,
            checksum: command == 8,
        })
    }
}

struct Enet;

impl Conversation for Enet {
    fn read(&mut self, segment: &Segment<'_>, out: &mut Output) -> Step {
        let Some(connect) = Connect::of(segment.bytes) else { return Step::Reject };
        out.identify(PROTOCOL.name);
        out.emit(segment.time, "enet", connect);
        Step::Done
    }
}

fn summary(bytes: &[u8], line: &mut String) {
    if let Some(connect) = Connect::of(bytes) {
        line.push_str(&format!("Connect, {} channels, MTU {}", connect.channels, connect.mtu));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dissect::app::Direction::Out;
    use crate::dissect::app::testing::{self, converse, mistreat};

    fn connect(checksum: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x8f, 0xff, 0x12, 0x34];
        packet.extend(checksum);
        packet.extend(CONNECT);
        packet.extend([0, 0, 0xff, 0xff]);
        for word in [1392_u32, 65_536, 2, 0, 0, 5_000, 2, 2, 0xcafe, 0] {
            packet.extend(word.to_be_bytes());
        }
        packet
    }

    #[test]
    fn a_connect_tells_what_it_asks_for() {
        for (packet, checksum) in [(connect(&[]), false), (connect(&[1, 2, 3, 4]), true)] {
            let out = converse(&PROTOCOL, &[(Out, &packet)]);
            let expected = json!({"mtu": 1392, "channels": 2, "checksum": checksum});
            assert_eq!(testing::json(&out.events[0]), expected);
            assert_eq!((out.label.app, testing::probe(&PROTOCOL, &packet)), (Some("enet"), Probe::Yes));
        }
    }

    #[test]
    fn other_lengths_and_commands_are_not_it() {
        let packet = connect(&[]);
        assert_eq!(testing::probe(&PROTOCOL, &packet[..51]), Probe::No);
        for place in [0, 1, 4, 5, 7] {
            let mut other = packet.clone();
            other[place] ^= 0x40;
            assert_eq!(testing::probe(&PROTOCOL, &other), Probe::No, "{place}");
        }
    }

    #[test]
    fn survives_damage() {
        mistreat(&PROTOCOL, &[(Out, &connect(&[])), (Out, &connect(&[1; 4]))]);
    }
}
