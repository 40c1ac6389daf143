//! The `match` and `phase` records.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::flow::Summary;
use crate::time::Timestamp;

/// What a `match` record tells.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct MatchFacts {
    /// First packet of the sustained tick traffic.
    pub start: Timestamp,
    /// Its last packet.
    pub end: Timestamp,
    /// First evidence of the search that led to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub search_start: Option<Timestamp>,
    /// The server; of a match between peers, the one that most was exchanged with.
    pub server_ip: IpAddr,
    /// Its port.
    pub server_port: u16,
    /// Who owns its address: a conclusion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_network: Option<Arc<str>>,
    /// Everyone, where several peers took part.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<PeerFacts>,
    /// What the console sent.
    pub up: WayFacts,
    /// What it received.
    pub down: WayFacts,
    /// Silences of a direction that else ticked.
    pub stalls: Vec<StallFacts>,
    /// Hosts that were probed during the search.
    pub probed: Vec<ProbeFacts>,
    /// RTP sources heard during the match.
    pub voice: Vec<u32>,
    /// What became of their packets; the `rtp` records have more.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub voice_quality: Vec<VoiceFacts>,
    /// The host that results were sent to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result_host: Option<Arc<str>>,
    /// How sure this is a match, 0 to 1.
    pub confidence: f64,
    /// What led to it.
    pub why: Vec<String>,
}

/// A peer of a match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PeerFacts {
    /// Its address.
    pub ip: IpAddr,
    /// Its port.
    pub port: u16,
}

/// One direction of a match.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct WayFacts {
    /// Steady rate of ticks; absent where nothing recurs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tick_hz: Option<f64>,
    /// Packets per second from its first packet to its last.
    pub pps: f64,
    /// Time between packets, in milliseconds.
    pub gap_ms: Summary,
    /// Bytes of IP.
    pub bytes: u64,
}

/// A silence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct StallFacts {
    /// Last packet before it.
    pub start: Timestamp,
    /// How long it lasted.
    pub duration_ms: f64,
    /// `up`: the console was silent; `down`: its peer.
    pub direction: &'static str,
}

/// A host that was probed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ProbeFacts {
    /// Its address.
    pub ip: IpAddr,
    /// Median time from probe to answer.
    pub rtt_ms: f64,
}

/// A source of voice.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct VoiceFacts {
    /// Its number.
    pub ssrc: u32,
    /// `up`: the console's own; `down`: another's.
    pub direction: &'static str,
    /// Packets that came, each once.
    pub packets: u64,
    /// Packets that did not, as RFC 3550 appendix A.3 counts them.
    pub lost: u64,
    /// The same of all that were sent.
    pub lost_percent: f64,
}

/// What a console was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The game is up; nobody is looked for.
    Online,
    /// A match is being looked for.
    Searching,
    /// The match has been found, and does not run yet.
    Joining,
    /// The match runs.
    InMatch,
    /// The match is over; results are on their way.
    Ending,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 5] = [Self::Online, Self::Searching, Self::Joining, Self::InMatch, Self::Ending];
}

/// By its name in records.
impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// What a `phase` record tells.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PhaseFacts {
    /// Which.
    pub phase: Phase,
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// How sure that is, 0 to 1.
    pub confidence: f64,
    /// What led to it.
    pub why: Vec<String>,
}
