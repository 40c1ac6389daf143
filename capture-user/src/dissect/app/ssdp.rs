//! SSDP, the discovery of UPnP (UPnP Device Architecture 2.0, section 1): heads of HTTP in datagrams, mostly to
//! everybody. One record for each message.

use schemars::JsonSchema;
use serde::Serialize;

use super::http::{Head, Start};
use super::wire::{some_text, text};
use super::{Conversation, Output, Over, Probe, Protocol, RecordKind, Segment, Step};

/// The simple service discovery protocol.
pub static PROTOCOL: Protocol = Protocol {
    name: "ssdp",
    over: Over::Udp,
    ports: &[1900],
    probe,
    open: || Box::new(Ssdp { sure: false }),
    kinds: &[RecordKind::of::<Message>("ssdp")],
    summary,
};

/// Bytes of text kept of a field.
const MAX_TEXT: usize = 512;

fn probe(segment: &Segment<'_>) -> Probe {
    let Some(head) = Head::datagram(segment.bytes) else { return Probe::No };
    let usual = match head.start {
        Start::Request { method, .. } => matches!(method, b"M-SEARCH" | b"NOTIFY"),
        Start::Response { .. } => segment.on_port(PROTOCOL.ports) || head.field("USN").is_some(),
    };
    if usual { Probe::Yes } else { Probe::No }
}

/// What an `ssdp` record says: the fields of section 1.2 and 1.3.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Message {
    /// M-SEARCH or NOTIFY.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Of an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What is searched, or was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub st: Option<String>,
    /// What is announced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nt: Option<String>,
    /// Whether it comes or goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nts: Option<String>,
    /// Who it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usn: Option<String>,
    /// Where its description is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// What searches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
}

impl Message {
    fn new(head: &Head<'_>) -> Self {
        let field = |name| head.field(name).and_then(|value| some_text(value, MAX_TEXT));
        let (method, status) = match head.start {
            Start::Request { method, .. } => (some_text(method, MAX_TEXT), None),
            Start::Response { status } => (None, Some(status)),
        };
        Self {
            method,
            status,
            st: field("ST"),
            nt: field("NT"),
            nts: field("NTS"),
            usn: field("USN"),
            location: field("LOCATION"),
            server: field("SERVER"),
            user_agent: field("USER-AGENT"),
        }
    }
}

struct Ssdp {
    sure: bool,
}

impl Conversation for Ssdp {
    fn read(&mut self, segment: &Segment<'_>, out: &mut Output) -> Step {
        let Some(head) = Head::datagram(segment.bytes) else {
            return if self.sure { Step::Consumed(segment.bytes.len()) } else { Step::Reject };
        };
        if !self.sure {
            self.sure = true;
            out.identify(PROTOCOL.name);
        }
        out.emit(segment.time, "ssdp", Message::new(&head));
        Step::Consumed(segment.bytes.len())
    }
}

/// The start line, as it stands.
fn summary(bytes: &[u8], line: &mut String) {
    if Head::datagram(bytes).is_some() {
        line.push_str(&text(bytes.split(|byte| *byte == b'\n').next().unwrap_or_default(), 200));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dissect::app::Direction;
    use crate::dissect::app::testing::{converse, json, mistreat, probe};

    const SEARCH: &[u8] = b"M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\n\
        MX: 1\r\nST: urn:dial-multiscreen-org:service:dial:1\r\nUSER-AGENT: Console/1\r\n\r\n";
    const FOUND: &[u8] = b"HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\nUSN: uuid:1\r\n\
        LOCATION: http://192.168.1.1:5000/d.xml\r\nSERVER: x UPnP/1.0\r\n\r\n";
    const NOTIFY: &[u8] = b"NOTIFY * HTTP/1.1\r\nNT: upnp:rootdevice\r\nNTS: ssdp:alive\r\nUSN: uuid:1";

    #[test]
    fn search_answer_and_announcement() {
        let script = [(Direction::Out, SEARCH), (Direction::In, FOUND), (Direction::Out, NOTIFY)];
        let out = converse(&PROTOCOL, &script);
        let told: Vec<_> = out.events.iter().map(json).collect();
        assert_eq!(
            told,
            [
                json!({"method": "M-SEARCH", "st": "urn:dial-multiscreen-org:service:dial:1",
                    "user_agent": "Console/1"}),
                json!({"status": 200, "st": "upnp:rootdevice", "usn": "uuid:1",
                    "location": "http://192.168.1.1:5000/d.xml", "server": "x UPnP/1.0"}),
                json!({"method": "NOTIFY", "nt": "upnp:rootdevice", "nts": "ssdp:alive", "usn": "uuid:1"}),
            ]
        );
        assert_eq!(out.label.app, Some("ssdp"));
        mistreat(&PROTOCOL, &script);
    }

    #[test]
    fn probes_and_summary() {
        for own in [SEARCH, FOUND, NOTIFY] {
            assert_eq!(probe(&PROTOCOL, own), Probe::Yes);
        }
        for foreign in [b"INVITE sip:a@b SIP/2.0\r\n".as_slice(), b"GET / HTTP/1.1\r\n", &[0; 40], b""] {
            assert_eq!(probe(&PROTOCOL, foreign), Probe::No);
        }
        let mut line = String::new();
        summary(SEARCH, &mut line);
        assert_eq!(line, "M-SEARCH * HTTP/1.1");
    }
}
