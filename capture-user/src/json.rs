//! JSON (RFC 8259), appended to a line: the same text as serde_json's, in half the time.
//!
//! What serde_json does for every string it does for the names of fields, too: look at each byte for what has to be
//! escaped. Records are mostly names of fields, and those are identifiers. Numbers are written by serde_json.

use std::fmt::{self, Display, Write as _};

use serde::ser::{
    self, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use serde_json::{Error, Result};

/// Appends a value.
///
/// # Errors
/// When a part of it cannot be JSON, as a map whose keys are neither text nor numbers.
pub fn append(line: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) -> Result<()> {
    value.serialize(Json(line))
}

/// Writes one value.
struct Json<'a>(&'a mut Vec<u8>);

/// Writes the parts of a value, a comma behind each, and what follows them.
struct Parts<'a> {
    line: &'a mut Vec<u8>,
    end: &'static [u8],
}

impl<'a> Parts<'a> {
    fn begin(line: &'a mut Vec<u8>, open: u8, end: &'static [u8]) -> Self {
        line.push(open);
        Self { line, end }
    }

    fn begin_variant(line: &'a mut Vec<u8>, variant: &str, open: u8, end: &'static [u8]) -> Self {
        line.push(b'{');
        append_name(line, variant);
        Self::begin(line, open, end)
    }

    #[inline]
    fn element(&mut self, value: &(impl Serialize + ?Sized)) -> Result<()> {
        append(self.line, value)?;
        self.line.push(b',');
        Ok(())
    }

    #[inline(always)]
    fn field(&mut self, name: &'static str, value: &(impl Serialize + ?Sized)) -> Result<()> {
        append_name(self.line, name);
        self.element(value)
    }

    /// The last comma makes room for the end.
    fn finish(self) {
        if self.line.last() == Some(&b',') {
            self.line.pop();
        }
        self.line.extend_from_slice(self.end);
    }
}

/// The longest name that is put together before it is appended.
const SHORT: usize = 28;

/// The name of a field or variant, and its colon. Those are identifiers, or what `serde(rename)` made of them. Where this
/// is inlined the name is a constant, and all of it a few moves.
#[inline(always)]
fn append_name(line: &mut Vec<u8>, name: &str) {
    if name.len() > SHORT {
        line.push(b'"');
        line.extend_from_slice(name.as_bytes());
        return line.extend_from_slice(b"\":");
    }
    let mut all = [0; SHORT + 3];
    all[0] = b'"';
    all[1..][..name.len()].copy_from_slice(name.as_bytes());
    all[1 + name.len()] = b'"';
    all[2 + name.len()] = b':';
    line.extend_from_slice(&all[..name.len() + 3]);
}

fn append_text(line: &mut Vec<u8>, text: &str) {
    line.reserve(text.len() + 2);
    line.push(b'"');
    append_escaped(line, text.as_bytes());
    line.push(b'"');
}

fn append_escaped(line: &mut Vec<u8>, text: &[u8]) {
    if is_plain(text) {
        return line.extend_from_slice(text);
    }
    for byte in text {
        match byte {
            b'"' | b'\\' => line.extend_from_slice(&[b'\\', *byte]),
            0x08 => line.extend_from_slice(b"\\b"),
            b'\t' => line.extend_from_slice(b"\\t"),
            b'\n' => line.extend_from_slice(b"\\n"),
            0x0c => line.extend_from_slice(b"\\f"),
            b'\r' => line.extend_from_slice(b"\\r"),
            0..0x20 => line.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => line.push(*byte),
        }
    }
}

/// Whether nothing has to be escaped. Bytes are looked at together, without branches, so that many take a few
/// instructions; the last ones of a text together with some of those before them.
fn is_plain(text: &[u8]) -> bool {
    fn all<const N: usize>(chunk: &[u8; N]) -> bool {
        !chunk.iter().fold(false, |found, byte| found | must_be_escaped(*byte))
    }
    if let Some(last) = text.last_chunk::<16>() {
        let (chunks, _) = text.as_chunks::<16>();
        return chunks.iter().all(all) && all(last);
    }
    match (text.first_chunk::<8>(), text.last_chunk::<8>()) {
        (Some(first), Some(last)) => all(first) && all(last),
        _ => !text.iter().any(|byte| must_be_escaped(*byte)),
    }
}

const fn must_be_escaped(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Text that is formatted straight into the line.
struct Escaping<'a>(&'a mut Vec<u8>);

impl fmt::Write for Escaping<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        append_escaped(self.0, text.as_bytes());
        Ok(())
    }
}

/// Methods that write a number as serde_json does.
macro_rules! numbers {
    ($($method:ident $type:ty),*) => {$(
        fn $method(self, value: $type) -> Result<()> {
            serde_json::to_writer(self.0, &value)
        }
    )*};
}

impl<'a> Serializer for Json<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Parts<'a>;
    type SerializeTuple = Parts<'a>;
    type SerializeTupleStruct = Parts<'a>;
    type SerializeTupleVariant = Parts<'a>;
    type SerializeMap = Parts<'a>;
    type SerializeStruct = Parts<'a>;
    type SerializeStructVariant = Parts<'a>;

    numbers!(
        serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64, serialize_i128 i128, serialize_u8 u8,
        serialize_u16 u16, serialize_u32 u32, serialize_u64 u64, serialize_u128 u128, serialize_f32 f32, serialize_f64 f64
    );

    fn serialize_bool(self, value: bool) -> Result<()> {
        self.0.extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<()> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<()> {
        append_text(self.0, value);
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_none(self) -> Result<()> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<()> {
        self.0.extend_from_slice(b"null");
        Ok(())
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<()> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _name: &'static str, _index: u32, variant: &'static str) -> Result<()> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _name: &'static str, value: &T) -> Result<()> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<()> {
        let mut parts = Parts::begin(self.0, b'{', b"}");
        parts.field(variant, value)?;
        parts.finish();
        Ok(())
    }

    fn serialize_seq(self, _length: Option<usize>) -> Result<Parts<'a>> {
        Ok(Parts::begin(self.0, b'[', b"]"))
    }

    fn serialize_tuple(self, _length: usize) -> Result<Parts<'a>> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_struct(self, _name: &'static str, _length: usize) -> Result<Parts<'a>> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _length: usize,
    ) -> Result<Parts<'a>> {
        Ok(Parts::begin_variant(self.0, variant, b'[', b"]}"))
    }

    fn serialize_map(self, _length: Option<usize>) -> Result<Parts<'a>> {
        Ok(Parts::begin(self.0, b'{', b"}"))
    }

    fn serialize_struct(self, _name: &'static str, _length: usize) -> Result<Parts<'a>> {
        self.serialize_map(None)
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _length: usize,
    ) -> Result<Parts<'a>> {
        Ok(Parts::begin_variant(self.0, variant, b'{', b"}}"))
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<()> {
        self.0.push(b'"');
        write!(Escaping(self.0), "{value}").map_err(ser::Error::custom)?;
        self.0.push(b'"');
        Ok(())
    }
}

impl SerializeMap for Parts<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        let start = self.line.len();
        append(self.line, key)?;
        match self.line.get(start) {
            Some(b'"') => {}
            // A number, which has to be text here.
            Some(b'0'..=b'9' | b'-') => {
                self.line.insert(start, b'"');
                self.line.push(b'"');
            }
            _ => return Err(ser::Error::custom("a key must be text or a number")),
        }
        self.line.push(b':');
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.element(value)
    }

    fn end(self) -> Result<()> {
        self.finish();
        Ok(())
    }
}

/// What has elements, or fields: each adds one, and an end.
macro_rules! parts {
    ($($kind:ident $add:ident $with:ident ($($name:ident)?)),*) => {$(
        impl $kind for Parts<'_> {
            type Ok = ();
            type Error = Error;

            #[inline(always)]
            fn $add<T: Serialize + ?Sized>(&mut self, $($name: &'static str,)? value: &T) -> Result<()> {
                self.$with($($name,)? value)
            }

            fn end(self) -> Result<()> {
                self.finish();
                Ok(())
            }
        }
    )*};
}

parts!(
    SerializeSeq serialize_element element (),
    SerializeTuple serialize_element element (),
    SerializeTupleStruct serialize_field element (),
    SerializeTupleVariant serialize_field element (),
    SerializeStruct serialize_field field (name),
    SerializeStructVariant serialize_field field (name)
);

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::Serialize;

    use super::*;

    fn text(value: &impl Serialize) -> String {
        let mut line = Vec::new();
        append(&mut line, value).expect("it can be JSON");
        String::from_utf8(line).expect("text")
    }

    #[derive(Serialize)]
    enum Shape {
        Unit,
        One(u8),
        Two(u8, Option<&'static str>),
        Named { a: (), b: char, a_name_that_is_longer_than_most_are: u8 },
    }

    #[derive(Serialize)]
    struct Nothing;

    #[derive(Serialize)]
    struct Pair(i64, f64);

    #[derive(Serialize)]
    struct Everything {
        shapes: [Shape; 4],
        nothing: Nothing,
        pair: Pair,
        numbers: BTreeMap<i16, bool>,
        empty: Vec<u8>,
        #[serde(flatten)]
        more: BTreeMap<&'static str, f32>,
        #[serde(serialize_with = "shown")]
        shown: &'static str,
    }

    fn shown<S: Serializer>(text: &&str, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(text)
    }

    #[test]
    fn every_kind_of_value_is_written_as_by_serde_json() {
        let everything = Everything {
            shapes: [
                Shape::Unit,
                Shape::One(7),
                Shape::Two(8, None),
                Shape::Named { a: (), b: '"', a_name_that_is_longer_than_most_are: 9 },
            ],
            nothing: Nothing,
            pair: Pair(i64::MIN, 1e300),
            numbers: BTreeMap::from([(-3, true), (4, false)]),
            empty: Vec::new(),
            more: BTreeMap::from([("x", f32::NAN), ("y", 0.1)]),
            shown: "a \"quoted\"\nline",
        };
        assert_eq!(text(&everything), serde_json::to_string(&everything).expect("it can"));
    }

    #[test]
    fn keys_that_are_no_text_are_refused() {
        assert!(append(&mut Vec::new(), &BTreeMap::from([(vec![1], 1)])).is_err());
        assert!(append(&mut Vec::new(), &BTreeMap::from([(Some(()), 1)])).is_err());
    }

    proptest! {
        #[test]
        fn texts_are_escaped_as_by_serde_json(parts in proptest::collection::vec("[a-z]{0,20}|\\PC{0,9}|[\u{0}-\u{24}\\\\]{0,3}", 0..6)) {
            let value = BTreeMap::from([(parts.concat(), parts)]);
            prop_assert_eq!(text(&value), serde_json::to_string(&value).expect("it can"));
        }
    }
}
