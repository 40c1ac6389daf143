//! The record layer of streams (RFC 8446 section 5.1).

use super::wire::Reader;

/// Content types (RFC 8446 section 5.1).
pub mod content {
    /// What follows is encrypted.
    pub const CHANGE_CIPHER_SPEC: u8 = 20;
    /// A warning, or the end.
    pub const ALERT: u8 = 21;
    /// Handshake messages.
    pub const HANDSHAKE: u8 = 22;
    /// Application data; in TLS 1.3 whatever is encrypted.
    pub const APPLICATION_DATA: u8 = 23;
    /// A sign of life (RFC 6520).
    pub const HEARTBEAT: u8 = 24;
}

/// The longest fragment that any version allows, in bytes (RFC 5246 section 6.2.3).
const MAX_FRAGMENT: usize = (1 << 14) + 2048;

/// The header of a record, and as much of its fragment as there is.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its content type.
    pub content: u8,
    /// What it carries.
    pub fragment: &'a [u8],
    /// Whether `fragment` is all of it.
    pub whole: bool,
}

impl<'a> Record<'a> {
    /// Reads the next record, even if its end is not there yet.
    pub fn next(reader: &mut Reader<'a>) -> Result<Self, Unread> {
        let Some(&[content, major, minor, high, low]) = reader.rest().first_chunk() else {
            return if could_begin(reader.rest()) { Err(Unread::Incomplete) } else { Err(Unread::Foreign) };
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if !is_content(content) || major != 3 || minor > 4 || length > MAX_FRAGMENT {
            return Err(Unread::Foreign);
        }
        reader.array::<5>();
        let whole = reader.rest().len() >= length;
        let fragment = reader.take(length.min(reader.rest().len())).unwrap_or_default();
        Ok(Self { content, fragment, whole })
    }
}

/// Why there is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// The header's end is not there yet.
    Incomplete,
    /// These bytes begin none.
    Foreign,
}

const fn is_content(content: u8) -> bool {
    matches!(content, content::CHANGE_CIPHER_SPEC..=content::HEARTBEAT)
}

fn could_begin(bytes: &[u8]) -> bool {
    bytes.first().is_none_or(|content| is_content(*content)) && bytes.get(1).is_none_or(|major| *major == 3)
}
