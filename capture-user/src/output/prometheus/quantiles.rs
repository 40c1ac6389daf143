//! Latency as summaries: sums and counts of the whole run, quantiles of its last minutes.

use std::time::{Duration, Instant};

use super::exposition::{Exposition, Type};
use crate::latency::{Latency, Percentiles, Stage};

/// Quantiles are of the time since the last but one mark, so of one to two of these.
const WINDOW: Duration = Duration::from_secs(60);

type Read = fn(&Percentiles) -> u64;
const QUANTILES: [(&str, Read); 4] = [
    ("0.5", |figures| figures.p50),
    ("0.9", |figures| figures.p90),
    ("0.99", |figures| figures.p99),
    ("0.999", |figures| figures.p99_9),
];

/// What had been measured at the last two marks.
#[derive(Default)]
pub(super) struct Quantiles {
    mark: Option<(Instant, Latency)>,
    before: Latency,
}

impl Quantiles {
    /// All that was measured until now.
    pub fn observe(&mut self, total: &Latency, now: Instant) {
        let (since, marked) = self.mark.get_or_insert_with(|| (now, Latency::default()));
        if now.duration_since(*since) >= WINDOW {
            *since = now;
            self.before = std::mem::replace(marked, total.clone());
        }
    }

    pub fn write(&self, to: &mut Exposition, total: &Latency) {
        to.family(
            "padtap_latency_seconds",
            Type::Summary,
            "Time a packet spent in a stage; quantiles are of the last one to two minutes.",
        );
        let recent: Vec<_> = total.since(&self.before).percentiles().collect();
        for stage in Stage::ALL {
            let (count, sum) = total.sum(stage);
            if count == 0 {
                continue;
            }
            let figures = recent.iter().find(|(measured, _)| *measured == stage).map(|(_, figures)| figures);
            for (quantile, read) in QUANTILES {
                let seconds = figures.map_or(f64::NAN, |figures| read(figures) as f64 / 1e9);
                to.sample(&[("stage", stage.name()), ("quantile", quantile)], seconds);
            }
            to.suffixed("_sum", &[("stage", stage.name())], sum as f64 / 1e9);
            to.suffixed("_count", &[("stage", stage.name())], count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn median(quantiles: &Quantiles, total: &Latency) -> String {
        let mut to = Exposition::default();
        quantiles.write(&mut to, total);
        let text = to.into_text();
        let line = text.lines().find_map(|line| line.split_once("quantile=\"0.5\"} ")).expect("a median");
        line.1.to_owned()
    }

    #[test]
    fn quantiles_forget_and_counts_do_not() {
        let (mut quantiles, mut total, start) = (Quantiles::default(), Latency::default(), Instant::now());
        total.record(Stage::Total, 100);
        quantiles.observe(&total, start);
        assert_eq!(median(&quantiles, &total), "0.0000001");
        quantiles.observe(&total, start + WINDOW);
        assert_eq!(median(&quantiles, &total), "0.0000001");
        quantiles.observe(&total, start + 2 * WINDOW);
        assert_eq!(median(&quantiles, &total), "NaN");
        total.record(Stage::Total, 10);
        assert_eq!(median(&quantiles, &total), "0.00000001");
        assert_eq!(total.sum(Stage::Total).0, 2);
    }
}
