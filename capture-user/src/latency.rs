//! How long each stage takes, packet by packet.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

/// A part of a frame's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// From the kernel's stamp to the receive thread.
    KernelToRx,
    /// From the receive thread to the worker.
    QueueWait,
    /// The walk through its headers.
    Dissect,
    /// Flow, protocol, classification.
    Classify,
    /// Records, and frames to be written, handed over.
    Emit,
    /// From the kernel's stamp (else from the receive thread) to the end.
    Total,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 6] =
        [Self::KernelToRx, Self::QueueWait, Self::Dissect, Self::Classify, Self::Emit, Self::Total];

    /// Its name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::KernelToRx => "kernel_to_rx",
            Self::QueueWait => "queue_wait",
            Self::Dissect => "dissect",
            Self::Classify => "classify",
            Self::Emit => "emit",
            Self::Total => "total",
        }
    }
}

/// The longest time told apart, in nanoseconds: a minute. What is longer counts as that.
const LONGEST: u64 = 60_000_000_000;

/// A histogram a stage, in nanoseconds, to within 1 %.
#[derive(Clone, Debug)]
pub struct Latency {
    stages: [Histogram<u64>; Stage::ALL.len()],
}

impl Default for Latency {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST, 2).unwrap_or_else(|_| {
            // The bounds are constants that HdrHistogram accepts.
            unreachable!()
        });
        Self { stages: std::array::from_fn(|_| histogram.clone()) }
    }
}

/// One stage's figures, in nanoseconds.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct Percentiles {
    /// Packets measured.
    pub count: u64,
    /// Median.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p99_9: u64,
    /// The longest.
    pub max: u64,
}

impl Latency {
    /// Counts one packet's time in a stage.
    pub fn record(&mut self, stage: Stage, nanos: u64) {
        self.stages[stage as usize].saturating_record(nanos);
    }

    /// Takes over what another has measured, leaving it empty.
    pub fn absorb(&mut self, other: &mut Self) {
        for (own, others) in self.stages.iter_mut().zip(&mut other.stages) {
            // Both have the same bounds, so nothing can fall outside.
            let _ = own.add(&*others);
            others.reset();
        }
    }

    /// What was measured after the moment at which all that had been measured was `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut later = self.clone();
        for (own, past) in later.stages.iter_mut().zip(&earlier.stages) {
            // Counts only grow, so none can fall below zero.
            let _ = own.subtract(past);
        }
        later
    }

    /// Packets measured in a stage, and the sum of their times in nanoseconds.
    pub fn sum(&self, stage: Stage) -> (u64, u128) {
        let histogram = &self.stages[stage as usize];
        let sum = histogram.iter_recorded().map(|step| {
            let nanos = histogram.median_equivalent(step.value_iterated_to());
            u128::from(nanos) * u128::from(step.count_since_last_iteration())
        });
        (histogram.len(), sum.sum())
    }

    /// The figures of the stages in which anything was measured.
    pub fn percentiles(&self) -> impl Iterator<Item = (Stage, Percentiles)> {
        Stage::ALL.into_iter().zip(&self.stages).filter(|(_, histogram)| !histogram.is_empty()).map(
            |(stage, histogram)| {
                let at = |quantile| histogram.value_at_quantile(quantile);
                let figures = Percentiles {
                    count: histogram.len(),
                    p50: at(0.5),
                    p90: at(0.9),
                    p99: at(0.99),
                    p99_9: at(0.999),
                    max: histogram.max(),
                };
                (stage, figures)
            },
        )
    }
}

impl Serialize for Latency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (stage, figures) in self.percentiles() {
            map.serialize_entry(stage.name(), &figures)?;
        }
        map.end()
    }
}

impl JsonSchema for Latency {
    fn schema_name() -> Cow<'static, str> {
        "Latency".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let stages = Stage::ALL.map(|stage| (stage.name().to_owned(), Percentiles::json_schema(generator).to_value()));
        json_schema!({ "type": "object", "properties": serde_json::Map::from_iter(stages) })
    }
}

/// Measures one stage after the other by the processor's time stamp counter.
#[derive(Clone, Debug)]
pub struct Stopwatch {
    clock: quanta::Clock,
    last: u64,
}

impl Default for Stopwatch {
    fn default() -> Self {
        let clock = quanta::Clock::new();
        let last = clock.raw();
        Self { clock, last }
    }
}

impl Stopwatch {
    /// A reading of the counter; comparable between threads.
    pub fn reading(&self) -> u64 {
        self.clock.raw()
    }

    /// Nanoseconds since the last lap ended; begins the next.
    pub fn lap(&mut self) -> u64 {
        let last = std::mem::replace(&mut self.last, self.clock.raw());
        self.clock.delta_as_nanos(last, self.last)
    }

    /// Nanoseconds from a reading to the end of the last lap.
    pub fn until_lap(&self, reading: u64) -> u64 {
        self.clock.delta_as_nanos(reading, self.last)
    }
}

/// A log of histograms by interval, in HdrHistogram's text format (V2, deflated), a tag a stage: what `hdrh`,
/// HistogramLogProcessor and the like read.
pub struct Log {
    file: BufWriter<File>,
    began: SystemTime,
}

impl Log {
    /// Begins a log.
    ///
    /// # Errors
    /// What creating or writing the file said.
    pub fn create(path: &Path) -> io::Result<Self> {
        let mut log = Self { file: BufWriter::new(File::create(path)?), began: SystemTime::now() };
        let mut serializer = V2DeflateSerializer::new();
        IntervalLogWriterBuilder::new()
            .add_comment("padtap per-packet latency by stage, in nanoseconds")
            .with_start_time(log.began)
            .with_base_time(log.began)
            .begin_log_with(&mut log.file, &mut serializer)?;
        Ok(log)
    }

    /// Adds what was measured in the interval that ends now and lasted `length`.
    ///
    /// # Errors
    /// What writing said.
    pub fn add(&mut self, latency: &Latency, length: Duration) -> io::Result<()> {
        let start = self.began.elapsed().unwrap_or_default().saturating_sub(length);
        let mut serializer = V2DeflateSerializer::new();
        let mut log = IntervalLogWriterBuilder::new().begin_log_with(&mut self.file, &mut serializer)?;
        for (stage, histogram) in Stage::ALL.into_iter().zip(&latency.stages).filter(|(_, all)| !all.is_empty()) {
            log.write_histogram(histogram, start, length, Tag::new(stage.name())).map_err(io::Error::other)?;
        }
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::*;

    #[test]
    fn absorbing_moves_every_count() {
        let (mut whole, mut part) = (Latency::default(), Latency::default());
        for nanos in [0, 90, 110, 1_000_000, u64::MAX] {
            part.record(Stage::Dissect, nanos);
        }
        whole.absorb(&mut part);
        let figures: Vec<_> = whole.percentiles().collect();
        assert_eq!(part.percentiles().count(), 0);
        let [(Stage::Dissect, dissect)] = figures[..] else { panic!("{figures:?}") };
        assert_eq!(dissect.count, 5);
        assert!((109..=112).contains(&dissect.p50), "{dissect:?}");
        assert!(dissect.max >= LONGEST);
        assert_eq!(whole.since(&whole).percentiles().count(), 0);
        whole.record(Stage::Dissect, 1_000);
        let later = whole.since(&Latency::default());
        assert_eq!((later.sum(Stage::Dissect).0, later.sum(Stage::Total)), (6, (0, 0)));
    }

    #[test]
    fn a_log_holds_one_line_per_stage_and_interval() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("latency.hlog");
        let mut log = Log::create(&path).expect("a new log");
        let mut latency = Latency::default();
        latency.record(Stage::Dissect, 100);
        latency.record(Stage::Total, 200);
        for _ in 0..2 {
            log.add(&latency, Duration::from_secs(1)).expect("another interval");
        }
        let text = std::fs::read(&path).expect("the log");
        let tags: Vec<_> = IntervalLogIterator::new(&text)
            .filter_map(|entry| match entry.expect("a well-formed line") {
                LogEntry::Interval(interval) => interval.tag().map(|tag| tag.to_string()),
                _ => None,
            })
            .collect();
        assert_eq!(tags, ["dissect", "total", "dissect", "total"]);
    }
}
