//! The first packets of a flow: a probe and its answers, or the beginning of something faster.

use arrayvec::ArrayVec;

use super::ticks::{Sent, Ticker};

/// Packets remembered, so that a ticker knows how the flow began.
const KEPT: usize = 8;
/// So many packets within this time are worth a ticker: not in less than 10 ms, which is a burst, and not in more than
/// 1.5 s.
const FAST: std::ops::Range<i64> = 10_000_000..1_500_000_000;
/// A flow that was silent for so long begins anew.
const ANEW: i64 = 5_000_000_000;
/// Probes are no longer than this.
const SMALL: u32 = 200;
/// Probes that a server is sent at most; more is a conversation.
const MAX_PROBES: u32 = 40;
/// Times from probe to answer that are kept.
pub(super) const MAX_TRIPS: usize = 8;

/// The beginning of a flow.
#[derive(Debug, Default)]
pub(super) struct Early {
    latest: [Sent; KEPT],
    seen: usize,
    /// First packet since the last long silence.
    pub since: i64,
    last: i64,
    resumed: bool,
    probes: Probes,
}

/// Requests of one size, answers of one size.
#[derive(Debug, Default)]
struct Probes {
    /// Sizes of request and answer.
    sizes: [Option<u32>; 2],
    sent: u32,
    answered: u32,
    waiting: Option<i64>,
    refuted: bool,
}

/// What a packet shows.
pub(super) enum Shown {
    Nothing,
    /// An answer to a probe, on a flow that has seen nothing else: the time between them in nanoseconds.
    Answer(i64),
    /// The flow is fast enough to be worth a ticker.
    Fast,
}

impl Early {
    pub fn push(&mut self, sent: &Sent) -> Shown {
        if (self.seen == 0 && !self.resumed) || sent.time.saturating_sub(self.last) > ANEW {
            self.since = sent.time;
            self.seen = 0;
        }
        self.last = sent.time;
        let answer = self.probes.push(sent);
        self.latest[self.seen % KEPT] = *sent;
        self.seen += 1;
        let oldest = self.latest[self.seen % KEPT].time;
        let both = self.latest.iter().any(|sent| sent.up) && self.latest.iter().any(|sent| !sent.up);
        if self.seen >= KEPT && both && FAST.contains(&(sent.time - oldest)) {
            return Shown::Fast;
        }
        answer.map_or(Shown::Nothing, Shown::Answer)
    }

    /// A flow that was fast, and is not any more: it has gone on since then.
    pub fn resumed(since: i64, now: i64) -> Box<Self> {
        let probes = Probes { refuted: true, ..Probes::default() };
        Box::new(Self { since, last: now, resumed: true, probes, ..Self::default() })
    }

    /// A ticker that has seen what is remembered.
    pub fn ticker(&self) -> Box<Ticker> {
        let mut ticker = Box::<Ticker>::default();
        let known = self.seen.min(KEPT);
        for place in self.seen - known..self.seen {
            ticker.push(&self.latest[place % KEPT]);
        }
        ticker
    }
}

impl Probes {
    /// The time to the answer, if this is one.
    fn push(&mut self, sent: &Sent) -> Option<i64> {
        let size = &mut self.sizes[usize::from(!sent.up)];
        if size.get_or_insert(sent.payload) != &sent.payload || sent.payload > SMALL || self.sent > MAX_PROBES {
            self.refuted = true;
        }
        if self.refuted {
            return None;
        }
        if sent.up {
            self.sent += 1;
            self.waiting = Some(sent.time);
            return None;
        }
        let trip = sent.time - self.waiting.take()?;
        self.answered += 1;
        (trip >= 0).then_some(trip)
    }
}

/// The median of some times, in milliseconds.
pub(super) fn median_ms(trips: &ArrayVec<i64, MAX_TRIPS>) -> f64 {
    let mut sorted = trips.clone();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).map_or(0.0, |trip| *trip as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    fn sent(at: i64, up: bool, payload: u32) -> Sent {
        Sent { time: at * MS, up, bytes: payload + 28, payload }
    }

    fn answers(packets: &[Sent]) -> Vec<i64> {
        let mut early = Early::default();
        let shown = packets.iter().map(|packet| early.push(packet));
        shown.filter_map(|shown| if let Shown::Answer(trip) = shown { Some(trip / MS) } else { None }).collect()
    }

    #[test]
    fn requests_and_answers_of_one_size_are_probes() {
        let probes =
            [(0, true, 18), (31, false, 27), (400, true, 18), (433, false, 27), (900, true, 18), (931, false, 28)];
        assert_eq!(answers(&probes.map(|(at, up, payload)| sent(at, up, payload))), [31, 33]);
        assert_eq!(answers(&[sent(0, true, 600), sent(20, false, 600)]), [] as [i64; 0], "too long");
    }

    #[test]
    fn eight_packets_both_ways_are_fast_unless_they_are_a_burst_or_slow() {
        let fast = |gap: i64, both: bool| {
            let mut early = Early::default();
            (0..9).any(|n| matches!(early.push(&sent(n * gap, !both || n % 2 == 0, 30 + n as u32)), Shown::Fast))
        };
        assert!(fast(16, true) && fast(60, true));
        assert!(!fast(1, true) && !fast(300, true) && !fast(16, false));
    }
}
