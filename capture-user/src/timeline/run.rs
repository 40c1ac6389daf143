//! One flow while it carries a match: what goes each way, and until when.

use super::gaps::{Cadence, Gaps};
use super::ticks::{STEP, Sent, Steady, Ticker};
use crate::flow::Summary;

/// Silence of both sides after which the match is over; a line that is pulled for less is a stall.
pub(super) const HOLD: i64 = 10_000_000_000;
/// A silence is a stall from so many periods on, and never below [`STALL`]: what is lost at random makes no such gap.
const STALL_PERIODS: f64 = 6.0;
/// The shortest stall, in nanoseconds.
const STALL: i64 = 200_000_000;
/// Stalls kept of a direction.
const MAX_STALLS: usize = 64;
/// So many ticks must come at no less than two thirds of their pace for the last of them to belong to the match.
const STEADY: usize = 8;
const SLACK: f64 = 1.5;
/// A gap of more periods than this may be the end: what follows belongs to the match if [`RESUMED`] ticks do follow.
const BREAK_PERIODS: f64 = 2.6;
const RESUMED: usize = 3;
/// The period of a direction that has none: two packets a second are enough for it to go on.
const NO_PERIOD: f64 = 333e6;
/// Share of regular gaps below which a direction is said to have no tick.
const REGULAR: f64 = 0.5;
/// What sends like two people who talk is believed to be a match after so long without a pause: talkers pause.
const VOICE_LIMIT: i64 = 20_000_000_000;
/// The pause of a talker.
const VOICE_PAUSE: i64 = 300_000_000;
/// What chance adds to the share of regular gaps, times the root of their number: two deviations and more.
const MARGIN: f64 = 2.0;
/// A match is at least this long.
const SHORTEST: i64 = 5_000_000_000;
/// Packets this close to the one before belong to the same tick.
const BURST: i64 = 1_500_000;

/// A flow that carries a match.
#[derive(Debug)]
pub(super) struct Run {
    pub start: i64,
    /// Up, down.
    pub ways: [Way; 2],
    /// While it may still be a call: since when.
    doubt: Option<i64>,
}

/// What a packet did to a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It goes on.
    GoesOn,
    /// It is certain now.
    Believed,
    /// It was a call.
    Call,
}

impl Run {
    /// A run begins: what its ticker remembers is counted.
    pub fn new(steady: &Steady, ticker: &Ticker) -> Self {
        let mut ways = steady.cadences.map(Way::new);
        for (way, ticks) in ways.iter_mut().zip(ticker.since(steady.start)) {
            for tick in ticks {
                way.push(tick.time, u64::from(tick.packets), u64::from(tick.bytes));
            }
        }
        Self { start: steady.start, ways, doubt: steady.like_voice.then_some(steady.start) }
    }

    pub fn is_doubtful(&self) -> bool {
        self.doubt.is_some()
    }

    /// Counts a packet.
    pub fn push(&mut self, sent: &Sent) -> Verdict {
        let gap = self.ways[usize::from(!sent.up)].push(sent.time, 1, u64::from(sent.bytes));
        match self.doubt {
            Some(_) if gap > VOICE_PAUSE => Verdict::Call,
            Some(since) if sent.time - since > VOICE_LIMIT => {
                self.doubt = None;
                Verdict::Believed
            }
            _ => Verdict::GoesOn,
        }
    }

    /// The last packet of the ticks so far.
    pub fn end(&self) -> i64 {
        let ends = |regular: bool| self.ways.iter().filter(move |way| way.regular == regular).map(|way| way.end).max();
        ends(true).or(ends(false)).unwrap_or(self.start).max(self.start)
    }

    /// Whether it has been over for long enough to say so.
    pub fn is_over(&self, now: i64) -> bool {
        now.saturating_sub(self.end()) > HOLD
    }

    /// From its first tick to its last, in nanoseconds.
    pub fn length(&self) -> i64 {
        self.end() - self.start
    }

    /// It was no match after all.
    pub fn refute(&mut self) {
        self.doubt = Some(self.start);
    }

    /// Whether it lasted long enough, and ticked all along.
    pub fn is_worth(&self) -> bool {
        let ticked = self.ways.iter().filter_map(Way::cadence).any(|cadence| cadence.is_certain(MARGIN));
        ticked && self.doubt.is_none() && self.ways.iter().map(|way| way.elapsed).max() >= Some(SHORTEST)
    }
}

/// One direction of a run.
#[derive(Debug)]
pub(super) struct Way {
    period: f64,
    /// Whether it ticks: only then does it say when the match ends.
    regular: bool,
    ticks: Gaps,
    gaps: Gaps,
    /// What is known to belong to the match.
    pub packets: u64,
    pub bytes: u64,
    elapsed: i64,
    longest: i64,
    stalls: Vec<(i64, i64)>,
    end: i64,
    /// What belongs to it if the ticks go on.
    pending: Pending,
    last: Option<i64>,
    last_tick: i64,
    recent: [i64; STEADY],
    seen: usize,
    /// Ticks since the last break.
    unbroken: usize,
}

#[derive(Debug, Default)]
struct Pending {
    packets: u64,
    bytes: u64,
    elapsed: i64,
    longest: i64,
    stalls: usize,
}

impl Way {
    fn new(cadence: Option<Cadence>) -> Self {
        let period = cadence.filter(|cadence| cadence.regular >= REGULAR).map(|cadence| cadence.period);
        Self {
            period: period.unwrap_or(NO_PERIOD),
            regular: period.is_some(),
            ticks: Gaps::default(),
            gaps: Gaps::default(),
            packets: 0,
            bytes: 0,
            elapsed: 0,
            longest: 0,
            stalls: Vec::with_capacity(MAX_STALLS),
            end: i64::MIN,
            pending: Pending::default(),
            last: None,
            last_tick: i64::MIN,
            recent: [i64::MIN; STEADY],
            seen: 0,
            unbroken: 0,
        }
    }

    /// Counts a packet; the time since the one before.
    fn push(&mut self, time: i64, packets: u64, bytes: u64) -> i64 {
        self.pending.packets += packets;
        self.pending.bytes += bytes;
        let gap = time - self.last.unwrap_or(time);
        if gap < 0 && gap > -STEP {
            // It comes late: its tick has been counted as lost, and made no gap.
            self.settle();
            return 0;
        }
        if gap < 0 {
            // The clock went back: no gap can be told, and what was recent lies ahead.
            self.seen = 0;
            self.last_tick = time;
        } else if self.last.is_some() {
            self.gaps.record(gap);
            self.pending.elapsed += gap;
            self.pending.longest = self.pending.longest.max(gap);
            self.note_stall(time, gap);
        }
        self.last = Some(time);
        self.tick(time, gap);
        gap.max(0)
    }

    fn note_stall(&mut self, time: i64, gap: i64) {
        let bound = ((STALL_PERIODS * self.period) as i64).max(STALL);
        if gap > bound && self.stalls.len() + self.pending.stalls < MAX_STALLS {
            self.stalls.push((time - gap, gap));
            self.pending.stalls += 1;
        }
    }

    fn tick(&mut self, time: i64, gap: i64) {
        if self.seen > 0 && (0..BURST).contains(&gap) {
            return self.settle();
        }
        if self.seen > 0 {
            let gap = time - self.last_tick;
            self.ticks.record(gap);
            self.unbroken = if gap as f64 > BREAK_PERIODS * self.period { 0 } else { self.unbroken + 1 };
        }
        self.last_tick = time;
        self.recent[self.seen % STEADY] = time;
        self.seen += 1;
        self.settle();
    }

    /// What is pending belongs to the match if the latest ticks came at their pace.
    fn settle(&mut self) {
        let oldest = self.recent[self.seen % STEADY];
        let bound = (STEADY as f64 * SLACK * self.period) as i64;
        let early = self.seen < STEADY && self.end == i64::MIN;
        let steady = self.seen >= STEADY && self.last_tick - oldest <= bound && self.unbroken >= RESUMED;
        if !early && !steady {
            return;
        }
        let pending = std::mem::take(&mut self.pending);
        self.packets += pending.packets;
        self.bytes += pending.bytes;
        self.elapsed += pending.elapsed;
        self.longest = self.longest.max(pending.longest);
        if let Some(last) = self.last
            && !early
        {
            self.end = last;
        }
    }

    /// Silences of a direction that ticks: when they began, how long they lasted.
    pub fn stalls(&self) -> impl Iterator<Item = (i64, i64)> {
        let known = self.stalls.len().saturating_sub(self.pending.stalls);
        let period = self.cadence().map(|cadence| cadence.period);
        let stalls = self.stalls.iter().take(known).copied();
        stalls.filter(move |(_, length)| period.is_some_and(|period| *length as f64 > STALL_PERIODS * period))
    }

    /// The steady rate, if there is one.
    pub fn cadence(&self) -> Option<Cadence> {
        self.ticks.cadence().filter(|cadence| cadence.regular >= REGULAR)
    }

    pub fn pps(&self) -> f64 {
        if self.elapsed > 0 { self.packets as f64 * 1e9 / self.elapsed as f64 } else { 0.0 }
    }

    pub fn gap_ms(&self) -> Summary {
        self.gaps.summary(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    /// A direction of 50 Hz with these silences: when they begin, how long they last, in milliseconds.
    fn way(silences: &[(i64, i64)], until: i64) -> Way {
        let mut way = Way::new(Some(Cadence { period: 20e6, regular: 1.0, gaps: 200 }));
        for at in (0..until).step_by(20) {
            if !silences.iter().any(|(start, length)| (*start..start + length).contains(&at)) {
                way.push(at * MS, 1, 100);
            }
        }
        way
    }

    #[test]
    fn silences_are_stalls_from_their_last_packet_on() {
        let way = way(&[(2_000, 400), (5_000, 60), (7_000, 3_000)], 12_000);
        assert_eq!(way.stalls().collect::<Vec<_>>(), [(1_980 * MS, 420 * MS), (6_980 * MS, 3_020 * MS)]);
        assert_eq!(way.end, 11_980 * MS);
    }

    #[test]
    fn farewells_and_what_is_sent_now_and_then_do_not_count() {
        let mut way = way(&[], 6_000);
        for later in [60, 120, 180, 1_200, 2_200, 3_200] {
            way.push((5_980 + later) * MS, 1, 20);
        }
        assert_eq!((way.end, way.packets, way.bytes), (5_980 * MS, 300, 30_000));
        assert_eq!(way.stalls().count(), 0, "what does not go on has not stalled");
    }

    #[test]
    fn a_clock_that_goes_back_makes_no_gap() {
        let mut way = way(&[], 6_000);
        for tick in 0..200 {
            way.push((4_000 + tick * 20) * MS, 1, 100);
        }
        assert_eq!((way.packets, way.longest, way.end), (500, 20 * MS, 7_980 * MS));
        let hz = way.cadence().expect("a cadence").hz();
        assert!((hz - 50.0).abs() < 0.2, "{hz}");
    }
}
