//! Ethernet addresses.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use arrayvec::ArrayString;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

/// A 48-bit MAC address; printed in lower case with colons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Whether it names a group of stations (the I/G bit), broadcast included.
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// Its text: every record has one.
    fn text(self) -> ArrayString<17> {
        let mut text = [b':'; 17];
        for (place, byte) in text.chunks_mut(3).zip(self.0) {
            if let [high, low, ..] = place {
                (*high, *low) = (hex(byte >> 4), hex(byte & 0x0f));
            }
        }
        ArrayString::from_byte_string(&text).unwrap_or_default()
    }
}

/// The digit for a number below 16.
const fn hex(number: u8) -> u8 {
    if number < 10 { b'0' + number } else { b'a' + number - 10 }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// A text that is no MAC address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}`: expected a MAC address such as bc:60:a7:00:00:40")]
pub struct MacError(String);

impl FromStr for Mac {
    type Err = MacError;

    fn from_str(text: &str) -> Result<Self, MacError> {
        let byte = |text: &str| {
            if text.len() == 2 && !text.starts_with('+') { u8::from_str_radix(text, 16).ok() } else { None }
        };
        let bytes: Option<Vec<u8>> = text.split(':').map(byte).collect();
        bytes.and_then(|bytes| bytes.try_into().ok()).map(Self).ok_or_else(|| MacError(text.to_owned()))
    }
}

impl Serialize for Mac {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl JsonSchema for Mac {
    fn schema_name() -> Cow<'static, str> {
        "Mac".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^[0-9a-f]{2}(:[0-9a-f]{2}){5}$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read() {
        let mac = Mac([0xbc, 0x60, 0xa7, 0, 0, 0x40]);
        assert_eq!(mac.to_string().parse(), Ok(mac));
        for text in
            ["", "bc:60:a7", "bc:60:a7:00:00:4g", "bc:60:a7:00:00:40:00", "bc:60:a7:0:0:40", "+c:60:a7:00:00:40"]
        {
            assert!(text.parse::<Mac>().is_err_and(|error| error.to_string().contains(text)), "{text}");
        }
    }
}
