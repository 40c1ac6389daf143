//! Flows whose frames are counted but no longer taken: after its first megabytes a download says nothing new.
//!
//! A shard finds such flows and asks; the thread that controls the XDP program has it count and drop their frames
//! (`SHUNTED`, see docs/xdp.md); what was counted comes back to the shard, so that the flow's bytes stay exact. Nobody
//! waits for the other: the shard looks at the counts when it looks for silence, ten times a second.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use capture_common::config::{Address, Direction, FlowCount, FlowKey, MAX_SHUNTED};
use crossbeam::channel::{Receiver, Sender, bounded};

use crate::flow::{Flow, Key, Protocol, Table};
use crate::time::Timestamp;

/// What the program counted, by flow; only flows that were asked for.
type Counts = Arc<Mutex<HashMap<FlowKey, FlowCount>>>;

/// What a shard asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Count the frames of this flow and drop them.
    Shunt(FlowKey),
    /// Take them again: the flow has ended.
    Unshunt(FlowKey),
}

/// A shard's side.
#[derive(Clone, Debug)]
pub struct Shunts {
    requests: Sender<Request>,
    counts: Counts,
}

/// The side of the thread that controls the program.
#[derive(Debug)]
pub struct Requests {
    requests: Receiver<Request>,
    counts: Counts,
}

/// Both sides; the first is cloned for every shard.
pub fn shunts() -> (Shunts, Requests) {
    let (sender, requests) = bounded(MAX_SHUNTED as usize);
    let counts = Counts::default();
    (Shunts { requests: sender, counts: counts.clone() }, Requests { requests, counts })
}

impl Requests {
    /// The next request, if there is one.
    pub fn next(&self) -> Option<Request> {
        self.requests.try_recv().ok()
    }

    /// Tells the shards what was counted so far.
    pub fn tell(&self, counts: impl IntoIterator<Item = (FlowKey, FlowCount)>) {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner) = counts.into_iter().collect();
    }
}

/// The shunted flows of one shard.
#[derive(Debug)]
pub struct Shunted {
    shunts: Shunts,
    /// What was added to each flow so far.
    flows: HashMap<Key, FlowCount>,
}

impl Shunted {
    /// None yet.
    pub fn new(shunts: Shunts) -> Self {
        Self { shunts, flows: HashMap::new() }
    }

    /// Whether a flow is worth asking what it is for, after this packet: not for every one.
    pub fn is_due(flow: &Flow) -> bool {
        const OFTEN: u64 = 1024;
        (flow.traffic[0].packets + flow.traffic[1].packets).is_multiple_of(OFTEN)
    }

    /// Asks that a flow be counted and dropped, where the program could tell it: it knows UDP and TCP outside of tunnels.
    pub fn ask(&mut self, flow: &Flow) {
        let has_ports = matches!(flow.protocol(), Protocol::TCP | Protocol::UDP);
        let can_be = has_ports && flow.encap().is_empty() && self.flows.len() < MAX_SHUNTED as usize;
        if can_be && !self.flows.contains_key(flow.key()) {
            let (key, _) = key_of(flow);
            if self.shunts.requests.try_send(Request::Shunt(key)).is_ok() {
                self.flows.insert(*flow.key(), FlowCount::default());
            }
        }
    }

    /// Adds what was counted since the last time to the flows; those that have ended meanwhile are taken again.
    pub fn settle(&mut self, table: &mut Table, now: Timestamp) {
        if self.flows.is_empty() {
            return;
        }
        let Self { shunts, flows } = self;
        let counts = shunts.counts.lock().unwrap_or_else(PoisonError::into_inner);
        flows.retain(|key, added| {
            let Some(flow) = table.get_mut(key) else {
                let ended = shunt_key(key.endpoint(false), key.endpoint(true), key.protocol()).0;
                let _ = shunts.requests.try_send(Request::Unshunt(ended));
                return false;
            };
            let (shunted, direction) = key_of(flow);
            if let Some(count) = counts.get(&shunted) {
                add(flow, direction, &since(count, added), now);
                *added = *count;
            }
            true
        });
    }
}

/// What a later count has more than an earlier one.
fn since(later: &FlowCount, earlier: &FlowCount) -> FlowCount {
    let difference =
        |later: [u64; 2], earlier: [u64; 2]| [later[0].saturating_sub(earlier[0]), later[1].saturating_sub(earlier[1])];
    FlowCount {
        packets: difference(later.packets, earlier.packets),
        bytes: difference(later.bytes, earlier.bytes),
        ip_bytes: difference(later.ip_bytes, earlier.ip_bytes),
    }
}

/// Adds a count to a flow whose source sends in this direction.
fn add(flow: &mut Flow, source: Direction, count: &FlowCount, now: Timestamp) {
    let out = source as usize;
    for (way, index) in [(0, out), (1, 1 - out)] {
        flow.traffic[way].packets += count.packets[index];
        flow.traffic[way].bytes += count.ip_bytes[index];
        flow.shunted += count.packets[index];
    }
    if count.packets != [0, 0] {
        flow.end = flow.end.max(now);
    }
}

/// A flow as the program knows it, and which way its source sends.
fn key_of(flow: &Flow) -> (FlowKey, Direction) {
    shunt_key(flow.source(), flow.destination(), flow.protocol())
}

fn shunt_key(
    source: std::net::SocketAddr,
    destination: std::net::SocketAddr,
    protocol: Protocol,
) -> (FlowKey, Direction) {
    let end = |end: std::net::SocketAddr| (Address::from(end.ip()), end.port());
    FlowKey::new(end(source), end(destination), protocol.0)
}
