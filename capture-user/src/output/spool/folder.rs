//! A spool's folder: the names in it, and who may change it.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::batch::Header;

/// A folder, locked for one of its two ends.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// The lock goes with the process, however that ends.
    _lock: File,
}

/// What a file's name says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Waits to be taken away.
    Batch,
    /// Was taken away, as the last one.
    Shipped,
    /// Is not what was written.
    Damaged,
    /// Is being written.
    Temporary,
}

impl State {
    const ALL: [Self; 4] = [Self::Batch, Self::Shipped, Self::Damaged, Self::Temporary];

    const fn ending(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::Shipped => "shipped",
            Self::Damaged => "damaged",
            Self::Temporary => "tmp",
        }
    }
}

impl Folder {
    /// Takes the lock of this name.
    ///
    /// # Errors
    /// When another has it, or the folder cannot be written.
    pub fn lock(path: &Path, name: &str) -> io::Result<Self> {
        let lock = File::options().create(true).append(true).open(path.join(name))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            rustix::io::Errno::WOULDBLOCK => io::Error::new(io::ErrorKind::ResourceBusy, "another padtap is using it"),
            error => error.into(),
        })?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn file(&self, sequence: u64, state: State) -> PathBuf {
        self.path.join(format!("{sequence:020}.{}", state.ending()))
    }

    /// The numbers of the files in a state, in order.
    pub fn list(&self, wanted: State) -> io::Result<Vec<u64>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            match entry?.file_name().to_str().and_then(parse) {
                Some((sequence, state)) if state == wanted => found.push(sequence),
                _ => {}
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    pub fn header(&self, sequence: u64, state: State) -> io::Result<Header> {
        Header::read(BufReader::new(File::open(self.file(sequence, state))?))
    }

    pub fn rename(&self, sequence: u64, from: State, to: State) -> io::Result<()> {
        fs::rename(self.file(sequence, from), self.file(sequence, to))
    }

    /// Removes a file. Returns whether it was there.
    pub fn remove(&self, sequence: u64, state: State) -> io::Result<bool> {
        match fs::remove_file(self.file(sequence, state)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes the names in the folder survive a loss of power.
    pub fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

fn parse(name: &str) -> Option<(u64, State)> {
    let (digits, ending) = name.split_once('.')?;
    let state = State::ALL.into_iter().find(|state| state.ending() == ending)?;
    (digits.len() == 20).then(|| digits.parse().ok()).flatten().map(|sequence| (sequence, state))
}
