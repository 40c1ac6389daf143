//! One flow that may be a match: its latest ticks, and whether they are regular.

use super::gaps::{Cadence, Gaps};

/// Packets this close to the one before belong to the same tick, in nanoseconds: a tick may need several packets.
const BURST: i64 = 1_500_000;
/// Ticks kept of each direction: what 150 Hz sends in [`WINDOW`], with a little to spare.
const KEPT: usize = 640;
/// Ticks that there is room for at first.
const FIRST: usize = 32;
/// What is looked at, in nanoseconds.
pub(super) const WINDOW: i64 = 4_000_000_000;
/// How often it is looked at, once it has gone on for so long.
const PERIOD: i64 = 500_000_000;
/// Rates of ticks that games use, with a margin (10 to 128 Hz).
const RATES: (f64, f64) = (9.0, 136.0);
/// Share of gaps near the period below which a direction does not tick; chance gives 0.4 on average.
const REGULAR: f64 = 0.5;
/// What chance adds to it in one of a hundred looks, times the root of the number of gaps.
const MARGIN: f64 = 1.5;
/// Share of the ticks expected in the window that must have come.
const PRESENT: f64 = 0.6;
/// Packets that the other direction must have sent in the window: two a second.
const ANSWERS: u32 = 8;
/// Bytes a second from which on a direction is a download or a picture, no game: 2 Mbit/s.
const HEAVY: f64 = 250_000.0;
/// Payloads this long fill a frame.
const FULL: u32 = 1_200;
/// A backward step of the clock, not a late packet.
pub(super) const STEP: i64 = 500_000_000;

/// One packet as the timeline sees it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    /// Nanoseconds since the epoch.
    pub time: i64,
    /// Whether the console sent it.
    pub up: bool,
    /// Bytes of IP.
    pub bytes: u32,
    /// Bytes of payload.
    pub payload: u32,
}

/// A tick: one packet, or several sent as one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tick {
    pub time: i64,
    pub packets: u16,
    pub full: u16,
    pub bytes: u32,
}

/// The latest ticks of one direction, the oldest first. There is room for few until there are more: most flows are over
/// before.
#[derive(Debug)]
pub(super) struct Ring {
    ticks: Vec<Tick>,
    /// Where the next one goes: behind the last, or once there are [`KEPT`] in place of the oldest.
    next: usize,
    len: usize,
    last_packet: i64,
}

impl Default for Ring {
    fn default() -> Self {
        Self { ticks: Vec::new(), next: 0, len: 0, last_packet: i64::MIN }
    }
}

impl Ring {
    fn push(&mut self, sent: &Sent) {
        let (packets, full) = (1, u16::from(sent.payload >= FULL));
        let gap = sent.time.saturating_sub(self.last_packet);
        if gap < -STEP {
            self.len = 0;
        }
        let newest = (self.next + KEPT - 1) % KEPT;
        if self.len > 0 && gap < BURST {
            let tick = &mut self.ticks[newest];
            tick.packets = tick.packets.saturating_add(packets);
            tick.full = tick.full.saturating_add(full);
            tick.bytes = tick.bytes.saturating_add(sent.bytes);
        } else {
            let tick = Tick { time: sent.time, packets, full, bytes: sent.bytes };
            match self.ticks.get_mut(self.next) {
                Some(place) => *place = tick,
                None => {
                    if self.ticks.len() == self.ticks.capacity() {
                        let room = if self.ticks.is_empty() { FIRST } else { KEPT };
                        self.ticks.reserve_exact(room - self.ticks.len());
                    }
                    self.ticks.push(tick);
                }
            }
            self.next = (self.next + 1) % KEPT;
            self.len = (self.len + 1).min(KEPT);
        }
        self.last_packet = if gap < -STEP { sent.time } else { self.last_packet.max(sent.time) };
    }

    pub fn since(&self, time: i64) -> impl DoubleEndedIterator<Item = &Tick> {
        self.iter().filter(move |tick| tick.time >= time)
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = &Tick> {
        let start = (self.next + KEPT - self.len) % KEPT;
        let (before, from) = self.ticks.split_at(start);
        let older = &from[..self.len.min(from.len())];
        older.iter().chain(&before[..self.len - older.len()])
    }

    fn get(&self, place: usize) -> Option<&Tick> {
        let index = (self.next + KEPT - self.len + place) % KEPT;
        if place < self.len { self.ticks.get(index) } else { None }
    }
}

/// How many ticks a start must be followed by at their own pace.
const AHEAD: usize = 8;
/// How much slower than the pace they may come: more than one in three may be lost.
const SLACK: f64 = 1.6;
/// Ticks may pause this long without it being another beginning.
const PAUSE: i64 = 1_500_000_000;

/// The first tick of the steady ones at the end of the ring.
fn first_steady(ring: &Ring, period: f64) -> Option<i64> {
    let bound = (AHEAD as f64 * SLACK * period) as i64;
    let mut first: Option<i64> = None;
    for place in (0..ring.len.saturating_sub(AHEAD)).rev() {
        let (Some(tick), Some(ahead)) = (ring.get(place), ring.get(place + AHEAD)) else { break };
        if first.is_some_and(|first| first - tick.time > PAUSE) {
            break;
        }
        if ahead.time - tick.time <= bound {
            first = Some(tick.time);
        }
    }
    first
}

/// A flow fast enough to be a match.
#[derive(Debug, Default)]
pub(super) struct Ticker {
    /// Up, down.
    rings: [Ring; 2],
    begun: i64,
    looked: i64,
    /// Since when it has ticked without a break.
    since: Option<i64>,
}

/// What a look at a flow found.
pub(super) enum Look {
    /// It is not worth a ticker.
    Slow,
    /// It may still become a match.
    Maybe,
    /// It ticks like a match.
    Match(Steady),
}

/// A flow that ticks like a match.
#[derive(Clone, Copy, Debug)]
pub(super) struct Steady {
    pub start: i64,
    /// Up, down.
    pub cadences: [Option<Cadence>; 2],
    /// Both sides send as voices do.
    pub like_voice: bool,
}

/// What a direction sent within the window.
struct Recent {
    cadence: Option<Cadence>,
    ticks: u32,
    packets: u32,
    full: u32,
    bytes: f64,
}

impl Recent {
    fn of(ring: &Ring, from: i64, gaps: &mut Gaps) -> Self {
        gaps.clear();
        let mut recent = Self { cadence: None, ticks: 0, packets: 0, full: 0, bytes: 0.0 };
        let mut last = None;
        for tick in ring.since(from) {
            recent.ticks += 1;
            recent.packets += u32::from(tick.packets);
            recent.full += u32::from(tick.full);
            recent.bytes += f64::from(tick.bytes);
            if let Some(last) = last.replace(tick.time) {
                gaps.record(tick.time - last);
            }
        }
        recent.cadence = gaps.cadence();
        recent
    }

    /// Its cadence, if it ticks, and most of its ticks came.
    fn ticking(&self) -> Option<Cadence> {
        let cadence = self.cadence?;
        let rate = RATES.0..=RATES.1;
        let expected = WINDOW as f64 / cadence.period;
        let ticks =
            rate.contains(&cadence.hz()) && cadence.regular >= REGULAR && f64::from(self.ticks) >= PRESENT * expected;
        ticks.then_some(cadence)
    }

    fn is_heavy(&self) -> bool {
        self.bytes * 1e9 / WINDOW as f64 > HEAVY || self.full * 5 > self.packets * 3
    }

    fn mean(&self) -> f64 {
        self.bytes / f64::from(self.packets.max(1))
    }

    /// Speech is coded in frames of 20 ms, and no such frame is long.
    fn like_voice(&self) -> bool {
        self.cadence.is_some_and(|cadence| (cadence.period / 20e6 - 1.0).abs() < 0.02) && self.mean() < 400.0
    }
}

impl Ticker {
    /// Counts a packet; whether it is time for a look.
    pub fn push(&mut self, sent: &Sent) -> bool {
        if sent.time < self.looked.saturating_sub(STEP) {
            (self.begun, self.looked, self.since) = (sent.time, sent.time, None);
        }
        self.rings[usize::from(!sent.up)].push(sent);
        if self.looked == 0 {
            (self.begun, self.looked) = (sent.time, sent.time);
        }
        sent.time - self.looked >= PERIOD && sent.time - self.begun >= WINDOW
    }

    /// Looks at the last seconds. `gaps` is only borrowed for its memory.
    pub fn look(&mut self, now: i64, gaps: &mut Gaps) -> Look {
        self.looked = now;
        let ways = self.rings.each_ref().map(|ring| Recent::of(ring, now - WINDOW, gaps));
        if now - self.begun >= WINDOW && ways.iter().map(|way| way.packets).sum::<u32>() < ANSWERS * 2 {
            return Look::Slow;
        }
        if ways.iter().all(|way| way.ticking().is_none()) {
            self.since = None;
        }
        let Some((leader, period)) = leader(&ways) else { return Look::Maybe };
        let found = first_steady(&self.rings[leader], period);
        let Some(start) = self.since.or(found) else { return Look::Maybe };
        self.since = Some(start);
        let answered = ways.iter().all(|way| way.packets >= ANSWERS);
        if !answered || now - start < WINDOW || ways.iter().any(Recent::is_heavy) {
            return Look::Maybe;
        }
        let [up, down] = &ways;
        let alike = up.mean() < 1.6 * down.mean() && down.mean() < 1.6 * up.mean();
        Look::Match(Steady {
            start,
            cadences: [up.cadence, down.cadence],
            like_voice: alike && up.like_voice() && down.like_voice(),
        })
    }

    /// What each direction has sent since a moment, as far back as is known.
    pub fn since(&self, start: i64) -> [impl Iterator<Item = &Tick>; 2] {
        self.rings.each_ref().map(|ring| ring.since(start))
    }
}

/// The direction whose ticks tell the beginning best: of those that tick for certain, the fastest.
fn leader(ways: &[Recent; 2]) -> Option<(usize, f64)> {
    let certain = |way: &Recent| way.ticking().filter(|cadence| cadence.is_certain(MARGIN));
    let ticking = ways.iter().enumerate().filter_map(|(index, way)| Some((index, certain(way)?.period)));
    ticking.min_by(|(_, a), (_, b)| a.total_cmp(b))
}
