//! Community ID, version 1 (<https://github.com/corelight/community-id-spec>): one name for a flow in every tool.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use arrayvec::{ArrayString, ArrayVec};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};
use sha1::{Digest, Sha1};

use super::Key;

/// A flow's Community ID under seed 0; printed as `1:` and base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CommunityId(pub(crate) [u8; 20]);

impl CommunityId {
    /// The name of the flow with this key.
    pub fn of(key: &Key) -> Self {
        let (low, high) = (key.endpoint(false), key.endpoint(true));
        // Two bytes of seed, two addresses, protocol and padding, two ports.
        let mut tuple = ArrayVec::<u8, 40>::from_iter([0, 0]);
        let mut add = |bytes: &[u8]| tuple.try_extend_from_slice(bytes).unwrap_or_default();
        for address in [low.ip(), high.ip()] {
            match address {
                IpAddr::V4(v4) => add(&v4.octets()),
                IpAddr::V6(v6) => add(&v6.octets()),
            }
        }
        add(&[key.protocol().0, 0]);
        if key.has_ports() {
            add(&low.port().to_be_bytes());
            add(&high.port().to_be_bytes());
        }
        Self(Sha1::digest(&tuple).into())
    }
}

impl CommunityId {
    /// The first 64 bits of it, for formats that name flows by numbers.
    pub fn number(&self) -> u64 {
        self.0.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }

    /// Its text, `1:` and base64: nearly every record has one.
    fn text(&self) -> ArrayString<30> {
        let mut text = *b"1:____________________________";
        if let Some(base64) = text.get_mut(2..) {
            // 20 bytes are 28 characters.
            let _ = STANDARD.encode_slice(self.0, base64);
        }
        ArrayString::from_byte_string(&text).unwrap_or_default()
    }
}

impl fmt::Display for CommunityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// A text that is no Community ID of version 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}`: expected a Community ID, 1: and 28 characters of base64")]
pub struct CommunityIdError(String);

impl FromStr for CommunityId {
    type Err = CommunityIdError;

    fn from_str(text: &str) -> Result<Self, CommunityIdError> {
        let hash = text.strip_prefix("1:").and_then(|hash| STANDARD.decode(hash).ok());
        hash.and_then(|hash| hash.try_into().ok()).map(Self).ok_or_else(|| CommunityIdError(text.to_owned()))
    }
}

impl Serialize for CommunityId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl JsonSchema for CommunityId {
    fn schema_name() -> Cow<'static, str> {
        "CommunityId".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^1:[A-Za-z0-9+/]{27}=$" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read() {
        let id = CommunityId([7; 20]);
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in [
            "",
            "1:",
            "2:BwcHBwcHBwcHBwcHBwcHBwcHBwc=",
            "1:BwcHBwcHBwcHBwcHBwcHBwcHBw==",
            "BwcHBwcHBwcHBwcHBwcHBwcHBwc=",
        ] {
            assert!(text.parse::<CommunityId>().is_err_and(|error| error.to_string().contains(text)), "{text}");
        }
    }
}
