//! Arrow IPC streams: a file, or whatever stands at its name, a kind.

use std::collections::{BTreeMap, btree_map};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, SchemaRef};

use super::{Table, tables};
use crate::output::Sink;
use crate::record::Record;

/// Writes `<kind>.arrows` for every kind of which there are records.
pub struct Streams {
    directory: PathBuf,
    sensor: Arc<str>,
    tables: BTreeMap<&'static str, SchemaRef>,
    open: BTreeMap<&'static str, Stream>,
}

struct Stream {
    table: Table,
    writer: StreamWriter<BufWriter<File>>,
}

impl Streams {
    /// Writes into `directory`, which is made; every record names `sensor` as the place it was made.
    ///
    /// # Errors
    /// When there can be no such directory.
    pub fn create(directory: PathBuf, sensor: Arc<str>) -> io::Result<Self> {
        std::fs::create_dir_all(&directory)?;
        Ok(Self { directory, sensor, tables: tables()?, open: BTreeMap::new() })
    }

    fn stream(&mut self, kind: &'static str) -> io::Result<&mut Stream> {
        Ok(match self.open.entry(kind) {
            btree_map::Entry::Occupied(entry) => entry.into_mut(),
            btree_map::Entry::Vacant(entry) => {
                let schema = self.tables.get(kind).ok_or_else(|| io::Error::other(format!("no table for {kind}")))?;
                let file = BufWriter::new(File::create(self.directory.join(format!("{kind}.arrows")))?);
                let writer = StreamWriter::try_new(file, schema).map_err(said)?;
                entry.insert(Stream { table: Table::new(schema.clone(), self.sensor.clone()), writer })
            }
        })
    }
}

impl Stream {
    fn write(&mut self) -> io::Result<()> {
        let batch = self.table.take()?;
        self.writer.write(&batch).map_err(said)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.table.rows() > 0 {
            self.write()?;
        }
        self.writer.get_mut().flush()
    }
}

impl Sink for Streams {
    fn record(&mut self, record: &Record) -> io::Result<()> {
        let stream = self.stream(record.kind)?;
        stream.table.push(record)?;
        if stream.table.rows() >= Table::ROWS { stream.write() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.open.values_mut().try_for_each(Stream::flush)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.flush()?;
        self.open.values_mut().try_for_each(|stream| stream.writer.finish().map_err(said))
    }
}

/// What the system said, where it was that.
fn said(error: ArrowError) -> io::Error {
    match error {
        ArrowError::IoError(_, error) => error,
        other => io::Error::other(other),
    }
}
