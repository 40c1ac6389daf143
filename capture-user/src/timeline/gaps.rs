//! How long a sender waits between its ticks: a fine histogram, and the period it shows.

use arrayvec::ArrayVec;

use crate::flow::Summary;

/// Width of a bucket in nanoseconds: a tenth of a millisecond.
const WIDTH: i64 = 100_000;
/// Buckets: up to 240 ms, two late ticks of 10 Hz; what is longer is counted apart.
const BUCKETS: usize = 2_400;
/// Periods that are looked for, in buckets: 150 Hz to 8 Hz.
const PERIODS: (f64, f64) = (66.0, 1_250.0);
/// How far from a multiple of the period a gap may be to count as regular, in periods.
const TOLERANCE: f64 = 0.35;

/// A histogram of gaps.
#[derive(Debug)]
pub(super) struct Gaps {
    counts: Box<[u32; BUCKETS]>,
    /// Which of them are not zero: a bit each. Ticks leave most empty, and who looks need not pass them all.
    occupied: [u64; BUCKETS.div_ceil(64)],
    total: u64,
    longer: u64,
    max: i64,
}

/// What a direction's gaps show.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cadence {
    /// Time between two ticks, in nanoseconds.
    pub period: f64,
    /// Share of the gaps that are near the period or a small multiple of it.
    pub regular: f64,
    /// How many gaps it was made of.
    pub gaps: u64,
}

/// Share of regular gaps that packets at random hardly ever exceed, however many they are.
const CHANCE: f64 = 0.55;

impl Cadence {
    pub fn hz(&self) -> f64 {
        1e9 / self.period
    }

    /// Whether the gaps are more regular than chance makes them; the fewer there are, the more regular they must be.
    pub fn is_certain(&self, margin: f64) -> bool {
        self.regular >= CHANCE + margin / (self.gaps as f64).sqrt()
    }
}

impl Default for Gaps {
    fn default() -> Self {
        Self { counts: Box::new([0; BUCKETS]), occupied: [0; _], total: 0, longer: 0, max: 0 }
    }
}

impl Gaps {
    pub fn clear(&mut self) {
        for bucket in set_bits(&self.occupied) {
            self.counts[bucket] = 0;
        }
        self.occupied.fill(0);
        (self.total, self.longer, self.max) = (0, 0, 0);
    }

    pub fn record(&mut self, nanos: i64) {
        self.total += 1;
        self.max = self.max.max(nanos);
        match usize::try_from(nanos / WIDTH).ok().and_then(|bucket| self.counts.get_mut(bucket)) {
            Some(count) => {
                *count = count.saturating_add(1);
                let bucket = (nanos / WIDTH) as usize;
                self.occupied[bucket / 64] |= 1 << (bucket % 64);
            }
            None => self.longer += 1,
        }
    }

    /// The period, unless there are too few gaps or none that recurs.
    ///
    /// The most common gap (within a quarter) is a first guess, and the mean of the gaps within half a guess of it the
    /// next, six times over: jitter is as often early as late. Then the guess decides how many ticks each gap spans, and
    /// all gaps together are divided by all ticks: lost packets make gaps of two or three ticks, late ones a short gap
    /// beside a long one, and neither moves the quotient.
    pub fn cadence(&self) -> Option<Cadence> {
        if self.total < 16 {
            return None;
        }
        let mut known = ArrayVec::<_, BUCKETS>::new();
        known.extend(set_bits(&self.occupied).map(|bucket| (bucket as u16, self.counts[bucket])));
        let mut period = most_common(&known)?;
        for _ in 0..6 {
            let around = up_to(&known, 1.5 * period).filter(|(gap, _)| *gap > 0.5 * period);
            let (time, ticks) =
                around.fold((0.0, 0.0), |(time, ticks), (gap, count)| (time + gap * count, ticks + count));
            period = quotient(time, ticks)?;
        }
        let spans = up_to(&known, 4.5 * period).map(|(gap, count)| (gap * count, (gap / period).round() * count));
        let (time, ticks) = spans.fold((0.0, 0.0), |sum, part| (sum.0 + part.0, sum.1 + part.1));
        period = quotient(time, ticks)?;
        let near: f64 =
            up_to(&known, 4.5 * period).filter(|(gap, _)| is_near(gap / period)).map(|(_, count)| count).sum();
        Some(Cadence { period: period * WIDTH as f64, regular: near / self.total as f64, gaps: self.total })
    }

    /// Median, 99th percentile and maximum in milliseconds.
    pub fn summary(&self, max: i64) -> Summary {
        let max = max as f64 / 1e6;
        Summary { p50: self.quantile(0.5, max), p99: self.quantile(0.99, max), max }
    }

    fn quantile(&self, share: f64, max: f64) -> f64 {
        let rank = (self.total as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= rank {
                return ((index as f64 + 0.5) * WIDTH as f64 / 1e6).min(max);
            }
        }
        max
    }
}

/// The places of the bits that are set, in order.
fn set_bits(words: &[u64]) -> impl Iterator<Item = usize> {
    words.iter().enumerate().flat_map(|(word, bits)| {
        let mut left = *bits;
        std::iter::from_fn(move || {
            let bit = (left != 0).then(|| left.trailing_zeros() as usize)?;
            left &= left - 1;
            Some(word * 64 + bit)
        })
    })
}

/// The period around which, within a quarter, most gaps lie.
fn most_common(known: &[(u16, u32)]) -> Option<f64> {
    let (mut best, mut found) = (0, None);
    let (mut from, mut to, mut count) = (0, 0, 0_u64);
    let mut guess = PERIODS.0;
    while guess <= PERIODS.1 {
        // Both ends only move up, and what lies between them is counted as they do.
        let (low, high) = ((0.75 * guess) as u16, (1.25 * guess + 1.0) as u16);
        while let Some((_, more)) = known.get(to).filter(|(bucket, _)| *bucket < high) {
            (to, count) = (to + 1, count + u64::from(*more));
        }
        while let Some((_, fewer)) = known.get(from).filter(|(bucket, _)| *bucket < low) {
            (from, count) = (from + 1, count - u64::from(*fewer));
        }
        if count > best {
            (best, found) = (count, Some(guess));
        }
        guess *= 1.02;
    }
    found
}

/// Gaps up to a bound, in buckets, with their number.
fn up_to(known: &[(u16, u32)], bound: f64) -> impl Iterator<Item = (f64, f64)> {
    let end = bound as u16;
    let within = known.iter().take_while(move |(bucket, _)| *bucket < end);
    within.map(|(bucket, count)| (f64::from(*bucket) + 0.5, f64::from(*count)))
}

fn quotient(time: f64, ticks: f64) -> Option<f64> {
    (ticks > 0.0).then(|| time / ticks)
}

fn is_near(periods: f64) -> bool {
    periods > 0.5 && (periods - periods.round()).abs() <= TOLERANCE
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator of numbers in 0..1, the same every time (Steele and others, SplitMix64).
    pub struct Numbers(u64);

    impl Numbers {
        fn next(&mut self) -> f64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut x = self.0;
            x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            ((x ^ x >> 31) >> 11) as f64 / (1_u64 << 53) as f64
        }

        fn normal(&mut self) -> f64 {
            (0..12).map(|_| self.next()).sum::<f64>() - 6.0
        }
    }

    fn gaps_of(hz: f64, seconds: f64, loss: f64, jitter: f64) -> Gaps {
        let (mut numbers, mut gaps, mut last) = (Numbers(7), Gaps::default(), None);
        for tick in 0..(hz * seconds) as u32 {
            if numbers.next() < loss {
                continue;
            }
            let at = ((f64::from(tick) + jitter * numbers.normal()) / hz * 1e9) as i64;
            if let Some(last) = last.replace(at) {
                gaps.record((at - last).max(0));
            }
        }
        gaps
    }

    #[test]
    fn the_period_is_found_whatever_is_lost_or_late() {
        for hz in [10.0, 15.0, 20.8, 30.0, 60.0, 62.5, 100.0, 128.0] {
            for loss in [0.0, 0.02, 0.05] {
                for jitter in [0.0, 0.05, 0.15, 0.25] {
                    let cadence = gaps_of(hz, 60.0, loss, jitter).cadence().expect("a cadence");
                    let off = (cadence.hz() / hz - 1.0).abs();
                    let within = if jitter > 0.2 { 0.02 } else { 0.01 };
                    assert!(off < within, "{hz} Hz, loss {loss}, jitter {jitter}: {cadence:?}");
                    assert!(cadence.regular > 0.55, "{hz} Hz, loss {loss}, jitter {jitter}: {cadence:?}");
                }
            }
        }
    }

    #[test]
    fn packets_at_random_are_not_regular() {
        for hz in [12.0, 30.0, 60.0, 120.0] {
            let (mut numbers, mut gaps) = (Numbers(3), Gaps::default());
            for _ in 0..3_000 {
                gaps.record((-(1.0 - numbers.next()).ln() / hz * 1e9) as i64);
            }
            assert!(gaps.cadence().is_none_or(|cadence| cadence.regular < 0.5), "{hz}");
        }
    }

    #[test]
    fn quantiles_are_of_what_was_seen() {
        let mut gaps = Gaps::default();
        for _ in 0..200 {
            gaps.record(16_000_000);
        }
        gaps.record(338_000_000);
        let summary = gaps.summary(gaps.max);
        assert!((summary.p50 - 16.0).abs() <= 0.1 && (summary.p99 - 16.0).abs() <= 0.1, "{summary:?}");
        assert_eq!(summary.max, 338.0);
    }
}
