//! The `flow` record.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::{Record, Subject};
use crate::classify::Classification;
use crate::dissect::TcpFlags;
use crate::dissect::app::{Direction, HostFrom};
use crate::flow::{EndReason, Flow, Summary, Traffic};
use crate::knowledge::Role;
use crate::time::Timestamp;

/// What a `flow` record tells.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct FlowFacts {
    /// First packet.
    pub start: Timestamp,
    /// Latest packet.
    pub end: Timestamp,
    /// Why it is reported.
    pub end_reason: EndReason,
    /// Packets from the source.
    pub packets_out: u64,
    /// Bytes of IP from the source.
    pub bytes_out: u64,
    /// Packets to the source.
    pub packets_in: u64,
    /// Bytes of IP to the source.
    pub bytes_in: u64,
    /// Of these packets, how many the driver only counted (`--shunt`): spacing and sizes do not know them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packets_shunted: Option<u64>,
    /// The protocol it spoke.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<&'static str>,
    /// The server's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<Arc<str>>,
    /// Where that name was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_from: Option<HostFrom>,
    /// Names of the server's address, where there are several and nothing tells which is meant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub host_candidates: Vec<Arc<str>>,
    /// Whose service it is: a conclusion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<Arc<str>>,
    /// What it is for: a conclusion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// Who owns the server's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<Arc<str>>,
    /// How likely the role is right, or the service where there is no role: 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// What service, role and network rest on, the weightiest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<String>,
    /// From SYN to the ACK that completes the handshake, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<f64>,
    /// TCP segments with payload that repeat what was already seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retransmissions: Option<u32>,
    /// TCP control bits each side sent at some time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flags: Option<TcpFlagLetters>,
    /// Rate, spacing and sizes from the source; absent for flows of few packets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub out: Option<Way>,
    /// The same to the source.
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    pub inward: Option<Way>,
}

/// TCP control bits by their letters (FIN `F`, SYN `S`, RST `R`, PSH `P`, ACK `A`, URG `U`, ECE `E`, CWR `C`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct TcpFlagLetters {
    /// The source's.
    pub out: String,
    /// The other side's.
    #[serde(rename = "in")]
    pub inward: String,
}

/// One direction of a flow.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Way {
    /// Packets per second over the flow's length.
    pub pps: f64,
    /// Time between packets, in milliseconds, from the eighth packet on.
    pub gap_ms: Summary,
    /// Payload sizes in bytes, from the eighth packet on.
    pub size: Summary,
}

impl Record {
    /// What there is to tell of a flow.
    pub fn flow(flow: &Flow, end_reason: EndReason, conclusion: Classification) -> Self {
        let facts = Box::new(FlowFacts::of(flow, end_reason, conclusion));
        Self { kind: "flow", time: flow.end, subject: Subject::flow(flow), facts }
    }
}

impl FlowFacts {
    /// The facts of a flow, and what was concluded from them.
    pub fn of(flow: &Flow, end_reason: EndReason, conclusion: Classification) -> Self {
        let [out, inward] = &flow.traffic;
        let seconds = flow.end.nanos_since(flow.start) as f64 / 1e9;
        let label = &flow.application.label;
        let tcp = flow.tcp.as_ref();
        Self {
            start: flow.start,
            end: flow.end,
            end_reason,
            packets_out: out.packets,
            bytes_out: out.bytes,
            packets_in: inward.packets,
            bytes_in: inward.bytes,
            packets_shunted: Some(flow.shunted).filter(|packets| *packets > 0),
            app: label.app,
            host: label.host.clone(),
            host_from: label.host_from,
            host_candidates: label.host_candidates.clone(),
            service: conclusion.service,
            role: conclusion.role,
            network: conclusion.network,
            confidence: conclusion.confidence,
            why: conclusion.why,
            rtt_ms: tcp.and_then(|tcp| tcp.rtt_nanos).map(|nanos| nanos as f64 / 1e6),
            retransmissions: tcp.map(|tcp| tcp.retransmissions),
            flags: flow.tcp_flags().map(letters),
            out: way(out, seconds),
            inward: way(inward, seconds),
        }
    }
}

fn way(traffic: &Traffic, seconds: f64) -> Option<Way> {
    let shape = traffic.shape.as_ref()?;
    (seconds > 0.0).then(|| Way {
        pps: round(traffic.packets as f64 / seconds),
        gap_ms: shape.gap_ms(),
        size: shape.size(),
    })
}

/// Three digits after the point: no rate is known better.
fn round(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

fn letters(flags: [TcpFlags; 2]) -> TcpFlagLetters {
    let of = |direction: Direction| flags[direction.index()].letters().collect();
    TcpFlagLetters { out: of(Direction::Out), inward: of(Direction::In) }
}
