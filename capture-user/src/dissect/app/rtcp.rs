//! RTCP (RFC 3550 section 6): what the ends of a media session report of each other.
//!
//! One `rtcp` record per compound packet. Where the packets of both sides pass by, the round trip follows from the
//! sender reports and the reports that answer them (section 6.4.1), split at the place of the capture. Under SRTCP
//! (RFC 3711) only the first eight bytes can be read: the record says `encrypted` and no more than they tell.

mod facts;
mod packet;
mod round_trip;
#[cfg(test)]
mod tests;
mod xr;

use std::sync::Arc;

use super::rtp::{MediaFlow, opener, way};
use super::sdp::Negotiated;
use super::{Opener, Output, Over, Probe, Protocol, RecordKind, Segment};
use crate::time::Timestamp;
use facts::Facts;
use packet::{Compound, Packet, RECEIVER_REPORT, SENDER_REPORT};
use round_trip::RoundTrip;

/// RTCP over UDP, on a port of its own or beside RTP.
pub static PROTOCOL: Protocol = Protocol {
    name: "rtcp",
    over: Over::Udp,
    ports: &[],
    probe,
    open: MediaFlow::open,
    kinds: &[RecordKind::of::<facts::Facts>("rtcp")],
    summary,
};

/// Encrypted packets that wait for the flow to be known.
const MAX_PENDING: usize = 4;

/// A whole compound packet in clear that begins with a report is surely RTCP if it also describes its source (every one
/// must, section 6.1), else possibly. So is an encrypted one: media that follow prove it.
fn probe(segment: &Segment<'_>) -> Probe {
    if segment.stream || segment.length as usize != segment.bytes.len() {
        return Probe::No;
    }
    match Compound::parse(segment.bytes) {
        Some(compound) if compound.begins_with_report() => match compound.encrypted {
            false if compound.has_cname() => Probe::Yes,
            true if !compound.may_be_srtcp() => Probe::No,
            _ => Probe::Maybe,
        },
        _ => Probe::No,
    }
}

/// Like Wireshark's line: `Sender Report   Source description   `.
fn summary(bytes: &[u8], line: &mut String) {
    let Some(compound) = Compound::parse(bytes) else { return };
    for (index, packet) in compound.packets().enumerate() {
        if index > 0 {
            line.push_str(", ");
        }
        line.push_str(packet.title());
    }
    if compound.encrypted {
        line.push_str(" (encrypted)");
    }
}

/// Opens the flows on which a session description announced RTCP.
pub(super) fn announced(negotiated: Arc<Negotiated>) -> Opener {
    opener(negotiated)
}

/// The RTCP of one flow.
pub(super) struct Session {
    negotiated: Option<Arc<Negotiated>>,
    /// Once a sender has reported.
    round_trip: Option<Box<RoundTrip>>,
    proven: bool,
    /// Encrypted packets of a flow that is not yet known for media: told once it is.
    pending: Vec<(Timestamp, Facts)>,
}

impl Session {
    pub fn new(negotiated: Option<Arc<Negotiated>>) -> Self {
        Self { negotiated, round_trip: None, proven: false, pending: Vec::new() }
    }

    /// Bytes of heap that what waits takes, and what is known of round trips.
    pub fn memory(&self) -> usize {
        let trips = self.round_trip.as_deref().map_or(0, size_of_val);
        trips + self.pending.capacity() * size_of::<(Timestamp, Facts)>()
    }

    /// Whether a packet in clear was read: chance does not make one.
    pub fn is_proven(&self) -> bool {
        self.proven
    }

    /// Reads one compound packet and tells of it; false if it is none. `certain` says that the flow is known for media,
    /// so that even an encrypted packet, which nothing proves, is one.
    pub fn read(&mut self, segment: &Segment<'_>, certain: bool, out: &mut Output) -> bool {
        let Some(compound) = Compound::parse(segment.bytes) else { return false };
        self.proven |= !compound.encrypted && compound.begins_with_report();
        if !certain && !self.proven && !compound.encrypted {
            return false;
        }
        let mut facts = Facts::new(&compound, way(segment.direction), self.negotiated.as_deref());
        if !compound.encrypted {
            for packet in compound.packets() {
                self.note(&packet, segment, &mut facts);
                facts.add(&packet, &out.people);
            }
            facts.rtt_ms = self.round_trip.as_ref().and_then(|trip| trip.whole());
        }
        if certain || self.proven {
            self.confirm(out);
            out.emit(segment.time, PROTOCOL.name, facts);
        } else if self.pending.len() < MAX_PENDING {
            self.pending.push((segment.time, facts));
        }
        true
    }

    /// The flow is known for media: tells what waited for that.
    pub fn confirm(&mut self, out: &mut Output) {
        for (time, facts) in self.pending.drain(..) {
            out.emit(time, PROTOCOL.name, facts);
        }
    }

    /// Follows the reports on their way round.
    fn note(&mut self, packet: &Packet<'_>, segment: &Segment<'_>, facts: &mut Facts) {
        if let Some(sender) = packet.sender_info() {
            self.round_trip.get_or_insert_default().report_sent(segment.direction, sender.ntp_middle(), segment.time);
        }
        if matches!(packet.kind, SENDER_REPORT | RECEIVER_REPORT) {
            for block in packet.report_blocks() {
                let trip = self.round_trip.as_mut();
                let half = trip.and_then(|trip| trip.answered(segment.direction, &block, segment.time));
                facts.report(&block, half);
            }
        }
    }
}
