//! The one who owns the file, or the files one after the other.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use super::block::{Block, Packet};
use super::encode::{self, Description, Statistics};
use super::limits::{Extent, Limits};
use crate::output::file::{Output, numbered};
use crate::time::Timestamp;

/// What to write, where, and how much of it.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The file; `None` is standard output. With `rotate`, the base of the files' names.
    pub path: Option<PathBuf>,
    /// The machine (shb_hardware).
    pub hardware: Option<String>,
    /// Its operating system (shb_os).
    pub os: Option<String>,
    /// Who writes (shb_userappl).
    pub application: Option<String>,
    /// Interfaces known from the start, in the order of [`crate::source::Frame::interface`].
    pub interfaces: Vec<Description>,
    /// When to begin another file. Any limit here makes the names numbered ones.
    pub rotate: Limits,
    /// When to stop altogether; sizes, packets and time are those of the whole capture.
    pub stop: Limits,
}

/// Why writing came to an end. What was written before is readable under its final name.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing more fits: the disk, a quota, or the largest possible file.
    #[error("{name}: no more room ({source}); the {packets} packets before that are in it")]
    Full {
        /// The file.
        name: String,
        /// Packets written, in all files.
        packets: u64,
        /// What the system said.
        source: io::Error,
    },
    /// Who read the pipe is gone.
    #[error("{name}: nobody reads it any more")]
    Closed {
        /// The pipe.
        name: String,
    },
    /// Anything else.
    #[error("{name}: {source}")]
    Io {
        /// The file.
        name: String,
        /// What the system said.
        source: io::Error,
    },
    /// What was asked for cannot be.
    #[error("{0}")]
    Config(&'static str),
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is room for more.
    More,
    /// A limit of `stop` is reached; packets from here on are left out.
    Done,
}

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Packets, in all files.
    pub packets: u64,
    /// Bytes, in all files.
    pub bytes: u64,
    /// Files, those included that the ring has deleted since.
    pub files: u64,
    /// The names of the files that are there now, oldest first; empty for standard output.
    pub paths: Vec<PathBuf>,
}

/// Writes blocks of packets to pcapng files. Dropped without [`Writer::finish`], it completes the file all the same.
#[derive(Debug)]
pub struct Writer {
    config: Config,
    interfaces: Vec<Description>,
    statistics: Vec<Option<Statistics>>,
    /// Names that every file begins with, as they are written.
    names: Vec<u8>,
    /// `None` after an error, and when as many files as allowed are full.
    current: Option<Current>,
    /// Whether an error or a limit has ended it all.
    done: bool,
    /// What the limits of the whole capture are compared with.
    total: Extent,
    summary: Summary,
}

/// The file that is open.
#[derive(Debug)]
struct Current {
    output: Output,
    opened: Timestamp,
    /// What the limits of one file are compared with.
    extent: Extent,
    /// Bytes that are in the file.
    length: u64,
    /// Interfaces that it describes.
    described: usize,
}

impl Writer {
    /// Creates the first file, with its section header and the interfaces that are known.
    ///
    /// # Errors
    /// [`Error::Io`] if that fails; [`Error::Config`] for a ring of files on standard output or without a condition.
    pub fn create(mut config: Config) -> Result<Self, Error> {
        if config.rotate != Limits::default() && config.path.is_none() {
            return Err(Error::Config("several files (-b) need a name; they cannot go to standard output"));
        }
        if config.rotate.files.is_some() && !config.rotate.bound_packets() {
            return Err(Error::Config("-b files:N needs filesize, duration or packets to say when a file is full"));
        }
        let interfaces = std::mem::take(&mut config.interfaces);
        let statistics = vec![None; interfaces.len()];
        let (total, summary) = (Extent::default(), Summary::default());
        let names = Vec::new();
        let mut writer = Self { config, interfaces, statistics, names, current: None, done: false, total, summary };
        writer.open()?;
        Ok(writer)
    }

    /// Describes another interface, whose index is the number of those before it.
    pub fn describe(&mut self, interface: Description) {
        self.interfaces.push(interface);
        self.statistics.push(None);
    }

    /// How many interfaces are described.
    pub fn interfaces(&self) -> usize {
        self.interfaces.len()
    }

    /// Says what was counted on an interface. The latest word is written at the end of each file.
    pub fn set_statistics(&mut self, interface: u32, statistics: Statistics) {
        if let Some(place) = self.statistics.get_mut(interface as usize) {
            *place = Some(statistics);
        }
    }

    /// Writes names of addresses, at this place of the present file.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub fn write_names<'a>(&mut self, names: impl IntoIterator<Item = (IpAddr, &'a str)>) -> Result<(), Error> {
        let mut bytes = Vec::new();
        encode::names(&mut bytes, names);
        self.put(&bytes, 0)
    }

    /// Writes names of addresses at this place of the present file, and at the beginning of every file after it.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub fn keep_names<'a>(&mut self, names: impl IntoIterator<Item = (IpAddr, &'a str)>) -> Result<(), Error> {
        encode::names(&mut self.names, names);
        self.put_other(&self.names.clone())
    }

    /// Writes the packets of a block. An interface that was not described gets a bare description.
    ///
    /// # Errors
    /// The first failure, after which the file has been completed: later calls write nothing and answer `Done`.
    pub fn write(&mut self, block: &Block) -> Result<Progress, Error> {
        if !self.done && !block.is_empty() {
            for &(interface, link) in block.interfaces() {
                while self.interfaces.len() <= interface as usize {
                    self.describe(Description::bare(link));
                }
            }
            self.describe_new()?;
            self.write_packets(block)?;
        }
        Ok(if self.done { Progress::Done } else { Progress::More })
    }

    fn write_packets(&mut self, block: &Block) -> Result<(), Error> {
        if !self.config.rotate.bound_packets() && !self.config.stop.bound_packets() {
            return self.put(block.bytes(), block.packets());
        }
        // Every packet is looked at; those that go into one file are written at once.
        let (mut rest, mut run, mut packets) = (block.bytes(), 0, 0);
        for packet in block.iter() {
            self.done = self.config.stop.reached(&self.total, packet.time);
            let full = self.current.as_ref().is_some_and(|file| self.config.rotate.reached(&file.extent, packet.time));
            if self.done || full {
                rest = self.put_run(rest, run, packets)?;
                (run, packets) = (0, 0);
                if self.done || self.next_file()? == Progress::Done {
                    break;
                }
            }
            self.count(&packet);
            run += packet.bytes.len();
            packets += 1;
        }
        self.put_run(rest, run, packets).map(drop)
    }

    /// Writes the first `length` of `bytes`; the others.
    fn put_run<'a>(&mut self, bytes: &'a [u8], length: usize, packets: u64) -> Result<&'a [u8], Error> {
        let (run, rest) = bytes.split_at_checked(length).unwrap_or((bytes, &[]));
        self.put(run, packets)?;
        Ok(rest)
    }

    fn count(&mut self, packet: &Packet<'_>) {
        self.total.add(packet.time, packet.bytes.len());
        if let Some(current) = &mut self.current {
            current.extent.add(packet.time, packet.bytes.len());
        }
    }

    fn next_file(&mut self) -> Result<Progress, Error> {
        self.close()?;
        self.done = self.config.stop.files.is_some_and(|files| self.summary.files >= files);
        if self.done {
            return Ok(Progress::Done);
        }
        self.open()?;
        Ok(Progress::More)
    }

    fn open(&mut self) -> Result<(), Error> {
        let opened = match &self.config.path {
            None => Output::stdout(),
            Some(path) if self.rotates() => Output::temporary(path),
            Some(path) => Output::open(path),
        };
        let output = opened.map_err(|source| self.error(source))?;
        let (extent, opened) = (Extent::default(), Timestamp::now());
        self.current = Some(Current { output, opened, extent, length: 0, described: 0 });
        self.summary.files += 1;
        self.make_room_in_ring();
        let Config { hardware, os, application, .. } = &self.config;
        let mut bytes = Vec::new();
        encode::section(&mut bytes, hardware.as_deref(), os.as_deref(), application.as_deref());
        bytes.extend_from_slice(&self.names);
        self.put_other(&bytes)?;
        self.describe_new()
    }

    fn rotates(&self) -> bool {
        self.config.rotate != Limits::default()
    }

    /// Deletes the oldest files until there are as many as allowed, the open one included.
    fn make_room_in_ring(&mut self) {
        let Some(most) = self.config.rotate.files else { return };
        while self.summary.paths.len() as u64 >= most {
            // Whoever has removed it before us has done our work.
            let _ = std::fs::remove_file(self.summary.paths.remove(0));
        }
    }

    /// Describes the interfaces that the present file does not know yet.
    fn describe_new(&mut self) -> Result<(), Error> {
        let Some(current) = &mut self.current else { return Ok(()) };
        let mut bytes = Vec::new();
        for interface in self.interfaces.iter().skip(current.described) {
            encode::interface(&mut bytes, interface);
        }
        current.described = self.interfaces.len();
        self.put_other(&bytes)
    }

    /// Writes blocks that are no packets, which count only as bytes.
    fn put_other(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.total.bytes += bytes.len() as u64;
        if let Some(current) = &mut self.current {
            current.extent.bytes += bytes.len() as u64;
        }
        self.put(bytes, 0)
    }

    /// Writes whole blocks. If that fails, the file is cut behind the last block that fitted and completed.
    fn put(&mut self, bytes: &[u8], packets: u64) -> Result<(), Error> {
        let Some(current) = &mut self.current else { return Ok(()) };
        let outcome = current.output.write(bytes);
        let (whole, packets) = match &outcome {
            Ok(()) => (bytes.len() as u64, packets),
            Err((written, _)) => complete(bytes, *written),
        };
        current.length += whole;
        self.summary.bytes += whole;
        self.summary.packets += packets;
        outcome.map_err(|(_, source)| self.fail(source))
    }

    /// Completes the file as far as it got.
    fn fail(&mut self, source: io::Error) -> Error {
        let error = self.error(source);
        self.done = true;
        if let Some(current) = self.current.take() {
            // The first error is the one to tell.
            let _ = current.output.cut(current.length);
            let _ = self.name(current);
        }
        error
    }

    fn error(&self, source: io::Error) -> Error {
        use io::ErrorKind::{BrokenPipe, FileTooLarge, QuotaExceeded, StorageFull};
        let name = match &self.config.path {
            Some(path) => path.display().to_string(),
            None => "standard output".to_owned(),
        };
        match source.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => Error::Full { name, packets: self.summary.packets, source },
            BrokenPipe => Error::Closed { name },
            _ => Error::Io { name, source },
        }
    }

    /// Ends the present file with the statistics.
    fn close(&mut self) -> Result<(), Error> {
        self.describe_new()?;
        let mut bytes = Vec::new();
        for (interface, statistics) in self.statistics.iter().enumerate() {
            if let Some(statistics) = statistics {
                encode::statistics(&mut bytes, interface as u32, statistics);
            }
        }
        self.put_other(&bytes)?;
        match self.current.take() {
            Some(current) => self.name(current),
            None => Ok(()),
        }
    }

    /// Gives the file its final name.
    fn name(&mut self, file: Current) -> Result<(), Error> {
        let Some(path) = &self.config.path else { return Ok(()) };
        let path = match self.rotates() {
            true => numbered(path, self.summary.files, file.extent.first.unwrap_or(file.opened)),
            false => path.clone(),
        };
        file.output.finish(&path).map_err(|source| self.error(source))?;
        self.summary.paths.push(path);
        Ok(())
    }

    /// Completes the last file.
    ///
    /// # Errors
    /// As [`Writer::write`], unless that has told it already.
    pub fn finish(mut self) -> Result<Summary, Error> {
        self.close()?;
        Ok(std::mem::take(&mut self.summary))
    }

    /// Leaves the last file unwritten, whatever had that name before as it was.
    pub fn discard(mut self) {
        self.current = None;
    }

    /// What was written so far.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // There is nobody left to tell.
        let _ = self.close();
    }
}

/// How many of the first `written` bytes are whole blocks, and how many of these are packets.
fn complete(bytes: &[u8], written: usize) -> (u64, u64) {
    let (mut at, mut packets) = (0, 0);
    while let Some(&[kind, _, _, _, a, b, c, d]) = bytes.get(at..written).and_then(<[u8]>::first_chunk) {
        let next = at + u32::from_le_bytes([a, b, c, d]) as usize;
        if next > written {
            break;
        }
        packets += u64::from(kind == 6);
        at = next;
    }
    (at as u64, packets)
}
