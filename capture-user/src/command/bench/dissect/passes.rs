//! One way through the files, as far as a stage.

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use capture_user::dissect::{Dissector, Packet, Plain, Settings};
use capture_user::flow::{self, Flow, Table};
use capture_user::latency::{Latency, Stopwatch};
use capture_user::output::lines::{Files, FilesConfig, Lines};
use capture_user::output::ndjson::Ndjson;
use capture_user::output::{Handover, Sink, Writers};
use capture_user::pipeline::{self, Control};
use capture_user::record::{Kinds, Record};
use capture_user::shard::{self, Shard};
use capture_user::source::pcap::{self, FileSource};
use capture_user::source::policy::ConsoleFilter;
use capture_user::source::route::route;
use capture_user::source::{Frame, Received, Source, View};
use capture_user::time::Timestamp;

use crate::allocations;
use crate::cli::{BenchStage, CpuList};

/// Frames taken at once, and records dropped at once: what the pipeline does.
const BURST: usize = 64;
const RECORDS: usize = 256;

/// What a pass met.
#[derive(Default)]
pub struct Found {
    pub packets: u64,
    pub bytes: u64,
    pub records: u64,
    /// Calls of the allocator on this thread.
    pub allocations: u64,
    pub latency: Latency,
}

impl Found {
    /// Takes in what another pass met: not every pass counts everything.
    pub fn add(&mut self, mut pass: Self) {
        self.records = self.records.max(pass.records);
        self.allocations = self.allocations.max(pass.allocations);
        self.latency.absorb(&mut pass.latency);
    }
}

/// The files, and how they are gone through.
pub struct Passes<'a> {
    files: &'a [PathBuf],
    output: Option<&'a Path>,
    pin: Vec<usize>,
    kinds: Kinds,
    everything: ConsoleFilter,
}

impl<'a> Passes<'a> {
    /// Of these files; what is written goes to `output`, or nowhere.
    pub fn new(files: &'a [PathBuf], output: Option<&'a Path>, pin: Option<&CpuList>) -> anyhow::Result<Self> {
        let pin = pin.map(|list| list.0.clone()).unwrap_or_default();
        pipeline::pin(&pin, 0);
        Ok(Self { files, output, pin, kinds: Kinds::default(), everything: ConsoleFilter::everything() })
    }

    /// The same, with records of these kinds alone.
    #[must_use]
    pub fn of_kinds(self, kinds: Kinds) -> Self {
        Self { kinds, ..self }
    }

    fn shard(&self) -> shard::Config {
        shard::Config { kinds: self.kinds.clone(), ..shard::Config::default() }
    }

    /// The files for so many workers, as `padtap read` opens them.
    fn open(&self, workers: usize) -> anyhow::Result<FileSource<impl FnMut(&Frame<'_>) -> Option<u32> + Clone + Send>> {
        let one_way = workers <= 1;
        let router = move |frame: &Frame<'_>| if one_way { Some(0) } else { route(frame, &self.everything) };
        Ok(pcap::open(self.files, router)?)
    }

    /// All stages up to this one, on this thread. What the last stage made is dropped.
    pub fn up_to(&self, stage: BenchStage) -> anyhow::Result<Found> {
        match stage {
            BenchStage::Read => self.each(|_| {}),
            BenchStage::Dissect => {
                let mut dissector = Dissector::new(&Settings::default());
                self.each(|frame| {
                    let mut packet = Packet::default();
                    dissector.read(frame, &mut packet);
                    black_box(packet.payload_length);
                })
            }
            BenchStage::Flow => {
                let mut dissector = Dissector::new(&Settings::default());
                let mut table = Table::new(flow::Config::default());
                self.each(|frame| {
                    let plain = Plain::read(frame);
                    if !dissector.compares(frame.time)
                        && let Some(plain) = &plain
                        && let Some((flow, direction)) = table.settled(plain, frame.time, dissector.generation())
                    {
                        if let Some(load) = plain.datagram() {
                            return flow.go_on(direction, None, &load, frame.time);
                        } else if let Some((segment, load)) = plain.segment_within() {
                            return flow.go_on(direction, Some(&segment), &load, frame.time);
                        }
                    }
                    let mut packet = Packet::default();
                    dissector.read_on(frame, plain.as_ref(), &mut packet);
                    let is_fragment = packet.ip.as_ref().is_some_and(|ip| ip.fragment.is_some());
                    if packet.duplicate || is_fragment {
                        return;
                    }
                    let told = &mut |flow: &mut Flow, _| {
                        black_box(flow);
                    };
                    if let Some((flow, direction)) = table.observe(&packet, frame, told)
                        && flow.marks.wanted(direction, flow.protocol())
                    {
                        flow.marks.count(direction);
                    }
                })
            }
            BenchStage::Classify => self.classify(),
            BenchStage::Emit => self.engine(0),
        }
    }

    /// Every frame through `stage`. A function of its own, for profilers to find.
    #[inline(never)]
    fn each(&self, mut stage: impl FnMut(&Frame<'_>)) -> anyhow::Result<Found> {
        let mut source = self.open(0)?;
        let (view, mut scratch) = (source.view(), Vec::new());
        let mut tokens = Vec::with_capacity(BURST);
        let mut found = Found::default();
        let before = allocations::made();
        while source.receive(BURST, Duration::ZERO, &mut tokens)? != Received::End {
            for token in &tokens {
                let frame = view.frame(token, &mut scratch);
                found.packets += 1;
                found.bytes += u64::from(frame.length);
                stage(&frame);
            }
            source.recycle(&mut tokens);
        }
        found.allocations = allocations::made() - before;
        Ok(found)
    }

    fn classify(&self) -> anyhow::Result<Found> {
        self.records(&mut |records| records.clear())
    }

    /// Every frame through a shard, and its records handed over in batches.
    pub fn records(&self, hand_over: &mut dyn FnMut(&mut Vec<Record>)) -> anyhow::Result<Found> {
        let mut shard = Shard::new(&self.shard());
        let (mut watch, mut latency) = (Stopwatch::default(), Latency::default());
        let (mut records, mut clock) = (0, Timestamp::default());
        let mut found = self.each(|frame| {
            clock = clock.max(frame.time);
            shard.process(frame, &mut watch, &mut latency);
            if shard.records().len() >= RECORDS {
                records += shard.records().len() as u64;
                hand_over(shard.records());
            }
        })?;
        shard.finish(clock);
        found.records = records + shard.records().len() as u64;
        hand_over(shard.records());
        Ok(found)
    }

    /// The whole engine, threads, latency and sinks included.
    pub fn engine(&self, workers: usize) -> anyhow::Result<Found> {
        let mut sinks: Vec<(String, Box<dyn Sink>)> = Vec::new();
        if let Some(path) = self.output {
            let name = path.display().to_string();
            let config = FilesConfig { path: Some(path.to_owned()), ..FilesConfig::default() };
            let file = Files::create(config).with_context(|| name.clone())?;
            sinks.push((name, Box::new(Lines::new(Box::new(Ndjson::new("bench".into())), Box::new(file)))));
        }
        let writers = Writers::start(sinks)?.of_kinds(self.kinds.clone());
        let outlet = writers.outlet(Handover::of_patient_work());
        let control = Control::default();
        let sources = self.open(workers)?.split(workers);
        let config = pipeline::Config {
            workers: if sources.len() > 1 { 0 } else { workers },
            pin: self.pin.clone(),
            shard: self.shard(),
            ..pipeline::Config::default()
        };
        pipeline::run(sources, &config, &outlet, &control)?;
        drop(outlet);
        let (account, failures) = writers.finish();
        if let Some(failure) = failures.into_iter().next() {
            return Err(failure.into());
        }
        let ledger = control.ledger();
        Ok(Found {
            packets: ledger.dissected,
            records: account.written,
            latency: control.take_latency(),
            ..Found::default()
        })
    }
}
