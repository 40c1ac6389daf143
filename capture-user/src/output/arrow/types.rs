//! From a JSON Schema to the types of columns.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, TimeUnit};
use serde_json::Value;

/// The fields of an object, or of all the objects it may be, by name; `None` where one of them has no type.
pub fn properties(schema: &Value) -> Option<BTreeMap<String, DataType>> {
    let choices = schema["anyOf"].as_array().into_iter().flatten();
    let mut all = BTreeMap::<String, DataType>::new();
    for object in choices.chain([schema]) {
        for (name, property) in object["properties"].as_object().into_iter().flatten() {
            let mut data_type = of(property)?;
            if let Some(other) = all.remove(name) {
                data_type = both(other, data_type)?;
            }
            all.insert(name.clone(), data_type);
        }
    }
    Some(all)
}

/// Columns in which what is absent is null.
pub fn fields(properties: BTreeMap<String, DataType>) -> impl Iterator<Item = FieldRef> {
    properties.into_iter().map(|(name, data_type)| Arc::new(Field::new(name, data_type, true)))
}

fn of(schema: &Value) -> Option<DataType> {
    let format = schema["format"].as_str();
    Some(match schema["type"].as_str() {
        Some("string") if format == Some("date-time") => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        Some("string") => DataType::Utf8,
        Some("boolean") => DataType::Boolean,
        Some("integer") => match format {
            Some("int8" | "uint8" | "int16" | "uint16" | "int32") => DataType::Int32,
            _ => DataType::Int64,
        },
        Some("number") => DataType::Float64,
        Some("array") => list(of(&schema["items"])?),
        Some("object") => DataType::Struct(fields(properties(schema)?).collect()),
        // One of a few words, each with its description.
        None if schema["oneOf"].is_array() => DataType::Utf8,
        _ => return None,
    })
}

fn list(items: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("element", items, true)))
}

/// A type for the values of either.
fn both(one: DataType, other: DataType) -> Option<DataType> {
    match (one, other) {
        (one, other) if one == other => Some(one),
        (DataType::Int32, DataType::Int64) | (DataType::Int64, DataType::Int32) => Some(DataType::Int64),
        (DataType::List(one), DataType::List(other)) => {
            Some(list(both(one.data_type().clone(), other.data_type().clone())?))
        }
        _ => None,
    }
}
