//! Serialisation into columns.

use std::fmt::{self, Display, Write};

use serde::ser::{Error as _, Impossible, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeTuple};
use serde::ser::{SerializeTupleStruct, Serializer};
// An error that is a text, and becomes one of input and output.
use serde_json::Error;

use super::column::{Column, List, Struct};

type Outcome = Result<(), Error>;

fn misfit(what: impl Display) -> Error {
    Error::custom(format_args!("{what} does not fit into the column"))
}

impl Column {
    fn push_whole(&mut self, value: i64) -> Outcome {
        match self {
            Self::Small(values) => values.append_value(i32::try_from(value).map_err(|_| misfit(value))?),
            Self::Whole(values) => values.append_value(value),
            Self::Real(values) => values.append_value(value as f64),
            _ => return Err(misfit(value)),
        }
        Ok(())
    }

    fn push_text(&mut self, text: &str) -> Outcome {
        match self {
            Self::Text(values) => values.append_value(text),
            Self::Time(values) => {
                let time: jiff::Timestamp = text.parse().map_err(|_| misfit(text))?;
                values.append_value(time.as_nanosecond().div_euclid(1_000) as i64);
            }
            _ => return Err(misfit(text)),
        }
        Ok(())
    }

    fn list(&mut self) -> Result<&mut List, Error> {
        match self {
            Self::List(list) => Ok(list),
            _ => Err(misfit("a list")),
        }
    }
}

/// A value becomes the next one of the column.
impl<'a> Serializer for &'a mut Column {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Elements<'a>;
    type SerializeTuple = Elements<'a>;
    type SerializeTupleStruct = Elements<'a>;
    type SerializeTupleVariant = Impossible<(), Error>;
    type SerializeMap = Members<'a>;
    type SerializeStruct = Members<'a>;
    type SerializeStructVariant = Impossible<(), Error>;

    fn serialize_bool(self, value: bool) -> Outcome {
        match self {
            Column::Flag(values) => values.append_value(value),
            _ => return Err(misfit(value)),
        }
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Outcome {
        self.push_whole(value.into())
    }

    fn serialize_i16(self, value: i16) -> Outcome {
        self.push_whole(value.into())
    }

    fn serialize_i32(self, value: i32) -> Outcome {
        self.push_whole(value.into())
    }

    fn serialize_i64(self, value: i64) -> Outcome {
        self.push_whole(value)
    }

    fn serialize_u8(self, value: u8) -> Outcome {
        self.push_whole(value.into())
    }

    fn serialize_u16(self, value: u16) -> Outcome {
        self.push_whole(value.into())
    }

    fn serialize_u32(self, value: u32) -> Outcome {
        self.push_whole(value.into())
    }

    /// Readers get along better with signed numbers than with the last bit of a length that somebody made up.
    fn serialize_u64(self, value: u64) -> Outcome {
        self.push_whole(i64::try_from(value).unwrap_or(i64::MAX))
    }

    fn serialize_f32(self, value: f32) -> Outcome {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Outcome {
        match self {
            // As in JSON, what is no number is null.
            Column::Real(values) => values.append_option(Some(value).filter(|value| value.is_finite())),
            _ => return Err(misfit(value)),
        }
        Ok(())
    }

    fn serialize_char(self, value: char) -> Outcome {
        self.push_text(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Outcome {
        self.push_text(value)
    }

    fn serialize_bytes(self, _: &[u8]) -> Outcome {
        Err(misfit("bytes"))
    }

    fn serialize_none(self) -> Outcome {
        self.push_null();
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Outcome {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Outcome {
        self.serialize_none()
    }

    fn serialize_unit_struct(self, _: &'static str) -> Outcome {
        self.serialize_none()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Outcome {
        self.push_text(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Outcome {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: &T,
    ) -> Outcome {
        Err(misfit(variant))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Elements<'a>, Error> {
        self.list().map(Elements)
    }

    fn serialize_tuple(self, _: usize) -> Result<Elements<'a>, Error> {
        self.list().map(Elements)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Elements<'a>, Error> {
        self.list().map(Elements)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        Err(misfit(variant))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Members<'a>, Error> {
        match self {
            Column::Struct(object) => Ok(Members::of(object)),
            _ => Err(misfit("an object")),
        }
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Members<'a>, Error> {
        self.serialize_map(None)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Error> {
        Err(misfit(variant))
    }
}

/// The elements of a list.
pub struct Elements<'a>(&'a mut List);

impl SerializeSeq for Elements<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Outcome {
        value.serialize(&mut self.0.elements)
    }

    fn end(self) -> Outcome {
        self.0.end(true);
        Ok(())
    }
}

impl SerializeTuple for Elements<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Outcome {
        SerializeSeq::serialize_element(self, value)
    }

    fn end(self) -> Outcome {
        SerializeSeq::end(self)
    }
}

impl SerializeTupleStruct for Elements<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Outcome {
        SerializeSeq::serialize_element(self, value)
    }

    fn end(self) -> Outcome {
        SerializeSeq::end(self)
    }
}

/// The fields of an object.
pub struct Members<'a> {
    object: &'a mut Struct,
    /// The name of the value that comes next.
    name: String,
}

impl<'a> Members<'a> {
    pub fn of(object: &'a mut Struct) -> Self {
        Self { object, name: String::new() }
    }

    fn column(object: &'a mut Struct, name: &str) -> Result<&'a mut Column, Error> {
        object.field(name).ok_or_else(|| Error::custom(format_args!("there is no column for `{name}`")))
    }
}

impl SerializeStruct for Members<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Outcome {
        let column = Members::column(self.object, name)?;
        value.serialize(column).map_err(|error| Error::custom(format_args!("{name}: {error}")))
    }

    fn end(self) -> Outcome {
        self.object.end(true);
        Ok(())
    }
}

impl SerializeMap for Members<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Outcome {
        self.name.clear();
        write!(self.name, "{}", Key(key)).map_err(Error::custom)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Outcome {
        let column = Members::column(self.object, &self.name)?;
        value.serialize(column).map_err(|error| Error::custom(format_args!("{}: {error}", self.name)))
    }

    fn end(self) -> Outcome {
        SerializeStruct::end(self)
    }
}

/// A key as text: formatters serialise what is simple.
struct Key<'a, T: ?Sized>(&'a T);

impl<T: Serialize + ?Sized> Display for Key<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.serialize(f)
    }
}
