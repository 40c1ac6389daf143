//! HTTP/1.0 and 1.1 over TCP (RFC 9112): one record for a request and its response.
//!
//! Bodies are counted past, never kept. An upgraded or tunnelled connection speaks something else from there on, and
//! is left alone. Where bytes are lost anywhere but in a body, reading goes on with the next segment that begins with
//! a head. UPnP's port mappings are requests of this kind too: their bodies are small, and are read (see `portmap`).

mod body;
mod head;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use schemars::JsonSchema;
use serde::Serialize;

use self::body::Body;
pub(super) use self::head::{Found, Head, Start};
use super::exchange::milliseconds;
use super::memory::texts;
use super::portmap::Mapping;
use super::portmap::soap::{self, Soap};
use super::unfinished::Unfinished;
use super::wire::{some_text, text};
use super::{Conversation, Direction, HostFrom, Output, Over, Probe, Protocol, RecordKind, Segment, Step};
use crate::time::Timestamp;

/// The hypertext transfer protocol, version 1.
pub static PROTOCOL: Protocol = Protocol {
    name: "http",
    over: Over::Tcp,
    ports: &[80, 8080],
    probe,
    open: || Box::<Http>::default(),
    kinds: &[RecordKind::of::<Exchange>("http"), RecordKind::of::<Mapping>("portmap")],
    summary,
};

/// Requests of one connection that wait for their responses at most.
const MAX_WAITING: usize = 32;
/// Bytes of text kept of a field, and of a path.
const MAX_TEXT: usize = 512;
/// Bytes of the longest body that is read.
const MAX_SOAP: u64 = 16 * 1024;

fn probe(segment: &Segment<'_>) -> Probe {
    match Head::find(segment.bytes) {
        Found::Head(_) => Probe::Yes,
        Found::Part if segment.bytes.contains(&b'\n') || segment.bytes.starts_with(b"HTTP/1.") => Probe::Yes,
        Found::Part if segment.bytes.len() >= 4 => Probe::Maybe,
        _ => Probe::No,
    }
}

/// What an `http` record says.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Exchange {
    /// As it stands in the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The server's name, with its port where that is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Path and query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// Of the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Of the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// Of the response, where it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_length: Option<u64>,
    /// Where the response sends the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// From the end of the request's head to the end of the response's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<f64>,
}

impl Exchange {
    fn ask(&mut self, method: &[u8], target: &[u8], head: &Head<'_>) {
        let (authority, path) = split_target(method, target);
        self.method = some_text(method, MAX_TEXT);
        self.host = some_text(head.field("Host").unwrap_or(authority), MAX_TEXT);
        self.path = some_text(path, MAX_TEXT);
        self.user_agent = head.field("User-Agent").and_then(|agent| some_text(agent, MAX_TEXT));
    }

    fn answer(&mut self, status: u16, head: &Head<'_>) {
        let field = |name| head.field(name).and_then(|value| some_text(value, MAX_TEXT));
        self.status = Some(status);
        self.server = field("Server");
        self.content_type = field("Content-Type");
        self.content_length = head.number("Content-Length");
        self.location = field("Location");
    }
}

/// The authority and the path of a target, where it has them (RFC 9112 section 3.2).
fn split_target<'a>(method: &[u8], target: &'a [u8]) -> (&'a [u8], &'a [u8]) {
    if method == b"CONNECT" {
        return (target, b"");
    }
    let whole = target.strip_prefix(b"http://").or_else(|| target.strip_prefix(b"https://"));
    let Some(whole) = whole else { return (b"", target) };
    let end = whole.iter().position(|byte| *byte == b'/').unwrap_or(whole.len());
    whole.split_at_checked(end).unwrap_or((whole, b""))
}

/// A host without its port.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

/// A request that was not answered yet.
struct Request {
    time: Timestamp,
    told: Exchange,
    /// HEAD: its response has no body.
    head_only: bool,
    /// CONNECT: what follows a success is another protocol.
    tunnel: bool,
    soap: Option<Box<Soap>>,
}

impl Request {
    /// Bytes of heap it takes.
    fn memory(&self) -> usize {
        let Exchange { method, host, path, user_agent, .. } = &self.told;
        texts([method, host, path, user_agent]) + self.soap.as_ref().map_or(0, |soap| soap.memory())
    }
}

/// One connection.
#[derive(Default)]
struct Http {
    bodies: [Body; 2],
    unfinished: [Unfinished; 2],
    waiting: VecDeque<Request>,
    /// Whether bytes were lost, so that it is not known where the next message begins.
    lost: [bool; 2],
    /// Whether a head was seen.
    sure: bool,
}

/// What to do after a head.
enum After {
    /// Go on behind it.
    Continue,
    /// Wait until there are so many bytes: the body is not there yet.
    Wait(usize),
    /// The connection is of no further interest.
    Leave,
}

impl Http {
    fn head(&mut self, head: &Head<'_>, bytes: &[u8], segment: &Segment<'_>, out: &mut Output) -> After {
        if !self.sure {
            self.sure = true;
            out.identify(PROTOCOL.name);
        }
        match head.start {
            Start::Request { method, target } => self.request(method, target, head, bytes, segment, out),
            Start::Response { status } => self.response(status, head, bytes, segment, out),
        }
    }

    fn request(
        &mut self,
        method: &[u8],
        target: &[u8],
        head: &Head<'_>,
        bytes: &[u8],
        segment: &Segment<'_>,
        out: &mut Output,
    ) -> After {
        let action = head.field("SOAPAction").and_then(soap::action);
        let body = match action {
            Some(_) => small_body(head, bytes),
            None => Some(&[][..]),
        };
        let Some(body) = body else { return After::Wait(small_message(head)) };
        let mut told = Exchange::default();
        told.ask(method, target, head);
        if let Some(host) = &told.host {
            out.host(without_port(host), HostFrom::Http);
        }
        if self.waiting.len() >= MAX_WAITING {
            self.unanswered(out);
        }
        let soap = action.map(|action| Box::new(Soap::request(action, body)));
        let (head_only, tunnel) = (method == b"HEAD", method == b"CONNECT");
        self.waiting.push_back(Request { time: segment.time, told, head_only, tunnel, soap });
        self.bodies[segment.direction.index()] = Body::after(head, false);
        After::Continue
    }

    fn response(
        &mut self,
        status: u16,
        head: &Head<'_>,
        bytes: &[u8],
        segment: &Segment<'_>,
        out: &mut Output,
    ) -> After {
        let interim = (100..200).contains(&status) && status != 101;
        let reads = !interim && self.waiting.front().is_some_and(|request| request.soap.is_some());
        let body = if reads { small_body(head, bytes) } else { Some(&[][..]) };
        let Some(body) = body else { return After::Wait(small_message(head)) };
        if interim {
            return After::Continue;
        }
        let asked = self.waiting.pop_front();
        let (head_only, tunnel) = asked.as_ref().map_or((false, false), |asked| (asked.head_only, asked.tunnel));
        let mut told = Exchange::default();
        if let Some(asked) = asked {
            told = asked.told;
            told.rtt_ms = Some(milliseconds(asked.time, segment.time));
            if let Some(soap) = asked.soap {
                out.emit(segment.time, "portmap", soap.answered(status, body, told.rtt_ms));
            }
        }
        told.answer(status, head);
        out.emit(segment.time, "http", told);
        let place = &mut self.bodies[segment.direction.index()];
        *place = Body::after(head, head_only || matches!(status, 204 | 304));
        let becomes_other = status == 101 || tunnel && (200..300).contains(&status);
        if becomes_other || *place == Body::Rest { After::Leave } else { After::Continue }
    }

    /// Tells of the oldest request that waits.
    fn unanswered(&mut self, out: &mut Output) {
        if let Some(asked) = self.waiting.pop_front() {
            if let Some(soap) = asked.soap {
                out.emit(asked.time, "portmap", soap.unanswered());
            }
            out.emit(asked.time, "http", asked.told);
        }
    }

    /// A head stands behind a loss. If it is a response, those to all requests but the last are lost: nobody sends
    /// the next request before the response is there.
    fn found(&mut self, start: Start<'_>, side: usize, out: &mut Output) {
        self.lost[side] = false;
        while matches!(start, Start::Response { .. }) && self.waiting.len() > 1 {
            self.unanswered(out);
        }
    }

    fn leave(&mut self, out: &mut Output) -> Step {
        while !self.waiting.is_empty() {
            self.unanswered(out);
        }
        Step::Done
    }
}

/// The body of a message that is worth reading: nothing of one that is too long, `None` until all of it is there.
fn small_body<'a>(head: &Head<'_>, bytes: &'a [u8]) -> Option<&'a [u8]> {
    bytes.get(head.length..small_message(head))
}

/// Bytes of a message with its body, if that is worth reading.
fn small_message(head: &Head<'_>) -> usize {
    let body = head.number("Content-Length").filter(|length| *length <= MAX_SOAP).unwrap_or(0);
    head.length.saturating_add(usize::try_from(body).unwrap_or(0))
}

impl Conversation for Http {
    fn read(&mut self, segment: &Segment<'_>, out: &mut Output) -> Step {
        let side = segment.direction.index();
        if self.lost[side] {
            if !self.unfinished[side].is_due(segment.bytes) {
                return Step::Consumed(0);
            }
            self.unfinished[side] = Unfinished::default();
            match Head::find(segment.bytes) {
                Found::Nothing => return Step::Consumed(segment.bytes.len()),
                Found::Part => {
                    self.unfinished[side] = Unfinished::in_head(segment.bytes.len());
                    return Step::Consumed(0);
                }
                Found::Head(head) => self.found(head.start, side, out),
            }
        }
        let mut at = 0;
        loop {
            let rest = segment.bytes.get(at..).unwrap_or_default();
            let Ok(skipped) = self.bodies[side].skip(rest) else { return self.leave(out) };
            at += skipped;
            let rest = rest.get(skipped..).unwrap_or_default();
            if self.bodies[side] != Body::Over || rest.is_empty() {
                return Step::Consumed(at);
            }
            // Empty lines before a head are overlooked (RFC 9112 section 2.2).
            let blank = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
            at += blank;
            let rest = rest.get(blank..).unwrap_or_default();
            if rest.is_empty() || !self.unfinished[side].is_due(rest) {
                return Step::Consumed(at);
            }
            self.unfinished[side] = Unfinished::default();
            match Head::find(rest) {
                Found::Part => {
                    self.unfinished[side] = Unfinished::in_head(rest.len());
                    return Step::Consumed(at);
                }
                Found::Nothing if self.sure => return self.leave(out),
                Found::Nothing => return Step::Reject,
                Found::Head(head) => match self.head(&head, rest, segment, out) {
                    After::Continue => at += head.length,
                    After::Wait(length) => {
                        self.unfinished[side] = Unfinished::until(length);
                        return Step::Consumed(at);
                    }
                    After::Leave => return self.leave(out),
                },
            }
        }
    }

    fn gap(&mut self, direction: Direction, length: u32, out: &mut Output) -> Step {
        let side = direction.index();
        self.unfinished[side] = Unfinished::default();
        if self.sure && length > 0 {
            if !self.bodies[side].lose(u64::from(length)) {
                self.bodies[side] = Body::Over;
                self.lost[side] = true;
            }
            Step::Consumed(0)
        } else {
            self.leave(out)
        }
    }

    fn end(&mut self, _time: Timestamp, out: &mut Output) {
        self.leave(out);
    }

    fn memory(&self) -> usize {
        let requests: usize = self.waiting.iter().map(Request::memory).sum();
        self.waiting.capacity() * size_of::<Request>() + requests
    }
}

/// The start line, as it stands.
fn summary(bytes: &[u8], line: &mut String) {
    if !matches!(Head::find(bytes), Found::Nothing) {
        let first = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        line.push_str(&text(first, 200));
    }
}
