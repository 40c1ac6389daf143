//! Kinds of records.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator};

/// A kind of record, and what its facts are.
#[derive(Clone, Copy)]
pub struct RecordKind {
    /// Its name: `dns`, `tls`, `sip`…
    pub name: &'static str,
    /// The JSON Schema of its facts.
    pub schema: fn(&mut SchemaGenerator) -> Schema,
}

impl RecordKind {
    /// The kind of this name, whose facts are of type `T`.
    pub const fn of<T: JsonSchema>(name: &'static str) -> Self {
        Self { name, schema: T::json_schema }
    }
}

impl fmt::Debug for RecordKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}
