//! The `packet` record.

use schemars::JsonSchema;
use serde::Serialize;

use super::{Record, Subject};
use crate::dissect::{Packet, Stopped};
use crate::source::Frame;

/// What a `packet` record tells.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PacketFacts {
    /// Position in the source, from 1.
    pub number: u64,
    /// Bytes on the wire.
    pub length: u32,
    /// Bytes captured.
    pub captured: usize,
    /// The layers read, outermost first, by Wireshark's names.
    pub layers: Vec<&'static str>,
    /// One line for people.
    pub info: String,
    /// Whether it is the second copy that a mirror made of a frame: no flow counts it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub duplicate: bool,
    /// Where the walk had to stop, if it did not reach the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<StoppedFacts>,
}

/// Where and why a walk ended early.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct StoppedFacts {
    /// The layer that could not be read.
    pub layer: &'static str,
    /// Where it begins, in bytes from the start of the frame.
    pub offset: usize,
    /// What was wrong with it.
    pub reason: String,
}

impl From<Stopped> for StoppedFacts {
    fn from(stopped: Stopped) -> Self {
        Self { layer: stopped.layer.name(), offset: stopped.offset, reason: stopped.reason.to_string() }
    }
}

impl Record {
    /// What there is to tell of one packet; `application` is the protocol of its payload, and `info` a line about it.
    pub fn packet(packet: &Packet<'_>, frame: &Frame<'_>, application: Option<&'static str>, info: String) -> Self {
        let facts = PacketFacts {
            number: frame.number,
            length: frame.length,
            captured: frame.data.len(),
            layers: packet.layers.iter().map(|layer| layer.name()).chain(application).collect(),
            info,
            duplicate: packet.duplicate,
            stopped: packet.stopped.map(StoppedFacts::from),
        };
        Self { kind: "packet", time: frame.time, subject: Subject::packet(packet), facts: Box::new(facts) }
    }
}
