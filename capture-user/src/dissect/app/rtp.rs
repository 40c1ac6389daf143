//! RTP (RFC 3550): voice and other media, bound to a call by its session description or told by its own consistency.
//!
//! A flow that nothing announced stays tentative: its packets go into the statistics, but nothing is said of it before
//! three packets of one source follow each other without a gap; payloads that are neither RTP nor what shares its
//! ports, and sources that come once, count against it, and soon it is rejected. One `rtp` record per stream follows
//! when the flow ends.

mod header;
mod jitter;
mod payload_type;
#[cfg(test)]
mod peers;
mod sequence;
mod spurts;
mod stream;
mod streams;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::rtcp::Session;
use super::sdp::Negotiated;
use super::{Conversation, Direction, Opener, Output, Over, Probe, Protocol, RecordKind, Segment, Step};
use crate::time::Timestamp;
use header::{Header, is_companion};
use streams::Streams;

pub(super) use header::is_rtcp_type;
pub(super) use payload_type::assigned;
pub(crate) use sequence::Sequence;

/// RTP over UDP.
pub static PROTOCOL: Protocol = Protocol {
    name: "rtp",
    over: Over::Udp,
    ports: &[],
    probe,
    open: MediaFlow::open,
    kinds: &[RecordKind::of::<stream::Facts>("rtp")],
    summary,
};

/// Ports whose payloads are never taken for RTP: name services, DHCP, NTP, SNMP.
const OTHERS: [u16; 9] = [53, 67, 68, 123, 137, 161, 5353, 5355, 1900];
/// Payloads that speak against RTP, or sources new to the flow, before an unproven flow is rejected.
const MAX_STRIKES: u8 = 8;
/// Payloads of any kind before an unproven flow is rejected.
const MAX_TENTATIVE: u16 = 128;

fn probe(segment: &Segment<'_>) -> Probe {
    match Header::parse(segment.bytes, segment.length as usize) {
        Some(header) if header.is_usual() && !segment.stream && !segment.on_port(&OTHERS) => Probe::Maybe,
        _ => Probe::No,
    }
}

/// Like Wireshark's line: `PT=PCMA, SSRC=0xDEE0EE8F, Seq=1, Time=240, Mark`.
fn summary(bytes: &[u8], line: &mut String) {
    use std::fmt::Write;
    let Some(header) = Header::parse(bytes, bytes.len()) else { return };
    let _ = match assigned(header.payload_type) {
        Some((codec @ ("PCMU" | "PCMA"), _)) => write!(line, "PT=ITU-T G.711 {codec}"),
        Some((codec, _)) => write!(line, "PT={codec}"),
        None => write!(line, "PT=DynamicRTP-Type-{}", header.payload_type),
    };
    let Header { ssrc, sequence, timestamp, .. } = header;
    let _ = write!(line, ", SSRC=0x{ssrc:X}, Seq={sequence}, Time={timestamp}");
    if header.marker {
        line.push_str(", Mark");
    }
}

/// The name of a direction in records.
pub(super) const fn way(direction: Direction) -> &'static str {
    match direction {
        Direction::Out => "out",
        Direction::In => "in",
    }
}

/// Opens the flows that a call's session description announced.
pub(super) fn opener(negotiated: Arc<Negotiated>) -> Opener {
    Arc::new(move || Box::new(MediaFlow::new(Some(Arc::clone(&negotiated)))))
}

/// A flow that carries RTP, RTCP or both.
pub(super) struct MediaFlow {
    negotiated: Option<Arc<Negotiated>>,
    streams: [Streams; 2],
    rtcp: Session,
    proven: bool,
    strikes: u8,
    /// Payloads read before the flow was proven.
    tentative: u16,
}

impl MediaFlow {
    /// A flow that nothing announced.
    pub fn open() -> Box<dyn Conversation> {
        Box::new(Self::new(None))
    }

    fn new(negotiated: Option<Arc<Negotiated>>) -> Self {
        Self {
            rtcp: Session::new(negotiated.clone()),
            negotiated,
            streams: [Streams::new(Direction::Out), Streams::new(Direction::In)],
            proven: false,
            strikes: 0,
            tentative: 0,
        }
    }

    /// Takes an RTP packet.
    fn media(&mut self, header: &Header, segment: &Segment<'_>, out: &mut Output) {
        let streams = &mut self.streams[segment.direction.index()];
        let known = streams.feed(header, segment.time, self.negotiated.as_deref(), self.proven, out);
        if self.proven {
            return;
        }
        if !known.before {
            self.strike();
        }
        if known.proven || self.negotiated.is_some() {
            self.prove(out);
        }
    }

    fn prove(&mut self, out: &mut Output) {
        self.proven = true;
        self.rtcp.confirm(out);
        out.identify(PROTOCOL.name);
    }

    fn strike(&mut self) {
        self.strikes = self.strikes.saturating_add(1);
    }

    fn verdict(&mut self, length: usize) -> Step {
        if self.proven || self.rtcp.is_proven() {
            return Step::Consumed(length);
        }
        self.tentative = self.tentative.saturating_add(1);
        let announced = self.negotiated.is_some();
        if self.tentative > MAX_TENTATIVE || (!announced && self.strikes > MAX_STRIKES) {
            return Step::Reject;
        }
        Step::Consumed(length)
    }
}

impl Conversation for MediaFlow {
    fn read(&mut self, segment: &Segment<'_>, out: &mut Output) -> Step {
        if let [0x80..=0xbf, kind, ..] = *segment.bytes
            && is_rtcp_type(kind)
        {
            let certain = self.proven || self.negotiated.is_some();
            if !self.rtcp.read(segment, certain, out) {
                self.strike();
            } else if self.rtcp.is_proven() && !self.proven {
                out.identify(super::rtcp::PROTOCOL.name);
            }
        } else if let Some(header) = Header::parse(segment.bytes, segment.length as usize) {
            self.media(&header, segment, out);
        } else if !is_companion(segment) {
            self.strike();
        }
        self.verdict(segment.bytes.len())
    }

    fn end(&mut self, _time: Timestamp, out: &mut Output) {
        if !self.proven {
            return;
        }
        let types = self.streams.iter().fold(0, |types, streams| types | streams.proven_types());
        for streams in &self.streams {
            streams.tell(types, self.negotiated.as_deref(), out);
        }
    }

    fn memory(&self) -> usize {
        self.streams.iter().map(Streams::memory).sum::<usize>() + self.rtcp.memory()
    }
}
