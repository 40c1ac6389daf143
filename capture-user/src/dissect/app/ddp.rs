//! PlayStation device discovery: text in the manner of HTTP, lines that end with LF alone, on UDP 987 (PS4) and 9302
//! (PS5). A console tells in its replies what it is, what it is called and which game it runs.

use std::hash::{DefaultHasher, Hash, Hasher};

use schemars::JsonSchema;
use serde::Serialize;

use super::{Conversation, Output, Over, People, Probe, Protocol, RecordKind, Segment, Step};

/// The protocol.
pub static PROTOCOL: Protocol = Protocol {
    name: "ddp",
    over: Over::Udp,
    ports: &[9302, 987],
    probe,
    open: || Box::new(Ddp::default()),
    kinds: &[RecordKind::of::<Facts>("ddp")],
    summary,
};

/// Bytes of a value that are kept.
const MAX_VALUE: usize = 128;

fn probe(segment: &Segment<'_>) -> Probe {
    match Message::of(segment.bytes) {
        Some(Message::Search | Message::Wakeup) => Probe::Yes,
        Some(Message::On | Message::Standby) if is_console(segment.bytes) => Probe::Yes,
        _ => Probe::No,
    }
}

/// Whether a reply has a field that only consoles send.
fn is_console(bytes: &[u8]) -> bool {
    fields(bytes).any(|(name, _)| matches!(name, b"host-type" | b"device-discovery-protocol-version"))
}

/// What a datagram is, by its first line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Message {
    /// Who looks for consoles.
    Search,
    /// Who wakes one.
    Wakeup,
    /// A reply of a console that is on.
    On,
    /// A reply of a console in rest mode.
    Standby,
}

impl Message {
    fn of(bytes: &[u8]) -> Option<Self> {
        // What does not begin like one of them need not be searched for the end of its line.
        if !matches!(bytes.first(), Some(b'S' | b'W' | b'H')) {
            return None;
        }
        let line = bytes.split(|byte| *byte == b'\n').next()?;
        match line {
            b"SRCH * HTTP/1.1" => Some(Self::Search),
            b"WAKEUP * HTTP/1.1" => Some(Self::Wakeup),
            _ if line.starts_with(b"HTTP/1.1 200") => Some(Self::On),
            _ if line.starts_with(b"HTTP/1.1 620") => Some(Self::Standby),
            _ => None,
        }
    }
}

/// Names and values of the lines behind the first.
fn fields(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    bytes.split(|byte| *byte == b'\n').skip(1).filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = line.split_at(colon);
        Some((name.trim_ascii(), value.get(1..)?.trim_ascii()))
    })
}

fn value(bytes: &[u8], wanted: &str) -> Option<String> {
    let (_, value) = fields(bytes).find(|(name, _)| *name == wanted.as_bytes())?;
    let value = value.get(..MAX_VALUE).unwrap_or(value);
    (!value.is_empty()).then(|| String::from_utf8_lossy(value).into_owned())
}

/// What a datagram says. The credential of a wake request is a secret and is not among it.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Facts {
    /// What it is.
    message: Message,
    /// `device-discovery-protocol-version`.
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol_version: Option<String>,
    /// The kind of console that answers: `PS4`, `PS5`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_type: Option<String>,
    /// The console's MAC.
    #[serde(skip_serializing_if = "Option::is_none")]
    host_id: Option<String>,
    /// The name its owner gave the console.
    #[serde(skip_serializing_if = "Option::is_none")]
    host_name: Option<String>,
    /// The port for requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    host_request_port: Option<u16>,
    /// The console's system software.
    #[serde(skip_serializing_if = "Option::is_none")]
    system_version: Option<String>,
    /// What runs on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    running_app_name: Option<String>,
    /// The same by Sony's identifier.
    #[serde(skip_serializing_if = "Option::is_none")]
    running_app_titleid: Option<String>,
}

impl Facts {
    fn of(message: Message, bytes: &[u8], people: &People) -> Self {
        Self {
            message,
            protocol_version: value(bytes, "device-discovery-protocol-version"),
            host_type: value(bytes, "host-type"),
            host_id: value(bytes, "host-id").map(|id| mac(&id)),
            host_name: value(bytes, "host-name").map(|name| people.show(&name)),
            host_request_port: value(bytes, "host-request-port").and_then(|port| port.parse().ok()),
            system_version: value(bytes, "system-version"),
            running_app_name: value(bytes, "running-app-name"),
            running_app_titleid: value(bytes, "running-app-titleid"),
        }
    }
}

/// Twelve hex digits as other records write a MAC; anything else as it is.
fn mac(id: &str) -> String {
    if id.len() != 12 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return id.to_owned();
    }
    let digits = id.to_ascii_lowercase();
    let pairs: Vec<&str> = (0..6).filter_map(|pair| digits.get(2 * pair..2 * pair + 2)).collect();
    pairs.join(":")
}

/// A flow: searches repeat every second or so, so only what differs from the last of its kind is told.
#[derive(Default)]
struct Ddp {
    last: [Option<u64>; 4],
}

impl Conversation for Ddp {
    fn read(&mut self, segment: &Segment<'_>, out: &mut Output) -> Step {
        let Some(message) = Message::of(segment.bytes) else { return Step::Consumed(segment.bytes.len()) };
        out.identify(PROTOCOL.name);
        let mut hasher = DefaultHasher::new();
        segment.bytes.hash(&mut hasher);
        let now = Some(hasher.finish());
        if let Some(last) = self.last.get_mut(message as usize)
            && *last != now
        {
            *last = now;
            out.emit(segment.time, "ddp", Facts::of(message, segment.bytes, &out.people));
        }
        Step::Consumed(segment.bytes.len())
    }
}

fn summary(bytes: &[u8], line: &mut String) {
    match Message::of(bytes) {
        Some(Message::Search) => line.push_str("Search for consoles"),
        Some(Message::Wakeup) => line.push_str("Wake a console"),
        Some(reply) => {
            line.push_str(if reply == Message::On { "Console is on" } else { "Console is in standby" });
            if let Some(title) = value(bytes, "running-app-titleid") {
                line.push_str(", runs ");
                line.push_str(&title);
            }
        }
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dissect::app::Direction::{In, Out};
    use crate::dissect::app::testing::{self, converse, mistreat};

    const SEARCH: &[u8] = b"SRCH * HTTP/1.1\ndevice-discovery-protocol-version:00020020\n";
    const REPLY: &[u8] = b"HTTP/1.1 200 Ok\nhost-id:00D9D1AABBCC\nhost-type:PS4\nhost-name:Anna's PS4\n\
        host-request-port:997\ndevice-discovery-protocol-version:00020020\nsystem-version:07020001\n\
        running-app-name:Overwatch\nrunning-app-titleid:CUSA03975\n";
    const WAKEUP: &[u8] = b"WAKEUP * HTTP/1.1\nclient-type:vr\nauth-type:R\nmodel:w\napp-type:r\n\
        user-credential:12345678\ndevice-discovery-protocol-version:00020020\n";

    #[test]
    fn a_reply_names_the_console_and_the_game() {
        let out = converse(&PROTOCOL, &[(Out, SEARCH), (In, REPLY), (Out, SEARCH), (In, REPLY)]);
        let told: Vec<_> = out.events.iter().map(testing::json).collect();
        let reply = json!({
            "message": "on", "protocol_version": "00020020", "host_type": "PS4", "host_id": "00:d9:d1:aa:bb:cc",
            "host_name": "Anna's PS4", "host_request_port": 997, "system_version": "07020001",
            "running_app_name": "Overwatch", "running_app_titleid": "CUSA03975",
        });
        assert_eq!(told, [json!({"message": "search", "protocol_version": "00020020"}), reply]);
        assert_eq!(out.label.app, Some("ddp"));
    }

    #[test]
    fn a_change_is_told_and_a_name_can_be_hidden() {
        let mut out = Output { people: People::hashed([7; 16]), ..Output::default() };
        let mut conversation = (PROTOCOL.open)();
        let standby = b"HTTP/1.1 620 Server Standby\nhost-type:PS5\nhost-name:Anna\n";
        for reply in [REPLY, standby, b"HTTP/1.1 200 Ok\nhost-type:PS4\nrunning-app-titleid:CUSA1\n"] {
            conversation.read(&testing::segment(&PROTOCOL, 0, In, reply), &mut out);
        }
        let told: Vec<_> = out.events.iter().map(testing::json).collect();
        assert_eq!(told.len(), 3);
        assert_eq!(told[1]["message"], "standby");
        assert!(told[1]["host_name"].as_str().is_some_and(|name| name.starts_with('~')), "{}", told[1]);
        assert_eq!(told[2]["running_app_titleid"], "CUSA1");
    }

    #[test]
    fn the_credential_stays_secret() {
        let out = converse(&PROTOCOL, &[(Out, WAKEUP)]);
        let mut line = String::new();
        (PROTOCOL.summary)(WAKEUP, &mut line);
        assert_eq!(out.events.len(), 1);
        assert!(!format!("{out:?}{}{line}", testing::json(&out.events[0])).contains("12345678"));
    }

    #[test]
    fn other_text_is_not_it() {
        let ssdp = b"HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\n\r\n";
        for other in [&b"M-SEARCH * HTTP/1.1\r\n"[..], ssdp, b"SRCH * HTTP/1.1\r\n", b"", b"\n\n"] {
            assert_eq!(testing::probe(&PROTOCOL, other), Probe::No, "{}", other.escape_ascii());
        }
        assert_eq!(testing::probe(&PROTOCOL, SEARCH), Probe::Yes);
        assert_eq!(testing::probe(&PROTOCOL, REPLY), Probe::Yes);
    }

    #[test]
    fn survives_damage() {
        mistreat(&PROTOCOL, &[(Out, SEARCH), (In, REPLY), (Out, WAKEUP)]);
    }
}
