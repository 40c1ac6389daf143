//! Xbox SmartGlass on UDP 5050: how a phone or PC finds an Xbox, wakes it and connects to it. What is said after that is
//! encrypted. Layout after OpenXbox's description of the protocol (numbers in network order).

use schemars::JsonSchema;
use serde::Serialize;

use super::wire::{Reader, some_text};
use super::{Conversation, Output, Over, People, Probe, Protocol, RecordKind, Segment, Step};

/// The protocol.
pub static PROTOCOL: Protocol = Protocol {
    name: "smartglass",
    over: Over::Udp,
    ports: &[5050],
    probe,
    open: || Box::new(SmartGlass::default()),
    kinds: &[RecordKind::of::<Facts>("smartglass")],
    summary,
};

/// Bytes of a text that are kept.
const MAX_TEXT: usize = 128;

/// A length that is right proves much; on another port it is not enough.
fn probe(segment: &Segment<'_>) -> Probe {
    match Packet::of(segment.bytes) {
        Some(Packet { kind: Kind::Message, .. }) if segment.on_port(PROTOCOL.ports) => Probe::Maybe,
        Some(_) if segment.on_port(PROTOCOL.ports) => Probe::Yes,
        _ => Probe::No,
    }
}

/// What a datagram is, by its first two bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// Who is there?
    DiscoveryRequest,
    /// An Xbox is.
    DiscoveryResponse,
    /// Wake up.
    PowerOn,
    /// A client connects.
    ConnectRequest,
    /// It may, or not: the answer is encrypted.
    ConnectResponse,
    /// Part of a connection, encrypted.
    Message,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::DiscoveryRequest => "discovery request",
            Self::DiscoveryResponse => "discovery response",
            Self::PowerOn => "power on",
            Self::ConnectRequest => "connect request",
            Self::ConnectResponse => "connect response",
            Self::Message => "message",
        }
    }
}

/// A datagram.
struct Packet<'a> {
    kind: Kind,
    /// The part that is not encrypted.
    plain: Reader<'a>,
}

impl<'a> Packet<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let kind = match reader.u16()? {
            0xdd00 => Kind::DiscoveryRequest,
            0xdd01 => Kind::DiscoveryResponse,
            0xdd02 => Kind::PowerOn,
            0xcc00 => Kind::ConnectRequest,
            0xcc01 => Kind::ConnectResponse,
            0xd00d => Kind::Message,
            _ => return None,
        };
        let length = usize::from(reader.u16()?);
        if kind == Kind::Message {
            // Sequence, two participants, flags and channel; then what is encrypted, and a signature.
            reader.take(4 + 4 + 4 + 2 + 8)?;
            return (reader.rest().len() >= length).then_some(Self { kind, plain: Reader::new(&[]) });
        }
        let encrypted = match kind {
            Kind::ConnectRequest | Kind::ConnectResponse => usize::from(reader.u16()?),
            _ => 0,
        };
        let _version = reader.u16()?;
        let plain = reader.take(length)?;
        let rest = reader.rest().len();
        let fits = if encrypted == 0 { rest == 0 } else { rest >= encrypted };
        fits.then_some(Self { kind, plain: Reader::new(plain) })
    }

    fn facts(mut self, people: &People) -> Facts {
        let mut facts = Facts { message: self.kind, client_type: None, name: None, uuid: None, live_id: None };
        match self.kind {
            Kind::DiscoveryRequest | Kind::DiscoveryResponse => {
                let _flags = self.plain.u32();
                facts.client_type = self.plain.u16().map(client_type);
            }
            Kind::PowerOn => facts.live_id = text(&mut self.plain),
            _ => {}
        }
        if self.kind == Kind::DiscoveryResponse {
            facts.name = text(&mut self.plain).map(|name| people.show(&name));
            facts.uuid = text(&mut self.plain);
        }
        facts
    }
}

/// A text with its length before it and a zero behind it.
fn text(reader: &mut Reader<'_>) -> Option<String> {
    let length = usize::from(reader.u16()?);
    let bytes = reader.take(length)?;
    reader.u8()?;
    some_text(bytes, MAX_TEXT)
}

/// What a client or console is.
fn client_type(number: u16) -> &'static str {
    match number {
        1 => "xbox_one",
        2 => "xbox_360",
        3 => "windows_desktop",
        4 => "windows_store",
        5 => "windows_phone",
        6 => "iphone",
        7 => "ipad",
        8 => "android",
        _ => "unknown",
    }
}

/// A phone or PC looked for an Xbox, or an Xbox answered.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Facts {
    /// What was said.
    message: Kind,
    /// What the sender is: `xbox_one` (also the later ones), `windows_desktop`, `android`…
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_type: Option<&'static str>,
    /// The name its owner gave the console.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// The console's identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    uuid: Option<String>,
    /// Which console is woken.
    #[serde(skip_serializing_if = "Option::is_none")]
    live_id: Option<String>,
}

/// A flow: searches repeat, so each kind of message is told once.
#[derive(Default)]
struct SmartGlass {
    told: u8,
}

impl Conversation for SmartGlass {
    fn read(&mut self, segment: &Segment<'_>, out: &mut Output) -> Step {
        let Some(packet) = Packet::of(segment.bytes) else { return Step::Consumed(segment.bytes.len()) };
        out.identify(PROTOCOL.name);
        let bit = 1 << packet.kind as u8;
        if packet.kind != Kind::Message && self.told & bit == 0 {
            self.told |= bit;
            out.emit(segment.time, "smartglass", packet.facts(&out.people));
        }
        Step::Consumed(segment.bytes.len())
    }
}

fn summary(bytes: &[u8], line: &mut String) {
    if let Some(packet) = Packet::of(bytes) {
        line.push_str("SmartGlass ");
        line.push_str(packet.kind.name());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dissect::app::Direction::{In, Out};
    use crate::dissect::app::testing::{self, converse, mistreat};

    const REQUEST: &[u8] = &[0xdd, 0, 0, 10, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 2];

    fn response() -> Vec<u8> {
        let mut plain = vec![0, 0, 0, 1, 0, 1, 0, 7];
        plain.extend(b"XboxOne\0");
        plain.extend([0, 36]);
        plain.extend(b"DE305D54-75B4-431B-ADB2-EB6B9E546014\0");
        plain.extend([0, 0, 0, 0, 0, 0]);
        let mut bytes = vec![0xdd, 1, 0, u8::try_from(plain.len()).expect("short"), 0, 2];
        bytes.extend(plain);
        bytes
    }

    fn power_on() -> Vec<u8> {
        [&[0xdd, 2, 0, 19, 0, 0, 0, 16][..], b"FD00112233FFEE66\0"].concat()
    }

    #[test]
    fn an_xbox_answers() {
        let response = response();
        let out = converse(&PROTOCOL, &[(Out, REQUEST), (In, &response), (Out, REQUEST), (In, &response)]);
        let told: Vec<_> = out.events.iter().map(testing::json).collect();
        assert_eq!(
            told,
            [
                json!({"message": "discovery_request", "client_type": "android"}),
                json!({
                    "message": "discovery_response", "client_type": "xbox_one", "name": "XboxOne",
                    "uuid": "DE305D54-75B4-431B-ADB2-EB6B9E546014",
                }),
            ]
        );
        assert_eq!(out.label.app, Some("smartglass"));
    }

    #[test]
    fn names_can_be_hidden() {
        let mut out = Output { people: People::hashed([7; 16]), ..Output::default() };
        (PROTOCOL.open)().read(&testing::segment(&PROTOCOL, 0, In, &response()), &mut out);
        let name = testing::json(&out.events[0])["name"].as_str().map(str::to_owned);
        assert!(name.is_some_and(|name| name.starts_with('~')), "{out:?}");
    }

    #[test]
    fn a_console_is_woken_and_connected_to() {
        let (power_on, message) = (power_on(), [&[0xd0, 0x0d, 0, 4][..], &[7; 22 + 4 + 32]].concat());
        let out = converse(&PROTOCOL, &[(Out, &power_on), (Out, &message), (In, &message)]);
        let told: Vec<_> = out.events.iter().map(testing::json).collect();
        assert_eq!(told, [json!({"message": "power_on", "live_id": "FD00112233FFEE66"})]);
    }

    #[test]
    fn the_port_and_the_lengths_are_needed() {
        assert_eq!(testing::probe(&PROTOCOL, REQUEST), Probe::Yes);
        assert_eq!(testing::probe(&PROTOCOL, &REQUEST[..15]), Probe::No);
        assert_eq!(testing::probe(&PROTOCOL, &[REQUEST, &[0]].concat()), Probe::No);
        let mut elsewhere = testing::segment(&PROTOCOL, 0, Out, REQUEST);
        elsewhere.destination.set_port(3074);
        assert_eq!(probe(&elsewhere), Probe::No);
    }

    #[test]
    fn survives_damage() {
        mistreat(&PROTOCOL, &[(Out, REQUEST), (In, &response()), (Out, &power_on())]);
    }
}
