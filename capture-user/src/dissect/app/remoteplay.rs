//! PlayStation Remote Play over TCP 9295: HTTP requests that register a client and open a session. What follows them is
//! enciphered. The requests carry keys, so of their fields only the version is read.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Conversation, Direction, Output, Over, Probe, Protocol, RecordKind, Segment, Step};

/// The protocol.
pub static PROTOCOL: Protocol = Protocol {
    name: "remoteplay",
    over: Over::Tcp,
    ports: &[9295],
    probe,
    open: || Box::<RemotePlay>::default(),
    kinds: &[RecordKind::of::<Facts>("remoteplay")],
    summary,
};

/// Where requests go, and to which console where the path says so.
const PATHS: &[(&[u8], Option<&str>)] = &[
    (b"/sie/ps4/rp/sess/", Some("ps4")),
    (b"/sie/ps5/rp/sess/", Some("ps5")),
    (b"/sce/rp/session", None),
    (b"/sce/rp/regist", None),
];
/// Bytes of a request that are waited for.
const MAX_REQUEST: usize = 4_096;

fn probe(segment: &Segment<'_>) -> Probe {
    if Request::of(segment.bytes).is_some() { Probe::Yes } else { Probe::No }
}

/// The parts of a request that are told.
struct Request<'a> {
    path: &'a [u8],
    console: Option<&'static str>,
}

impl<'a> Request<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let line = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next()?;
        let mut words = line.split(|byte| *byte == b' ');
        let (method, path) = (words.next()?, words.next()?);
        let (_, console) = PATHS.iter().find(|(start, _)| path.starts_with(start))?;
        matches!(method, b"GET" | b"POST").then_some(Self { path, console: *console })
    }
}

/// The value of the field `RP-Version`.
fn version(bytes: &[u8]) -> Option<String> {
    bytes.split(|byte| *byte == b'\n').find_map(|line| {
        let (name, value) = line.split_at_checked(11)?;
        let value = value.trim_ascii();
        let plausible = (1..=16).contains(&value.len()) && value.iter().all(|byte| byte.is_ascii_graphic());
        (name.eq_ignore_ascii_case(b"RP-Version:") && plausible).then(|| String::from_utf8_lossy(value).into_owned())
    })
}

/// A request to begin a session.
#[derive(Debug, Serialize, JsonSchema)]
struct Facts {
    /// The path of the request, without its parameters.
    request: String,
    /// The console that the path names.
    #[serde(skip_serializing_if = "Option::is_none")]
    console: Option<&'static str>,
    /// What the client says in `RP-Version`.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

#[derive(Default)]
struct RemotePlay {
    /// Which way the request goes.
    client: Option<Direction>,
}

impl Conversation for RemotePlay {
    fn read(&mut self, segment: &Segment<'_>, out: &mut Output) -> Step {
        if self.client.is_some_and(|client| client != segment.direction) {
            return Step::Consumed(segment.bytes.len());
        }
        let Some(request) = Request::of(segment.bytes) else { return Step::Reject };
        self.client = Some(segment.direction);
        let end = segment.bytes.windows(4).position(|end| end == b"\r\n\r\n");
        if end.is_none() && segment.bytes.len() < MAX_REQUEST {
            return Step::Consumed(0);
        }
        let head = segment.bytes.get(..end.unwrap_or(MAX_REQUEST)).unwrap_or(segment.bytes);
        out.identify(PROTOCOL.name);
        out.emit(
            segment.time,
            "remoteplay",
            Facts { request: path(&request), console: request.console, version: version(head) },
        );
        Step::Done
    }
}

fn path(request: &Request<'_>) -> String {
    let path = request.path.split(|byte| *byte == b'?').next().unwrap_or_default();
    String::from_utf8_lossy(path.get(..64).unwrap_or(path)).into_owned()
}

fn summary(bytes: &[u8], line: &mut String) {
    if let Some(request) = Request::of(bytes) {
        line.push_str("Remote Play ");
        line.push_str(&path(&request));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dissect::app::Direction::{In, Out};
    use crate::dissect::app::testing::{self, converse, mistreat};

    const REQUEST: &[u8] = b"GET /sie/ps5/rp/sess/init HTTP/1.1\r\nHost: 192.168.1.40:9295\r\nRP-Registkey: 6b6579\r\n\
        Rp-Version: 1.0\r\n\r\n";

    #[test]
    fn a_request_names_console_and_version_but_no_key() {
        let out =
            converse(&PROTOCOL, &[(Out, &REQUEST[..40]), (Out, &REQUEST[40..]), (In, b"HTTP/1.1 200 OK\r\n\r\n")]);
        let [event] = &out.events[..] else { panic!("{out:?}") };
        let expected = json!({"request": "/sie/ps5/rp/sess/init", "console": "ps5", "version": "1.0"});
        assert_eq!((event.kind, testing::json(event)), ("remoteplay", expected));
        assert_eq!(out.label.app, Some("remoteplay"));
    }

    /// Found by fuzzing: a field behind the head counted, if it came in the same segment.
    #[test]
    fn what_follows_the_request_is_no_part_of_it() {
        let out = converse(&PROTOCOL, &[(Out, b"GET /sce/rp/session HTTP/1.1\r\n\r\nRP-Version: 1.0\r\n\r\n")]);
        assert_eq!(testing::json(&out.events[0]), json!({"request": "/sce/rp/session"}));
    }

    /// Found by fuzzing: what looked like a request was told although the console sent it.
    #[test]
    fn only_the_client_requests() {
        let answer = b"GET /sce/rp/regist HTTP/1.1\r\n\r\n";
        let out = converse(&PROTOCOL, &[(Out, &REQUEST[..40]), (In, answer), (Out, &REQUEST[40..])]);
        assert_eq!(out.events.len(), 1);
        assert_eq!(testing::json(&out.events[0])["request"], "/sie/ps5/rp/sess/init");
    }

    #[test]
    fn paths_of_older_consoles() {
        let out = converse(&PROTOCOL, &[(Out, b"POST /sce/rp/regist?key=1 HTTP/1.1\r\n\r\n")]);
        assert_eq!(testing::json(&out.events[0]), json!({"request": "/sce/rp/regist"}));
    }

    #[test]
    fn other_requests_are_not_it() {
        for other in
            [&b"GET / HTTP/1.1\r\n\r\n"[..], b"PUT /sce/rp/regist HTTP/1.1", b"/sce/rp/regist", b"", b"\x16\x03\x01"]
        {
            assert_eq!(testing::probe(&PROTOCOL, other), Probe::No, "{}", other.escape_ascii());
        }
    }

    #[test]
    fn survives_damage() {
        mistreat(&PROTOCOL, &[(Out, REQUEST)]);
    }
}
