//! One application protocol: payloads of any bytes, both ways, over datagrams or a stream with gaps, through its probe,
//! a conversation and its packet list. What it says is in proportion to what it was told, and does not depend on how
//! a stream that it recognises is cut into segments, as long as none is lost.
//!
//! The protocol is the one that PADTAP_PROTOCOL names.

#![no_main]

use std::sync::LazyLock;

use capture_user::dissect::app::{Conversation, Event, Output, Over, PROTOCOLS, Probe, Protocol, Step};
use capture_user::time::Timestamp;
use libfuzzer_sys::fuzz_target;
use padtap_fuzz::check;
use padtap_fuzz::script::{Piece, pieces};

/// Those of the name that was asked for: there may be one over UDP and one over TCP.
static ASKED_FOR: LazyLock<Vec<&Protocol>> = LazyLock::new(|| {
    let name = std::env::var("PADTAP_PROTOCOL").unwrap_or_default();
    let found: Vec<_> = PROTOCOLS.iter().copied().filter(|protocol| protocol.name == name).collect();
    let names: Vec<_> = PROTOCOLS.iter().map(|protocol| protocol.name).collect();
    assert!(!found.is_empty(), "PADTAP_PROTOCOL must name one of: {}", names.join(" "));
    found
});

fuzz_target!(|input: &[u8]| {
    let Some(first) = pieces(input).next() else { return };
    let carrier = if first.prefers_stream() { Over::Udp } else { Over::Tcp };
    let protocol = ASKED_FOR.iter().find(|protocol| protocol.over != carrier).unwrap_or(&ASKED_FOR[0]);
    let stream = protocol.over == Over::Tcp || protocol.over == Over::Both && first.prefers_stream();
    // A stream's flow waits until the probe thinks that it may be; without that, more is reached.
    let as_flows_do = stream && first.snapped() == 0;
    let flow = || Flow {
        protocol,
        stream,
        port: first.port(protocol),
        conversation: (protocol.open)(),
        unread: Default::default(),
        out: Output::default(),
        offered: 0,
        is_open: !as_flows_do,
        said: Vec::new(),
    };
    let (comparable, said) = flow().run(input, usize::MAX);
    // After a loss, where a segment begins is a clue.
    let whole = pieces(input).all(|piece| piece.gap().is_none());
    if as_flows_do && comparable && whole {
        let cut = 1 + input.len() % 7;
        assert_eq!(said, flow().run(input, cut).1, "whole, and in segments of {cut} bytes");
    }
});

/// Bytes of records that an input may become, beside [`EXPANSION`] times those it offered.
const ALLOWANCE: usize = 64 * 1024;
/// A name in DNS is two bytes that become 255, each of them four in text and five in JSON.
const EXPANSION: usize = 1_024;

struct Flow {
    protocol: &'static Protocol,
    stream: bool,
    port: u16,
    conversation: Box<dyn Conversation>,
    unread: [Vec<u8>; 2],
    out: Output,
    /// Bytes read, some of them more than once.
    offered: usize,
    /// Whether the conversation has begun.
    is_open: bool,
    /// What it said, but for records.
    said: Vec<String>,
}

impl Flow {
    /// All it says of an input whose pieces come in segments of at most `cut` bytes; and whether it must say the same
    /// of other segments: if it recognised the first piece and, where it waits for the end of a head before it looks
    /// again, nothing was wrong with the rest.
    fn run(mut self, input: &[u8], cut: usize) -> (bool, Vec<String>) {
        let (mut recognised, mut ended) = (None, false);
        let mut time = Timestamp::from_nanos(1_700_000_000_000_000_000);
        for piece in pieces(input) {
            time = piece.time(time);
            self.summarise(piece.bytes);
            if !self.lose(&piece) || !piece.segments(cut).all(|segment| self.read(&segment, time)) {
                ended = true;
                break;
            }
            recognised.get_or_insert(self.is_open);
        }
        self.conversation.end(time, &mut self.out);
        self.heard(0);
        // How many CRLFs were one keep-alive is told by how they came.
        let records = self.out.events.iter().filter(|event| event.kind != "sip_keepalive");
        self.said.extend(records.map(|event| format!("{} {}", event.kind, json(event))));
        let said = check::events(self.out.events.drain(..));
        assert!(said <= ALLOWANCE + EXPANSION * self.offered, "{said} bytes of records from {}", self.offered);
        self.said.push(format!("{:?}", self.out.label));
        let patient = matches!(self.protocol.name, "http" | "sip");
        (recognised.unwrap_or(self.is_open) && !(ended && patient), self.said)
    }

    /// Whether there is more to be read after the bytes that are lost before a piece.
    fn lose(&mut self, piece: &Piece<'_>) -> bool {
        let Some(length) = piece.gap().filter(|_| self.stream) else { return true };
        self.unread[piece.direction().index()].clear();
        let step = self.conversation.gap(piece.direction(), length, &mut self.out);
        matches!(step, Step::Consumed(_))
    }

    /// Whether there is more to be read.
    fn read(&mut self, piece: &Piece<'_>, time: Timestamp) -> bool {
        let unread = &mut self.unread[piece.direction().index()];
        unread.extend_from_slice(piece.bytes);
        let segment = piece.segment(self.port, time, self.stream, unread);
        self.is_open |= (self.protocol.probe)(&segment) != Probe::No;
        if !self.is_open {
            return true;
        }
        let step = self.conversation.read(&segment, &mut self.out);
        let offered = unread.len();
        match step {
            Step::Consumed(count) => {
                assert!(count <= offered, "{count} of {offered} bytes read");
                unread.drain(..if self.stream { count } else { offered });
            }
            Step::Done | Step::Reject => {}
        }
        self.heard(offered);
        matches!(step, Step::Consumed(_))
    }

    /// Checks what was learned from `bytes` bytes.
    fn heard(&mut self, bytes: usize) {
        self.offered += bytes;
        assert!(self.out.names.len() <= 16 + bytes, "{} names from {bytes} bytes", self.out.names.len());
        assert!(self.out.expectations.len() <= 256, "{} announcements", self.out.expectations.len());
        assert!(self.out.names.iter().all(|resolved| resolved.name.len() <= 1_024), "a long name");
        self.said.extend(self.out.names.drain(..).map(|resolved| format!("{resolved:?}")));
        for announced in self.out.expectations.drain(..) {
            self.said.push(format!("{announced:?}"));
            (announced.open)();
        }
    }

    fn summarise(&self, bytes: &[u8]) {
        let mut line = String::new();
        (self.protocol.summary)(bytes, &mut line);
        assert!(line.len() <= 4_096 + 8 * bytes.len(), "{} bytes of summary for {}", line.len(), bytes.len());
    }
}

fn json(event: &Event) -> String {
    serde_json::to_string(&*event.facts).expect("facts serialise")
}
