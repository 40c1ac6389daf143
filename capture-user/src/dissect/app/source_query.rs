//! Queries of Valve's game servers ("A2S"): what a server is called, which map it plays, how many play on it.

use schemars::JsonSchema;
use serde::Serialize;

use super::bytes::has;
use super::{Conversation, Output, Over, Probe, Protocol, RecordKind, Segment, Step};

/// The protocol.
pub static PROTOCOL: Protocol = Protocol {
    name: "a2s",
    over: Over::Udp,
    ports: &[27_015, 27_016, 27_017],
    probe,
    open: || Box::new(Query::default()),
    kinds: &[RecordKind::of::<Info>("a2s")],
    summary,
};

/// A datagram that is whole; others are pieces of a reply and begin with -2.
const WHOLE: &[u8] = &[0xff; 4];
const INFO: &[u8] = b"Source Engine Query\0";
/// Bytes of a text that are kept.
const MAX_TEXT: usize = 128;

/// The question has its own text. The others have nothing but a byte, so there the port has to speak for them.
fn probe(segment: &Segment<'_>) -> Probe {
    match Message::of(segment.bytes) {
        Some(Message::InfoRequest) => Probe::Yes,
        Some(Message::Info(_)) => Probe::Maybe,
        Some(_) if segment.on_port(PROTOCOL.ports) => Probe::Maybe,
        _ => Probe::No,
    }
}

/// What a datagram is, by the byte behind the four of all ones.
enum Message {
    InfoRequest,
    Info(Box<Info>),
    Challenge,
    PlayersRequest,
    Players { count: u8 },
    RulesRequest,
    Rules,
}

impl Message {
    fn of(bytes: &[u8]) -> Option<Self> {
        let (kind, body) = bytes.strip_prefix(WHOLE)?.split_first()?;
        match kind {
            0x54 => (has(body, 0, INFO) && matches!(body.len(), 20 | 24)).then_some(Self::InfoRequest),
            0x49 => Info::of(body).map(|info| Self::Info(Box::new(info))),
            0x41 => (body.len() == 4).then_some(Self::Challenge),
            0x55 => (body.len() == 4).then_some(Self::PlayersRequest),
            0x56 => (body.len() == 4).then_some(Self::RulesRequest),
            0x44 => body.first().map(|count| Self::Players { count: *count }),
            0x45 => (body.len() >= 2).then_some(Self::Rules),
            _ => None,
        }
    }
}

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
struct Info {
    /// The server's name.
    name: String,
    /// The map that is played.
    map: String,
    /// The folder of the game's files.
    folder: String,
    /// The game's name.
    game: String,
    /// Steam's number of the game; its lower 16 bits.
    app_id: u16,
    /// Who plays now, bots included.
    players: u8,
    /// Places.
    max_players: u8,
    /// Players that are none.
    bots: u8,
    /// Who runs it: `dedicated`, `listen` or `proxy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    server_type: Option<&'static str>,
    /// The operating system it runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<&'static str>,
    /// Whether it asks for a password.
    private: bool,
    /// The game's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

impl Info {
    fn of(body: &[u8]) -> Option<Self> {
        let (_protocol, rest) = body.split_first()?;
        let (name, rest) = text(rest)?;
        let (map, rest) = text(rest)?;
        let (folder, rest) = text(rest)?;
        let (game, rest) = text(rest)?;
        let (&[a, b, players, max_players, bots, kind, system, private, _secured], rest) = rest.split_first_chunk()?;
        if private > 1 {
            return None;
        }
        Some(Self {
            name,
            map,
            folder,
            game,
            app_id: u16::from_le_bytes([a, b]),
            players,
            max_players,
            bots,
            server_type: server_type(kind),
            environment: environment(system),
            private: private == 1,
            version: text(rest).map(|(version, _)| version),
        })
    }
}

fn server_type(letter: u8) -> Option<&'static str> {
    match letter.to_ascii_lowercase() {
        b'd' => Some("dedicated"),
        b'l' => Some("listen"),
        b'p' => Some("proxy"),
        _ => None,
    }
}

fn environment(letter: u8) -> Option<&'static str> {
    match letter.to_ascii_lowercase() {
        b'l' => Some("linux"),
        b'w' => Some("windows"),
        b'm' | b'o' => Some("macos"),
        _ => None,
    }
}

/// A text that ends with a zero byte, and what follows it.
fn text(bytes: &[u8]) -> Option<(String, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let (text, rest) = bytes.split_at_checked(end)?;
    let kept = text.get(..MAX_TEXT).unwrap_or(text);
    Some((String::from_utf8_lossy(kept).into_owned(), rest.get(1..)?))
}

/// A flow; what the server says is told when it is new, the number of players aside.
#[derive(Default)]
struct Query {
    told: Option<Box<Info>>,
}

impl Conversation for Query {
    fn read(&mut self, segment: &Segment<'_>, out: &mut Output) -> Step {
        let identified = out.label.app == Some(PROTOCOL.name);
        match Message::of(segment.bytes) {
            Some(Message::Info(info)) => {
                out.identify(PROTOCOL.name);
                if self.told.as_ref().is_none_or(|told| (&told.name, &told.map) != (&info.name, &info.map)) {
                    out.emit(segment.time, "a2s", Info::clone(&info));
                    self.told = Some(info);
                }
            }
            Some(Message::InfoRequest | Message::PlayersRequest | Message::RulesRequest) => {
                out.identify(PROTOCOL.name);
            }
            // A game's own traffic may share the port.
            _ if !identified => return Step::Reject,
            _ => {}
        }
        Step::Consumed(segment.bytes.len())
    }

    fn memory(&self) -> usize {
        self.told.as_ref().map_or(0, |_| size_of::<Info>() + 5 * MAX_TEXT)
    }
}

fn summary(bytes: &[u8], line: &mut String) {
    line.push_str(match Message::of(bytes) {
        Some(Message::InfoRequest) => "Server info?",
        Some(Message::Challenge) => "Challenge",
        Some(Message::PlayersRequest) => "Players?",
        Some(Message::RulesRequest) => "Rules?",
        Some(Message::Rules) => "Rules",
        Some(Message::Players { count }) => return line.push_str(&format!("{count} players")),
        Some(Message::Info(info)) => {
            return line.push_str(&format!("{}, {}, {} of {}", info.name, info.map, info.players, info.max_players));
        }
        None => "",
    });
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dissect::app::Direction::{In, Out};
    use crate::dissect::app::testing::{self, converse, mistreat};

    const REQUEST: &[u8] = b"\xff\xff\xff\xffTSource Engine Query\0";

    fn info(map: &str, players: u8) -> Vec<u8> {
        let mut packet = b"\xff\xff\xff\xffI\x11Our server\0".to_vec();
        packet.extend(map.as_bytes());
        packet.extend(b"\0csgo\0Counter-Strike\0");
        packet.extend([0xda, 2, players, 16, 1, b'd', b'l', 0, 1]);
        packet.extend(b"1.38\0");
        packet
    }

    #[test]
    fn a_server_is_told_once_a_map() {
        let challenged = [REQUEST, &[1, 2, 3, 4]].concat();
        let out = converse(
            &PROTOCOL,
            &[
                (Out, REQUEST),
                (In, b"\xff\xff\xff\xffA\x01\x02\x03\x04"),
                (Out, &challenged),
                (In, &info("de_dust2", 9)),
                (In, &info("de_dust2", 10)),
                (In, &info("de_nuke", 10)),
            ],
        );
        let told: Vec<_> = out.events.iter().map(testing::json).collect();
        let expected = json!({
            "name": "Our server", "map": "de_dust2", "folder": "csgo", "game": "Counter-Strike", "app_id": 730,
            "players": 9, "max_players": 16, "bots": 1, "server_type": "dedicated", "environment": "linux",
            "private": false, "version": "1.38",
        });
        assert_eq!((told.len(), &told[0], &told[1]["map"]), (2, &expected, &json!("de_nuke")));
        assert_eq!(out.label.app, Some("a2s"));
    }

    #[test]
    fn a_question_is_enough_and_a_challenge_is_not() {
        assert_eq!(testing::probe(&PROTOCOL, REQUEST), Probe::Yes);
        assert_eq!(converse(&PROTOCOL, &[(Out, REQUEST)]).label.app, Some("a2s"));
        let challenge = b"\xff\xff\xff\xffA\x01\x02\x03\x04";
        assert_eq!(converse(&PROTOCOL, &[(In, challenge)]).label.app, None);
        let mut elsewhere = testing::segment(&PROTOCOL, 0, In, challenge);
        elsewhere.source.set_port(40_000);
        assert_eq!(probe(&elsewhere), Probe::No);
    }

    #[test]
    fn other_datagrams_are_not_it() {
        for other in [
            &b"\xff\xff\xff\xff"[..],
            b"\xff\xff\xff\xffTSource Engine",
            b"\xff\xff\xff\xffI\x11no end",
            b"T",
            b"",
            &[0xff; 40],
        ] {
            assert_eq!(testing::probe(&PROTOCOL, other), Probe::No, "{}", other.escape_ascii());
        }
    }

    #[test]
    fn survives_damage() {
        let players = b"\xff\xff\xff\xffD\x01\0Ann\0\x01\0\0\0\0\0\0\0";
        mistreat(&PROTOCOL, &[(Out, REQUEST), (In, &info("a", 1)), (Out, b"\xff\xff\xff\xffU\0\0\0\0"), (In, players)]);
    }
}
