//! What keeps a SIP flow's address translation open: CRLF (RFC 5626 section 3.5.1), the four bytes `jaK\0` of the
//! eXosip2 library's clients, the four zero bytes of the nathelper module of SER's family of servers.
//!
//! None of it asks for a game or a match: it says that a voice client is registered, and idle or not.

use schemars::JsonSchema;
use serde::Serialize;

use crate::dissect::app::Segment;
use crate::time::Timestamp;

/// The ports at which `jaK\0` alone tells of SIP.
pub(super) const PORTS: [u16; 2] = [5060, 5062];

/// A payload that says nothing but that its sender is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeepAlive {
    /// `6a 61 4b 00`.
    Exosip,
    /// `00 00 00 00`.
    Nathelper,
    /// CRLF CRLF: asks for a pong where the transport is a stream.
    Ping,
    /// CRLF.
    Pong,
}

impl KeepAlive {
    /// What a whole datagram is.
    pub fn of(payload: &[u8]) -> Option<Self> {
        match payload {
            b"jaK\0" => Some(Self::Exosip),
            b"\0\0\0\0" => Some(Self::Nathelper),
            b"\r\n\r\n" => Some(Self::Ping),
            b"\r\n" => Some(Self::Pong),
            _ => None,
        }
    }

    /// What begins at the start of a stream's bytes.
    pub fn at_start(bytes: &[u8]) -> Option<(Self, usize)> {
        if bytes.starts_with(b"\r\n\r\n") {
            Some((Self::Ping, 4))
        } else if bytes.starts_with(b"\r\n") {
            Some((Self::Pong, 2))
        } else {
            None
        }
    }

    /// Whether a datagram is a client's keep-alive that needs no SIP message beside it.
    pub fn opens(segment: &Segment<'_>) -> bool {
        !segment.stream
            && segment.length == 4
            && Self::of(segment.bytes) == Some(Self::Exosip)
            && PORTS.contains(&segment.destination.port())
    }
}

/// Keep-alives of one kind that one side sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    count: u64,
    first: Timestamp,
    last: Timestamp,
}

impl Tally {
    pub fn count(&mut self, time: Timestamp) {
        if self.count == 0 {
            self.first = time;
        }
        self.last = time;
        self.count += 1;
    }

    /// Whether any came.
    pub const fn any(&self) -> bool {
        self.count > 0
    }

    /// What there is to tell, if any came.
    pub fn sent(&self, bytes: &'static str, sender: &'static str) -> Option<Sent> {
        let span = self.last.nanos_since(self.first) as f64 / 1e9;
        self.any().then(|| Sent {
            bytes,
            sender,
            count: self.count,
            period_s: (self.count > 1).then(|| span / (self.count - 1) as f64),
        })
    }
}

/// Keep-alives of one kind.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Sent {
    /// The payload in hexadecimal digits.
    bytes: &'static str,
    /// The implementation that is known to send it.
    sender: &'static str,
    /// How many.
    count: u64,
    /// Mean time from one to the next, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    period_s: Option<f64>,
}

/// The record `sip_keepalive`: what kept one flow open, told when the flow ends.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Facts {
    /// The client's `jaK\0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<Sent>,
    /// The server's four zero bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<Sent>,
    /// CRLFs from the side that opened the flow, and from the other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crlf_out: Option<Sent>,
    /// CRLFs from the other side.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crlf_in: Option<Sent>,
    /// Messages of SIP on the flow; 0 where the capture began after the client had registered.
    pub messages: u64,
    /// What tells whose flow it is.
    pub why: Vec<&'static str>,
}

impl Facts {
    /// Whether there was any keep-alive.
    pub fn is_empty(&self) -> bool {
        self.client.is_none() && self.server.is_none() && self.crlf_out.is_none() && self.crlf_in.is_none()
    }
}
