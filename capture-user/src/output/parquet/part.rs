//! One Parquet file.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use tempfile::TempPath;

use crate::output::arrow::Table;
use crate::record::Record;

/// A file that is being written, under a name of its own; it is gone when this is dropped.
pub struct Part {
    path: PathBuf,
    temporary: TempPath,
    table: Table,
    writer: ArrowWriter<File>,
    begun: Instant,
    records: u64,
    /// The number of its latest record among all of the run.
    latest: u64,
    memory: usize,
    sound: bool,
}

/// A file that is whole, and has not its own name yet.
pub struct Whole {
    path: PathBuf,
    temporary: TempPath,
    records: u64,
}

impl Part {
    /// Begins the file that will be at `path`.
    pub fn create(path: PathBuf, schema: SchemaRef, sensor: Arc<str>) -> io::Result<Self> {
        let temporary = temporary(&path);
        let create = || {
            std::fs::create_dir_all(temporary.parent().unwrap_or(&temporary))?;
            File::create_new(&temporary)
        };
        let file = create().map_err(|error| at(&path, error))?;
        let temporary = TempPath::try_from_path(temporary)?;
        let writer =
            ArrowWriter::try_new(file, schema.clone(), Some(properties())).map_err(|error| said(&path, error))?;
        let table = Table::new(schema, sensor);
        let begun = Instant::now();
        Ok(Self { path, temporary, table, writer, begun, records: 0, latest: 0, memory: 0, sound: true })
    }

    /// Adds a record, the `number`th of the run; whether rows were encoded.
    pub fn push(&mut self, record: &Record, number: u64) -> io::Result<bool> {
        self.table.push(record)?;
        self.records += 1;
        self.latest = number;
        let full = self.table.rows() >= Table::ROWS;
        if full {
            self.encode()?;
        }
        Ok(full)
    }

    fn encode(&mut self) -> io::Result<()> {
        let batch = self.table.take()?;
        let outcome = self.writer.write(&batch);
        self.note(outcome)
    }

    /// Writes what is encoded.
    pub fn end_row_group(&mut self) -> io::Result<()> {
        let outcome = self.writer.flush();
        self.note(outcome)
    }

    fn note(&mut self, outcome: Result<(), ParquetError>) -> io::Result<()> {
        self.memory = self.writer.memory_size();
        self.sound = outcome.is_ok();
        outcome.map_err(|error| said(&self.path, error))
    }

    /// Whether all that was written to it is in it.
    pub fn is_sound(&self) -> bool {
        self.sound
    }

    /// Bytes that encoded rows take in memory.
    pub fn memory(&self) -> usize {
        self.memory
    }

    /// Bytes of the file, about.
    pub fn size(&self) -> usize {
        self.writer.bytes_written() + self.writer.in_progress_size()
    }

    /// The number of its latest record among all of the run.
    pub fn latest(&self) -> u64 {
        self.latest
    }

    pub fn age(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Completes the file, and sees that it is on the disk.
    pub fn close(mut self) -> io::Result<Whole> {
        if self.table.rows() > 0 {
            self.encode()?;
        }
        let Self { path, temporary, writer, records, .. } = self;
        let file = writer.into_inner().map_err(|error| said(&path, error))?;
        file.sync_data().map_err(|error| at(&path, error))?;
        Ok(Whole { path, temporary, records })
    }
}

impl Whole {
    /// Records in it.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Gives it its name, and returns that.
    pub fn give_name(self) -> io::Result<PathBuf> {
        self.temporary.persist(&self.path).map_err(|error| at(&self.path, error.error))?;
        Ok(self.path)
    }
}

/// Beside the file, hidden, and like no other: the same input may be read twice at the same time.
fn temporary(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    path.with_file_name(format!(".{name}.{}-{nanos:x}.tmp", std::process::id()))
}

fn properties() -> WriterProperties {
    WriterProperties::builder()
        .set_created_by(concat!("padtap ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .build()
}

fn at(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

/// What the system said, where it was that.
fn said(path: &Path, error: ParquetError) -> io::Error {
    let error = match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    };
    at(path, error)
}
