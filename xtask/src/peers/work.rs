//! The work that all are given: captures repeated, each time with other hosts and so with fresh flows.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::frames;
use super::rewrite::{Hosts, rewrite};

/// Between one capture and the next, in microseconds.
const PAUSE: u64 = 1_000_000;
/// Longer silences within a capture are cut to this, in microseconds.
const LONGEST_GAP: i64 = 30_000_000;
/// When the first frame was sent: 2024-01-01, in microseconds.
const EPOCH: u64 = 1_704_067_200_000_000;

/// How the rounds follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Order {
    /// One capture after the other: few flows at a time.
    Sequential,
    /// All captures of all rounds at once: many flows at a time.
    Interleaved,
}

/// What is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Share {
    /// The fixtures, and the captures of `PADTAP_PCAPS` where that is set: long sessions, and many short flows.
    All,
    /// The fixtures alone.
    Fixtures,
    /// The captures of `PADTAP_PCAPS` alone.
    Captures,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work {
    pub frames: u64,
    /// Of the frames, as they were on the wire.
    pub bytes: u64,
}

/// One capture, in memory.
struct Capture {
    /// Time since its first frame in microseconds, length on the wire, captured bytes.
    frames: Vec<(u64, u32, Vec<u8>)>,
    hosts: Hosts,
}

/// What one round plays: every capture once.
pub struct Captures(Vec<Capture>);

impl Captures {
    /// Reads them as `padtap` does. Of the fixtures, one or two of each session.
    pub fn load(padtap: &Path, share: Share) -> anyhow::Result<Self> {
        let fixtures = if share == Share::Captures { Vec::new() } else { fixtures()? };
        let directory = std::env::var_os("PADTAP_PCAPS").filter(|_| share != Share::Fixtures);
        ensure!(directory.is_some() || share != Share::Captures, "PADTAP_PCAPS does not say where the captures are");
        let mut captures = Vec::new();
        for file in fixtures.into_iter().chain(directory.map(real).transpose()?.unwrap_or_default()) {
            captures.push(Capture::load(padtap, &file)?);
        }
        captures.retain(|capture| !capture.frames.is_empty());
        let hosts = captures.iter_mut().fold(0, |before, capture| capture.hosts.number(before));
        captures.iter_mut().for_each(|capture| capture.hosts.of(hosts));
        Ok(Self(captures))
    }

    /// Writes a capture file (pcap, microseconds) of as many whole rounds as make `size` bytes.
    pub fn write(&self, path: &Path, size: u64, order: Order) -> anyhow::Result<Work> {
        let round: u64 = self.0.iter().map(Capture::bytes).sum();
        let rounds = size.div_ceil(round.max(1)) as u32;
        let mut file = Writer::create(path)?;
        match order {
            Order::Sequential => self.write_sequential(&mut file, rounds)?,
            Order::Interleaved => self.write_interleaved(&mut file, rounds)?,
        }
        file.finish()
    }

    /// Every capture of every round, and the round.
    fn every(&self, rounds: u32) -> Vec<(&Capture, u32)> {
        (0..rounds).flat_map(|round| self.0.iter().map(move |capture| (capture, round))).collect()
    }

    fn write_sequential(&self, file: &mut Writer, rounds: u32) -> io::Result<()> {
        for (capture, round) in self.every(rounds) {
            let base = file.last + PAUSE;
            for place in 0..capture.frames.len() {
                file.add(capture, place, round, base)?;
            }
        }
        Ok(())
    }

    /// The beginnings are spread evenly over the length of the longest capture.
    fn write_interleaved(&self, file: &mut Writer, rounds: u32) -> io::Result<()> {
        let ends = self.0.iter().filter_map(|capture| capture.frames.last());
        let longest = ends.map(|(time, ..)| *time).max().unwrap_or(0);
        let every = self.every(rounds);
        let base = file.last;
        let begin = |play: usize| longest * play as u64 / every.len() as u64;
        let mut waiting: BinaryHeap<_> = (0..every.len()).map(|play| Reverse((begin(play), play, 0))).collect();
        while let Some(Reverse((_, play, place))) = waiting.pop() {
            let (capture, round) = every[play];
            file.add(capture, place, round, base + begin(play))?;
            if let Some((since, ..)) = capture.frames.get(place + 1) {
                waiting.push(Reverse((begin(play) + since, play, place + 1)));
            }
        }
        Ok(())
    }
}

impl Capture {
    fn load(padtap: &Path, path: &Path) -> anyhow::Result<Self> {
        let (mut frames, mut hosts) = (Vec::new(), Hosts::default());
        let (mut last, mut since) = (None, 0);
        for frame in frames::plain(padtap, path)? {
            let time = frame.time / 1_000;
            since += (time - last.replace(time).unwrap_or(time)).clamp(0, LONGEST_GAP) as u64;
            hosts.learn(&frame.bytes);
            frames.push((since, frame.length, frame.bytes));
        }
        Ok(Self { frames, hosts })
    }

    /// Bytes it takes in a file.
    fn bytes(&self) -> u64 {
        self.frames.iter().map(|(_, _, bytes)| bytes.len() as u64 + 16).sum()
    }
}

/// The fixtures that are repeated.
fn fixtures() -> anyhow::Result<Vec<PathBuf>> {
    let mut chosen = Vec::new();
    for case in files(Path::new("fixtures"))?.iter().filter(|case| case.is_dir()) {
        let wanted = |name: &str| name.starts_with("capture.") || name.starts_with("profile-");
        let is_wanted = |file: &PathBuf| file.file_name().and_then(|name| name.to_str()).is_some_and(wanted);
        chosen.extend(files(case)?.into_iter().filter(is_wanted));
    }
    Ok(chosen)
}

/// The captures in a directory.
fn real(directory: OsString) -> anyhow::Result<Vec<PathBuf>> {
    let is_capture = |file: &PathBuf| file.extension().is_some_and(|end| end == "pcap" || end == "pcapng");
    Ok(files(Path::new(&directory))?.into_iter().filter(is_capture).collect())
}

/// A directory's entries, sorted.
fn files(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// A classic pcap file.
pub struct Writer {
    out: BufWriter<File>,
    scratch: Vec<u8>,
    /// When the latest frame was sent, in microseconds from the first.
    last: u64,
    work: Work,
}

impl Writer {
    /// Begins a file.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let file = File::create(path).with_context(|| path.display().to_string())?;
        let mut out = BufWriter::with_capacity(1 << 20, file);
        let mut header = [0; 24];
        header[..4].copy_from_slice(&0xa1b2_c3d4_u32.to_le_bytes());
        (header[4], header[6]) = (2, 4);
        header[16..20].copy_from_slice(&262_144_u32.to_le_bytes());
        header[20] = 1;
        out.write_all(&header)?;
        Ok(Self { out, scratch: Vec::new(), last: 0, work: Work::default() })
    }

    /// Adds a frame, sent so many microseconds after the first.
    pub fn put(&mut self, time: u64, length: u32, bytes: &[u8]) -> io::Result<()> {
        self.add_as(time, length, bytes, |_| {})
    }

    /// Ends the file.
    pub fn finish(mut self) -> anyhow::Result<Work> {
        self.out.flush()?;
        Ok(self.work)
    }

    fn add(&mut self, capture: &Capture, place: usize, round: u32, base: u64) -> io::Result<()> {
        let Some((since, length, bytes)) = capture.frames.get(place) else { return Ok(()) };
        self.add_as(base + since, *length, bytes, |frame| rewrite(frame, round, &capture.hosts))
    }

    fn add_as(&mut self, time: u64, length: u32, bytes: &[u8], change: impl FnOnce(&mut [u8])) -> io::Result<()> {
        let moment = EPOCH + time;
        self.scratch.clear();
        for field in [(moment / 1_000_000) as u32, (moment % 1_000_000) as u32, bytes.len() as u32, length] {
            self.scratch.extend(field.to_le_bytes());
        }
        self.scratch.extend(bytes);
        change(&mut self.scratch[16..]);
        self.out.write_all(&self.scratch)?;
        self.last = self.last.max(time);
        self.work.frames += 1;
        self.work.bytes += u64::from(length);
        Ok(())
    }
}
