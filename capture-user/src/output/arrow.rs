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

#[cfg(test)]
mod tests {
    use arrow_array::types::Int64Type;
    use serde::Serialize as _;

    use super::*;

    #[test]
    fn every_kind_has_a_table() {
        let tables = tables().expect("every kind fits");
        assert!(tables.contains_key("flow") && tables.contains_key("dhcp"));
        for (kind, schema) in tables {
            let first: Vec<&str> = schema.fields().iter().take(3).map(|field| field.name().as_str()).collect();
            assert_eq!(first, ["ts", "ts_ns", "sensor"], "{kind}");
        }
    }

    /// A row of one column, of this type.
    fn row(data_type: DataType, value: impl serde::Serialize) -> Result<arrow_array::ArrayRef, serde_json::Error> {
        let fields = Fields::from(vec![Field::new("value", data_type, true)]);
        let mut rows = Column::new(&DataType::Struct(fields));
        BTreeMap::from([("value", value)]).serialize(&mut rows)?;
        Ok(rows.finish().as_struct().column(0).clone())
    }

    #[test]
    fn what_fits_into_no_column_is_an_error_or_the_nearest_value() {
        let largest = row(DataType::Int64, u64::MAX).expect("it stands as the largest");
        assert_eq!(largest.as_primitive::<Int64Type>().value(0), i64::MAX);
        assert!(row(DataType::Float64, f64::NAN).is_ok_and(|column| column.is_null(0)));
        assert!(row(DataType::Utf8, None::<&str>).is_ok_and(|column| column.is_null(0)));
        for error in [row(DataType::Int32, u32::MAX), row(DataType::Utf8, 1), row(DataType::Boolean, vec![true])] {
            let error = error.expect_err("it does not fit").to_string();
            assert!(error.starts_with("value: ") && error.contains("does not fit"), "{error}");
        }
    }

    #[test]
    fn a_record_of_another_kind_is_refused() {
        let tables = tables().expect("every kind fits");
        let stats = Record::stats(Timestamp::default(), Default::default(), Default::default(), Default::default());
        let mut table = Table::new(tables["rtp"].clone(), "lab".into());
        let error = table.push(&stats).expect_err("rtp has no ledger").to_string();
        assert!(error.starts_with("stats: there is no column for `"), "{error}");
    }
}
