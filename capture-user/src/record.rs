//! What comes out: one record is one thing that was true of the traffic.
//!
//! Every record has the same frame (kind, time, flow) and the facts of its kind, which are any type that serialises and
//! describes itself: so a new kind of record needs nothing here.

mod flow;
mod gap;
mod kinds;
mod packet;
pub mod schema;

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Serialize;

pub use flow::{FlowFacts, TcpFlagLetters, Way};
pub use gap::GapFacts;
pub use kinds::{Kinds, UnknownKind};
pub use packet::{PacketFacts, StoppedFacts};

use crate::classify::DeviceFacts;
use crate::dissect::app::Facts;
use crate::dissect::{Mac, Packet};
use crate::flow::{CommunityId, Flow, Protocol};
use crate::latency::Latency;
use crate::ledger::Ledger;
use crate::limits::Reached;
use crate::time::Timestamp;

/// One record.
#[derive(Debug)]
pub struct Record {
    /// What it is about: `flow`, `dns`, `stats`…
    pub kind: &'static str,
    /// When it was true on the wire.
    pub time: Timestamp,
    /// Whose traffic it is about.
    pub subject: Subject,
    /// What is told.
    pub facts: Box<dyn Facts>,
}

/// Whose traffic a record is about; what does not apply is absent.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Subject {
    /// The console's MAC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<Mac>,
    /// The flow's Community ID, version 1, seed 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub community_id: Option<CommunityId>,
    /// The protocol under IP, by name (by number where it has none).
    #[serde(rename = "proto", skip_serializing_if = "Option::is_none", serialize_with = "protocol_name")]
    #[schemars(with = "Option<String>")]
    pub protocol: Option<Protocol>,
    /// Who sent first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src_ip: Option<IpAddr>,
    /// Its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub src_port: Option<u16>,
    /// The other side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dst_ip: Option<IpAddr>,
    /// Its port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dst_port: Option<u16>,
    /// VLAN identifiers, outermost first.
    #[serde(skip_serializing_if = "<[u16]>::is_empty")]
    pub vlan: Box<[u16]>,
    /// Tunnels it came through, outermost first.
    #[serde(skip_serializing_if = "<[&str]>::is_empty")]
    pub encap: Box<[&'static str]>,
}

fn protocol_name<S: serde::Serializer>(protocol: &Option<Protocol>, serializer: S) -> Result<S::Ok, S::Error> {
    match protocol {
        Some(protocol) => match protocol.name() {
            Some(name) => serializer.serialize_str(name),
            None => serializer.collect_str(&protocol.0),
        },
        None => serializer.serialize_none(),
    }
}

impl Subject {
    /// A flow.
    pub fn flow(flow: &Flow) -> Self {
        let (source, destination) = (flow.source(), flow.destination());
        let ports = matches!(flow.protocol(), Protocol::TCP | Protocol::UDP);
        Self {
            device: None,
            community_id: Some(flow.community_id()),
            protocol: Some(flow.protocol()),
            src_ip: Some(source.ip()),
            src_port: ports.then(|| source.port()),
            dst_ip: Some(destination.ip()),
            dst_port: ports.then(|| destination.port()),
            vlan: flow.vlan().into(),
            encap: flow.encap().into(),
        }
    }

    /// A single packet: its own sender comes first.
    pub fn packet(packet: &Packet<'_>) -> Self {
        Self {
            device: None,
            community_id: None,
            protocol: packet.ip.as_ref().map(|ip| Protocol(ip.protocol)),
            src_ip: packet.ip.as_ref().map(|ip| ip.source),
            src_port: packet.ports().map(|(source, _)| source),
            dst_ip: packet.ip.as_ref().map(|ip| ip.destination),
            dst_port: packet.ports().map(|(_, destination)| destination),
            vlan: packet.vlan.as_slice().into(),
            encap: packet.encap.as_slice().into(),
        }
    }
}

/// The account so far: what a `stats` record tells.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct StatsFacts {
    /// Where every frame went.
    pub ledger: Ledger,
    /// What was given up because a limit was reached.
    pub limits: Reached,
    /// Per-packet latency by stage.
    pub latency_ns: Latency,
}

impl Record {
    /// What is known of a device.
    pub fn device(time: Timestamp, device: DeviceFacts) -> Self {
        let subject = Subject { device: Some(device.mac), ..Subject::default() };
        Self { kind: "device", time, subject, facts: Box::new(device) }
    }

    /// The account so far.
    pub fn stats(time: Timestamp, ledger: Ledger, limits: Reached, latency_ns: Latency) -> Self {
        let facts = Box::new(StatsFacts { ledger, limits, latency_ns });
        Self { kind: "stats", time, subject: Subject::default(), facts }
    }
}
