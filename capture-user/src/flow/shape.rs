//! How the packets of one direction are spaced and how large they are.

use schemars::JsonSchema;
use serde::Serialize;

/// Distribution of gaps and payload sizes of one direction of a flow.
///
/// Each is a histogram with eight buckets to a power of two, so a quantile is off by at most 6 %; its memory is fixed.
#[derive(Debug, Default)]
pub struct Shape {
    gaps: Histogram<GAP_BUCKETS>,
    sizes: Histogram<SIZE_BUCKETS>,
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
/// Sizes in bytes, up to 2^16.
const SIZE_BUCKETS: usize = buckets(16);

const fn buckets(bits: u32) -> usize {
    ((bits - SUB_BITS + 1) << SUB_BITS) as usize
}

impl Shape {
    /// The packet of a direction from which on it is kept: fewer say nothing, and most flows are that short.
    pub(super) const WORTHWHILE: u64 = 8;

    #[inline]
    pub(super) fn record(&mut self, gap_nanos: i64, size: u32) {
        let micros = u64::try_from(gap_nanos).unwrap_or(0) / 1_000;
        self.gaps.record(u32::try_from(micros).unwrap_or(u32::MAX));
        self.sizes.record(size);
    }

    /// Gaps between packets, in milliseconds.
    pub fn gap_ms(&self) -> Summary {
        self.gaps.summary(0.001)
    }

    /// Payload sizes, in bytes.
    pub fn size(&self) -> Summary {
        self.sizes.summary(1.0)
    }
}

#[derive(Debug)]
struct Histogram<const N: usize> {
    counts: [u32; N],
    total: u64,
    min: u32,
    max: u32,
}

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Self {
        Self { counts: [0; N], total: 0, min: u32::MAX, max: 0 }
    }
}

impl<const N: usize> Histogram<N> {
    #[inline]
    fn record(&mut self, value: u32) {
        let bucket = bucket(value).min(N - 1);
        self.counts[bucket] = self.counts[bucket].saturating_add(1);
        self.total += 1;
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    fn summary(&self, unit: f64) -> Summary {
        Summary { p50: self.quantile(0.5) * unit, p99: self.quantile(0.99) * unit, max: f64::from(self.max) * unit }
    }

    /// The middle of the bucket in which the quantile falls, but never outside of what was seen.
    fn quantile(&self, share: f64) -> f64 {
        let rank = (self.total as f64 * share).ceil().max(1.0) as u64;
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= rank {
                return middle(index).clamp(f64::from(self.min), f64::from(self.max));
            }
        }
        f64::from(self.max)
    }
}

/// Values under `2^SUB_BITS` have a bucket each; above, the leading bits after the first choose it.
#[inline]
fn bucket(value: u32) -> usize {
    let exponent = value.max(1).ilog2().max(SUB_BITS) - SUB_BITS;
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
    use super::*;

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
