//! From facts to what they mean: which devices there are, and what their flows are for.
//!
//! Dissection finds facts; this stage draws conclusions from them with the help of [`Knowledge`]. The two never share a
//! field: every conclusion has a confidence of its own between 0 and 1, and says in `why` what it rests on. A flow is
//! looked at when it begins, at its first payloads, when its conversation tells something, and when it is reported;
//! packets of established flows pass by.

mod burst;
mod device;
mod devices;
mod ends;
mod service;
mod signature;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;

pub use device::DeviceFacts;
pub use devices::{Devices, HEARD};
pub use service::Classification;

use self::burst::Bursts;
use self::devices::Meeting;
use crate::dissect::app::{Direction, Event};
use crate::dissect::{Mac, Packet};
use crate::flow::Flow;
use crate::knowledge::{Knowledge, Role};
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
    /// Who was met, and how early.
    met: HashMap<Meeting, Timestamp>,
}

impl Classifier {
    /// Draws conclusions with this knowledge; of devices together with the others of the registry.
    pub fn new(knowledge: Arc<Knowledge>, registry: Registry) -> Self {
        Self { knowledge, bursts: Bursts::default(), registry, met: HashMap::new() }
    }

    /// Concludes from these tables from now on.
    pub fn set_knowledge(&mut self, knowledge: Arc<Knowledge>) {
        self.knowledge = knowledge;
        // Whom the old tables said nothing of, the new ones may.
        self.met.clear();
    }

    /// A flow has begun with this packet.
    pub fn begin(&mut self, flow: &Flow, packet: &Packet<'_>, now: Timestamp) {
        for meeting in devices::meetings(flow, packet) {
            self.meet(meeting, now);
        }
        if let Some((mac, shape)) = devices::opening(packet)
            && self.knowledge.devices.syn(&shape).next().is_some()
        {
            self.ask(|devices, knowledge| devices.see_opening(mac, &shape, now, knowledge));
        }
    }

    /// A host has asked for another's MAC, or told its own.
    pub fn hear_arp(&mut self, packet: &Packet<'_>, now: Timestamp) {
        if let Some(meeting) = devices::meeting_by_arp(packet) {
            self.meet(meeting, now);
        }
    }

    fn meet(&mut self, meeting: Meeting, now: Timestamp) {
        if self.met.len() >= MOST_MET {
            self.met.clear();
        }
        let known = self.met.entry(meeting).or_insert(Timestamp::MAX);
        if now < *known {
            *known = now;
            self.ask(|devices, knowledge| devices.meet(meeting, now, knowledge));
        }
    }

    /// Looks at one of the first payloads of a flow, after its conversation did;
    /// [`Marks::wanted`](crate::flow::Marks::wanted) says whether it is.
    pub fn look(&mut self, flow: &mut Flow, direction: Direction, packet: &Packet<'_>, now: Timestamp) {
        let signatures = &self.knowledge.signatures;
        let rule = flow.application.label.app.and_then(|app| signatures.protocol(app));
        if !rule.and_then(|rule| rule.role).is_some_and(Role::is_infrastructure) {
            signature::look(flow, direction, packet, signatures);
        }
        if flow.marks.count(direction) {
            self.bursts.join(flow, direction, packet.payload_length, now);
        }
    }

    /// Takes in what a flow's conversation has told.
    pub fn hear(&mut self, flow: &Flow, event: &Event) {
        if devices::is_telling(event) {
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

    fn ask(&self, ask: impl FnOnce(&mut Devices, &Knowledge)) {
        ask(&mut lock(&self.registry), &self.knowledge);
    }
}

/// Whether of two hosts that talk the source is the console: the one on the local network; of two, the source.
pub fn is_up(source: IpAddr, destination: IpAddr) -> bool {
    !ends::is_local(destination) || ends::is_local(source)
}

/// The one of two hosts that is on the local network, and the other; `None` where both are, or none.
pub fn client_and_server(one: IpAddr, other: IpAddr) -> Option<(IpAddr, IpAddr)> {
    match (ends::is_local(one), ends::is_local(other)) {
        (true, false) => Some((one, other)),
        (false, true) => Some((other, one)),
        _ => None,
    }
}

/// The MACs that are known as consoles' by now.
pub fn consoles(registry: &Registry) -> Vec<Mac> {
    lock(registry).consoles().collect()
}

/// What became known of consoles until `until`, as records.
pub fn news(registry: &Registry, until: Timestamp) -> Vec<(Timestamp, DeviceFacts)> {
    lock(registry).news(until)
}

/// All that is left to tell of devices once every shard has seen all its frames, the last of them at `clock`.
pub fn last_news(registry: &Registry, clock: Timestamp) -> Vec<(Timestamp, DeviceFacts)> {
    let mut devices = lock(registry);
    let mut news = devices.news(Timestamp::MAX);
    news.extend(devices.rest().into_iter().map(|host| (clock, host)));
    news
}

/// A registry that another thread left in mid-change is still one: every change is a single addition.
fn lock(registry: &Registry) -> MutexGuard<'_, Devices> {
    registry.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The probability that at least one of independent reasons holds, in hundredths.
fn either(reasons: impl Iterator<Item = f64>) -> f64 {
    let none: f64 = reasons.map(|reason| 1.0 - reason).product();
    ((1.0 - none).min(0.99) * 100.0).round() / 100.0
}
