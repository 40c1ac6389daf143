//! What records look like, as a JSON Schema (draft 2020-12): derived from the types they are made of.

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::{FlowFacts, GapFacts, PacketFacts, StatsFacts, Subject};
use crate::classify::DeviceFacts;
use crate::dissect::app::{PROTOCOLS, RecordKind};
use crate::time::Timestamp;
use crate::timeline::{MatchFacts, PhaseFacts};

/// Kinds that no single protocol makes.
const GENERAL: &[RecordKind] = &[
    RecordKind::of::<PacketFacts>("packet"),
    RecordKind::of::<FlowFacts>("flow"),
    RecordKind::of::<DeviceFacts>("device"),
    RecordKind::of::<PhaseFacts>("phase"),
    RecordKind::of::<MatchFacts>("match"),
    RecordKind::of::<StatsFacts>("stats"),
    RecordKind::of::<GapFacts>("gap"),
];

/// The schema of any record: its `kind` decides which of the definitions it must satisfy, and nothing may be in it that
/// is not described there.
pub fn records() -> Value {
    let kinds: Vec<(&str, Value)> = kinds().into_iter().map(|(kind, facts)| (kind, whole(kind, facts))).collect();
    let choices: Vec<Value> = kinds.iter().map(|(kind, _)| json!({ "$ref": format!("#/$defs/{kind}") })).collect();
    let definitions = kinds.into_iter().chain([("record", common())]).map(|(name, schema)| (name.to_owned(), schema));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "padtap records",
        "description": "One record is one thing that was true of the traffic. A field that is unknown is absent.",
        "oneOf": choices,
        "$defs": Map::from_iter(definitions),
    })
}

/// Every kind of record there can be, in alphabetical order.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = all_kinds().map(|kind| kind.name).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn all_kinds() -> impl Iterator<Item = &'static RecordKind> {
    GENERAL.iter().chain(PROTOCOLS.iter().flat_map(|protocol| protocol.kinds))
}

/// Every kind of record there can be, with the schema of its facts: that of an object, or `anyOf` several where the
/// kind's facts are of several types.
pub fn kinds() -> BTreeMap<&'static str, Value> {
    let mut generator = generator();
    let mut kinds = BTreeMap::<&str, Vec<Value>>::new();
    for kind in all_kinds() {
        let schema = plain((kind.schema)(&mut generator));
        let schemas = kinds.entry(kind.name).or_default();
        // Several protocols make the same records.
        if !schemas.contains(&schema) {
            schemas.push(schema);
        }
    }
    kinds.into_iter().map(|(name, schemas)| (name, any_of(schemas))).collect()
}

fn any_of(mut schemas: Vec<Value>) -> Value {
    match schemas.pop() {
        Some(only) if schemas.is_empty() => only,
        last => {
            schemas.extend(last);
            json!({ "type": "object", "anyOf": schemas })
        }
    }
}

/// What every record has, and whose traffic it is about.
pub fn common() -> Value {
    let mut generator = generator();
    let mut schema = Subject::json_schema(&mut generator);
    let mut time = Timestamp::json_schema(&mut generator);
    time.insert("description".into(), "When it was true on the wire.".into());
    let own = [
        ("kind", json!({ "type": "string", "description": "What the record is about." })),
        ("ts", time.to_value()),
        ("sensor", json!({ "type": "string", "description": "The sensor that made it." })),
    ];
    let required: Vec<&str> = own.iter().map(|(name, _)| *name).collect();
    schema.insert("required".into(), required.into());
    schema.insert("description".into(), "What every record may have.".into());
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.extend(own.map(|(name, schema)| (name.to_owned(), schema)));
    }
    plain(schema)
}

/// A record of this kind: common fields and facts, and no others.
fn whole(kind: &str, facts: Value) -> Value {
    let Value::Object(mut schema) = facts else { return facts };
    if let Value::Object(properties) = schema.entry("properties").or_insert_with(|| json!({})) {
        properties.insert("kind".to_owned(), json!({ "const": kind }));
    }
    schema.insert("allOf".to_owned(), json!([{ "$ref": "#/$defs/record" }]));
    schema.insert("unevaluatedProperties".to_owned(), false.into());
    Value::Object(schema)
}

/// Every schema stands where it is used: readers need not look elsewhere.
fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().for_serialize().with(|settings| settings.inline_subschemas = true).into_generator()
}

/// The schema as records keep it: nothing is null, and objects have no fields but theirs. The outermost object stays
/// open: a record has common fields beside these.
fn plain(mut schema: Schema) -> Value {
    RecursiveTransform(drop_null).transform(&mut schema);
    RecursiveTransform(tidy_text).transform(&mut schema);
    RecursiveTransform(name_address_families).transform(&mut schema);
    RecursiveTransform(close).transform(&mut schema);
    open(&mut schema);
    schema.to_value()
}

/// An optional field is one that may be absent.
fn drop_null(schema: &mut Schema) {
    let is_null = |schema: &Value| schema["type"] == "null";
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = &types[..] {
            let only = only.clone();
            schema.insert("type".into(), only);
        }
    }
    let Some(Value::Array(choices)) = schema.get_mut("anyOf") else { return };
    choices.retain(|choice| !is_null(choice));
    if let [Value::Object(only)] = &choices[..] {
        let only = only.clone();
        schema.remove("anyOf");
        for (keyword, value) in only {
            if schema.get(&keyword).is_none() {
                schema.insert(keyword, value);
            }
        }
    }
}

/// Doc comments are broken into lines, and link to other items.
fn tidy_text(schema: &mut Schema) {
    let Some(Value::String(text)) = schema.get("description") else { return };
    let text = text.replace("[`", "`").replace("`]", "`").split_whitespace().collect::<Vec<_>>().join(" ");
    schema.insert("description".into(), text.into());
}

/// The standard has formats for addresses of either family, and none for both.
fn name_address_families(schema: &mut Schema) {
    if schema.get("format").is_some_and(|format| format == "ip") {
        schema.remove("format");
        schema.insert("anyOf".into(), json!([{ "format": "ipv4" }, { "format": "ipv6" }]));
    }
}

fn close(schema: &mut Schema) {
    if schema.get("properties").is_some() {
        schema.insert("additionalProperties".into(), false.into());
    }
}

/// Undoes [`close`] for the outermost object, or those it may be any of.
fn open(schema: &mut Schema) {
    schema.remove("additionalProperties");
    let Some(Value::Array(choices)) = schema.get_mut("anyOf") else { return };
    for choice in choices.iter_mut().filter_map(Value::as_object_mut) {
        choice.remove("additionalProperties");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls `visit` with every property under `schema`, and where it stands.
    fn each_property(path: &str, schema: &Value, visit: &mut dyn FnMut(&str, &Value)) {
        match schema {
            Value::Array(items) => items.iter().for_each(|item| each_property(path, item, visit)),
            Value::Object(keywords) => {
                for (name, property) in keywords.get("properties").and_then(Value::as_object).into_iter().flatten() {
                    let path = format!("{path}.{name}");
                    visit(&path, property);
                    each_property(&path, property, visit);
                }
                for keyword in ["items", "anyOf"] {
                    each_property(path, keywords.get(keyword).unwrap_or(&Value::Null), visit);
                }
            }
            _ => {}
        }
    }

    #[test]
    fn every_field_is_described_and_none_is_ever_null() {
        let mut bare = Vec::new();
        for (kind, schema) in kinds().iter().chain([(&"record", &common())]) {
            if schema.get("anyOf").or(schema.get("description")).is_none() {
                bare.push((*kind).to_owned());
            }
            each_property(kind, schema, &mut |path, property| {
                if property["description"].as_str().is_none_or(str::is_empty) {
                    bare.push(path.to_owned());
                }
                assert!(property["type"].is_string() || property["oneOf"].is_array(), "{path}: {property}");
            });
        }
        assert!(bare.is_empty(), "without a description: {}", bare.join(", "));
    }

    #[test]
    fn facts_do_not_repeat_what_every_record_has() {
        let common = common();
        for (kind, schema) in kinds() {
            each_property(kind, &schema, &mut |path, _| {
                let own = path.strip_prefix(kind).and_then(|path| path.strip_prefix('.')).unwrap_or_default();
                assert!(common["properties"].get(own).is_none(), "{path}");
            });
        }
    }

    #[test]
    fn what_is_not_described_does_not_pass() {
        let validator = jsonschema::validator_for(&records()).expect("a schema");
        let ping = json!({ "kind": "demonware", "ts": "2026-01-01T00:00:00Z", "sensor": "here", "rtt_ms": 1.5 });
        assert!(validator.is_valid(&ping));
        for (field, value) in
            [("kind", json!("fax")), ("rtt_ms", json!("1.5")), ("mtu", json!(1)), ("vlan", json!([-1]))]
        {
            let mut wrong = ping.clone();
            wrong[field] = value;
            assert!(!validator.is_valid(&wrong), "{wrong}");
        }
        for required in ["kind", "ts", "sensor", "rtt_ms"] {
            let mut wrong = ping.clone();
            wrong.as_object_mut().expect("an object").remove(required);
            assert!(!validator.is_valid(&wrong), "{wrong}");
        }
    }
}
