//! Lines into files: one, or one after the other; a full disk costs whole lines and never half ones.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Compression, Medium};
use crate::output::file::{Output, numbered};
use crate::output::pcapng::Limits;
use crate::output::{Backlog, is_full};
use crate::time::Timestamp;

/// Text that is written at once, at most.
const BLOCK: usize = 64 * 1024;
/// Text that is compressed at once, at most: smaller pieces compress less.
const PIECE: usize = 256 * 1024;
/// How long text may wait for more of it before it is compressed.
const LINGER: Duration = Duration::from_secs(1);

/// What to do when there is no more room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFull {
    /// The output ends.
    #[default]
    Stop,
    /// Records are lost, and counted, until there is room again.
    Drop,
    /// The oldest of the output's own files make room; where there is none left, as `Drop`.
    Ring,
}

/// What to write, and where.
#[derive(Clone, Debug, Default)]
pub struct FilesConfig {
    /// The file; `None` is standard output. With `rotate`, the base of the files' names.
    pub path: Option<PathBuf>,
    /// When to begin another file. Any limit here makes the names numbered ones.
    pub rotate: Limits,
    /// Whether records are of the present, so that a file also ends when its time is over and no record comes.
    pub live: bool,
    /// What to do when there is no more room.
    pub on_full: OnFull,
}

/// Writes lines to files.
pub struct Files {
    config: FilesConfig,
    compression: Option<Compression>,
    current: Option<Current>,
    /// The files that are complete and still there, oldest first.
    complete: VecDeque<PathBuf>,
    /// Files begun.
    begun: u64,
    /// The latest time of a record so far: what durations go by, so that a clock which jumps back ends no file early.
    latest: Timestamp,
    block: Block,
    written: u64,
    lost: u64,
    /// Whether it is known, and was said, that there is no room.
    full: bool,
    /// Lines that were lost because of it.
    lost_when_full: u64,
}

/// The file that is open.
struct Current {
    output: Output,
    path: PathBuf,
    opened: Instant,
    first: Timestamp,
    /// Bytes of whole lines, or pieces, that are in it.
    length: u64,
}

/// Lines that wait to be written.
#[derive(Default)]
struct Block {
    text: Vec<u8>,
    lines: u64,
    since: Option<Instant>,
    /// The time of the first line.
    first: Timestamp,
}

impl Files {
    /// Opens the file; the first of several is opened when the first record comes, whose time is in its name.
    ///
    /// # Errors
    /// When the file, or one in its directory, cannot be written.
    pub fn create(config: FilesConfig) -> io::Result<Self> {
        let compression = config.path.as_deref().and_then(Compression::of);
        let mut files = Self {
            config,
            compression,
            current: None,
            complete: VecDeque::new(),
            begun: 0,
            latest: Timestamp::from_nanos(i64::MIN),
            block: Block::default(),
            written: 0,
            lost: 0,
            full: false,
            lost_when_full: 0,
        };
        match &files.config.path {
            Some(path) if files.rotates() => {
                let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                let allowed = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
                rustix::fs::access(directory.unwrap_or(Path::new(".")), allowed)?;
            }
            _ => files.current = Some(files.open(Timestamp::default())?),
        }
        Ok(files)
    }

    fn rotates(&self) -> bool {
        self.config.rotate != Limits::default()
    }

    fn open(&mut self, first: Timestamp) -> io::Result<Current> {
        let (output, path) = match &self.config.path {
            None => (Output::stdout()?, PathBuf::new()),
            Some(path) => {
                let path = if self.rotates() { self.numbered(path, first) } else { path.clone() };
                (Output::create(&path)?, path)
            }
        };
        self.begun += 1;
        let most = self.config.rotate.files.unwrap_or(u64::MAX);
        while self.complete.len() as u64 >= most && self.delete_oldest() {}
        Ok(Current { output, path, opened: Instant::now(), first, length: 0 })
    }

    /// `out.ndjson.gz` becomes `out_00001_20160910190000.ndjson.gz`.
    fn numbered(&self, path: &Path, first: Timestamp) -> PathBuf {
        let number = self.begun + 1;
        match path.extension().filter(|_| self.compression.is_some()) {
            Some(extension) => {
                let mut name = numbered(&path.with_extension(""), number, first).into_os_string();
                name.push(".");
                name.push(extension);
                name.into()
            }
            None => numbered(path, number, first),
        }
    }

    /// Whether there was one.
    fn delete_oldest(&mut self) -> bool {
        let oldest = self.complete.pop_front();
        // Whoever has removed it before us has done our work.
        oldest.map(std::fs::remove_file).is_some()
    }

    fn close(&mut self) {
        if let Some(current) = self.current.take().filter(|_| self.rotates()) {
            self.complete.push_back(current.path);
        }
    }

    /// Whether what is in the file, and waits for it, leaves no place for a record of now.
    fn is_due(&self) -> bool {
        let (length, first) = self.current.as_ref().map_or((0, self.block.first), |file| (file.length, file.first));
        let waiting = if self.compression.is_some() { 0 } else { self.block.text.len() as u64 };
        let passed = u64::try_from(self.latest.nanos_since(first)).unwrap_or(0);
        let Limits { size, duration, .. } = self.config.rotate;
        length + waiting > 0
            && (size.is_some_and(|size| length + waiting >= size)
                || duration.is_some_and(|limit| Duration::from_nanos(passed) >= limit)
                || self.is_overdue())
    }

    /// Whether the file's time is over, record or no record.
    fn is_overdue(&self) -> bool {
        let limit = self.config.rotate.duration.filter(|_| self.config.live);
        self.current.as_ref().zip(limit).is_some_and(|(file, limit)| file.length > 0 && file.opened.elapsed() >= limit)
    }

    /// Writes what waits.
    fn write(&mut self) -> io::Result<()> {
        let Block { mut text, lines, first, .. } = std::mem::take(&mut self.block);
        if lines > 0 {
            let (unwritten, outcome) = match self.compression.map(|compression| compression.piece(&text)) {
                None => self.write_bytes(&text, lines, first),
                Some(Ok(piece)) => self.write_bytes(&piece, lines, first),
                Some(Err(error)) => (lines, Err(error)),
            };
            self.written += lines - unwritten;
            self.lost += unwritten;
            outcome.or_else(|error| self.refuse(unwritten, error))?;
            text.clear();
            self.block.text = text;
        }
        Ok(())
    }

    /// Writes lines, or a piece, to as many files as it takes. Says how many lines could not be written, and why.
    fn write_bytes(&mut self, mut bytes: &[u8], mut lines: u64, first: Timestamp) -> (u64, io::Result<()>) {
        while let Err((written, error)) = self.append(bytes, first) {
            let (whole, rest) = bytes.split_at_checked(written).unwrap_or((bytes, &[]));
            lines -= whole.iter().filter(|&&byte| byte == b'\n').count() as u64;
            bytes = rest;
            if !self.make_room(&error) {
                return (lines, Err(error));
            }
        }
        self.full = false;
        (0, Ok(()))
    }

    /// Writes to the present file; on failure says how many bytes of whole lines, if it is lines, are in it now.
    fn append(&mut self, bytes: &[u8], first: Timestamp) -> Result<(), (usize, io::Error)> {
        let nothing = |error| (0, error);
        if self.current.as_ref().is_some_and(|current| current.output.is_deleted()) {
            self.current = None;
            if !self.rotates() {
                return Err(nothing(io::Error::new(io::ErrorKind::NotFound, "it was deleted while it was written")));
            }
        }
        let mut current = match self.current.take() {
            Some(current) => current,
            None => self.open(first).map_err(nothing)?,
        };
        let outcome = current.output.write(bytes).map_err(|(written, error)| {
            let lines = if self.compression.is_some() { 0 } else { whole_lines(bytes, written) };
            // What cannot be cut (a device) stays as it is.
            let _ = current.output.cut(current.length + lines as u64);
            (lines, error)
        });
        current.length += outcome.as_ref().map_or_else(|(lines, _)| *lines, |()| bytes.len()) as u64;
        self.current = Some(current);
        outcome
    }

    /// Makes room where it can; whether it did.
    fn make_room(&mut self, error: &io::Error) -> bool {
        let begun = self.current.as_ref().is_some_and(|current| current.length > 0);
        if error.kind() == io::ErrorKind::FileTooLarge && self.rotates() && begun {
            self.close();
            return true;
        }
        is_full(error) && self.config.on_full == OnFull::Ring && self.delete_oldest()
    }

    /// Lines could not be written: an error, or, if there is no room and the user wants to go on, no more than a loss.
    fn refuse(&mut self, lines: u64, error: io::Error) -> io::Result<()> {
        if !is_full(&error) {
            return Err(error);
        }
        if self.config.on_full == OnFull::Stop {
            let message = format!("no more room ({error}); the {} records before that are in it", self.written);
            return Err(io::Error::new(error.kind(), message));
        }
        self.lost_when_full += lines;
        if !std::mem::replace(&mut self.full, true) {
            let name = self.config.path.as_deref().unwrap_or(Path::new("standard output")).display();
            log::warn!("{name}: no more room ({error}); records are lost until there is");
        }
        Ok(())
    }
}

/// How many bytes of the lines that end in the first `written` bytes.
fn whole_lines(bytes: &[u8], written: usize) -> usize {
    let written = bytes.get(..written).unwrap_or(bytes);
    written.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1)
}

impl Medium for Files {
    fn put(&mut self, line: &[u8], time: Timestamp) -> io::Result<()> {
        self.latest = self.latest.max(time);
        if self.is_due() {
            if let Err(error) = self.write() {
                self.lost += 1;
                return Err(error);
            }
            self.close();
        }
        if self.block.lines == 0 {
            (self.block.first, self.block.since) = (self.latest, Some(Instant::now()));
        }
        self.block.text.extend_from_slice(line);
        self.block.lines += 1;
        let most = if self.compression.is_some() { PIECE } else { BLOCK };
        if self.block.text.len() >= most { self.write() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        let waited = self.block.since.is_some_and(|since| since.elapsed() >= LINGER);
        if self.compression.is_none() || waited || self.is_overdue() {
            self.write()?;
        }
        if self.is_overdue() {
            self.close();
        }
        Ok(())
    }

    fn settle(&mut self) -> io::Result<()> {
        self.write()
    }

    fn backlog(&self) -> Backlog {
        Backlog { waiting: self.block.lines, lost: self.lost }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.write()?;
        match self.lost_when_full {
            0 => Ok(()),
            lost => {
                let message = format!("there was no room at times: {lost} records are lost");
                Err(io::Error::new(io::ErrorKind::StorageFull, message))
            }
        }
    }
}
