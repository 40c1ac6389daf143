//! How the packets of one direction are spaced and how large they are.

use arrayvec::ArrayVec;
use schemars::JsonSchema;
use serde::Serialize;

/// Distribution of gaps and payload sizes of one direction of a flow.
///
/// Each is a histogram with eight buckets to a power of two, so a quantile is off by at most 6 %; its memory is fixed. Few
/// packets, which most flows have, are kept one by one, and the same is said of them.
#[derive(Debug)]
pub struct Shape(Samples);

#[derive(Debug)]
enum Samples {
    Few(Box<ArrayVec<Sample, FEW>>),
    Many(Box<Histograms>),
}

/// A gap in microseconds and a size in bytes.
#[derive(Clone, Copy, Debug)]
struct Sample {
    gap: u32,
    size: u32,
}

/// Packets that are kept one by one.
const FEW: usize = 32;

/// What is written with every packet lies together.
#[derive(Debug, Default)]
#[repr(C)]
struct Histograms {
    gap_bounds: Bounds,
    size_bounds: Bounds,
    gaps: Histogram<GAP_BUCKETS>,
    sizes: Histogram<SIZE_BUCKETS>,
}

/// The least value and the largest.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    min: u32,
    max: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { min: u32::MAX, max: 0 }
    }
}

impl Bounds {
    #[inline(always)]
    fn include(&mut self, value: u32) {
        if value < self.min {
            self.min = value;
            std::hint::cold_path();
        }
        if value > self.max {
            self.max = value;
            std::hint::cold_path();
        }
    }
}

/// The bounds of a distribution as records show them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Summary {
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
    /// The largest, exact.
    pub max: f64,
}

/// Buckets to a power of two, as a power of two.
const SUB_BITS: u32 = 3;
/// Gaps are kept in microseconds, up to 2^32 (71 minutes).
const GAP_BUCKETS: usize = buckets(32);
/// Sizes in bytes, up to 2^16, which no packet is much larger than.
const SIZE_BUCKETS: usize = buckets(16);

/// A power of two, so that a bucket's number cut to its bits is always one of them.
const fn buckets(bits: u32) -> usize {
    (((bits - SUB_BITS + 1) << SUB_BITS) as usize).next_power_of_two()
}

impl Default for Shape {
    fn default() -> Self {
        Self(Samples::Few(Box::default()))
    }
}

impl Shape {
    /// The packet of a direction from which on it is kept: fewer say nothing, and most flows are that short.
    pub(super) const WORTHWHILE: u64 = 8;
    /// The packet of a direction from which on it grows no more.
    pub(super) const GROWN: u64 = Self::WORTHWHILE + FEW as u64;

    #[inline(always)]
    pub(super) fn record(&mut self, gap_nanos: u64, size: u32) {
        let sample = Sample { gap: (gap_nanos / 1_000).min(u64::from(u32::MAX)) as u32, size };
        match &mut self.0 {
            Samples::Many(histograms) => histograms.record(sample),
            Samples::Few(_) => self.record_few(sample),
        }
    }

    #[cold]
    fn record_few(&mut self, sample: Sample) {
        if let Samples::Few(few) = &mut self.0
            && few.try_push(sample).is_err()
        {
            let mut histograms = Box::new(Histograms::of(few));
            histograms.record(sample);
            self.0 = Samples::Many(histograms);
        }
    }

    /// Gaps between packets, in milliseconds.
    pub fn gap_ms(&self) -> Summary {
        match &self.0 {
            Samples::Few(few) => summary_of::<GAP_BUCKETS>(few.iter().map(|sample| sample.gap), 0.001),
            Samples::Many(histograms) => histograms.gaps.summary(histograms.gap_bounds, 0.001),
        }
    }

    /// Payload sizes, in bytes.
    pub fn size(&self) -> Summary {
        match &self.0 {
            Samples::Few(few) => summary_of::<SIZE_BUCKETS>(few.iter().map(|sample| sample.size), 1.0),
            Samples::Many(histograms) => histograms.sizes.summary(histograms.size_bounds, 1.0),
        }
    }

    /// Bytes that it holds.
    pub fn memory(&self) -> usize {
        match &self.0 {
            Samples::Few(few) => size_of_val(&**few),
            Samples::Many(histograms) => size_of_val(&**histograms),
        }
    }
}

impl Histograms {
    fn of(samples: &[Sample]) -> Self {
        let mut histograms = Self::default();
        samples.iter().for_each(|sample| histograms.record(*sample));
        histograms
    }

    #[inline(always)]
    fn record(&mut self, sample: Sample) {
        self.gap_bounds.include(sample.gap);
        self.size_bounds.include(sample.size);
        self.gaps.record(sample.gap);
        self.sizes.record(sample.size);
    }
}

#[derive(Debug)]
struct Histogram<const N: usize>([u32; N]);

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Self {
        Self([0; N])
    }
}

impl<const N: usize> Histogram<N> {
    #[inline(always)]
    fn record(&mut self, value: u32) {
        let count = &mut self.0[bucket(value) % N];
        *count = count.saturating_add(1);
    }

    fn summary(&self, bounds: Bounds, unit: f64) -> Summary {
        let quantile = |share| self.quantile(bounds, share) * unit;
        Summary { p50: quantile(0.5), p99: quantile(0.99), max: f64::from(bounds.max) * unit }
    }

    /// The middle of the bucket in which the quantile falls, but never outside of what was seen.
    fn quantile(&self, Bounds { min, max }: Bounds, share: f64) -> f64 {
        let rank = rank(self.0.iter().map(|count| u64::from(*count)).sum(), share);
        let mut seen = 0;
        for (index, count) in self.0.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= rank {
                return middle(index).clamp(f64::from(min), f64::from(max));
            }
        }
        f64::from(max)
    }
}

/// What a histogram of these few values would say.
fn summary_of<const N: usize>(values: impl Iterator<Item = u32>, unit: f64) -> Summary {
    let mut sorted: ArrayVec<u32, FEW> = values.take(FEW).collect();
    sorted.sort_unstable();
    let (min, max) = (f64::from(sorted.first().copied().unwrap_or(0)), f64::from(sorted.last().copied().unwrap_or(0)));
    let quantile = |share: f64| {
        let value = sorted.get(rank(sorted.len() as u64, share) as usize - 1).copied().unwrap_or(0);
        middle(bucket(value) % N).clamp(min, max)
    };
    Summary { p50: quantile(0.5) * unit, p99: quantile(0.99) * unit, max: max * unit }
}

/// Of so many values in order, which one is the quantile, counted from 1.
fn rank(total: u64, share: f64) -> u64 {
    (total as f64 * share).ceil().max(1.0) as u64
}

/// Values under `2^SUB_BITS` have a bucket each; above, the leading bits after the first choose it.
#[inline(always)]
fn bucket(value: u32) -> usize {
    let exponent = (value | ((2 << SUB_BITS) - 1)).ilog2() - SUB_BITS;
    ((exponent << SUB_BITS) + (value >> exponent)) as usize
}

fn middle(bucket: usize) -> f64 {
    let per_power = 1 << SUB_BITS;
    let exponent = (bucket / per_power).saturating_sub(1) as i32;
    let lowest = (bucket as i64 - exponent as i64 * per_power as i64) as f64;
    let width = 2f64.powi(exponent);
    lowest * width + (width - 1.0) / 2.0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn few_are_summed_up_as_many_are(samples in prop::collection::vec((any::<u32>(), 0..1_u32 << 18), 1..=FEW)) {
            let mut shape = Shape::default();
            let mut histograms = Histograms::default();
            for (gap, size) in samples {
                shape.record(u64::from(gap) * 1_000, size);
                histograms.record(Sample { gap, size });
            }
            prop_assert!(matches!(shape.0, Samples::Few(_)));
            let many = Shape(Samples::Many(Box::new(histograms)));
            prop_assert_eq!((shape.gap_ms(), shape.size()), (many.gap_ms(), many.size()));
        }
    }

    #[test]
    fn nothing_is_lost_when_few_become_many() {
        let mut shape = Shape::default();
        (0..=FEW as u32).for_each(|size| shape.record(0, size));
        let Samples::Many(histograms) = &shape.0 else { panic!("{shape:?}") };
        assert_eq!((histograms.sizes.0.iter().sum::<u32>(), histograms.size_bounds.max), (FEW as u32 + 1, FEW as u32));
    }

    #[test]
    fn every_value_falls_within_six_percent_of_its_bucket() {
        for value in (0..100_000u32).chain((17..32).map(|bit| 1 << bit)).chain([u32::MAX]) {
            let middle = middle(bucket(value));
            assert!((middle - f64::from(value)).abs() <= f64::from(value) * 0.0625, "{value}: {middle}");
            assert!(bucket(value) < GAP_BUCKETS);
        }
        assert!(bucket(u32::from(u16::MAX)) < SIZE_BUCKETS);
    }

    #[test]
    fn a_steady_tick_has_its_gap_as_the_median() {
        let mut shape = Shape::default();
        for _ in 0..1_000 {
            shape.record(16_000_000, 90);
        }
        shape.record(300_000_000, 1_200);
        let gap = shape.gap_ms();
        assert!((gap.p50 - 16.0).abs() < 1.0, "{gap:?}");
        assert_eq!(gap.max, 300.0);
        assert_eq!(shape.size().max, 1_200.0);
    }

    #[test]
    fn what_never_varies_is_exact() {
        let mut shape = Shape::default();
        for _ in 0..100 {
            shape.record(20_000_000, 252);
        }
        assert_eq!(shape.size(), Summary { p50: 252.0, p99: 252.0, max: 252.0 });
        assert_eq!(shape.gap_ms(), Summary { p50: 20.0, p99: 20.0, max: 20.0 });
    }
}
