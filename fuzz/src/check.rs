//! What holds for all that comes out.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use capture_user::dissect::app::Event;
use capture_user::output::eve::Eve;
use capture_user::output::lines::Encode;
use capture_user::output::ndjson::Ndjson;
use capture_user::output::text::{Style, Text};
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
    let json = lines(&mut Ndjson::new(Arc::from("sensor")), records);
    let text = lines(&mut Text::new(Style::PLAIN), records);
    lines(&mut Eve::new(Arc::from("sensor")), records);
    assert!(json.is_empty() || json.ends_with(b"\n"));
    let objects = || json.split_inclusive(|byte| *byte == b'\n');
    assert_eq!(objects().count(), records.len());
    for line in objects() {
        let mut reader = serde_json::Deserializer::from_slice(line);
        reader.deserialize_map(Fields).and_then(|()| reader.end()).expect("one JSON object");
    }
    let text = String::from_utf8(text).expect("text is UTF-8");
    assert_eq!(text.split_terminator('\n').count(), records.len());
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "{text:?}");
    json.len()
}

fn lines(format: &mut dyn Encode, records: &[Record]) -> Vec<u8> {
    let mut lines = Vec::new();
    records.iter().try_for_each(|record| format.encode(record, &mut lines)).expect("room in memory");
    lines
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
