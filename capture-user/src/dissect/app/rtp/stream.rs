//! One RTP stream: the packets of one synchronisation source in one direction of a flow.

use schemars::JsonSchema;
use serde::Serialize;

use super::header::Header;
use super::jitter::{Jitter, Weight};
use super::payload_type::{is_comfort_noise, is_event, is_sound};
use super::sequence::{Place, Sequence};
use super::spurts::Spurts;
use super::way;
use crate::dissect::app::Direction;
use crate::dissect::app::sdp::Negotiated;
use crate::time::Timestamp;

/// Packets in a row that prove a stream where nothing announced it.
const PROOF: u8 = 3;
/// The largest step of timestamps from one packet to the next that the proof accepts: ten seconds of video.
const MAX_STEP: u32 = 900_000;

/// What became known of one stream.
#[derive(Clone, Debug)]
pub(super) struct Stream {
    pub ssrc: u32,
    pub end: Timestamp,
    start: Timestamp,
    /// The payload type it is called by: its first that is neither comfort noise nor events.
    payload_type: u8,
    encoding: Encoding,
    /// The encoding of the latest packet, to look it up once per change.
    current: Encoding,
    /// The latest packet was comfort noise.
    after_noise: bool,
    sequence: Sequence,
    jitter: Jitter,
    spurts: Spurts,
    proof: Proof,
}

/// What a payload type means.
#[derive(Clone, Copy, Debug)]
struct Encoding {
    payload_type: u8,
    /// Rate of its timestamps in hertz; none for events, which repeat the timestamp of their start.
    clock: Option<u32>,
    role: Role,
}

/// What packets of an encoding are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Media,
    ComfortNoise,
    Event,
}

impl Encoding {
    fn of(payload_type: u8, negotiated: Option<&Negotiated>) -> Self {
        let (codec, clock) = Negotiated::meaning(negotiated, payload_type);
        let role = match codec {
            Some(codec) if is_comfort_noise(codec) => Role::ComfortNoise,
            Some(codec) if is_event(codec) => Role::Event,
            _ => Role::Media,
        };
        Self { payload_type, clock: clock.filter(|_| role != Role::Event), role }
    }
}

/// Evidence that unannounced packets are RTP: a run with one payload type, numbered without a gap, whose timestamps
/// move on plausibly.
#[derive(Clone, Copy, Debug)]
struct Proof {
    run: u8,
    timestamp: u32,
    payload_type: u8,
    /// Within the run the timestamps moved, or each packet had an extension of RFC 8285.
    moved: bool,
    done: bool,
}

impl Proof {
    fn new(header: &Header) -> Self {
        Self { run: 1, timestamp: header.timestamp, payload_type: header.payload_type, moved: false, done: false }
    }

    fn feed(&mut self, place: Place, header: &Header) {
        let step = header.timestamp.wrapping_sub(self.timestamp);
        let follows = place == Place::Ahead(1)
            && header.payload_type == self.payload_type
            && header.is_usual()
            && step <= MAX_STEP;
        if follows {
            self.run = self.run.saturating_add(1);
            self.moved |= step > 0 || header.one_byte_extension;
        } else {
            self.run = 1;
            self.moved = false;
        }
        self.timestamp = header.timestamp;
        self.payload_type = header.payload_type;
        self.done |= self.run >= PROOF && self.moved;
    }
}

impl Stream {
    pub fn new(header: &Header, time: Timestamp, negotiated: Option<&Negotiated>) -> Self {
        let encoding = Encoding::of(header.payload_type, negotiated);
        let mut stream = Self {
            ssrc: header.ssrc,
            start: time,
            end: time,
            payload_type: header.payload_type,
            encoding,
            current: encoding,
            after_noise: false,
            sequence: Sequence::new(header.sequence),
            jitter: Jitter::default(),
            spurts: Spurts::default(),
            proof: Proof::new(header),
        };
        stream.measure(header, time);
        stream
    }

    /// Whether its packets alone prove that it is RTP.
    pub fn is_proven(&self) -> bool {
        self.proof.done
    }

    /// Packets that came, each counted once.
    pub fn packets(&self) -> u64 {
        self.sequence.received()
    }

    /// A bit set for each payload type that its packets prove: the one it is called by, if any.
    pub fn proven_types(&self) -> u128 {
        u128::from(self.is_proven()) << self.payload_type
    }

    /// Whether its payload type is one of `types`.
    pub fn is_of(&self, types: u128) -> bool {
        types >> self.payload_type & 1 != 0
    }

    pub fn feed(&mut self, header: &Header, time: Timestamp, negotiated: Option<&Negotiated>) {
        if header.payload_type != self.current.payload_type {
            self.change_encoding(header.payload_type, negotiated);
        }
        let place = self.sequence.place(header.sequence);
        self.proof.feed(place, header);
        match place {
            Place::Stray => return,
            Place::Ahead(_) => self.measure(header, time),
            Place::Late | Place::Duplicate => self.measure_spacing(header, time),
            Place::Restarted => {
                self.jitter.restart(time, header.timestamp);
                self.spurts.restart();
            }
        }
        self.end = time;
    }

    fn measure(&mut self, header: &Header, time: Timestamp) {
        self.measure_spacing(header, time);
        if self.current.role == Role::Media {
            self.spurts.feed(header.sequence, header.timestamp, header.marker);
        }
    }

    fn measure_spacing(&mut self, header: &Header, time: Timestamp) {
        let is_noise = self.current.role == Role::ComfortNoise;
        let after_noise = std::mem::replace(&mut self.after_noise, is_noise);
        let weight = if header.marker || is_noise || after_noise { Weight::Aside } else { Weight::Regular };
        self.jitter.feed(time, header.timestamp, self.current.clock, weight);
    }

    fn change_encoding(&mut self, payload_type: u8, negotiated: Option<&Negotiated>) {
        self.current = Encoding::of(payload_type, negotiated);
        if self.encoding.role != Role::Media && self.current.role == Role::Media {
            self.encoding = self.current;
            self.payload_type = payload_type;
        }
    }

    /// The record of the stream.
    pub fn facts(&self, direction: Direction, negotiated: Option<&Negotiated>) -> Facts {
        let (codec, clock) = Negotiated::meaning(negotiated, self.payload_type);
        let (expected, lost) = (self.sequence.expected(), self.sequence.lost());
        let is_sound = negotiated.map_or(is_sound(self.payload_type) || self.payload_type >= 96, Negotiated::is_audio);
        Facts {
            ssrc: self.ssrc,
            direction: way(direction),
            payload_type: self.payload_type,
            codec: codec.map(str::to_owned),
            clock,
            packets: self.sequence.received(),
            lost,
            lost_percent: lost as f64 * 100.0 / expected as f64,
            duplicates: self.sequence.duplicates(),
            reordered: self.sequence.reordered(),
            jitter_ms: self.jitter.summary().map(|(mean, max)| JitterMs { mean, max }),
            talk_spurts: self.spurts.count().filter(|_| is_sound),
            bound_by: if negotiated.is_some() { "sdp" } else { "heuristic" },
            call_id: negotiated.map(|media| media.call_id.to_string()),
            start: self.start,
            end: self.end,
        }
    }
}

/// The record `rtp`: one stream that ended.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Facts {
    /// The stream's identifier.
    ssrc: u32,
    /// Which way of the flow it went: `out` from the side that sent the flow's first packet, or `in`.
    direction: &'static str,
    /// Of its latest packet, before any talk of DTMF.
    payload_type: u8,
    /// From the session's description, or because the payload type is assigned to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    codec: Option<String>,
    /// Rate of its timestamps in hertz.
    #[serde(skip_serializing_if = "Option::is_none")]
    clock: Option<u32>,
    /// Packets received, without duplicates.
    packets: u64,
    /// Packets expected less packets received.
    lost: u64,
    /// Share of the packets expected.
    lost_percent: f64,
    /// Packets that came again.
    duplicates: u64,
    /// Packets that came later than one sent after them.
    reordered: u64,
    /// Interarrival jitter (RFC 3550, section 6.4.1), in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    jitter_ms: Option<JitterMs>,
    /// Times that the speaker began to speak.
    #[serde(skip_serializing_if = "Option::is_none")]
    talk_spurts: Option<u64>,
    /// `sdp` or `heuristic`.
    bound_by: &'static str,
    /// The call that announced it.
    #[serde(skip_serializing_if = "Option::is_none")]
    call_id: Option<String>,
    /// First packet.
    start: Timestamp,
    /// Latest packet.
    end: Timestamp,
}

/// How unevenly packets arrived.
#[derive(Debug, Serialize, JsonSchema)]
struct JitterMs {
    /// Mean over the packets.
    mean: f64,
    /// The greatest.
    max: f64,
}
