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

/// Checks the record that an event becomes; its length as a line.
pub fn event(event: Event) -> usize {
    let Event { kind, time, facts } = event;
    record(&Record { kind, time, subject: Subject::default(), facts })
}

/// Checks that a record is one line of JSON whose fields each occur once, and one line of text that commands no
/// terminal. Its length as JSON.
pub fn record(record: &Record) -> usize {
    let (mut json, mut text) = (Vec::new(), Vec::new());
    write(Ndjson::new(&mut json, Arc::from("sensor")), record);
    write(Text::new(&mut text, Style::PLAIN), record);
    let (line, end) = json.split_at(json.len() - 1);
    assert_eq!(end, b"\n");
    assert!(!line.contains(&b'\n'));
    let mut reader = serde_json::Deserializer::from_slice(line);
    reader.deserialize_map(Fields).and_then(|()| reader.end()).expect("one JSON object");
    let text = String::from_utf8(text).expect("text is UTF-8");
    assert!(text.strip_suffix('\n').is_some_and(|line| !line.contains(char::is_control)), "{text:?}");
    json.len()
}

fn write(mut sink: impl Sink, record: &Record) {
    sink.record(record).and_then(|()| sink.finish()).expect("room in memory");
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
