//! What protocol a flow speaks: finding out, and feeding its conversation.

use std::sync::LazyLock;

use hashbrown::HashMap;

use super::expected::Expected;
use crate::dissect::app::{
    Conversation, Direction, HostFrom, Label, Output, Over, PROTOCOLS, Probe, Protocol, Segment, Step, is_dtls, is_stun,
};
use crate::limits::Reached;
use crate::names::{Lookup, Names};
use crate::time::Timestamp;

/// Payloads of an unknown flow that are probed before it stays unknown: more than the end of a DTLS handshake takes, for
/// media follow it.
const TRIES: u8 = 24;

/// The application side of one flow.
#[derive(Default)]
pub struct Application {
    state: State,
    /// What is known of the flow as a whole.
    pub label: Label,
    /// Protocols that turned out not to be it: a bit each, by place in [`PROTOCOLS`].
    rejected: u64,
    tries: u8,
    /// STUN shares its flow with what it opened the way for (RFC 7983): its messages stay its own.
    aside: Option<Box<dyn Conversation>>,
    /// DTLS has handed the flow back: more of its records are nothing new, and speak for or against no other protocol.
    beside_dtls: bool,
    /// The announcements this flow has been checked against.
    generation: u64,
}

#[derive(Default)]
enum State {
    #[default]
    Unknown,
    Open(&'static Protocol, Box<dyn Conversation>),
    /// Read no further: its conversation is done, or nobody knows it.
    Closed(Option<&'static Protocol>),
}

impl std::fmt::Debug for Application {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.protocol())
    }
}

/// What the flows of one shard share: announcements, and where conversations speak.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// Where conversations speak; drained by the shard.
    pub output: Output,
    /// The names that consoles know servers by.
    pub names: Names,
    expected: Expected,
}

impl Surroundings {
    /// Takes over the names and announcements that conversations have made. Returns whether there are events to make
    /// records of.
    pub fn settle(&mut self, now: Timestamp) -> bool {
        if self.output.is_empty() {
            return false;
        }
        for resolved in self.output.names.drain(..) {
            self.names.learn(&resolved, now);
        }
        for expectation in self.output.expectations.drain(..) {
            self.expected.announce(expectation, now);
        }
        !self.output.events.is_empty()
    }

    /// Adds what names and announcements were given up.
    pub fn account(&self, reached: &mut Reached) {
        reached.names_evicted = self.names.evicted();
        reached.expectations_evicted = self.expected.evicted();
        reached.expectations_expired = self.expected.expired();
    }
}

impl Application {
    /// The protocol, once one is being spoken.
    pub fn protocol(&self) -> Option<&'static Protocol> {
        match &self.state {
            State::Unknown => None,
            State::Open(protocol, _) => Some(protocol),
            State::Closed(protocol) => *protocol,
        }
    }

    /// Names the server by what the client was told before the flow began, where that is unambiguous.
    pub fn name_by_dns(&mut self, told: Lookup<'_>) {
        match told {
            Lookup::Unknown => {}
            Lookup::Named(name) => {
                self.label.host = Some(name.clone());
                self.label.host_from = Some(HostFrom::Dns);
            }
            Lookup::Ambiguous(candidates) => self.label.host_candidates = candidates.iter().cloned().collect(),
        }
    }

    /// Bytes held for it beside itself.
    pub fn memory(&self) -> usize {
        let spoken = match &self.state {
            State::Open(_, conversation) => weight(&**conversation),
            State::Unknown | State::Closed(_) => 0,
        };
        spoken + self.aside.as_deref().map_or(0, weight) + self.label.memory()
    }

    /// Whether its payloads are still of interest.
    #[inline]
    pub fn is_open(&self) -> bool {
        !matches!(self.state, State::Closed(_)) || self.aside.is_some()
    }

    /// Reads a payload; the number of bytes that need not be offered again.
    pub fn read(&mut self, segment: &Segment<'_>, around: &mut Surroundings) -> usize {
        if self.generation != around.expected.generation() {
            self.generation = around.expected.generation();
            self.heed(segment, around);
        }
        if self.aside.is_some() && is_stun(segment.bytes) {
            self.read_aside(segment, around);
            return segment.bytes.len();
        }
        // Each turn of the loop rules out one more protocol, so it ends.
        loop {
            if matches!(self.state, State::Unknown) {
                self.probe(segment);
            }
            let State::Open(protocol, conversation) = &mut self.state else {
                // A stream's first message may need more bytes to be known.
                let undecided = segment.stream && matches!(self.state, State::Unknown);
                return if undecided { 0 } else { segment.bytes.len() };
            };
            let protocol = *protocol;
            let step = speak(&mut self.label, around, |out| conversation.read(segment, out));
            match step {
                Step::Consumed(count) => return count.min(segment.bytes.len()),
                Step::Done => self.state = State::Closed(Some(protocol)),
                Step::Reject => self.rule_out(protocol),
            }
        }
    }

    /// Hears that bytes of a stream are lost.
    pub fn gap(&mut self, direction: Direction, length: u32, around: &mut Surroundings) {
        let State::Open(protocol, conversation) = &mut self.state else { return };
        let protocol = *protocol;
        match speak(&mut self.label, around, |out| conversation.gap(direction, length, out)) {
            Step::Consumed(_) => {}
            Step::Done => self.state = State::Closed(Some(protocol)),
            Step::Reject => self.rule_out(protocol),
        }
    }

    fn read_aside(&mut self, segment: &Segment<'_>, around: &mut Surroundings) {
        let Some(conversation) = &mut self.aside else { return };
        speak(&mut self.label, around, |out| conversation.read(segment, out));
    }

    /// The flow has ended: its conversation says what is left to say.
    pub fn end(&mut self, time: Timestamp, around: &mut Surroundings) {
        let open = match &mut self.state {
            State::Open(_, conversation) => Some(conversation),
            State::Unknown | State::Closed(_) => None,
        };
        for conversation in open.into_iter().chain(&mut self.aside) {
            speak(&mut self.label, around, |out| conversation.end(time, out));
        }
    }

    /// Opens the announced conversation, unless the flow is known by then.
    fn heed(&mut self, segment: &Segment<'_>, around: &Surroundings) {
        let Some(expectation) = around.expected.find(segment) else { return };
        if self.label.app.is_none() {
            self.state = State::Open(expectation.protocol, (expectation.open)());
            self.label.announced = true;
        }
    }

    fn probe(&mut self, segment: &Segment<'_>) {
        if segment.bytes.is_empty() || self.beside_dtls && is_dtls(segment.bytes) {
            return;
        }
        match recognise(segment, self.rejected) {
            Some(protocol) => self.state = State::Open(protocol, (protocol.open)()),
            None => {
                self.tries += 1;
                if self.tries >= TRIES {
                    self.state = State::Closed(None);
                }
            }
        }
    }

    fn rule_out(&mut self, protocol: &'static Protocol) {
        let place = PROTOCOLS.iter().position(|known| std::ptr::eq(*known, protocol)).unwrap_or(0);
        self.rejected |= 1 << place;
        self.tries = 0;
        self.beside_dtls |= protocol.name == "dtls";
        if let State::Open(_, conversation) = std::mem::take(&mut self.state)
            && protocol.name == "stun"
        {
            self.aside = Some(conversation);
        }
    }
}

/// Bytes of a conversation.
fn weight(conversation: &dyn Conversation) -> usize {
    size_of_val(conversation) + conversation.memory()
}

/// Lets a conversation speak of its flow: the flow's label is the output's for as long.
fn speak<T>(label: &mut Label, around: &mut Surroundings, say: impl FnOnce(&mut Output) -> T) -> T {
    std::mem::swap(label, &mut around.output.label);
    let said = say(&mut around.output);
    std::mem::swap(label, &mut around.output.label);
    said
}

/// One bit a protocol.
const _: () = assert!(PROTOCOLS.len() <= u64::BITS as usize);

/// The first protocol that is sure, else the first that may be it; those whose port it is are asked first.
fn recognise(segment: &Segment<'_>, rejected: u64) -> Option<&'static Protocol> {
    let table = Table::get();
    let carried = if segment.stream { table.over_tcp } else { table.over_udp };
    let candidates = carried & !rejected;
    let at_home = table.at(segment.source.port()) | table.at(segment.destination.port());
    let mut maybe = None;
    for mut left in [candidates & at_home, candidates & !at_home] {
        while left != 0 {
            let protocol = PROTOCOLS.get(left.trailing_zeros() as usize)?;
            left &= left - 1;
            match (protocol.probe)(segment) {
                Probe::Yes => return Some(protocol),
                Probe::Maybe => maybe = maybe.or(Some(*protocol)),
                Probe::No => {}
            }
        }
    }
    maybe
}

/// Which protocols there are over what, and at which ports: sets, with a bit for each by its place in [`PROTOCOLS`].
struct Table {
    over_udp: u64,
    over_tcp: u64,
    ports: HashMap<u16, u64>,
}

impl Table {
    fn get() -> &'static Self {
        static TABLE: LazyLock<Table> = LazyLock::new(Table::new);
        &TABLE
    }

    fn new() -> Self {
        let mut table = Self { over_udp: 0, over_tcp: 0, ports: HashMap::new() };
        for (place, protocol) in PROTOCOLS.iter().enumerate() {
            let bit = 1 << place;
            table.over_udp |= if protocol.over == Over::Tcp { 0 } else { bit };
            table.over_tcp |= if protocol.over == Over::Udp { 0 } else { bit };
            for port in protocol.ports {
                *table.ports.entry(*port).or_default() |= bit;
            }
        }
        table
    }

    fn at(&self, port: u16) -> u64 {
        self.ports.get(&port).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads datagrams that go one way.
    fn read<'a>(datagrams: impl IntoIterator<Item = &'a Vec<u8>>) -> Application {
        let (mut application, mut around) = (Application::default(), Surroundings::default());
        for bytes in datagrams {
            let segment = Segment {
                time: Timestamp::default(),
                direction: Direction::Out,
                source: ([192, 0, 2, 1], 50_000).into(),
                destination: ([192, 0, 2, 2], 50_002).into(),
                stream: false,
                bytes,
                length: bytes.len() as u32,
            };
            application.read(&segment, &mut around);
        }
        application
    }

    /// Application data under DTLS 1.2.
    fn dtls() -> Vec<u8> {
        [&[23, 0xfe, 0xfd, 0, 1, 0, 0, 0, 0, 0, 9, 0, 32][..], &[0x5a; 32]].concat()
    }

    fn rtp(sequence: u8) -> Vec<u8> {
        [&[0x80, 111, 0, sequence, 0, 0, sequence, 0, 1, 2, 3, 4][..], &[0x5a; 80]].concat()
    }

    #[test]
    fn media_are_found_behind_any_number_of_dtls_records() {
        let records = vec![dtls(); 10 * usize::from(TRIES)];
        let media: Vec<_> = (0..4).map(rtp).collect();
        let application = read(records.iter().chain(&media));
        assert_eq!(application.protocol().map(|protocol| protocol.name), Some("rtp"));
        assert_eq!(read(&records).label.app, Some("dtls"));
    }

    #[test]
    fn media_are_not_looked_for_behind_any_number_of_other_payloads() {
        let others = vec![vec![0x5a; 40]; usize::from(TRIES)];
        let application = read(&others);
        assert!(!application.is_open());
    }
}
