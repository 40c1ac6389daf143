//! From facts to what they mean: which devices there are, and what their flows are for.
//!
//! Dissection finds facts; this stage draws conclusions from them with the help of [`Knowledge`]. The two never share a
//! field: every conclusion has a confidence of its own between 0 and 1, and says in `why` what it rests on. A flow is
//! looked at when it begins, at its first payloads, when its conversation tells something, and when it is reported;
//! packets of established flows pass by.

mod burst;
mod device;
mod ends;
mod service;
mod signature;

use std::sync::Arc;

pub use device::DeviceFacts;
pub use service::Classification;

use self::burst::Bursts;
use self::device::Devices;
use crate::dissect::app::{Direction, Event};
use crate::dissect::{Mac, Packet};
use crate::flow::Flow;
use crate::knowledge::Knowledge;
use crate::time::Timestamp;

/// The conclusions of one shard.
#[derive(Debug)]
pub struct Classifier {
    knowledge: Arc<Knowledge>,
    bursts: Bursts,
    devices: Devices,
}

impl Classifier {
    /// Draws conclusions with this knowledge.
    pub fn new(knowledge: Arc<Knowledge>) -> Self {
        Self { knowledge, bursts: Bursts::default(), devices: Devices::default() }
    }

    /// A flow has begun with this packet.
    pub fn begin(&mut self, flow: &Flow, packet: &Packet<'_>) {
        self.devices.meet(flow, packet, &self.knowledge);
    }

    /// Looks at one of the first payloads of a flow; [`Marks::wanted`](crate::flow::Marks::wanted) says whether it is.
    pub fn look(&mut self, flow: &mut Flow, direction: Direction, packet: &Packet<'_>, now: Timestamp) {
        signature::look(flow, direction, packet, &self.knowledge.signatures);
        if flow.marks.count(direction) {
            self.bursts.join(flow, direction, packet.payload_length, now);
        }
    }

    /// Takes in what a flow's conversation has told.
    pub fn hear(&mut self, flow: &Flow, event: &Event) {
        self.devices.hear(flow, event, &self.knowledge.devices);
    }

    /// What a flow is for, by all that is known of it now.
    pub fn classify(&self, flow: &Flow) -> Classification {
        service::classify(flow, &self.knowledge, &self.bursts)
    }

    /// The console whose flow it is.
    pub fn console(&self, flow: &Flow) -> Option<Mac> {
        self.devices.console(flow)
    }

    /// What became known of a console since the last call, if anything.
    pub fn news(&mut self) -> Option<DeviceFacts> {
        self.devices.news()
    }

    /// All hosts that were not told of because they are no consoles. Nothing will come after.
    pub fn rest(&mut self) -> Vec<DeviceFacts> {
        self.devices.rest()
    }
}

/// The probability that at least one of independent reasons holds, in hundredths.
fn either(reasons: impl Iterator<Item = f64>) -> f64 {
    let none: f64 = reasons.map(|reason| 1.0 - reason).product();
    ((1.0 - none).min(0.99) * 100.0).round() / 100.0
}
