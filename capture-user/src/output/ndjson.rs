//! Newline-delimited JSON: one record, one line.

use std::io;
use std::sync::Arc;

use serde::Serialize;

use super::lines::Encode;
use crate::json;
use crate::record::Record;

/// Shows records as JSON objects.
pub struct Ndjson {
    /// As a field.
    sensor: Vec<u8>,
}

impl Ndjson {
    /// Every record names `sensor` as the place it was made.
    pub fn new(sensor: Arc<str>) -> Self {
        Self { sensor: format!(",\"sensor\":{}", serde_json::Value::from(&*sensor)).into_bytes() }
    }
}

impl Encode for Ndjson {
    fn encode(&mut self, record: &Record, line: &mut Vec<u8>) -> io::Result<()> {
        // The object of three parts is made of three objects: far cheaper than serde's `flatten`, which has to pass
        // every field of the facts through a trait object twice.
        line.extend_from_slice(b"{\"kind\":\"");
        line.extend_from_slice(record.kind.as_bytes());
        line.extend_from_slice(b"\",\"ts\":\"");
        line.extend_from_slice(record.time.text().as_bytes());
        line.push(b'"');
        line.extend_from_slice(&self.sensor);
        append_fields(line, &record.subject)?;
        append(line, |line| record.facts.append_json(line))?;
        line.extend_from_slice(b"}\n");
        Ok(())
    }
}

/// Goes on with an object whose end is missing: with the fields of another.
pub(super) fn append_fields(line: &mut Vec<u8>, fields: &(impl Serialize + ?Sized)) -> io::Result<()> {
    append(line, |line| json::append(line, fields))
}

fn append(line: &mut Vec<u8>, fields: impl FnOnce(&mut Vec<u8>) -> serde_json::Result<()>) -> io::Result<()> {
    let start = line.len();
    fields(line)?;
    match line.get_mut(start..) {
        Some([b'{', b'}']) => line.truncate(start),
        Some([open @ b'{', .., b'}']) => {
            *open = b',';
            line.truncate(line.len() - 1);
        }
        _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "facts that are not an object of fields")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::record::Subject;
    use crate::time::Timestamp;

    fn line(subject: Subject, facts: serde_json::Value) -> io::Result<String> {
        let record = Record { kind: "test", time: Timestamp::from_nanos(1), subject, facts: Box::new(facts) };
        let mut line = Vec::new();
        Ndjson::new("a \"b\"".into()).encode(&record, &mut line)?;
        Ok(String::from_utf8(line).expect("UTF-8"))
    }

    #[test]
    fn the_parts_of_a_record_make_one_object() {
        let head = r#"{"kind":"test","ts":"1970-01-01T00:00:00.000000001Z","sensor":"a \"b\"""#;
        let subject = Subject { src_port: Some(5), ..Subject::default() };
        for (subject, facts, tail) in [
            (Subject::default(), json!({}), "}\n"),
            (subject.clone(), json!({}), ",\"src_port\":5}\n"),
            (Subject::default(), json!({"a": {}}), ",\"a\":{}}\n"),
            (subject, json!({"a": "}"}), ",\"src_port\":5,\"a\":\"}\"}\n"),
        ] {
            assert_eq!(line(subject, facts).expect("an object"), format!("{head}{tail}"));
        }
        assert!(line(Subject::default(), json!([1])).is_err());
    }
}
