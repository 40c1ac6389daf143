//! What padtap makes of one capture.

use std::path::Path;
use std::time::Duration;

use capture_user::dissect::app::People;
use capture_user::dissect::{Dissector, Packet, dissect};
use capture_user::reassembly::fragments::{Fragments, Key, Limits, Piece};
use capture_user::source::{self, Received, Source, View, pcap};
use serde_json::Value;
use tests::engine::Run;

/// One capture, read.
pub struct Capture {
    /// What the engine said.
    pub run: Run,
    /// What records do not say of each frame.
    pub frames: Vec<Frame>,
}

/// What the source and the walk say of one frame.
pub struct Frame {
    /// Position, from 1.
    pub number: u64,
    /// The interface it came in by.
    pub interface: u32,
    /// The innermost tunnel and its number.
    pub tunnel: Option<(&'static str, u32)>,
    /// Whether it is a fragment: of IPv4 (4) or of IPv6 (6).
    pub fragment_of: Option<u8>,
    /// Fragments and bytes of the datagram that it made whole.
    pub whole: Option<(u32, u32)>,
}

impl Capture {
    /// Reads a file: once through the engine, and once through the walk alone.
    pub fn read(path: &Path) -> Self {
        let mut source = pcap::open([path], |_| Some(0)).expect("the capture opens");
        let view = source.view();
        let (mut tokens, mut scratch) = (Vec::new(), Vec::new());
        let (mut dissector, mut frames) = (Dissector::default(), Vec::new());
        let mut joiner = Joiner(Fragments::new(Limits::default()));
        while source.receive(64, Duration::ZERO, &mut tokens).expect("the capture is sound") != Received::End {
            frames
                .extend(tokens.iter().map(|token| walk(&mut dissector, &mut joiner, &view.frame(token, &mut scratch))));
            source.recycle(&mut tokens);
        }
        Self { run: Run::of(path, 0, People::SHOWN), frames }
    }

    /// The records of a kind.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.run.of_kind(kind)
    }
}

fn walk(dissector: &mut Dissector, joiner: &mut Joiner, frame: &source::Frame<'_>) -> Frame {
    let packet = dissector.dissect(frame);
    let (tunnel, reassembled) = (packet.encap.last().copied().zip(packet.tunnel_id), packet.reassembled);
    let piece = dissect(frame);
    let fragment_of = piece.ip.filter(|ip| ip.fragment.is_some()).map(|ip| if ip.source.is_ipv6() { 6 } else { 4 });
    let whole = joiner.length(&piece, frame);
    assert_eq!(whole.map(|whole| whole.0), reassembled, "frame {}", frame.number);
    Frame { number: frame.number, interface: frame.interface, tunnel, fragment_of, whole }
}

/// Joins fragments beside the dissector, which goes on into the datagram and does not say how long it was.
struct Joiner(Fragments);

impl Joiner {
    /// Fragments and bytes of the datagram that a piece makes whole.
    fn length(&mut self, piece: &Packet<'_>, frame: &source::Frame<'_>) -> Option<(u32, u32)> {
        let ip = piece.ip?;
        let fragment = ip.fragment?;
        let key = Key {
            source: ip.source,
            destination: ip.destination,
            id: fragment.id,
            protocol: ip.source.is_ipv4().then_some(ip.protocol),
        };
        let piece = Piece {
            key,
            protocol: ip.protocol,
            offset: fragment.offset,
            more: fragment.more,
            bytes: piece.payload,
            length: piece.payload_length,
        };
        let mut payload = Vec::new();
        let joined = self.0.insert(&piece, frame.time, &mut payload)?;
        Some((joined.fragments, u32::try_from(payload.len()).expect("no datagram is longer")))
    }
}
