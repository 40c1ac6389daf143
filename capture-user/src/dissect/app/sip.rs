//! SIP (RFC 3261) over UDP and TCP: one `sip` record per message, the media that its session descriptions announce,
//! and the keep-alives on its flows, told once as `sip_keepalive` when the flow ends.

mod announce;
mod body;
mod facts;
mod keepalive;
mod message;
#[cfg(test)]
pub(super) mod oracle;
#[cfg(test)]
mod tests;
mod uri;

use super::rtp::way;
use super::unfinished::Unfinished;
use super::{Conversation, Direction, Output, Over, Probe, Protocol, RecordKind, Segment, Step};
use crate::time::Timestamp;
use announce::Announcer;
pub use facts::Facts;
use keepalive::{KeepAlive, Tally};
use message::{Head, Parsed, Start};
use uri::{Uri, clip};

/// SIP over UDP and TCP.
pub static PROTOCOL: Protocol = Protocol {
    name: "sip",
    over: Over::Both,
    ports: &[5060, 5062, 5061],
    probe,
    open: Sip::open,
    kinds: &[RecordKind::of::<Facts>("sip"), RecordKind::of::<keepalive::Facts>("sip_keepalive")],
    summary,
};

/// A body longer than this is passed over unread: streams do not offer more at once.
const MAX_BODY: usize = 24 * 1024;

fn probe(segment: &Segment<'_>) -> Probe {
    let bytes = segment.bytes.trim_ascii_start();
    if message::looks_like_start(bytes) || KeepAlive::opens(segment) {
        Probe::Yes
    } else if segment.stream && message::begins_start(bytes) {
        Probe::Maybe
    } else {
        Probe::No
    }
}

/// Like Wireshark's line, but without names: `Request: INVITE sip:~@example.com`, `Status: 200 OK (INVITE)`.
fn summary(bytes: &[u8], line: &mut String) {
    match KeepAlive::of(bytes) {
        Some(KeepAlive::Exosip) => return line.push_str("Keep-alive: eXosip jaK"),
        Some(KeepAlive::Nathelper) => return line.push_str("Keep-alive: nathelper"),
        Some(KeepAlive::Ping | KeepAlive::Pong) => return line.push_str("Keep-alive: CRLF"),
        None => {}
    }
    let Parsed::Head(head, _) = Head::parse(bytes.trim_ascii_start(), true) else { return };
    match head.start {
        Start::Request { method, uri } => {
            let uri = Uri::parse(uri).map(|uri| uri.anonymous()).unwrap_or_default();
            line.push_str(&format!("Request: {} {uri}", clip(method)));
        }
        Start::Response { status, reason } => {
            line.push_str(&format!("Status: {status} {}", clip(reason)));
            let method = head.field("cseq").and_then(|cseq| cseq.split_ascii_whitespace().nth(1));
            if let Some(method) = method.filter(|_| status >= 200) {
                line.push_str(&format!(" ({})", clip(method)));
            }
        }
    }
}

/// One flow of SIP.
#[derive(Default)]
struct Sip {
    messages: u64,
    /// Which way the client's messages go, once known.
    client: Option<Direction>,
    exosip: Tally,
    nathelper: Tally,
    crlf: [Tally; 2],
    announcer: Announcer,
    /// Per direction of a stream: what remains.
    rest: [Rest; 2],
}

/// What is known of the bytes to come in one direction of a stream.
#[derive(Clone, Copy, Default)]
struct Rest {
    /// Bytes of a body too long to read.
    skip: usize,
    /// The message that is not whole yet.
    unfinished: Unfinished,
    /// Bytes were lost: the next message is to be searched for.
    lost: bool,
}

impl Sip {
    fn open() -> Box<dyn Conversation> {
        Box::new(Self::default())
    }

    /// Whether the flow is known to be SIP: by a message, or by a client's keep-alive.
    fn is_certain(&self) -> bool {
        self.messages > 0 || self.exosip.any()
    }

    fn datagram(&mut self, segment: &Segment<'_>, out: &mut Output) -> Step {
        if let Some(keep_alive) = KeepAlive::of(segment.bytes) {
            self.keep_alive(keep_alive, segment, out);
        } else if let Parsed::Head(head, length) = Head::parse(segment.bytes.trim_ascii_start(), true) {
            let bytes = segment.bytes.trim_ascii_start();
            let rest = bytes.get(length..).unwrap_or_default();
            let body = head.content_length().and_then(|length| rest.get(..length)).unwrap_or(rest);
            self.message(&head, body, segment, out);
        }
        if self.is_certain() { Step::Consumed(segment.bytes.len()) } else { Step::Reject }
    }

    /// Counts a keep-alive under the conditions that make it one of SIP.
    fn keep_alive(&mut self, keep_alive: KeepAlive, segment: &Segment<'_>, out: &mut Output) {
        match keep_alive {
            KeepAlive::Exosip if KeepAlive::opens(segment) || self.messages > 0 => {
                self.exosip.count(segment.time);
                self.client = Some(segment.direction);
                out.identify(PROTOCOL.name);
            }
            KeepAlive::Nathelper if self.is_certain() && self.is_from_server(segment) => {
                self.nathelper.count(segment.time);
            }
            KeepAlive::Ping | KeepAlive::Pong => self.crlf[segment.direction.index()].count(segment.time),
            KeepAlive::Exosip | KeepAlive::Nathelper => {}
        }
    }

    fn is_from_server(&self, segment: &Segment<'_>) -> bool {
        match self.client {
            Some(client) => segment.direction != client,
            None => keepalive::PORTS.contains(&segment.source.port()),
        }
    }

    fn stream(&mut self, segment: &Segment<'_>, out: &mut Output) -> Step {
        let way = segment.direction.index();
        let mut consumed = self.rest[way].skip.min(segment.bytes.len());
        self.rest[way].skip -= consumed;
        if self.rest[way].lost {
            let bytes = segment.bytes.get(consumed..).unwrap_or_default();
            if !self.rest[way].unfinished.is_due(bytes) {
                return Step::Consumed(consumed);
            }
            let passed = self.resynchronise(way, bytes);
            consumed += passed;
            self.rest[way].unfinished = Unfinished::default();
            if self.rest[way].lost {
                self.rest[way].unfinished = Unfinished::in_head(bytes.len().saturating_sub(passed));
                return Step::Consumed(consumed);
            }
        }
        while let Some(bytes) = segment.bytes.get(consumed..).filter(|bytes| !bytes.is_empty()) {
            if !self.rest[way].unfinished.is_due(bytes) {
                break;
            }
            self.rest[way].unfinished = Unfinished::default();
            if let Some((keep_alive, length)) = KeepAlive::at_start(bytes) {
                self.keep_alive(keep_alive, segment, out);
                consumed += length;
                continue;
            }
            match self.next_message(bytes, segment, out) {
                Ok(0) => break,
                Ok(length) => consumed += length,
                Err(step) => return step,
            }
        }
        Step::Consumed(consumed)
    }

    /// Reads the message at the start of a stream's bytes; how many it took, 0 if it is not whole.
    fn next_message(&mut self, bytes: &[u8], segment: &Segment<'_>, out: &mut Output) -> Result<usize, Step> {
        let rest = &mut self.rest[segment.direction.index()];
        let (head, length) = match Head::parse(bytes, false) {
            Parsed::Head(head, length) => (head, length),
            Parsed::Incomplete => {
                rest.unfinished = Unfinished::in_head(bytes.len());
                return Ok(0);
            }
            Parsed::Other if bytes == b"\r" => return Ok(0),
            Parsed::Other => return Err(if self.messages == 0 { Step::Reject } else { Step::Done }),
        };
        // A stream's message without a length has no body (section 18.3 demands the field).
        let body_length = head.content_length().unwrap_or(0);
        let after = bytes.get(length..).unwrap_or_default();
        if body_length > MAX_BODY {
            let here = body_length.min(after.len());
            rest.skip = body_length - here;
            self.message(&head, &[], segment, out);
            return Ok(length + here);
        }
        let Some(body) = after.get(..body_length) else {
            rest.unfinished = Unfinished::until(length + body_length);
            return Ok(0);
        };
        self.message(&head, body, segment, out);
        Ok(length + body_length)
    }

    /// After a loss: how many bytes stand before the next line that begins a message.
    fn resynchronise(&mut self, way: usize, bytes: &[u8]) -> usize {
        let mut passed = 0;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if message::looks_like_start(line) {
                self.rest[way].lost = false;
                return passed;
            }
            if line.ends_with(b"\n") || line.len() > message::MAX_HEAD {
                passed += line.len();
            }
        }
        passed
    }

    fn message(&mut self, head: &Head<'_>, body: &[u8], segment: &Segment<'_>, out: &mut Output) {
        self.messages += 1;
        if matches!(head.start, Start::Request { method: "REGISTER", .. }) {
            self.client = Some(segment.direction);
        }
        let description = body::description(head.field("content-type"), body);
        if let Some(description) = &description {
            let call_id = head.field("call-id").unwrap_or_default();
            self.announcer.announce(description, call_id, segment.direction, out);
        }
        out.identify(PROTOCOL.name);
        if out.wants(PROTOCOL.name) {
            let facts = Facts::new(head, way(segment.direction), description, &out.people);
            out.emit(segment.time, PROTOCOL.name, facts);
        }
    }
}

impl Conversation for Sip {
    fn read(&mut self, segment: &Segment<'_>, out: &mut Output) -> Step {
        if segment.stream { self.stream(segment, out) } else { self.datagram(segment, out) }
    }

    fn gap(&mut self, direction: Direction, length: u32, _out: &mut Output) -> Step {
        let rest = &mut self.rest[direction.index()];
        let skipped = rest.skip.min(length as usize);
        rest.skip -= skipped;
        rest.unfinished = Unfinished::default();
        rest.lost = skipped < length as usize || length == 0;
        Step::Consumed(0)
    }

    fn end(&mut self, time: Timestamp, out: &mut Output) {
        let mut why = Vec::new();
        let client = self.exosip.sent("6a614b00", "eXosip2");
        let server = self.nathelper.sent("00000000", "nathelper (SER, Kamailio, OpenSIPS)");
        if client.is_some() {
            why.push("jaK and a zero byte: NAT keep-alive of the eXosip2 SIP library, sent after a REGISTER");
        }
        if server.is_some() {
            why.push("four zero bytes from the server of a SIP flow: NAT ping of the nathelper module");
        }
        let [crlf_out, crlf_in] = self.crlf.map(|tally| tally.sent("0d0a", "RFC 5626"));
        if crlf_out.is_some() || crlf_in.is_some() {
            why.push("CRLF on a SIP flow: keep-alive of RFC 5626");
        }
        let facts = keepalive::Facts { client, server, crlf_out, crlf_in, messages: self.messages, why };
        if self.is_certain() && !facts.is_empty() {
            out.emit(time, "sip_keepalive", facts);
        }
    }

    fn memory(&self) -> usize {
        self.announcer.memory()
    }
}
