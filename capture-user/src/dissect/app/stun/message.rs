//! The message format of STUN (RFC 8489 section 5; RFC 3489 for the classic one, which has no cookie).
//!
//! ```text
//! | 0 0 | type 14 | length 16 | magic cookie 32 | transaction 96 | attributes: type 16, length 16, value, padding |
//! ```

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::dissect::app::wire::Reader;

/// Length of the header.
pub(super) const HEADER: usize = 20;
/// What tells STUN from everything else (RFC 8489 section 5).
pub(super) const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
/// Attributes read of one message.
const MAX_ATTRIBUTES: usize = 64;

/// The class of a message (RFC 8489 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Request,
    Indication,
    Success,
    Error,
}

/// What a message is about, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Method(pub(super) u16);

impl Method {
    /// Its name in IANA's registry, with Wireshark's spelling.
    pub(super) const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            0x001 => "Binding",
            0x002 => "SharedSecret",
            0x003 => "Allocate",
            0x004 => "Refresh",
            0x006 => "Send",
            0x007 => "Data",
            0x008 => "CreatePermission",
            0x009 => "Channel-Bind",
            0x00a => "Connect",
            0x00b => "ConnectionBind",
            0x00c => "ConnectionAttempt",
            _ => return None,
        })
    }
}

/// One message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    pub(super) class: Class,
    pub(super) method: Method,
    /// Cookie and transaction identifier; of the classic format all 16 bytes identify.
    pub(super) transaction: [u8; 16],
    /// The attributes, as far as they were captured.
    attributes: &'a [u8],
    /// The length that the header states: the whole message's.
    pub(super) length: usize,
}

impl<'a> Message<'a> {
    /// Reads the message that `bytes` begin with; its attributes may be incomplete.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let message = Self::parse_any(bytes)?;
        message.transaction.starts_with(&COOKIE).then_some(message)
    }

    /// Reads a classic message, `length` bytes long on the wire. Without a cookie everything must fit: the type, the
    /// length, and attributes of known types up to the very end; a request without attributes proves nothing.
    pub(super) fn parse_classic(bytes: &'a [u8], length: usize) -> Option<Self> {
        let message = Self::parse_any(bytes)?;
        let known = matches!(message.method.0, 1 | 2) && message.class != Class::Indication;
        let whole = message.length == length && bytes.len() == length && length > HEADER;
        if !known || !whole || message.transaction.starts_with(&COOKIE) {
            return None;
        }
        let mut reader = Reader::new(message.attributes);
        while !reader.rest().is_empty() {
            let (kind, length) = (reader.u16()?, reader.u16()?);
            reader.take(usize::from(length))?;
            if !matches!(kind, 0x0001..=0x000b | 0x8020 | 0x8022) || length % 4 != 0 {
                return None;
            }
        }
        Some(message)
    }

    fn parse_any(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let (kind, length) = (reader.u16()?, reader.u16()?);
        let transaction = reader.array()?;
        if kind & 0xc000 != 0 || length % 4 != 0 {
            return None;
        }
        // The class lies in bits 4 and 8, the method around them.
        let class = match kind >> 7 & 2 | kind >> 4 & 1 {
            0 => Class::Request,
            1 => Class::Indication,
            2 => Class::Success,
            _ => Class::Error,
        };
        let method = Method(kind & 0x000f | kind >> 1 & 0x0070 | kind >> 2 & 0x0f80);
        let rest = reader.rest();
        let attributes = rest.get(..usize::from(length)).unwrap_or(rest);
        Some(Self { class, method, transaction, attributes, length: HEADER + usize::from(length) })
    }

    /// Its attributes: type and value.
    pub(super) fn attributes(&self) -> impl Iterator<Item = (u16, &'a [u8])> {
        let mut reader = Reader::new(self.attributes);
        std::iter::from_fn(move || {
            let (kind, length) = (reader.u16()?, usize::from(reader.u16()?));
            let value = reader.take(length)?;
            // Values are padded to 32 bits; the last padding may be missing.
            let _ = reader.take(length.wrapping_neg() % 4);
            Some((kind, value))
        })
        .take(MAX_ATTRIBUTES)
    }

    /// An address attribute: family, port, address (RFC 8489 section 14.1).
    pub(super) fn address(value: &[u8]) -> Option<SocketAddr> {
        let mut reader = Reader::new(value);
        let (family, port) = (reader.u16()? & 0xff, reader.u16()?);
        let address: IpAddr = match family {
            1 => reader.ipv4()?.into(),
            2 => reader.ipv6()?.into(),
            _ => return None,
        };
        Some(SocketAddr::new(address, port))
    }

    /// An address attribute under the cookie and the transaction identifier (RFC 8489 section 14.2).
    pub(super) fn xor_address(&self, value: &[u8]) -> Option<SocketAddr> {
        let veiled = Self::address(value)?;
        let mask = u128::from_be_bytes(self.transaction);
        let port = veiled.port() ^ (mask >> 112) as u16;
        let address: IpAddr = match veiled.ip() {
            IpAddr::V4(address) => (u32::from(address) ^ (mask >> 96) as u32).to_be_bytes().into(),
            IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) ^ mask).into(),
        };
        Some(SocketAddr::new(address, port))
    }
}

/// The channel and the stated length of channel data (RFC 8656 section 12.4) that `bytes` begin with.
pub(super) fn channel_data(bytes: &[u8]) -> Option<(u16, usize)> {
    let mut reader = Reader::new(bytes);
    let (channel, length) = (reader.u16()?, reader.u16()?);
    (0x4000..0x5000).contains(&channel).then_some((channel, usize::from(length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_and_method_are_interleaved() {
        let check = |kind: u16, class, method| {
            let mut bytes = [0; HEADER];
            bytes[..2].copy_from_slice(&kind.to_be_bytes());
            bytes[4..8].copy_from_slice(&COOKIE);
            let message = Message::parse(&bytes).expect("a header");
            assert_eq!((message.class, message.method.0), (class, method));
        };
        check(0x0001, Class::Request, 1);
        check(0x0113, Class::Error, 3);
        check(0x0017, Class::Indication, 7);
        check(0x0109, Class::Success, 9);
        check(0x3eef, Class::Request, 0xfff);
    }

    #[test]
    fn channel_numbers() {
        assert_eq!(channel_data(&[0x40, 1, 0, 9, 0]), Some((0x4001, 9)));
        assert_eq!(channel_data(&[0x50, 0, 0, 9]), None);
        assert_eq!(channel_data(&[0x40]), None);
    }
}
