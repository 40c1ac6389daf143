//! What a `stun` record says.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::Serialize;

use super::message::{Class, Message, Method};
use crate::dissect::app::exchange::is_zero;
use crate::dissect::app::memory::texts;
use crate::dissect::app::wire::{hex, some_text, text};
use crate::dissect::app::{Direction, People};

/// Bytes of text kept of an attribute.
const MAX_TEXT: usize = 256;

/// How a transaction ended, or that it is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// The server did what was asked.
    Success,
    /// The server refused.
    Error,
    /// The request was not answered.
    Unanswered,
    /// Messages that ask for no answer.
    Indication,
}

/// A transaction, or all indications of a kind that went one way.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Exchange {
    /// The method's name.
    #[serde(rename = "type")]
    kind: String,
    /// What became of it.
    pub(super) result: Outcome,
    /// The transaction identifier, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction: Option<String>,
    /// RFC 3489: no cookie.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    classic: bool,
    /// Where the server saw the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    mapped_address: Option<SocketAddr>,
    /// Where the relay listens for the client.
    #[serde(skip_serializing_if = "Option::is_none")]
    relayed_address: Option<SocketAddr>,
    /// Whom the client talks to by the relay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) peer_address: Option<SocketAddr>,
    /// Where the server can be reached otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    other_address: Option<SocketAddr>,
    /// The number of the channel to the peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<u16>,
    /// How long the allocation lasts, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    lifetime_s: Option<u32>,
    /// Of a refusal: 300 to 699.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<u16>,
    /// Of a refusal: its text.
    #[serde(skip_serializing_if = "Option::is_none")]
    error_reason: Option<String>,
    /// The name that the client signs its request with; a person's, so hashed unless names are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    /// Where that name is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    realm: Option<String>,
    /// The program that answers, or else asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    software: Option<String>,
    /// From the first time the request was sent to its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rtt_ms: Option<f64>,
    /// How often the request was sent again.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) retries: u32,
    /// Of indications and channel data: how many, which way, with how many bytes in all.
    #[serde(flatten)]
    tally: Option<Tally>,
}

/// Messages that are counted rather than told one by one.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub(super) struct Tally {
    /// Which way they went.
    pub(super) direction: Way,
    /// How many.
    pub(super) messages: u32,
    /// With how many bytes in all.
    pub(super) bytes: u64,
}

/// A direction as records show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Way {
    /// From the side that sent the flow's first packet.
    Out,
    /// Towards that side.
    In,
}

impl From<Direction> for Way {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Out => Self::Out,
            Direction::In => Self::In,
        }
    }
}

impl Exchange {
    /// Bytes its texts take.
    pub(super) fn memory(&self) -> usize {
        let optional = [&self.transaction, &self.error_reason, &self.username, &self.realm, &self.software];
        self.kind.capacity() + texts(optional)
    }

    /// A transaction of this method, by its first message seen.
    pub(super) fn transaction(message: &Message<'_>, classic: bool, people: People) -> Self {
        let identifier = if classic { &message.transaction[..] } else { &message.transaction[4..] };
        let mut told = Self::new(name(message.method));
        told.transaction = Some(hex(identifier, 16));
        told.classic = classic;
        told.absorb(message, people);
        told
    }

    /// Counted messages of one kind.
    pub(super) fn counted(kind: String, tally: Tally) -> Self {
        Self { tally: Some(tally), result: Outcome::Indication, ..Self::new(kind) }
    }

    fn new(kind: String) -> Self {
        Self {
            kind,
            result: Outcome::Unanswered,
            transaction: None,
            classic: false,
            mapped_address: None,
            relayed_address: None,
            peer_address: None,
            other_address: None,
            channel: None,
            lifetime_s: None,
            error_code: None,
            error_reason: None,
            username: None,
            realm: None,
            software: None,
            rtt_ms: None,
            retries: 0,
            tally: None,
        }
    }

    /// Adds what a message of the transaction says.
    pub(super) fn absorb(&mut self, message: &Message<'_>, people: People) {
        match message.class {
            Class::Success => self.result = Outcome::Success,
            Class::Error => self.result = Outcome::Error,
            Class::Request | Class::Indication => {}
        }
        for (kind, value) in message.attributes() {
            match kind {
                0x0001 => self.mapped_address = self.mapped_address.or(Message::address(value)),
                0x0020 | 0x8020 => self.mapped_address = message.xor_address(value),
                0x0016 => self.relayed_address = message.xor_address(value),
                0x0012 => self.peer_address = message.xor_address(value),
                0x0005 | 0x802c => self.other_address = Message::address(value),
                0x0006 => self.username = some_text(value, MAX_TEXT).map(|name| people.show(&name)),
                0x0014 => self.realm = some_text(value, MAX_TEXT),
                0x8022 => self.software = some_text(value, MAX_TEXT),
                0x000c => self.channel = value.first_chunk().map(|number| u16::from_be_bytes(*number)),
                0x000d => self.lifetime_s = value.first_chunk().map(|number| u32::from_be_bytes(*number)),
                0x0009 => self.error(value),
                _ => {}
            }
        }
    }

    /// ERROR-CODE: hundreds, the rest, a phrase (RFC 8489 section 14.8).
    fn error(&mut self, value: &[u8]) {
        let Some(([_, _, hundreds, rest], phrase)) = value.split_first_chunk::<4>() else { return };
        self.error_code = Some(u16::from(hundreds & 7) * 100 + u16::from(*rest));
        self.error_reason = Some(text(phrase, MAX_TEXT)).filter(|phrase| !phrase.is_empty());
    }
}

/// The method's name, or its number.
pub(super) fn name(method: Method) -> String {
    method.name().map_or_else(|| format!("0x{:03x}", method.0), str::to_owned)
}
