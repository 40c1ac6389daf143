//! Columns that grow by a value at a time.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::builder::{
    BooleanBuilder, Float64Builder, Int32Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{ArrayRef, ListArray, StructArray};
use arrow_buffer::{NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, FieldRef, Fields};

/// One column, or a part of one.
pub enum Column {
    Text(StringBuilder),
    Flag(BooleanBuilder),
    Small(Int32Builder),
    Whole(Int64Builder),
    Real(Float64Builder),
    /// Microseconds since the epoch, UTC.
    Time(TimestampMicrosecondBuilder),
    List(Box<List>),
    Struct(Struct),
}

/// Lists: all their elements in one column, and where each list ends.
pub struct List {
    field: FieldRef,
    pub elements: Column,
    offsets: Vec<i32>,
    valid: NullBufferBuilder,
}

/// Objects: a column a field.
pub struct Struct {
    fields: Fields,
    columns: Vec<Column>,
    places: HashMap<String, usize>,
    valid: NullBufferBuilder,
}

impl Column {
    pub fn new(data_type: &DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Flag(BooleanBuilder::new()),
            DataType::Int32 => Self::Small(Int32Builder::new()),
            DataType::Int64 => Self::Whole(Int64Builder::new()),
            DataType::Float64 => Self::Real(Float64Builder::new()),
            DataType::Timestamp(_, zone) => {
                Self::Time(TimestampMicrosecondBuilder::new().with_timezone_opt(zone.clone()))
            }
            DataType::List(field) => Self::List(Box::new(List::new(field))),
            DataType::Struct(fields) => Self::Struct(Struct::new(fields)),
            _ => Self::Text(StringBuilder::new()),
        }
    }

    pub fn len(&self) -> usize {
        use arrow_array::builder::ArrayBuilder;
        match self {
            Self::Text(values) => values.len(),
            Self::Flag(values) => values.len(),
            Self::Small(values) => values.len(),
            Self::Whole(values) => values.len(),
            Self::Real(values) => values.len(),
            Self::Time(values) => values.len(),
            Self::List(lists) => lists.valid.len(),
            Self::Struct(objects) => objects.len(),
        }
    }

    pub fn push_null(&mut self) {
        match self {
            Self::Text(values) => values.append_null(),
            Self::Flag(values) => values.append_null(),
            Self::Small(values) => values.append_null(),
            Self::Whole(values) => values.append_null(),
            Self::Real(values) => values.append_null(),
            Self::Time(values) => values.append_null(),
            Self::List(lists) => lists.end(false),
            Self::Struct(objects) => objects.end(false),
        }
    }

    /// All values so far; leaves the column empty.
    pub fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(values) => Arc::new(values.finish()),
            Self::Flag(values) => Arc::new(values.finish()),
            Self::Small(values) => Arc::new(values.finish()),
            Self::Whole(values) => Arc::new(values.finish()),
            Self::Real(values) => Arc::new(values.finish()),
            Self::Time(values) => Arc::new(values.finish()),
            Self::List(lists) => Arc::new(lists.finish()),
            Self::Struct(objects) => Arc::new(objects.finish()),
        }
    }
}

impl List {
    fn new(field: &FieldRef) -> Self {
        Self {
            field: field.clone(),
            elements: Column::new(field.data_type()),
            offsets: vec![0],
            valid: NullBufferBuilder::new(0),
        }
    }

    /// The list has all its elements; or it is null, and has none.
    pub fn end(&mut self, valid: bool) {
        self.offsets.push(i32::try_from(self.elements.len()).unwrap_or(i32::MAX));
        self.valid.append(valid);
    }

    fn finish(&mut self) -> ListArray {
        let offsets = OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(&mut self.offsets, vec![0])));
        ListArray::new(self.field.clone(), offsets, self.elements.finish(), self.valid.finish())
    }
}

impl Struct {
    fn new(fields: &Fields) -> Self {
        Self {
            columns: fields.iter().map(|field| Column::new(field.data_type())).collect(),
            places: fields.iter().enumerate().map(|(place, field)| (field.name().clone(), place)).collect(),
            fields: fields.clone(),
            valid: NullBufferBuilder::new(0),
        }
    }

    /// Objects that have ended.
    fn len(&self) -> usize {
        self.valid.len()
    }

    /// The column of a field that the object at hand does not have yet.
    pub fn field(&mut self, name: &str) -> Option<&mut Column> {
        let rows = self.len();
        self.columns.get_mut(*self.places.get(name)?).filter(|column| column.len() == rows)
    }

    /// The object has all its fields; or it is null, and has none.
    pub fn end(&mut self, valid: bool) {
        let rows = self.len();
        self.columns.iter_mut().filter(|column| column.len() == rows).for_each(Column::push_null);
        self.valid.append(valid);
    }

    fn finish(&mut self) -> StructArray {
        let columns = self.columns.iter_mut().map(Column::finish).collect();
        StructArray::new(self.fields.clone(), columns, self.valid.finish())
    }
}
