//! Records as rows of Arrow tables, one table a kind. Their columns follow from the kind's JSON Schema, and rows reach
//! them by the same serialisation that writes JSON.
//!
//! Text, addresses among it, is Utf8; times are `Timestamp(Microsecond, "UTC")`, and `ts_ns` has the nanoseconds of the
//! record's own; whole numbers are Int32, or Int64 where they may be larger; lists are List and objects Struct. What a
//! record does not have is null. A whole number that no Int64 holds stands as the largest one.

mod column;
mod serialize;
mod streams;
mod types;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_schema::{DataType, Field, FieldRef, Fields, SchemaRef};
use serde::Serialize;

use self::column::Column;
pub use self::streams::Streams;
use crate::dissect::app::Facts;
use crate::record::{Record, Subject, schema};
use crate::time::Timestamp;

/// The columns of every kind's table.
///
/// # Errors
/// A kind whose facts do not fit into a table.
pub fn tables() -> io::Result<BTreeMap<&'static str, SchemaRef>> {
    let mut common = types::properties(&schema::common()).ok_or_else(|| unfit("record"))?;
    let ts = common.remove("ts").ok_or_else(|| unfit("record"))?;
    let sensor = common.remove("sensor").ok_or_else(|| unfit("record"))?;
    // It is in the name of the table.
    common.remove("kind");
    let own = [("ts", ts), ("ts_ns", DataType::Int64), ("sensor", sensor)];
    let own = own.map(|(name, data_type)| Arc::new(Field::new(name, data_type, false)));
    let first: Vec<FieldRef> = own.into_iter().chain(types::fields(common)).collect();
    let table = |(kind, facts)| {
        let facts = types::properties(&facts).ok_or_else(|| unfit(kind))?;
        let fields: Fields = first.iter().cloned().chain(types::fields(facts)).collect();
        Ok((kind, Arc::new(arrow_schema::Schema::new(fields))))
    };
    schema::kinds().into_iter().map(table).collect()
}

fn unfit(kind: &str) -> io::Error {
    io::Error::other(format!("`{kind}` records have fields that fit into no table"))
}

/// Rows of one kind that are not yet a batch.
pub struct Table {
    schema: SchemaRef,
    rows: Column,
    sensor: Arc<str>,
}

/// The order of the fields in a row.
#[derive(Serialize)]
struct Row<'a> {
    ts: Timestamp,
    ts_ns: i64,
    sensor: &'a str,
    #[serde(flatten)]
    subject: &'a Subject,
    #[serde(flatten)]
    facts: &'a dyn Facts,
}

impl Table {
    /// Rows that go between a batch and the next: each is at most a few tens of kilobytes.
    pub const ROWS: usize = 256;

    /// An empty table; every row names `sensor` as the place it was made.
    pub fn new(schema: SchemaRef, sensor: Arc<str>) -> Self {
        Self { rows: Column::new(&DataType::Struct(schema.fields().clone())), schema, sensor }
    }

    /// Adds a row.
    ///
    /// # Errors
    /// When the record is none of the table's kind.
    pub fn push(&mut self, record: &Record) -> io::Result<()> {
        let row = Row {
            ts: record.time,
            ts_ns: record.time.as_nanos(),
            sensor: &self.sensor,
            subject: &record.subject,
            facts: &*record.facts,
        };
        row.serialize(&mut self.rows).map_err(|error| io::Error::other(format!("{}: {error}", record.kind)))
    }

    /// Rows that wait.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// The rows that waited; leaves the table empty.
    ///
    /// # Errors
    /// When columns do not fit together.
    pub fn take(&mut self) -> io::Result<RecordBatch> {
        let rows = self.rows.finish();
        RecordBatch::try_new(self.schema.clone(), rows.as_struct().columns().to_vec()).map_err(io::Error::other)
    }
}
