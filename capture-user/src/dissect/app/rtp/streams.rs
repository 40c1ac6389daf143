//! The streams of one direction of a flow: few, and no more than [`MAX_STREAMS`] whatever comes.

use super::header::Header;
use super::stream::Stream;
use crate::dissect::app::sdp::Negotiated;
use crate::dissect::app::{Direction, Output};
use crate::time::Timestamp;

/// Sources kept per direction.
const MAX_STREAMS: usize = 16;
/// A stream silent for this long makes room for another, in nanoseconds.
const IDLE: i64 = 30_000_000_000;

/// What the flow learns from one packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    /// The source was known before.
    pub before: bool,
    /// The packets of the source prove that they are RTP.
    pub proven: bool,
}

/// The streams one side of a flow sends.
#[derive(Debug)]
pub(super) struct Streams {
    direction: Direction,
    list: Vec<Stream>,
    /// Where the latest packet's stream stands: the next packet is likely of it.
    latest: usize,
}

impl Streams {
    pub const fn new(direction: Direction) -> Self {
        Self { direction, list: Vec::new(), latest: 0 }
    }

    /// Bytes of heap that the streams take.
    pub fn memory(&self) -> usize {
        self.list.capacity() * size_of::<Stream>()
    }

    /// Takes a packet of a known stream, or the first of a new one if there is room or can be made.
    pub fn feed(
        &mut self,
        header: &Header,
        time: Timestamp,
        negotiated: Option<&Negotiated>,
        flow_proven: bool,
        out: &mut Output,
    ) -> Known {
        if let Some(stream) = self.find(header.ssrc) {
            stream.feed(header, time, negotiated);
            return Known { before: true, proven: stream.is_proven() };
        }
        if self.list.len() == MAX_STREAMS {
            self.make_room(time, negotiated, flow_proven, out);
        }
        if self.list.len() < MAX_STREAMS {
            self.latest = self.list.len();
            // Mostly there is one.
            self.list.reserve_exact(usize::from(self.list.capacity() == 0));
            self.list.push(Stream::new(header, time, negotiated));
        }
        Known { before: false, proven: false }
    }

    fn find(&mut self, ssrc: u32) -> Option<&mut Stream> {
        if self.list.get(self.latest).is_none_or(|stream| stream.ssrc != ssrc) {
            self.latest = self.list.iter().position(|stream| stream.ssrc == ssrc)?;
        }
        self.list.get_mut(self.latest)
    }

    /// Gives up the stream that was silent longest: one that never proved itself, else one that is over.
    fn make_room(&mut self, time: Timestamp, negotiated: Option<&Negotiated>, flow_proven: bool, out: &mut Output) {
        let oldest = self.list.iter().enumerate().min_by_key(|(_, stream)| (stream.is_proven(), stream.end));
        let Some((place, stream)) = oldest else { return };
        if stream.is_proven() && time.nanos_since(stream.end) < IDLE {
            return;
        }
        let stream = self.list.swap_remove(place);
        if flow_proven && stream.packets() > 1 {
            self.tell_one(&stream, negotiated, out);
        }
    }

    /// The payload types of proven streams, a bit each.
    pub fn proven_types(&self) -> u128 {
        self.list.iter().fold(0, |types, stream| types | stream.proven_types())
    }

    /// One record per stream. A single packet of a source is one where a session description stands behind it or
    /// another source of the flow proves its payload type.
    pub fn tell(&self, types: u128, negotiated: Option<&Negotiated>, out: &mut Output) {
        for stream in &self.list {
            if stream.packets() > 1 || negotiated.is_some() || stream.is_of(types) {
                self.tell_one(stream, negotiated, out);
            }
        }
    }

    fn tell_one(&self, stream: &Stream, negotiated: Option<&Negotiated>, out: &mut Output) {
        out.emit(stream.end, super::PROTOCOL.name, stream.facts(self.direction, negotiated));
    }
}
