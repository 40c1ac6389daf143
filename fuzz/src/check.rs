//! What holds for all that comes out.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use capture_user::dissect::app::Event;
use capture_user::output::{
    Sink,
    ndjson::Ndjson,
    text::{Style, Text},
};
use capture_user::record::{Record, Subject};
use serde::Deserializer as _;
use serde::de::{IgnoredAny, MapAccess, Visitor};

/// Checks the records that events become; their length as JSON.
pub fn events(events: impl IntoIterator<Item = Event>) -> usize {
    let record = |Event { kind, time, facts }| Record { kind, time, subject: Subject::default(), facts };
    records(&events.into_iter().map(record).collect::<Vec<_>>())
}

/// Checks that each record is one line of JSON whose fields each occur once, and one line of text that commands no
/// terminal. Their length as JSON.
pub fn records(records: &[Record]) -> usize {
    let (mut json, mut text) = (Vec::new(), Vec::new());
    write(Ndjson::new(&mut json, Arc::from("sensor")), records);
    write(Text::new(&mut text, Style::PLAIN), records);
    assert!(json.is_empty() || json.ends_with(b"\n"));
    let lines = || json.split_inclusive(|byte| *byte == b'\n');
    assert_eq!(lines().count(), records.len());
    for line in lines() {
        let mut reader = serde_json::Deserializer::from_slice(line);
        reader.deserialize_map(Fields).and_then(|()| reader.end()).expect("one JSON object");
    }
    let text = String::from_utf8(text).expect("text is UTF-8");
    assert_eq!(text.split_terminator('\n').count(), records.len());
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    json.len()
}

fn write(mut sink: impl Sink, records: &[Record]) {
    records.iter().try_for_each(|record| sink.record(record)).and_then(|()| sink.finish()).expect("room in memory");
}

/// An object's fields, each of which occurs once.
struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some((name, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
            assert!(seen.insert(name.clone()), "{name} occurs twice");
        }
        assert!(seen.contains("kind") && seen.contains("ts"));
        Ok(())
    }
}
