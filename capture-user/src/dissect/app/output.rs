//! Where conversations say what they learned.

use std::any::Any;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use schemars::JsonSchema;

use super::{Opener, People, Protocol, Resolved};
use crate::json;
use crate::record::Kinds;
use crate::time::Timestamp;

/// What a protocol found: any type that serialises as a map of named fields, and describes them. The fields' names and
/// units are those of the record it becomes; their doc comments, those of its schema.
pub trait Facts: erased_serde::Serialize + Any + fmt::Debug + Send + Sync {
    /// For outputs that know a protocol's own type.
    fn as_any(&self) -> &dyn Any;

    /// Appends it as JSON: as serialising it does, but without a call through a table for each field.
    ///
    /// # Errors
    /// When a part of it cannot be JSON.
    fn append_json(&self, line: &mut Vec<u8>) -> serde_json::Result<()>;
}

impl<T: serde::Serialize + JsonSchema + Any + fmt::Debug + Send + Sync> Facts for T {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn append_json(&self, line: &mut Vec<u8>) -> serde_json::Result<()> {
        json::append(line, self)
    }
}

erased_serde::serialize_trait_object!(Facts);

/// One thing that happened on a flow: it becomes one record.
#[derive(Debug)]
pub struct Event {
    /// When, on the wire.
    pub time: Timestamp,
    /// The record's kind: `dns`, `tls`, `sip`…
    pub kind: &'static str,
    /// Its fields.
    pub facts: Box<dyn Facts>,
}

/// What a conversation knows of its flow as a whole.
#[derive(Clone, Debug, Default)]
pub struct Label {
    /// The protocol's name, once it is sure.
    pub app: Option<&'static str>,
    /// The name of the server.
    pub host: Option<Arc<str>>,
    /// Where that name was read.
    pub host_from: Option<HostFrom>,
    /// Where name servers gave several names for the server's address and nothing else names it: all of them, the one
    /// asked for last first.
    pub host_candidates: Vec<Arc<str>>,
    /// Whether another flow had announced what this one speaks, as a call's description does.
    pub announced: bool,
}

impl Label {
    /// Bytes its names take. Those that name servers gave are shared with other flows, and counted here all the same.
    pub fn memory(&self) -> usize {
        self.host.as_ref().map_or(0, |host| host.len() + ARC) + self.host_candidates.capacity() * size_of::<Arc<str>>()
    }
}

/// The counters that stand before what an [`Arc`] shares.
const ARC: usize = 16;

/// Where a flow's host name was read, the weakest evidence first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HostFrom {
    /// An earlier answer of a name server.
    Dns,
    /// The server's certificate.
    Cert,
    /// The Host field of a request.
    Http,
    /// The server name in a TLS or QUIC hello.
    Sni,
}

/// A flow that was announced: whatever is sent to or from `endpoint` belongs to the conversation that `open` makes.
#[derive(Clone)]
pub struct Expectation {
    /// The address and port that were announced.
    pub endpoint: SocketAddr,
    /// The protocol that was announced.
    pub protocol: &'static Protocol,
    /// Makes its conversation.
    pub open: Opener,
}

impl fmt::Debug for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.protocol.name, self.endpoint)
    }
}

/// What conversations say, collected by the flow's owner. The lists are the owner's and are reused.
#[derive(Debug, Default)]
pub struct Output {
    /// Records to make of this flow.
    pub events: Vec<Event>,
    /// Names learned.
    pub names: Vec<Resolved>,
    /// Flows announced.
    pub expectations: Vec<Expectation>,
    /// What is known of the flow as a whole.
    pub label: Label,
    /// How names of people are shown.
    pub people: People,
    /// The kinds that are of interest.
    pub kinds: Kinds,
}

impl Output {
    /// Whether nothing was said that goes beyond the flow itself.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.names.is_empty() && self.expectations.is_empty()
    }

    /// Whether records of this kind are of interest: if not, there is no need to find out what they would say.
    #[inline]
    pub fn wants(&self, kind: &str) -> bool {
        self.kinds.has(kind)
    }

    /// Tells of something that becomes a record of this kind, if it is of interest.
    pub fn emit(&mut self, time: Timestamp, kind: &'static str, facts: impl Facts) {
        if self.wants(kind) {
            self.events.push(Event { time, kind, facts: Box::new(facts) });
        }
    }

    /// Names the server of this flow; weaker evidence does not replace stronger.
    pub fn host(&mut self, name: &str, from: HostFrom) {
        if self.label.host_from.is_none_or(|known| known <= from) && !name.is_empty() {
            self.label.host = Some(name.into());
            self.label.host_from = Some(from);
            self.label.host_candidates.clear();
        }
    }

    /// Says that the flow speaks `protocol`.
    pub fn identify(&mut self, protocol: &'static str) {
        self.label.app = Some(protocol);
    }
}
