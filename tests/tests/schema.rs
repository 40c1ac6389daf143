//! Every record of every fixture against the JSON Schema of records.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use capture_user::dissect::app::People;
use jsonschema::Validator;
use serde_json::{Value, json};
use tests::engine::Run;
use tests::facts::text;
use tests::fixtures::{captures, name};
use tests::padtap;

/// The schema as it is published.
fn published() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/records.schema.json");
    serde_json::from_str(&std::fs::read_to_string(path).expect("the schema is there")).expect("it is JSON")
}

/// A validator for each kind: it says more than one for all of them, which only knows that none fits.
fn validators() -> BTreeMap<String, Validator> {
    let schema = published();
    let kinds = schema["oneOf"].as_array().expect("a choice of kinds");
    let of = |choice: &Value| {
        let name = text(choice, "$ref").rsplit('/').next().expect("a name").to_owned();
        let alone = json!({ "$ref": choice["$ref"], "$defs": schema["$defs"] });
        (name, jsonschema::validator_for(&alone).expect("a valid schema"))
    };
    kinds.iter().map(of).collect()
}

fn check(validators: &BTreeMap<String, Validator>, record: &Value, found: &mut Vec<String>) {
    match validators.get(text(record, "kind")) {
        Some(validator) => {
            found.extend(
                validator.iter_errors(record).map(|error| format!("{error} at {}: {record}", error.instance_path())),
            );
        }
        None => found.push(format!("no schema: {record}")),
    }
}

#[test]
fn every_record_of_every_fixture_is_as_the_schema_says() {
    let validators = validators();
    let (mut kinds, mut found) = (BTreeSet::new(), Vec::new());
    for (path, _) in captures() {
        let run = Run::of(&path, 0, People::SHOWN);
        let mut wrong = Vec::new();
        run.records.iter().for_each(|record| check(&validators, record, &mut wrong));
        found.extend(wrong.iter().map(|error| format!("{}: {error}", name(&path))));
        kinds.extend(run.records.iter().map(|record| text(record, "kind").to_owned()));
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    for kind in ["device", "dhcp", "dns", "flow", "match", "packet", "phase", "rtp", "sip", "tls"] {
        assert!(kinds.contains(kind), "no fixture has a {kind} record");
    }
}

#[test]
fn what_padtap_prints_is_as_the_schema_it_prints_says() {
    let schema: Value = serde_json::from_str(padtap::run(["schema"]).expect(0).text()).expect("JSON");
    assert_eq!(schema, published(), "run `cargo xtask schema`");
    let whole = jsonschema::validator_for(&schema).expect("a valid schema");
    let records = padtap::run(["demo", "--offline", "--json", "--packets"]).expect(0).records();
    assert_eq!(text(records.last().expect("a record"), "kind"), "stats");
    let wrong: Vec<&Value> = records.iter().filter(|record| !whole.is_valid(record)).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}
