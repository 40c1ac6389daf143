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
    /// The walk through its headers; where the packet only goes on with its flow, that this is found, too.
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

/// What was measured of each stage, in nanoseconds, to within 1 %.
#[derive(Clone, Debug, Default)]
pub struct Latency {
    stages: [Counts; Stage::ALL.len()],
}

/// Numbers below 2^LINEAR have a bucket each, and so many there are for each power of two above, halved: those of an
/// HdrHistogram of two significant digits. Counting in a plain array costs a few instructions; figures are made of it by
/// that library.
const LINEAR: u32 = 8;
const BUCKETS: usize = bucket(LONGEST) + 1;

const fn bucket(nanos: u64) -> usize {
    let shift = (nanos | ((1 << LINEAR) - 1)).ilog2() + 1 - LINEAR;
    ((shift as usize) << (LINEAR - 1)) + (nanos >> shift) as usize
}

/// The least number of a bucket.
const fn least(bucket: usize) -> u64 {
    let half = 1 << (LINEAR - 1);
    if bucket < 2 * half {
        return bucket as u64;
    }
    let shift = bucket / half - 1;
    ((bucket % half + half) as u64) << shift
}

#[derive(Clone, Debug)]
struct Counts(Box<[u64; BUCKETS]>);

impl Default for Counts {
    fn default() -> Self {
        Self(Box::new([0; BUCKETS]))
    }
}

impl Counts {
    fn histogram(&self) -> Histogram<u64> {
        let mut histogram = Histogram::new_with_bounds(1, LONGEST, 2).unwrap_or_else(|_| {
            // The bounds are constants that HdrHistogram accepts.
            unreachable!()
        });
        for (bucket, count) in self.0.iter().enumerate().filter(|(_, count)| **count > 0) {
            histogram.saturating_record_n(least(bucket), *count);
        }
        histogram
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
    #[inline]
    pub fn record(&mut self, stage: Stage, nanos: u64) {
        self.stages[stage as usize].0[bucket(nanos.min(LONGEST))] += 1;
    }

    /// Takes over what another has measured, leaving it empty.
    pub fn absorb(&mut self, other: &mut Self) {
        for (own, others) in self.stages.iter_mut().zip(&mut other.stages) {
            for (own, others) in own.0.iter_mut().zip(others.0.iter_mut()) {
                *own += std::mem::take(others);
            }
        }
    }

    /// The histograms of the stages in which anything was measured.
    fn histograms(&self) -> impl Iterator<Item = (Stage, Histogram<u64>)> {
        let all = Stage::ALL.into_iter().zip(&self.stages).map(|(stage, counts)| (stage, counts.histogram()));
        all.filter(|(_, histogram)| !histogram.is_empty())
    }

    /// What was measured after the moment at which all that had been measured was `earlier`.
    pub fn since(&self, earlier: &Self) -> Self {
        let mut later = self.clone();
        for (own, past) in later.stages.iter_mut().zip(&earlier.stages) {
            for (own, past) in own.0.iter_mut().zip(past.0.iter()) {
                *own = own.saturating_sub(*past);
            }
        }
        later
    }

    /// Packets measured in a stage, and the sum of their times in nanoseconds.
    pub fn sum(&self, stage: Stage) -> (u64, u128) {
        let middle = |bucket| u128::from(least(bucket)).midpoint(u128::from(least(bucket + 1) - 1));
        self.stages[stage as usize].0.iter().enumerate().fold((0, 0), |(packets, nanos), (bucket, count)| {
            (packets + count, nanos + u128::from(*count) * middle(bucket))
        })
    }

    /// The figures of the stages in which anything was measured.
    pub fn percentiles(&self) -> impl Iterator<Item = (Stage, Percentiles)> {
        self.histograms().map(|(stage, histogram)| {
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
        })
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
        for (stage, histogram) in latency.histograms() {
            log.write_histogram(&histogram, start, length, Tag::new(stage.name())).map_err(io::Error::other)?;
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
    fn buckets_are_those_of_the_histogram() {
        let mut histogram = Histogram::<u64>::new_with_bounds(1, LONGEST, 2).expect("valid bounds");
        let mut latency = Latency::default();
        for bit in 0..=35 {
            for nanos in [1_u64 << bit, (1 << bit) + 1, (3 << bit) / 2, (2 << bit) - 1].map(|nanos| nanos.min(LONGEST))
            {
                assert_eq!(histogram.lowest_equivalent(nanos), least(bucket(nanos)), "{nanos}");
                histogram.record(nanos).expect("within bounds");
                latency.record(Stage::Emit, nanos);
            }
        }
        let (_, own) = latency.histograms().next().expect("one stage");
        assert_eq!((own.len(), own.max()), (histogram.len(), histogram.max()));
        for quantile in [0.1, 0.5, 0.9, 0.99] {
            assert_eq!(own.value_at_quantile(quantile), histogram.value_at_quantile(quantile));
        }
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
