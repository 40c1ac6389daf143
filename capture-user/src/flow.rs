//! The flows of one shard: who talks with whom, since when, how much.
//!
//! A flow is all packets between two endpoints under one protocol; its *source* is the side that sent first. Flows
//! live in one slab, found through a hash table and queued by last activity, so memory is bounded by
//! [`Config::capacity`] and ending the idle ones costs a look at the head of a queue.

mod application;
mod community_id;
mod expected;
mod holders;
mod key;
mod marks;
mod onward;
mod queue;
mod shape;
mod slab;
mod table;
mod tcp;

use std::net::SocketAddr;
use std::time::Duration;

use arrayvec::ArrayVec;
use schemars::JsonSchema;
use serde::Serialize;

pub use application::{Application, Surroundings};
pub use community_id::{CommunityId, CommunityIdError};
pub use holders::Holder;
pub use key::{Key, Protocol};
pub use marks::Marks;
pub use shape::{Shape, Summary};
pub use table::Table;
pub use tcp::Connection;

use crate::dissect::app::Direction;
use crate::dissect::{Load, MOST_WRAPPINGS, Mac, Packet, TcpFlags, Transport};
use crate::time::Timestamp;
use crate::timeline::Watch;

/// How many flows a shard keeps, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Flows kept at most; beyond it the one longest idle ends.
    pub capacity: usize,
    /// Bytes a flow may hold beside its slot, on the average over [`capacity`](Self::capacity) flows: distributions,
    /// names, conversations. Beyond it the flow longest idle ends.
    pub each: usize,
    /// Silence that ends a TCP connection.
    pub tcp_idle: Duration,
    /// Silence that ends a UDP flow.
    pub udp_idle: Duration,
    /// Silence that ends any other flow.
    pub other_idle: Duration,
    /// Silence that ends a TCP connection after both sides closed it, or one reset it.
    pub closed_linger: Duration,
    /// How often a flow that goes on is reported; `None`: only at its end.
    pub interval: Option<Duration>,
}

impl Default for Config {
    /// Long enough that the keep-alives of a console's services (25 s and more) hold their flows together.
    fn default() -> Self {
        Self {
            capacity: 262_144,
            // Both distributions of a long flow, with which most flows hold nothing else.
            each: 3_200,
            tcp_idle: Duration::from_secs(600),
            udp_idle: Duration::from_secs(120),
            other_idle: Duration::from_secs(60),
            closed_linger: Duration::from_secs(5),
            interval: None,
        }
    }
}

/// What flows may hold together however few they are: a handful of handshakes under way.
const LEAST_MEMORY: usize = 16 << 20;

impl Config {
    /// Bytes that all flows together may hold beside their slots.
    pub fn memory(&self) -> usize {
        self.capacity.saturating_mul(self.each).max(LEAST_MEMORY)
    }
}

/// One flow.
#[derive(Debug)]
pub struct Flow {
    key: Key,
    /// Whether the source is the key's second endpoint.
    swapped: bool,
    /// First packet.
    pub start: Timestamp,
    /// Latest packet, by its own time.
    pub end: Timestamp,
    /// What went each way: out, in.
    pub traffic: [Traffic; 2],
    /// Ethernet addresses of source and destination, from the first packet.
    pub macs: Option<(Mac, Mac)>,
    /// What stood between Ethernet and IP in the first packet; mostly nothing.
    wrapping: Option<Box<Wrapping>>,
    /// What TCP shows of itself; most flows are not over it.
    pub tcp: Option<Box<Connection>>,
    /// The protocol it speaks.
    pub application: Application,
    /// What the timeline keeps of it.
    pub watch: Watch,
    /// What its first payloads showed.
    pub marks: Marks,
    /// Packets that were counted in the driver and not taken (see [`shunt`](crate::shunt)); they are in `traffic`, too.
    pub shunted: u64,
    reported: Timestamp,
    place: queue::Place,
    /// Bytes it held when it was last weighed.
    weight: u32,
    /// Its slot in the table.
    index: u32,
    /// Whether it stands in line to give up the bytes that its streams hold.
    in_line: bool,
    /// Where one more packet each way only goes on: as of which generation, see [`Table::settled`]; else 0.
    settled: [u32; 2],
}

/// Tags and tunnels, outermost first.
#[derive(Debug)]
struct Wrapping {
    vlan: ArrayVec<u16, MOST_WRAPPINGS>,
    encap: ArrayVec<&'static str, MOST_WRAPPINGS>,
}

impl Wrapping {
    fn of(packet: &Packet<'_>) -> Option<Self> {
        let is_wrapped = !packet.vlan.is_empty() || !packet.encap.is_empty();
        is_wrapped.then(|| Self { vlan: packet.vlan.clone(), encap: packet.encap.clone() })
    }
}

/// The two ends of a flow: its addresses are made of it when they are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    key: Key,
    swapped: bool,
}

impl Ends {
    /// The side that sends in a direction, and the other.
    pub fn towards(&self, direction: Direction) -> (SocketAddr, SocketAddr) {
        let second = self.swapped == (direction == Direction::Out);
        (self.key.endpoint(second), self.key.endpoint(!second))
    }
}

/// What went one way.
///
/// Packets and bytes are apart: side by side, the compiler would count both at once by way of a vector, which takes longer.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Spacing and sizes, once there are packets enough to speak of.
    pub shape: Option<Shape>,
    /// Bytes of IP, headers included.
    pub bytes: u64,
    last: Timestamp,
}

impl Flow {
    #[inline]
    fn new(index: u32, key: Key, swapped: bool, packet: &Packet<'_>, time: Timestamp) -> Self {
        Self {
            key,
            swapped,
            start: time,
            end: time,
            traffic: Default::default(),
            macs: packet.macs,
            wrapping: Wrapping::of(packet).map(Box::new),
            tcp: (key.protocol() == Protocol::TCP).then(Box::default),
            application: Application::default(),
            watch: Watch::default(),
            marks: Marks::default(),
            shunted: 0,
            reported: time,
            place: queue::Place::default(),
            weight: 0,
            index,
            in_line: false,
            settled: [0; 2],
        }
    }

    /// By how many bytes what it holds beside its slot has grown since it was last weighed, for [`Table::charge`].
    pub fn weigh(&mut self) -> isize {
        let shapes: usize = self.traffic.iter().filter_map(|traffic| traffic.shape.as_ref()).map(Shape::memory).sum();
        let connection = self.tcp.as_deref().map_or(0, size_of_val);
        let wrapping = self.wrapping.as_deref().map_or(0, size_of_val);
        let bytes = connection + shapes + wrapping + self.application.memory();
        let before = std::mem::replace(&mut self.weight, u32::try_from(bytes).unwrap_or(u32::MAX));
        self.weight as isize - before as isize
    }

    /// Whether its first packet is the only one so far.
    #[inline]
    pub fn is_new(&self) -> bool {
        self.traffic[0].packets + self.traffic[1].packets == 1
    }

    /// VLANs of the first packet, outermost first.
    pub fn vlan(&self) -> &[u16] {
        self.wrapping.as_ref().map_or(&[], |wrapping| &wrapping.vlan)
    }

    /// Tunnels of the first packet, outermost first.
    pub fn encap(&self) -> &[&'static str] {
        self.wrapping.as_ref().map_or(&[], |wrapping| &wrapping.encap)
    }

    /// Its two ends.
    #[inline]
    pub fn ends(&self) -> Ends {
        Ends { key: self.key, swapped: self.swapped }
    }

    /// The side that sent first; the port is 0 where the protocol has none.
    #[inline]
    pub fn source(&self) -> SocketAddr {
        self.key.endpoint(self.swapped)
    }

    /// The other side.
    #[inline]
    pub fn destination(&self) -> SocketAddr {
        self.key.endpoint(!self.swapped)
    }

    /// What makes it this flow.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The protocol under IP.
    #[inline]
    pub fn protocol(&self) -> Protocol {
        self.key.protocol()
    }

    /// The flow's Community ID, version 1, seed 0.
    pub fn community_id(&self) -> CommunityId {
        CommunityId::of(&self.key)
    }

    /// Itself as a holder, if its streams hold bytes: for [`Table::relieve`].
    #[inline]
    pub fn holder(&self) -> Option<Holder> {
        self.tcp.as_ref().is_some_and(|connection| connection.holds()).then_some(Holder(self.index, self.start))
    }

    /// Whether what it holds beside its slot may have changed with its latest packet, which went this way.
    #[inline]
    pub fn may_have_grown(&self, direction: Direction) -> bool {
        self.application.is_open() || self.traffic[direction.index()].packets <= Shape::GROWN
    }

    #[inline]
    fn direction(&self, swapped: bool) -> Direction {
        if swapped == self.swapped { Direction::Out } else { Direction::In }
    }

    /// Counts a packet; whether the connection is over with it, and was not before.
    #[inline(always)]
    fn count(&mut self, direction: Direction, transport: &Transport<'_>, load: &Load<'_>, time: Timestamp) -> bool {
        let traffic = &mut self.traffic[direction.index()];
        traffic.count(time, time.nanos_since(traffic.last).max(0) as u64, load);
        self.end = self.end.max(time);
        let (Some(connection), Some(segment)) = (&mut self.tcp, transport.tcp()) else { return false };
        let was_over = connection.over();
        connection.observe(direction, segment, time);
        !was_over && connection.over()
    }

    /// The control bits each side has sent so far.
    pub fn tcp_flags(&self) -> Option<[TcpFlags; 2]> {
        self.tcp.as_ref().map(|connection| connection.flags)
    }
}

impl Traffic {
    /// Counts a packet; `gap` nanoseconds have passed since the one before.
    #[inline(always)]
    fn count(&mut self, time: Timestamp, gap: u64, load: &Load<'_>) {
        self.packets += 1;
        self.bytes += u64::from(load.bytes);
        self.last = time;
        match &mut self.shape {
            Some(shape) => shape.record(gap, load.payload_length),
            None => self.begin_shape(gap, load.payload_length),
        }
    }

    #[cold]
    fn begin_shape(&mut self, gap: u64, payload: u32) {
        if self.packets >= Shape::WORTHWHILE {
            self.shape.insert(Shape::default()).record(gap, payload);
        }
    }
}

/// Why a flow was reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// Both sides closed it.
    Closed,
    /// One side reset it.
    Reset,
    /// It was silent for too long.
    Idle,
    /// Its place was needed for a newer flow.
    Evicted,
    /// It goes on: an interim report.
    Interval,
    /// The capture ended.
    CaptureEnd,
}
