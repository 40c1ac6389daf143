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

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

pub use device::{DeviceFacts, Devices};
pub use service::Classification;

use self::burst::Bursts;
use self::device::Meeting;
use crate::dissect::app::{Direction, Event};
use crate::dissect::{Mac, Packet};
use crate::flow::Flow;
use crate::knowledge::Knowledge;
use crate::time::Timestamp;

/// The devices that the shards of one run know together: what one console says of itself may reach several of them. It is
/// locked when a device shows something new, never for packets of established flows.
pub type Registry = Arc<Mutex<Devices>>;

/// Meetings that a shard remembers, so that it need not ask the registry again.
const MOST_MET: usize = 512;

/// The conclusions of one shard.
#[derive(Debug)]
pub struct Classifier {
    knowledge: Arc<Knowledge>,
    bursts: Bursts,
    registry: Registry,
    met: HashSet<Meeting>,
    /// Whether the registry may have news.
    asked: bool,
}

impl Classifier {
    /// Draws conclusions with this knowledge; of devices together with the others of the registry.
    pub fn new(knowledge: Arc<Knowledge>, registry: Registry) -> Self {
        Self { knowledge, bursts: Bursts::default(), registry, met: HashSet::new(), asked: false }
    }

    /// A flow has begun with this packet.
    pub fn begin(&mut self, flow: &Flow, packet: &Packet<'_>) {
        for meeting in device::meetings(flow, packet) {
            if self.met.len() >= MOST_MET {
                self.met.clear();
            }
            if self.met.insert(meeting) {
                self.ask(|devices, knowledge| devices.meet(meeting, knowledge));
            }
        }
        if let Some((mac, shape)) = device::opening(packet)
            && self.knowledge.devices.syn(&shape).next().is_some()
        {
            self.ask(|devices, knowledge| devices.see_opening(mac, &shape, &knowledge.devices));
        }
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
        if device::is_telling(event) {
            self.ask(|devices, knowledge| devices.hear(flow, event, knowledge));
        }
    }

    /// What a flow is for, by all that is known of it now.
    pub fn classify(&self, flow: &Flow) -> Classification {
        service::classify(flow, &self.knowledge, &self.bursts)
    }

    /// Whose flow it is: the end with a console's MAC, or else the client. It depends on the flow alone.
    pub fn device(&self, flow: &Flow) -> Option<Mac> {
        let (source, destination) = flow.macs?;
        let order = match ends::Ends::of(flow).up {
            Direction::Out => [source, destination],
            Direction::In => [destination, source],
        };
        let is_console = |mac: &Mac| self.knowledge.ouis.find(*mac).is_some_and(|vendor| vendor.family.is_some());
        let [client, _] = order;
        order.into_iter().find(is_console).or(Some(client)).filter(|mac| !mac.is_group())
    }

    /// What became known of a console since the last call, if anything, and since when.
    pub fn news(&mut self, now: Timestamp) -> Option<(Timestamp, DeviceFacts)> {
        if !self.asked {
            return None;
        }
        let news = self.registry.lock().unwrap_or_else(PoisonError::into_inner).news(now);
        self.asked = news.is_some();
        news
    }

    /// All hosts that were not told of because they are no consoles. All shards have seen all their frames.
    pub fn rest(&mut self) -> Vec<DeviceFacts> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner).rest()
    }

    fn ask(&mut self, ask: impl FnOnce(&mut Devices, &Knowledge)) {
        self.asked = true;
        ask(&mut self.registry.lock().unwrap_or_else(PoisonError::into_inner), &self.knowledge);
    }
}

/// The probability that at least one of independent reasons holds, in hundredths.
fn either(reasons: impl Iterator<Item = f64>) -> f64 {
    let none: f64 = reasons.map(|reason| 1.0 - reason).product();
    ((1.0 - none).min(0.99) * 100.0).round() / 100.0
}
