//! STUN (RFC 8489, classic RFC 3489) and TURN (RFC 8656), over UDP and TCP, also framed as RFC 4571 says.
//!
//! One record tells of a transaction: the request, how often it was sent, its answer. Indications and channel data,
//! which carry media through a relay, are counted and told when the flow ends, one record for each kind and way. So
//! over the records of a capture, requests = Σ (1 + `retries`) where `rtt_ms` is there or `result` is `unanswered`,
//! answers are the records whose `result` says so, indications = Σ `messages`.
//!
//! Media and their keys usually follow on the same ports (RFC 7983). The first payload that is not STUN therefore
//! rejects the flow, after everything known was told; [`is_message`] lets the flow's owner recognise later checks.

mod facts;
mod message;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::time::Duration;

use arrayvec::ArrayVec;

use self::facts::{Exchange, Tally, Way};
use self::message::{Class, HEADER, Message, Method, channel_data};
use super::exchange::{Asked, Exchanges};
use super::{Conversation, Direction, Output, Over, Probe, Protocol, RecordKind, Segment, Step};
use crate::time::Timestamp;

/// STUN in datagrams.
pub static STUN: Protocol = Protocol {
    name: "stun",
    over: Over::Udp,
    ports: PORTS,
    probe: probe_datagram,
    open: || Box::<Stun>::default(),
    kinds: &[RecordKind::of::<Exchange>("stun")],
    summary,
};

/// STUN in streams.
pub static STUN_TCP: Protocol = Protocol {
    name: "stun",
    over: Over::Tcp,
    ports: PORTS,
    probe: probe_stream,
    open: || Box::<Stun>::default(),
    kinds: &[RecordKind::of::<Exchange>("stun")],
    summary: |bytes, line| summary(if framed(bytes) { bytes.get(2..).unwrap_or_default() } else { bytes }, line),
};

const PORTS: &[u16] = &[3478, 3479, 3480, 3481, 19302, 19303, 19304, 19305];
/// Requests that wait for their answers at most.
const MAX_WAITING: usize = 64;
/// How long they wait; the last retransmission comes after 31.5 s (RFC 8489 section 6.2.1).
const PATIENCE: Duration = Duration::from_secs(40);
/// Kinds of messages that are counted in one flow.
const MAX_TALLIES: usize = 8;

/// Whether a datagram is a STUN message beyond doubt: for flows that STUN shares with media.
pub fn is_message(bytes: &[u8]) -> bool {
    Message::parse(bytes).is_some_and(|message| message.length == bytes.len())
}

fn probe_datagram(segment: &Segment<'_>) -> Probe {
    let length = segment.length as usize;
    match datagram(segment) {
        Some((message, classic)) if !classic || message.length == length => Probe::Yes,
        _ if segment.on_port(PORTS) && whole_channel_data(segment) => Probe::Maybe,
        _ => Probe::No,
    }
}

fn probe_stream(segment: &Segment<'_>) -> Probe {
    let bytes = if framed(segment.bytes) { segment.bytes.get(2..).unwrap_or_default() } else { segment.bytes };
    if Message::parse(bytes).is_some() { Probe::Yes } else { Probe::No }
}

/// The message that fills a datagram, and whether it is a classic one.
fn datagram<'a>(segment: &Segment<'a>) -> Option<(Message<'a>, bool)> {
    let length = segment.length as usize;
    let modern = Message::parse(segment.bytes).filter(|message| message.length == length);
    modern.map(|message| (message, false)).or_else(|| {
        let classic = Message::parse_classic(segment.bytes, length);
        classic.map(|message| (message, true))
    })
}

/// Whether channel data fill a datagram, their padding aside.
fn whole_channel_data(segment: &Segment<'_>) -> bool {
    let length = segment.length as usize;
    channel_data(segment.bytes).is_some_and(|(_, data)| (4 + data..8 + data).contains(&length))
}

/// Whether a stream begins with the length of a STUN message rather than with the message (RFC 4571).
fn framed(bytes: &[u8]) -> bool {
    let Some((length, message)) = bytes.split_first_chunk::<2>() else { return false };
    Message::parse(message).is_some_and(|message| message.length == usize::from(u16::from_be_bytes(*length)))
}

/// A request: its transaction, its method, and who asked.
type Key = ([u8; 16], Method, Direction);

/// One flow.
#[derive(Default)]
struct Stun {
    waiting: Exchanges<Key, Exchange, MAX_WAITING>,
    counted: ArrayVec<Counted, MAX_TALLIES>,
    /// Whether a message was seen.
    sure: bool,
    /// Whether each message of the stream stands behind its length; `None` before the first.
    framed: Option<bool>,
    /// Bytes of each direction of the stream that belong to data of no interest.
    skip: [usize; 2],
}

/// Messages of one kind that went one way.
struct Counted {
    /// `None` for channel data.
    method: Option<Method>,
    first: Timestamp,
    tally: Tally,
    peer: Option<std::net::SocketAddr>,
}

impl Stun {
    fn message(&mut self, message: &Message<'_>, classic: bool, segment: &Segment<'_>, out: &mut Output) {
        if !self.sure {
            self.sure = true;
            out.identify(STUN.name);
        }
        while let Some(asked) = self.waiting.overdue(segment.time, PATIENCE) {
            unanswered(asked, out);
        }
        match message.class {
            Class::Request => self.request(message, classic, segment, out),
            Class::Indication => {
                let peer = || message.attributes().find(|(kind, _)| *kind == 0x0012);
                let peer = || peer().and_then(|(_, value)| message.xor_address(value));
                self.count(Some(message.method), message.length, segment, peer);
            }
            Class::Success | Class::Error => self.answer(message, classic, segment, out),
        }
    }

    fn request(&mut self, message: &Message<'_>, classic: bool, segment: &Segment<'_>, out: &mut Output) {
        let key = (message.transaction, message.method, segment.direction);
        let people = out.people;
        let evicted = self.waiting.ask(key, segment.time, || Exchange::transaction(message, classic, people));
        if let Some(asked) = evicted {
            unanswered(asked, out);
        }
    }

    fn answer(&mut self, message: &Message<'_>, classic: bool, segment: &Segment<'_>, out: &mut Output) {
        let key = (message.transaction, message.method, segment.direction.reversed());
        let told = match self.waiting.answer(|waiting| *waiting == key) {
            Some(asked) => {
                let (rtt_ms, retries) = (asked.elapsed_ms(segment.time), asked.retries);
                let mut told = asked.request;
                (told.rtt_ms, told.retries) = (Some(rtt_ms), retries);
                told.absorb(message, out.people);
                told
            }
            None => Exchange::transaction(message, classic, out.people),
        };
        out.emit(segment.time, "stun", told);
    }

    /// Counts a message that is not told by itself.
    fn count(
        &mut self,
        method: Option<Method>,
        length: usize,
        segment: &Segment<'_>,
        peer: impl FnOnce() -> Option<std::net::SocketAddr>,
    ) {
        let direction = Way::from(segment.direction);
        let same = |counted: &&mut Counted| counted.method == method && counted.tally.direction == direction;
        if let Some(counted) = self.counted.iter_mut().find(same) {
            counted.tally.messages = counted.tally.messages.saturating_add(1);
            counted.tally.bytes = counted.tally.bytes.saturating_add(length as u64);
        } else if !self.counted.is_full() {
            let tally = Tally { direction, messages: 1, bytes: length as u64 };
            self.counted.push(Counted { method, first: segment.time, tally, peer: peer() });
        }
    }

    fn tell_all(&mut self, out: &mut Output) {
        while let Some(asked) = self.waiting.pop() {
            unanswered(asked, out);
        }
        for counted in self.counted.drain(..) {
            let kind = counted.method.map_or_else(|| "ChannelData".to_owned(), facts::name);
            let mut told = Exchange::counted(kind, counted.tally);
            told.peer_address = counted.peer;
            out.emit(counted.first, "stun", told);
        }
    }

    fn datagram(&mut self, segment: &Segment<'_>, out: &mut Output) -> Step {
        if let Some((message, classic)) = datagram(segment) {
            self.message(&message, classic, segment, out);
        } else if whole_channel_data(segment) {
            self.count(None, segment.length as usize, segment, || None);
        } else if segment.length >= 4 {
            // Shorter ones only keep a NAT's mapping alive.
            self.tell_all(out);
            return Step::Reject;
        }
        Step::Consumed(segment.bytes.len())
    }

    /// Reads one message off the front of a stream and says how long it was.
    fn next(&mut self, bytes: &[u8], segment: &Segment<'_>, out: &mut Output) -> Next {
        let is_framed = match self.framed {
            Some(known) => known,
            None if Message::parse(bytes).is_some() => *self.framed.insert(false),
            None if bytes.len() < HEADER + 2 => return Next::Wait,
            None => *self.framed.insert(framed(bytes)),
        };
        let (prefix, message) = bytes.split_at(if is_framed { 2.min(bytes.len()) } else { 0 });
        if message.len() < 8 {
            return Next::Wait;
        }
        let frame = prefix.first_chunk().map(|length| usize::from(u16::from_be_bytes(*length)));
        if let Some((_, data)) = channel_data(message) {
            // Over a stream the data are padded to 32 bits (RFC 8656 section 12.5).
            let length = frame.unwrap_or(4 + data.next_multiple_of(4));
            self.count(None, 4 + data, segment, || None);
            return Next::Skip(prefix.len() + length);
        }
        match Message::parse(message) {
            Some(read) if message.len() >= read.length => {
                self.message(&read, false, segment, out);
                Next::Skip(prefix.len() + frame.unwrap_or(read.length).max(read.length))
            }
            Some(_) => Next::Wait,
            None if message.len() < HEADER && message.get(4..8) == Some(&message::COOKIE) => Next::Wait,
            // Between the lengths there may be anything: media, most likely.
            None => frame.map_or(Next::Other, |length| Next::Skip(2 + length)),
        }
    }
}

/// What stands at the front of a stream.
enum Next {
    /// Something of this length that needs no further look.
    Skip(usize),
    /// Too little of it is there.
    Wait,
    /// Nothing of this protocol.
    Other,
}

fn unanswered(asked: Asked<Key, Exchange>, out: &mut Output) {
    let mut told = asked.request;
    told.retries = asked.retries;
    out.emit(asked.first, "stun", told);
}

impl Conversation for Stun {
    fn read(&mut self, segment: &Segment<'_>, out: &mut Output) -> Step {
        if !segment.stream {
            return self.datagram(segment, out);
        }
        let mut at = 0;
        let side = segment.direction.index();
        loop {
            let rest = segment.bytes.get(at..).unwrap_or_default();
            let skipped = self.skip[side].min(rest.len());
            self.skip[side] -= skipped;
            at += skipped;
            let rest = rest.get(skipped..).unwrap_or_default();
            if rest.is_empty() {
                return Step::Consumed(at);
            }
            match self.next(rest, segment, out) {
                Next::Skip(length) => self.skip[side] = length,
                Next::Wait => return Step::Consumed(at),
                Next::Other => {
                    self.tell_all(out);
                    return Step::Reject;
                }
            }
        }
    }

    fn end(&mut self, _time: Timestamp, out: &mut Output) {
        self.tell_all(out);
    }

    fn memory(&self) -> usize {
        self.waiting.memory(Exchange::memory)
    }
}

/// "Binding Success Response XOR-MAPPED-ADDRESS: 203.0.113.5:40000"
fn summary(bytes: &[u8], line: &mut String) {
    let Some(message) = Message::parse(bytes).or_else(|| Message::parse_classic(bytes, bytes.len())) else {
        if let Some((channel, _)) = channel_data(bytes) {
            let _ = write!(line, "ChannelData TURN Message 0x{channel:04x}");
        }
        return;
    };
    let class = match message.class {
        Class::Request => "Request",
        Class::Indication => "Indication",
        Class::Success => "Success Response",
        Class::Error => "Error Response",
    };
    let _ = write!(line, "{} {class}", facts::name(message.method));
    for (kind, value) in message.attributes() {
        let shown = match kind {
            0x0001 => Message::address(value).map(|address| ("MAPPED-ADDRESS", address)),
            0x0020 => message.xor_address(value).map(|address| ("XOR-MAPPED-ADDRESS", address)),
            0x0012 => message.xor_address(value).map(|address| ("XOR-PEER-ADDRESS", address)),
            0x0016 => message.xor_address(value).map(|address| ("XOR-RELAYED-ADDRESS", address)),
            _ => None,
        };
        if let Some((name, address)) = shown {
            let _ = write!(line, " {name}: {address}");
        }
    }
}
