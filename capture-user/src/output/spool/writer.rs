//! The end of a spool where records come in.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::time::{Duration, Instant};

use rustix::rand::{GetRandomFlags, getrandom};

use super::batch::{Batch, Header};
use super::folder::{Folder, State};
use super::{Config, LEAST_LIMIT};
use crate::output::lines::Encode;
use crate::output::ndjson::Ndjson;
use crate::output::{Backlog, Sink};
use crate::record::{GapFacts, Record, Subject};
use crate::time::Timestamp;

/// Bytes of records that are enough for a batch, and that a batch of several records has at most.
const ENOUGH: usize = 128 * 1024;
pub(super) const MOST: usize = 256 * 1024;
/// A record waits no longer than this for others.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The sink: records come in, and become batches.
pub struct Spool {
    folder: Folder,
    config: Config,
    boot: String,
    /// The number of the next batch.
    next: u64,
    /// Batches in the folder, the oldest first; those that were taken away meanwhile, too.
    kept: VecDeque<Kept>,
    /// Bytes of those.
    bytes: u64,
    /// What was given up and not yet told.
    gap: Option<GapFacts>,
    full: bool,
    open: Open,
    encoder: Ndjson,
    line: Vec<u8>,
}

/// A batch in the folder.
struct Kept {
    sequence: u64,
    records: u64,
    bytes: u64,
    gap: Option<GapFacts>,
}

/// Records that are no batch yet.
#[derive(Default)]
struct Open {
    body: Vec<u8>,
    records: u64,
    since: Option<Instant>,
}

impl Spool {
    /// Opens the spool, removes what an interrupted run has left half done, and continues its numbers.
    ///
    /// # Errors
    /// When the folder cannot be written, or another padtap writes there.
    pub fn open(config: Config) -> io::Result<Self> {
        let config = Config { limit: config.limit.max(LEAST_LIMIT), ..config };
        fs::create_dir_all(&config.folder)?;
        let folder = Folder::lock(&config.folder, "writer.lock")?;
        for half in folder.list(State::Temporary)? {
            folder.remove(half, State::Temporary)?;
        }
        let kept = kept(&folder)?;
        let newest = kept.back().map(|batch| (batch.sequence, State::Batch));
        let shipped = folder.list(State::Shipped)?.pop().map(|sequence| (sequence, State::Shipped));
        let damaged = folder.list(State::Damaged)?.pop().map(|sequence| (sequence, State::Damaged));
        let newest = [newest, shipped, damaged].into_iter().flatten().max_by_key(|(sequence, _)| *sequence);
        // It may just have been taken away. Where it cannot be read, numbers under a new name are as unique.
        let header =
            |(sequence, state)| folder.header(sequence, state).or_else(|_| folder.header(sequence, State::Shipped));
        let last = newest.and_then(|newest| header(newest).ok());
        let gap = last.as_ref().and_then(|header| header.untold);
        Ok(Self {
            boot: last.map_or_else(new_boot, |header| header.boot),
            next: newest.map_or(1, |(sequence, _)| sequence + 1),
            bytes: kept.iter().map(|batch| batch.bytes).sum(),
            kept,
            gap,
            full: false,
            open: Open::default(),
            encoder: Ndjson::new(config.sensor.clone()),
            line: Vec::new(),
            folder,
            config,
        })
    }

    fn seal(&mut self) -> io::Result<()> {
        if self.open.records > 0 { self.close(false) } else { Ok(()) }
    }

    /// Makes a batch of what there is; where that fails, it is lost. What was given up is told once nothing more is, or
    /// this is the `last` batch: so one time without room has one `gap` record.
    fn close(&mut self, last: bool) -> io::Result<()> {
        let open = std::mem::take(&mut self.open);
        let mut made_room = self.make_room(open.body.len() as u64)?;
        let (bytes, gap) = loop {
            let told = self.gap.filter(|_| last || !made_room);
            match self.write(&open, told) {
                Err(error) if error.kind() == io::ErrorKind::StorageFull && self.give_up_oldest()? => made_room = true,
                written => break (written?, told),
            }
        };
        self.gap = self.gap.filter(|_| gap.is_none());
        self.kept.push_back(Kept { sequence: self.next, records: open.records, bytes, gap });
        self.bytes += bytes;
        self.next += 1;
        if made_room != self.full {
            self.full = made_room;
            let place = self.config.folder.display();
            let change =
                if made_room { "the spool is full: the oldest batches go" } else { "the spool has room again" };
            log::warn!("{place}: {change}");
        }
        Ok(())
    }

    /// Writes the batch to be, telling of a gap; its bytes.
    fn write(&mut self, open: &Open, gap: Option<GapFacts>) -> io::Result<u64> {
        let header = Header {
            sensor: self.config.sensor.to_string(),
            boot: self.boot.clone(),
            sequence: self.next,
            records: open.records,
            gap,
            untold: self.gap.filter(|_| gap.is_none()),
        };
        let mut body = Vec::new();
        if let Some(gap) = gap {
            let (time, subject, facts) = (Timestamp::now(), Subject::default(), Box::new(gap));
            self.encoder.encode(&Record { kind: "gap", time, subject, facts }, &mut body)?;
        }
        body.extend_from_slice(&open.body);
        let bytes = Batch::encode(&header, &body)?;
        let written = File::create(self.folder.file(self.next, State::Temporary)).and_then(|mut file| {
            file.write_all(&bytes)?;
            file.sync_all()?;
            self.folder.rename(self.next, State::Temporary, State::Batch)?;
            self.folder.sync()
        });
        if written.is_err() {
            self.folder.remove(self.next, State::Temporary)?;
        }
        written.map(|()| bytes.len() as u64)
    }

    /// Gives up the oldest batches until there is room for so many bytes. Returns whether any were.
    fn make_room(&mut self, bytes: u64) -> io::Result<bool> {
        let mut given_up = false;
        while self.bytes + bytes > self.config.limit && !self.kept.is_empty() {
            self.forget_shipped();
            if self.bytes + bytes > self.config.limit {
                given_up |= self.give_up_oldest()?;
            }
        }
        Ok(given_up)
    }

    /// Batches are taken away from the oldest on.
    fn forget_shipped(&mut self) {
        while let Some(oldest) = self.kept.front()
            && !self.folder.file(oldest.sequence, State::Batch).exists()
        {
            self.bytes -= oldest.bytes;
            self.kept.pop_front();
        }
    }

    /// Removes the oldest batch. Returns whether there was one.
    fn give_up_oldest(&mut self) -> io::Result<bool> {
        while let Some(oldest) = self.kept.pop_front() {
            self.bytes -= oldest.bytes;
            if self.folder.remove(oldest.sequence, State::Batch)? {
                let Kept { sequence, records, .. } = oldest;
                let lost = GapFacts { first_sequence: sequence, last_sequence: sequence, batches: 1, records };
                let lost = oldest.gap.map_or(lost, |gap| gap.and(lost));
                self.gap = Some(self.gap.map_or(lost, |gap| gap.and(lost)));
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Sink for Spool {
    fn record(&mut self, record: &Record) -> io::Result<()> {
        self.line.clear();
        self.encoder.encode(record, &mut self.line)?;
        if !self.open.body.is_empty() && self.open.body.len() + self.line.len() > MOST {
            self.seal()?;
        }
        self.open.body.extend_from_slice(&self.line);
        self.open.records += 1;
        self.open.since.get_or_insert_with(Instant::now);
        if self.open.body.len() >= ENOUGH { self.seal() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.open.since.is_some_and(|since| since.elapsed() >= LONGEST_WAIT) { self.seal() } else { Ok(()) }
    }

    fn settle(&mut self) -> io::Result<()> {
        self.seal()
    }

    fn backlog(&self) -> Option<Backlog> {
        Some(Backlog { waiting: self.open.records, lost: 0 })
    }

    fn finish(&mut self) -> io::Result<()> {
        if self.open.records > 0 || self.gap.is_some() { self.close(true) } else { Ok(()) }
    }
}

/// The batches in a folder. One whose header is damaged stays, for the other end to judge.
fn kept(folder: &Folder) -> io::Result<VecDeque<Kept>> {
    let batches = folder.list(State::Batch)?.into_iter().filter_map(|sequence| {
        let bytes = fs::metadata(folder.file(sequence, State::Batch)).ok()?.len();
        let header = folder.header(sequence, State::Batch).ok();
        let gap = header.as_ref().and_then(|header| header.gap);
        Some(Kept { sequence, records: header.map_or(0, |header| header.records), bytes, gap })
    });
    Ok(batches.collect())
}

fn new_boot() -> String {
    let mut bytes = [0; 8];
    // Only an early boot could fall short, and then the time is as good as chance.
    let random = getrandom(&mut bytes, GetRandomFlags::empty()).is_ok();
    let number = if random { u64::from_ne_bytes(bytes) } else { Timestamp::now().as_nanos().cast_unsigned() };
    format!("{number:016x}")
}
