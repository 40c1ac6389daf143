//! Packets that only go on with their flow: most of all.
//!
//! Such a packet is counted from a glance at its headers. Everything else takes the long way, and so does one packet before:
//! it is there that a flow is found to be so far ([`Flow::settles`]).

use super::{Flow, Key, Table};
use crate::dissect::app::Direction;
use crate::dissect::{Load, Packet, Plain, Tcp};
use crate::time::Timestamp;

impl Table {
    /// The flow that a plain packet only goes on with, and which way: one that is neither new nor over nor due for a report,
    /// whose payloads are nothing new, and whose hosts are quiet as of this
    /// [generation](crate::dissect::Dissector::generation). What remains is to count the packet ([`Flow::go_on`]), if it is a
    /// [datagram](Plain::datagram) or a [segment within a connection](Plain::segment_within), and to hear its payload.
    #[inline(always)]
    pub fn settled(&mut self, plain: &Plain<'_>, time: Timestamp, generation: u32) -> Option<(&mut Flow, Direction)> {
        let (key, swapped) = Key::of_plain(plain);
        let (flow, least_idle) = self.get_v4(&key)?;
        let direction = flow.direction(swapped);
        // Of packets that are late this is longer than any time.
        let silent = time.as_nanos().wrapping_sub(flow.end.as_nanos()) as u64;
        let goes_on = flow.settled[direction.index()] == generation && silent <= least_idle;
        goes_on.then_some((flow, direction))
    }
}

impl Flow {
    /// As of which generation what follows its latest packet, which went this way, only goes on: payloads are nothing new
    /// and no packets in tunnels, no copies are to be expected, and a connection has begun and is not over. Else 0.
    pub(super) fn settles(&self, direction: Direction, packet: &Packet<'_>) -> u32 {
        let goes_on = self.tcp.as_ref().is_none_or(|connection| connection.goes_on());
        let is_known = !self.marks.wanted(direction, self.protocol()) && !packet.transport.may_tunnel();
        if goes_on && is_known { packet.quiet } else { 0 }
    }

    /// Counts a packet of a settled flow.
    #[inline(always)]
    pub fn go_on(&mut self, direction: Direction, segment: Option<&Tcp<'_>>, load: &Load<'_>, time: Timestamp) {
        let traffic = &mut self.traffic[direction.index()];
        // The packet is not late: it comes after the flow's latest.
        let gap = time.as_nanos().wrapping_sub(traffic.last.as_nanos()) as u64;
        traffic.count(time, gap, load);
        self.end = time;
        if let (Some(connection), Some(segment)) = (&mut self.tcp, segment) {
            connection.flags[direction.index()].0 |= segment.flags.0;
        }
    }
}
