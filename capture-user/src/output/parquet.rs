//! Parquet: `DIR/kind=flow/date=2016-09-10/part-<name>-<number>.parquet`, a table a kind.
//!
//! A file is written under a name that no reader looks at (`.part-….tmp`), and gets its own when it is whole. What is
//! read from capture files is named after them, and all of it gets its names at the end, in place of what an earlier run
//! had read from the same files. What is captured is named after sensor and start, and its files are closed as they
//! grow or age.

mod name;
mod part;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::SchemaRef;

use self::name::Date;
pub use self::name::Name;
use self::part::{Part, Whole};
use super::arrow::tables;
use super::{Backlog, Sink};
use crate::record::Record;

/// What encoded rows may take in memory, over all files; the largest row group is written when they take more. Rows not
/// yet encoded come on top: at most [`super::arrow::Table::ROWS`] a file.
const MEMORY: usize = 64 << 20;
/// A file that is larger than this is closed.
const LARGE: usize = 128 << 20;
/// A file of a capture that is older than this is closed.
const OLD: Duration = Duration::from_secs(600);
/// Files that are open at a time: of more, the one that was longest without a record is closed.
const OPEN: usize = 64;

/// A table of one day.
type Place = (&'static str, Date);

/// Writes records as Parquet files.
pub struct Parquet {
    directory: PathBuf,
    sensor: Arc<str>,
    name: Name,
    memory: usize,
    tables: BTreeMap<&'static str, SchemaRef>,
    open: HashMap<Place, Part>,
    /// Files begun so far.
    begun: HashMap<Place, u32>,
    /// Whole, and not yet under their names.
    whole: Vec<Whole>,
    /// Named by this run.
    named: BTreeSet<PathBuf>,
    /// Records that came, and those of them that are in files with names.
    given: u64,
    written: u64,
    failed: bool,
}

impl Parquet {
    /// Writes into `directory`, which is made; every record names `sensor` as the place it was made.
    ///
    /// # Errors
    /// When there can be no such directory.
    pub fn create(directory: PathBuf, sensor: Arc<str>, name: Name) -> io::Result<Self> {
        std::fs::create_dir_all(&directory)?;
        Ok(Self {
            directory,
            sensor,
            name,
            memory: MEMORY,
            tables: tables()?,
            open: HashMap::new(),
            begun: HashMap::new(),
            whole: Vec::new(),
            named: BTreeSet::new(),
            given: 0,
            written: 0,
            failed: false,
        })
    }

    fn take(&mut self, record: &Record) -> io::Result<()> {
        let place = (record.kind, Date::of(record.time));
        if !self.open.contains_key(&place) {
            self.begin(place)?;
        }
        let Some(part) = self.open.get_mut(&place) else { return Ok(()) };
        if part.push(record, self.given)? { self.bound(place) } else { Ok(()) }
    }

    /// Sees that neither a file that has just grown nor what all of them hold in memory is too large.
    fn bound(&mut self, place: Place) -> io::Result<()> {
        if self.open.get(&place).is_some_and(|part| part.size() > LARGE) {
            self.close(place)?;
        }
        if self.open.values().map(Part::memory).sum::<usize>() > self.memory
            && let Some(part) = self.open.values_mut().max_by_key(|part| part.memory())
        {
            part.end_row_group()?;
        }
        Ok(())
    }

    fn begin(&mut self, place: Place) -> io::Result<()> {
        if self.open.len() >= OPEN
            && let Some(&idlest) = self.open.iter().min_by_key(|(_, part)| part.latest()).map(|(place, _)| place)
        {
            self.close(idlest)?;
        }
        let (kind, date) = place;
        let schema = self.tables.get(kind).ok_or_else(|| io::Error::other(format!("no table for {kind}")))?;
        let number = self.begun.entry(place).or_default();
        let path = self.directory.join(format!("kind={kind}/date={date}")).join(self.name.file(*number));
        self.open.insert(place, Part::create(path, schema.clone(), self.sensor.clone())?);
        *number += 1;
        Ok(())
    }

    fn close(&mut self, place: Place) -> io::Result<()> {
        let Some(part) = self.open.remove(&place) else { return Ok(()) };
        self.whole.push(part.close()?);
        if self.name.is_input() { Ok(()) } else { self.give_names() }
    }

    fn close_all(&mut self) -> io::Result<()> {
        let mut places: Vec<Place> = self.open.keys().copied().collect();
        places.sort_unstable();
        places.into_iter().try_for_each(|place| self.close(place))
    }

    fn give_names(&mut self) -> io::Result<()> {
        for whole in self.whole.drain(..) {
            let records = whole.records();
            self.named.insert(whole.give_name()?);
            self.written += records;
        }
        Ok(())
    }

    /// Passes on an outcome. After a failure nothing more comes: of a capture, the files that are sound get their names
    /// where that is still possible; of an input none does, and what an earlier run had read of it stays.
    fn note(&mut self, outcome: io::Result<()>) -> io::Result<()> {
        if outcome.is_err() {
            self.failed = true;
            self.whole.clear();
            self.open.retain(|_, part| part.is_sound() && !self.name.is_input());
            let places: Vec<Place> = self.open.keys().copied().collect();
            // The first failure is the one to tell.
            places.into_iter().for_each(|place| drop(self.close(place)));
        }
        outcome
    }

    /// Removes what an earlier run had read from the same input and this one did not write anew.
    fn remove_replaced(&self) -> io::Result<()> {
        for kind in folders(&self.directory, "kind=")? {
            for date in folders(&kind, "date=")? {
                for entry in std::fs::read_dir(date)? {
                    let path = entry?.path();
                    let is_ours = path.file_name().is_some_and(|name| self.name.is_of(&name.to_string_lossy()));
                    if is_ours && !self.named.contains(&path) {
                        remove(&path)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Removes a file; somebody else who reads the same input may have done so.
fn remove(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome,
    }
}

fn folders(directory: &Path, prefix: &str) -> io::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) && entry.file_type()?.is_dir() {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}

impl Sink for Parquet {
    fn record(&mut self, record: &Record) -> io::Result<()> {
        self.given += 1;
        let outcome = self.take(record);
        self.note(outcome)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.name.is_input() {
            return Ok(());
        }
        let old: Vec<Place> = self.open.iter().filter(|(_, part)| part.age() > OLD).map(|(place, _)| *place).collect();
        let outcome = old.into_iter().try_for_each(|place| self.close(place));
        self.note(outcome)
    }

    fn settle(&mut self) -> io::Result<()> {
        let outcome = self.close_all().and_then(|()| self.give_names());
        self.note(outcome)
    }

    fn backlog(&self) -> Option<Backlog> {
        Some(Backlog { waiting: self.given - self.written, lost: 0 })
    }

    fn finish(&mut self) -> io::Result<()> {
        if self.failed {
            return Ok(());
        }
        self.settle()?;
        if self.name.is_input() { self.remove_replaced() } else { Ok(()) }
    }
}
