//! One direction of a TCP connection: segments to bytes in order (RFC 9293 section 3.10.7.4).
//!
//! ```text
//!             consumed            unread          hole        ahead
//!   ........................|================|............|==========|......
//!                                            ^ next
//! ```
//! Bytes that begin at `next` go to the consumer as they are, without a copy. What it leaves is kept (*unread*) and
//! offered again in front of what follows. Bytes beyond a hole wait (*ahead*). A hole that nothing fills is skipped and
//! reported as a gap: when the other side acknowledges what lies beyond it, so that it was lost on the way to us only;
//! when [`Limits::patience`] more segments have come; or when the stream holds more than it may.
//!
//! Of bytes that arrive twice the first ones stay, whether they were consumed or wait ahead. When the budget that all
//! streams of a shard share is used up, the newest bytes lose: streams that come in order need none of it.

mod shared;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;

pub use shared::{Counters, Limits, Streams};

use super::pieces::{Full, Pieces, Run};

/// No window is larger (RFC 7323 section 2.3): what lies further off belongs to no segment of this connection.
const WINDOW: u64 = 1 << 30;
/// The place of sequence number 0 in the first round: far enough from 0 that no place before it is negative.
const FIRST_ROUND: u64 = 1 << 32;

/// What one TCP segment brings.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// The sequence number as the header has it.
    pub sequence: u32,
    /// Whether it is a SYN, which takes a sequence number before the first byte.
    pub syn: bool,
    /// Whether it is a FIN, which takes one after the last.
    pub fin: bool,
    /// The payload as captured.
    pub bytes: &'a [u8],
    /// The payload's length on the wire.
    pub length: u32,
}

/// What the consumer of a stream gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery<'a> {
    /// The bytes that it has not consumed yet and those behind them.
    Bytes(&'a [u8]),
    /// This many bytes are lost; what it had not consumed before them is dropped.
    Gap(u32),
}

/// What the consumer does with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// This many bytes are done with; of a gap, none are.
    Consumed(usize),
    /// It wants no more: everything held is freed, and only [`Arrival`]s are told from now on.
    Done,
}

/// How a segment relates to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It has no payload.
    Empty,
    /// It follows on.
    New,
    /// It lies beyond a hole.
    OutOfOrder,
    /// All of it was there before.
    Retransmission,
    /// Part of it was there before.
    Overlap,
    /// A keep-alive probe: at most the byte before the next, sent again (RFC 9293 section 3.8.4).
    KeepAlive,
    /// It is further off than any window reaches, or beyond the FIN.
    Outside,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Nothing was seen yet.
    #[default]
    Fresh,
    /// Bytes go to the consumer.
    Reading,
    /// The consumer is done: only the place is followed.
    Watching,
    /// The FIN was reached, or the stream was finished.
    Closed,
}

/// One direction of a connection. While all comes in order it is 40 bytes and holds no others.
#[derive(Debug, Default)]
pub struct Stream {
    state: State,
    /// The place of the next byte expected: the sequence number in the lower half, rounds through it in the upper.
    next: u64,
    /// The place of the FIN.
    fin: Option<u64>,
    held: Option<Box<Held>>,
}

#[derive(Debug)]
struct Held {
    /// What the consumer has seen but not consumed: at most one run, that ends at `next`.
    unread: Pieces,
    /// What lies beyond holes.
    ahead: Pieces,
    /// Segments that came since the first hole opened.
    waited: u32,
}

impl Stream {
    /// Whether bytes still go to the consumer.
    pub fn is_reading(&self) -> bool {
        matches!(self.state, State::Fresh | State::Reading)
    }

    /// Whether the stream has ended.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Adds a segment; `consume` gets what that makes available, in order.
    ///
    /// A connection that began before the capture is taken up at its first payload. A SYN that comes after the end
    /// begins anew.
    pub fn push(
        &mut self,
        segment: &Segment<'_>,
        shared: &mut Streams,
        mut consume: impl FnMut(Delivery<'_>) -> Take,
    ) -> Arrival {
        self.open(segment);
        let arrival = match self.state {
            State::Fresh => Arrival::Empty,
            State::Reading | State::Watching | State::Closed => self.arrive(segment, shared, &mut consume),
        };
        shared.count(arrival);
        if self.fin.is_some_and(|fin| self.next >= fin) {
            self.release(State::Closed);
        }
        arrival
    }

    /// Hears that the other side has all bytes before the sequence number `acknowledged`: holes before it were lost
    /// to us alone and will not be filled.
    pub fn acknowledge(
        &mut self,
        acknowledged: u32,
        shared: &mut Streams,
        mut consume: impl FnMut(Delivery<'_>) -> Take,
    ) {
        let place = self.place(acknowledged);
        while let Some(start) = self.ahead_start()
            && start <= place
            && place.abs_diff(self.next) <= WINDOW
        {
            self.skip_to(start, shared, &mut consume);
            self.advance(start, &[], shared, &mut consume);
        }
    }

    /// Ends the stream, by RST or because the flow ends: what waits beyond holes is delivered, with gaps between.
    pub fn finish(&mut self, shared: &mut Streams, mut consume: impl FnMut(Delivery<'_>) -> Take) {
        while let Some(start) = self.ahead_start() {
            self.skip_to(start, shared, &mut consume);
            self.advance(start, &[], shared, &mut consume);
        }
        self.release(State::Closed);
    }

    fn open(&mut self, segment: &Segment<'_>) {
        let begins = match self.state {
            State::Fresh => segment.syn || segment.length > 0,
            State::Closed => segment.syn,
            State::Reading | State::Watching => false,
        };
        if begins {
            *self = Self {
                state: State::Reading,
                next: FIRST_ROUND + u64::from(segment.sequence) + u64::from(segment.syn),
                ..Self::default()
            };
        }
    }

    fn arrive(
        &mut self,
        segment: &Segment<'_>,
        shared: &mut Streams,
        consume: &mut impl FnMut(Delivery<'_>) -> Take,
    ) -> Arrival {
        let start = self.place(segment.sequence) + u64::from(segment.syn);
        let end = start + u64::from(segment.length);
        if start.abs_diff(self.next) > WINDOW || self.fin.is_some_and(|fin| end > fin) {
            return Arrival::Outside;
        }
        if segment.length <= 1 && start + 1 == self.next && !segment.syn && !segment.fin {
            return Arrival::KeepAlive;
        }
        if segment.fin && self.fin.is_none() {
            self.fin = Some(end.max(self.next));
        }
        let arrival = match segment.length {
            0 => Arrival::Empty,
            _ if end <= self.next => Arrival::Retransmission,
            _ if self.state != State::Reading => self.watch(start),
            _ if start > self.next => self.wait(start, segment, shared, consume),
            _ => {
                let arrival = if start == self.next { Arrival::New } else { Arrival::Overlap };
                self.advance(start, segment.bytes, shared, consume);
                self.lose(end, shared, consume);
                arrival
            }
        };
        if self.state == State::Watching {
            self.next = self.next.max(end);
        }
        arrival
    }

    /// How a segment of a stream whose bytes nobody wants relates to the last one.
    fn watch(&self, start: u64) -> Arrival {
        match start.cmp(&self.next) {
            Ordering::Less => Arrival::Overlap,
            Ordering::Equal => Arrival::New,
            Ordering::Greater => Arrival::OutOfOrder,
        }
    }

    /// Delivers `bytes`, which begin at `start`, no later than at `next`, and all that waited for them. Where some of
    /// them wait ahead already, those were first.
    fn advance(
        &mut self,
        start: u64,
        bytes: &[u8],
        shared: &mut Streams,
        consume: &mut impl FnMut(Delivery<'_>) -> Take,
    ) {
        while self.state == State::Reading {
            let room = self.ahead_start().map_or(u64::MAX, |ahead| ahead.saturating_sub(self.next));
            let new = from(bytes, self.next - start);
            let new = new.get(..usize::try_from(room).unwrap_or(usize::MAX)).unwrap_or(new);
            if !new.is_empty() {
                self.deliver(new, shared, consume);
                continue;
            }
            let Some(run) = self.pop_reached() else { break };
            let waited = from(&run.bytes, self.next - run.start);
            if !waited.is_empty() {
                self.deliver(waited, shared, consume);
            }
        }
        self.tidy();
    }

    /// Bytes of a segment that were on the wire but not captured are a gap, unless they wait ahead.
    fn lose(&mut self, end: u64, shared: &mut Streams, consume: &mut impl FnMut(Delivery<'_>) -> Take) {
        while self.state == State::Reading && self.next < end {
            let stop = self.ahead_start().map_or(end, |ahead| ahead.min(end));
            self.skip_to(stop, shared, consume);
            self.advance(stop, &[], shared, consume);
        }
    }

    /// Keeps bytes that lie beyond a hole. Where the stream may hold no more, it waits no longer for the hole.
    fn wait(
        &mut self,
        start: u64,
        segment: &Segment<'_>,
        shared: &mut Streams,
        consume: &mut impl FnMut(Delivery<'_>) -> Take,
    ) -> Arrival {
        let limits = shared.limits;
        loop {
            let held = self.held.get_or_insert_with(|| Box::new(Held::new(shared)));
            let has_room = held.ahead.charged() + segment.bytes.len() <= limits.ahead && held.waited < limits.patience;
            let kept = if has_room { held.ahead.insert(start, segment.bytes, limits.runs) } else { Err(Full::Runs) };
            match kept {
                Ok(new) => {
                    held.waited += 1;
                    self.tidy();
                    return match new {
                        0 if !segment.bytes.is_empty() => Arrival::Retransmission,
                        _ if new < segment.bytes.len() => Arrival::Overlap,
                        _ => Arrival::OutOfOrder,
                    };
                }
                Err(Full::Budget) => {
                    shared.counters.refused += 1;
                    self.tidy();
                    return Arrival::OutOfOrder;
                }
                Err(Full::Runs) => {}
            }
            let stop = self.ahead_start().map_or(start, |ahead| ahead.min(start));
            self.skip_to(stop, shared, consume);
            self.advance(stop, &[], shared, consume);
            if self.state != State::Reading || start <= self.next {
                self.advance(start, segment.bytes, shared, consume);
                self.lose(start + u64::from(segment.length), shared, consume);
                return Arrival::OutOfOrder;
            }
        }
    }

    /// Hands the bytes at `next` to the consumer, behind what it left before, and keeps what it leaves now.
    fn deliver(&mut self, bytes: &[u8], shared: &mut Streams, consume: &mut impl FnMut(Delivery<'_>) -> Take) {
        let start = self.next;
        self.next += bytes.len() as u64;
        shared.counters.bytes += bytes.len() as u64;
        if let Some(held) = self.held.as_mut().filter(|held| !held.unread.runs().is_empty()) {
            if held.unread.insert(start, bytes, 1).is_err() {
                return self.give_up(shared);
            }
            let all = held.unread.runs().first().map_or(&[][..], |run| &run.bytes);
            match consume(Delivery::Bytes(all)) {
                Take::Consumed(count) => held.unread.consume(count),
                Take::Done => return self.release(State::Watching),
            }
            if held.unread.runs().first().is_some_and(|run| run.bytes.len() > shared.limits.unread) {
                self.give_up(shared);
            }
            return;
        }
        let left = match consume(Delivery::Bytes(bytes)) {
            Take::Consumed(count) => from(bytes, count as u64),
            Take::Done => return self.release(State::Watching),
        };
        if left.is_empty() {
            return;
        }
        let held = self.held.get_or_insert_with(|| Box::new(Held::new(shared)));
        let fits = left.len() <= shared.limits.unread;
        if !fits || held.unread.insert(self.next - left.len() as u64, left, 1).is_err() {
            self.give_up(shared);
        }
    }

    /// Moves past a hole, and says so.
    fn skip_to(&mut self, place: u64, shared: &mut Streams, consume: &mut impl FnMut(Delivery<'_>) -> Take) {
        let length = place.saturating_sub(self.next);
        if length == 0 {
            return;
        }
        self.next = place;
        shared.counters.gaps += 1;
        shared.counters.gap_bytes += length;
        if let Some(held) = &mut self.held {
            held.unread.pop();
            held.waited = 0;
        }
        if consume(Delivery::Gap(u32::try_from(length).unwrap_or(u32::MAX))) == Take::Done {
            self.release(State::Watching);
        }
    }

    /// Whether it holds bytes.
    pub fn holds(&self) -> bool {
        self.held.is_some()
    }

    /// Frees what is held and reads no further: the consumer does not take the bytes and there is no room to keep them.
    pub fn give_up(&mut self, shared: &mut Streams) {
        shared.counters.given_up += 1;
        self.release(State::Watching);
    }

    fn release(&mut self, state: State) {
        self.state = state;
        self.held = None;
    }

    /// Frees what holds nothing.
    fn tidy(&mut self) {
        let Some(held) = &mut self.held else { return };
        if !held.ahead.runs().is_empty() {
            return;
        }
        held.waited = 0;
        if held.unread.runs().is_empty() {
            self.held = None;
        }
    }

    fn ahead_start(&self) -> Option<u64> {
        self.held.as_ref()?.ahead.runs().first().map(|run| run.start)
    }

    /// The first run ahead, once `next` has reached it.
    fn pop_reached(&mut self) -> Option<Run> {
        let reached = self.ahead_start()? <= self.next;
        if reached { self.held.as_mut()?.ahead.pop() } else { None }
    }

    /// The place of a sequence number: the one nearest to `next`.
    fn place(&self, sequence: u32) -> u64 {
        #[expect(clippy::cast_possible_truncation, reason = "the lower half is the sequence number")]
        let distance = sequence.wrapping_sub(self.next as u32).cast_signed();
        self.next.saturating_add_signed(i64::from(distance))
    }
}

impl Held {
    fn new(shared: &Streams) -> Self {
        Self { unread: Pieces::new(shared.budget()), ahead: Pieces::new(shared.budget()), waited: 0 }
    }
}

/// What is left of `bytes` after the first `count`.
fn from(bytes: &[u8], count: u64) -> &[u8] {
    usize::try_from(count).ok().and_then(|count| bytes.get(count..)).unwrap_or_default()
}
