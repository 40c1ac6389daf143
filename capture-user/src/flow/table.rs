//! The table of a shard's flows.

use std::time::Duration;

use super::holders::{Holder, Holders};
use super::queue::Queue;
use super::slab::Slab;
use super::{Config, EndReason, Flow, Key, Protocol};
use crate::dissect::app::Direction;
use crate::dissect::{Digest, Packet, TcpFlags};
use crate::index::Index;
use crate::limits::Reached;
use crate::reassembly::stream::Streams;
use crate::source::Frame;
use crate::time::Timestamp;

/// Flows by key, bounded in number and in idle time.
#[derive(Debug)]
pub struct Table {
    config: Config,
    flows: Slab,
    index: Index,
    /// The empty digest, which nobody can guess: keys are found by theirs.
    empty: Digest,
    queues: [Queue; 4],
    holders: Holders,
    clock: Timestamp,
    /// The idle time of each queue, in nanoseconds.
    idle: [i64; 4],
    /// The shortest of TCP's and UDP's.
    least_idle: u64,
    /// Bytes that flows hold beside their slots.
    held: usize,
    evicted: u64,
    evicted_for_memory: u64,
}

/// Queues by kind of flow: all flows of one queue have the same idle time.
mod queue_of {
    pub(super) const TCP: u8 = 0;
    pub(super) const UDP: u8 = 1;
    pub(super) const OTHER: u8 = 2;
    pub(super) const CLOSED: u8 = 3;
}

impl Table {
    /// An empty table.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            flows: Slab::default(),
            index: Index::default(),
            empty: Digest::new(),
            queues: Default::default(),
            holders: Holders::default(),
            clock: Timestamp::from_nanos(i64::MIN),
            idle: [config.tcp_idle, config.udp_idle, config.other_idle, config.closed_linger]
                .map(|idle| i64::try_from(idle.as_nanos()).unwrap_or(i64::MAX)),
            least_idle: u64::try_from(config.tcp_idle.min(config.udp_idle).as_nanos()).unwrap_or(u64::MAX),
            held: 0,
            evicted: 0,
            evicted_for_memory: 0,
        }
    }

    /// Flows in the table.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.index.len() == 0
    }

    /// Puts a connection whose streams hold bytes in line, if it is not yet there, and lets those in front give theirs
    /// up while all together hold too much.
    pub fn relieve(&mut self, holder: Holder, streams: &mut Streams) {
        let Self { flows, holders, .. } = self;
        if let Some(flow) = flows.held_by(&holder).filter(|flow| !flow.in_line) {
            flow.in_line = true;
            holders.push(holder, |other| {
                let Some(flow) = flows.held_by(other) else { return false };
                flow.in_line = flow.holder().is_some();
                flow.in_line
            });
        }
        while streams.is_pressed()
            && let Some(first) = holders.pop()
        {
            let Some(flow) = flows.held_by(&first) else { continue };
            flow.in_line = false;
            if let Some(connection) = &mut flow.tcp {
                connection.give_up(streams);
            }
        }
    }

    /// Adds which flows ended early.
    pub fn account(&self, reached: &mut Reached) {
        reached.flows_evicted = self.evicted - self.evicted_for_memory;
        reached.flows_evicted_for_memory = self.evicted_for_memory;
    }

    /// Bytes that flows hold beside their slots, never more than [`Config::memory`] after [`Table::charge`].
    pub fn held(&self) -> usize {
        self.held
    }

    /// Takes account of what [`Flow::weigh`] said of a flow. Where all together hold too much, those longest idle end.
    pub fn charge(&mut self, change: isize, reported: &mut impl FnMut(&mut Flow, EndReason)) {
        self.held = self.held.saturating_add_signed(change);
        while change > 0 && self.held > self.config.memory() && !self.is_empty() {
            self.evicted_for_memory += 1;
            self.evict(reported);
        }
    }

    /// Counts a packet in its flow, beginning one where there is none. `reported` is called for flows that end on the
    /// way, and for this one when an interim report is due. `None` for packets without IP.
    #[inline]
    pub fn observe(
        &mut self,
        packet: &Packet<'_>,
        frame: &Frame<'_>,
        reported: &mut impl FnMut(&mut Flow, EndReason),
    ) -> Option<(&mut Flow, Direction)> {
        let (key, swapped) = Key::of(packet)?;
        let hash = key.digest(self.empty);
        let found = self.find(hash, &key);
        let index = match found {
            Some(index) if !self.is_past(index, packet, frame.time) => index,
            Some(index) => {
                self.end(index, None, reported);
                self.begin(hash, key, swapped, packet, frame.time, reported)
            }
            None => self.begin(hash, key, swapped, packet, frame.time, reported),
        };
        let flow = self.flows.get_mut(index)?;
        if let Some(interval) = self.config.interval {
            report_interval(flow, interval, frame.time, reported);
        }
        let direction = flow.direction(swapped);
        let is_over = flow.count(direction, &packet.transport, &packet.load(), frame.time);
        flow.settled[direction.index()] =
            if self.config.interval.is_some() { 0 } else { flow.settles(direction, packet) };
        self.clock = self.clock.max(frame.time);
        if is_over {
            flow.settled = [0; 2];
            self.queue(index, queue_of::CLOSED);
        }
        Some((self.flows.get_mut(index)?, direction))
    }

    /// Moves the clock forward, for a shard that sees no packets.
    pub fn advance(&mut self, clock: Timestamp) {
        self.clock = self.clock.max(clock);
    }

    /// Ends flows that have been silent for too long, looking at `most` flows; whether there was no more to do.
    pub fn expire(&mut self, most: usize, reported: &mut impl FnMut(&mut Flow, EndReason)) -> bool {
        let mut looks = 0;
        for queue in 0..self.queues.len() {
            while let Some(index) = self.queues[queue].head() {
                let Some(flow) = self.flows.get(index) else { break };
                let idle = self.idle(flow.place.queue);
                if self.clock.nanos_since(Timestamp::from_nanos(flow.place.joined)) <= idle {
                    break;
                }
                if looks == most {
                    return false;
                }
                looks += 1;
                if self.is_silent(flow) {
                    self.foresee(flow.place.next());
                    self.end(index, None, reported);
                } else {
                    let last = flow.end;
                    self.requeue(index, queue as u8, last);
                }
            }
        }
        true
    }

    /// Whether a flow has been silent for too long.
    fn is_silent(&self, flow: &Flow) -> bool {
        self.clock.nanos_since(flow.end) > self.idle(flow.place.queue)
    }

    /// This flow is likely the next to end, and the one behind it after that. Nobody has spoken of them for a while: they
    /// are far from the processor.
    fn foresee(&self, next: Option<u32>) {
        let Some(flow) = next.and_then(|next| self.flows.get(next)) else { return };
        self.index.foresee(flow.key.digest(self.empty));
        if let Some(after) = flow.place.next() {
            self.flows.foresee(after);
        }
    }

    /// Ends all flows, `most` at a time: nothing will come after `clock`. Whether there was no more to do.
    pub fn finish(&mut self, clock: Timestamp, most: usize, reported: &mut impl FnMut(&mut Flow, EndReason)) -> bool {
        self.advance(clock);
        for _ in 0..most {
            let Some(index) = self.queues.iter().find_map(Queue::head) else { return true };
            let silent = self.flows.get(index).is_some_and(|flow| self.is_silent(flow));
            self.end(index, if silent { None } else { Some(EndReason::CaptureEnd) }, reported);
        }
        self.is_empty()
    }

    /// The flow with this key.
    pub fn get_mut(&mut self, key: &Key) -> Option<&mut Flow> {
        self.flows.get_mut(self.find(key.digest(self.empty), key)?)
    }

    /// Every flow, in no order.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Flow> {
        self.flows.iter_mut()
    }

    /// The flow with this key of IPv4, and the shortest idle time in nanoseconds that TCP or UDP has.
    #[inline(always)]
    pub(super) fn get_v4(&mut self, key: &Key) -> Option<(&mut Flow, u64)> {
        let flows = &self.flows;
        let is_its = |index| flows.get(index).is_some_and(|flow| key.is_v4_key(&flow.key));
        let index = self.index.find(key.digest(self.empty), is_its)?;
        Some((self.flows.get_mut(index)?, self.least_idle))
    }

    #[inline]
    fn find(&self, hash: u64, key: &Key) -> Option<u32> {
        self.index.find(hash, |index| self.flows.get(index).is_some_and(|flow| flow.key == *key))
    }

    /// Whether this packet begins another flow between the same endpoints: the old one was silent for too long, or is
    /// over and the packet opens a new connection.
    #[inline]
    fn is_past(&self, index: u32, packet: &Packet<'_>, time: Timestamp) -> bool {
        let Some(flow) = self.flows.get(index) else { return false };
        let opens = |flags: TcpFlags| flags.syn() && !flags.ack();
        time.nanos_since(flow.end) > self.idle(flow.place.queue)
            || flow.place.queue == queue_of::CLOSED && packet.transport.tcp().is_some_and(|tcp| opens(tcp.flags))
    }

    #[cold]
    fn begin(
        &mut self,
        hash: u64,
        key: Key,
        swapped: bool,
        packet: &Packet<'_>,
        time: Timestamp,
        reported: &mut impl FnMut(&mut Flow, EndReason),
    ) -> u32 {
        if self.len() >= self.config.capacity.max(1) {
            self.evict(reported);
        }
        // A SYN with ACK is an answer: the capture missed the question, and the receiver is the one who asked.
        let answer = packet.transport.tcp().is_some_and(|tcp| tcp.flags.syn() && tcp.flags.ack());
        let flow = |index| Flow::new(index, key, swapped != answer, packet, time);
        let index = self.flows.insert(flow);
        self.index.insert(hash, index);
        let queue = match key.protocol() {
            Protocol::TCP => queue_of::TCP,
            Protocol::UDP => queue_of::UDP,
            _ => queue_of::OTHER,
        };
        self.queues[usize::from(queue)].push(&mut self.flows, index, time.as_nanos(), queue);
        index
    }

    /// Makes room: ends the flow at the head of the queue whose head joined first. A flow that was active since it
    /// joined gets a second chance, but not for ever.
    fn evict(&mut self, reported: &mut impl FnMut(&mut Flow, EndReason)) {
        for attempt in 0.. {
            let heads = self.queues.iter().filter_map(Queue::head);
            let oldest = heads.filter_map(|index| Some((self.flows.get(index)?, index)));
            let Some((flow, index)) = oldest.min_by_key(|(flow, _)| flow.place.joined) else { return };
            let (queue, joined, last) = (flow.place.queue, flow.place.joined, flow.end);
            if attempt == 8 || last.as_nanos() <= joined {
                self.evicted += 1;
                return self.end(index, Some(EndReason::Evicted), reported);
            }
            self.requeue(index, queue, last);
        }
    }

    fn queue(&mut self, index: u32, queue: u8) {
        let clock = self.clock;
        self.requeue(index, queue, clock);
    }

    fn requeue(&mut self, index: u32, queue: u8, joined: Timestamp) {
        let Some(from) = self.flows.get(index).map(|flow| flow.place.queue) else { return };
        self.queues[usize::from(from)].remove(&mut self.flows, index);
        self.queues[usize::from(queue)].push(&mut self.flows, index, joined.as_nanos(), queue);
    }

    /// `reason`: `None` for the one the flow's own state gives.
    fn end(&mut self, index: u32, reason: Option<EndReason>, reported: &mut impl FnMut(&mut Flow, EndReason)) {
        let Some(flow) = self.flows.get(index) else { return };
        let hash = flow.key.digest(self.empty);
        self.queues[usize::from(flow.place.queue)].remove(&mut self.flows, index);
        self.index.remove(hash, index);
        let held = &mut self.held;
        self.flows.remove(index, |flow| {
            *held = held.saturating_sub(flow.weight as usize);
            let own = match &flow.tcp {
                Some(connection) if connection.reset() => EndReason::Reset,
                Some(connection) if connection.over() => EndReason::Closed,
                _ => reason.unwrap_or(EndReason::Idle),
            };
            reported(flow, own);
        });
    }

    #[inline]
    fn idle(&self, queue: u8) -> i64 {
        self.idle.get(usize::from(queue)).copied().unwrap_or(i64::MAX)
    }
}

/// Interim reports fall on multiples of the interval after the flow's start, whatever else the shard sees, so that
/// the same flow is reported alike by one worker or eight.
#[cold]
fn report_interval(
    flow: &mut Flow,
    interval: Duration,
    time: Timestamp,
    reported: &mut impl FnMut(&mut Flow, EndReason),
) {
    let interval = i64::try_from(interval.as_nanos()).unwrap_or(i64::MAX).max(1);
    let due = time.nanos_since(flow.reported) / interval;
    if due > 0 {
        flow.reported = Timestamp::from_nanos(flow.reported.as_nanos().saturating_add(due * interval));
        reported(flow, EndReason::Interval);
    }
}
