//! What a `dns` record says.

use std::fmt;

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::message::{Entries, Entry, Header, Malformed, Section, Type};
use crate::dissect::app::exchange::is_zero;
use crate::dissect::app::memory::texts;

/// Questions of one message that are told.
const MAX_QUESTIONS: usize = 32;
/// Answers of one message that are told.
const MAX_ANSWERS: usize = 32;

/// Which use of the message format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// DNS.
    Dns,
    /// Multicast DNS.
    Mdns,
    /// Link-local multicast name resolution.
    Llmnr,
}

impl Transport {
    /// The protocol's name.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Mdns => "mdns",
            Self::Llmnr => "llmnr",
        }
    }
}

/// A query, its answer, or both.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Exchange {
    /// Which use of DNS.
    pub transport: Transport,
    /// The message's identifier.
    pub id: u16,
    /// What was asked.
    #[serde(flatten)]
    pub query: Query,
    /// There once an answer was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub rcode: Option<Rcode>,
    /// There once an answer was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answers: Option<Answers>,
    /// The answer did not fit.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// From the first time the query was sent to its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_ms: Option<f64>,
    /// How often the query was sent again.
    #[serde(skip_serializing_if = "is_zero")]
    pub retries: u32,
    /// Where reading ended before the message did, why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub malformed: Option<Malformed>,
}

impl Exchange {
    pub(super) const fn new(transport: Transport, id: u16, query: Query) -> Self {
        Self {
            transport,
            id,
            query,
            rcode: None,
            answers: None,
            truncated: false,
            rtt_ms: None,
            retries: 0,
            malformed: None,
        }
    }
}

/// What was asked.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Query {
    /// The first name asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The type asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub qtype: Option<Type>,
    /// Further questions of the same message, as "type name".
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub more_questions: Vec<String>,
}

impl Query {
    /// Bytes its texts take.
    pub(super) fn memory(&self) -> usize {
        let more: usize = self.more_questions.iter().map(String::capacity).sum();
        texts([&self.query]) + self.more_questions.capacity() * size_of::<String>() + more
    }

    /// The questions of a message.
    pub(super) fn collect(message: &[u8], header: Header) -> Self {
        let mut query = Self::default();
        for entry in Entries::new(message, header).take(MAX_QUESTIONS) {
            let Ok(Entry::Question(question)) = entry else { break };
            if query.query.is_none() {
                query.query = Some(question.name.to_string());
                query.qtype = Some(question.qtype);
            } else {
                query.more_questions.push(format!("{} {}", question.qtype, question.name));
            }
        }
        query
    }
}

/// A response code, shown by its mnemonic in IANA's registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rcode(pub u16);

impl fmt::Display for Rcode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            0 => "NOERROR",
            1 => "FORMERR",
            2 => "SERVFAIL",
            3 => "NXDOMAIN",
            4 => "NOTIMP",
            5 => "REFUSED",
            6 => "YXDOMAIN",
            7 => "YXRRSET",
            8 => "NXRRSET",
            9 => "NOTAUTH",
            10 => "NOTZONE",
            16 => "BADVERS",
            23 => "BADCOOKIE",
            other => return write!(f, "RCODE{other}"),
        })
    }
}

impl Serialize for Rcode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The answers of a message, bounded.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Answers(#[schemars(with = "Vec<String>")] pub Vec<Answer>);

impl Answers {
    /// The answer section; of multicast DNS the additional section too, where the addresses stand.
    pub(super) fn collect(message: &[u8], header: Header, transport: Transport) -> Self {
        let multicast = transport == Transport::Mdns;
        let mut answers = Vec::new();
        for entry in Entries::new(message, header) {
            let Ok(Entry::Record(record)) = entry else { continue };
            let wanted = record.section == Section::Answer || multicast && record.section == Section::Additional;
            if !wanted || record.rtype == Type::OPT || answers.len() == MAX_ANSWERS {
                continue;
            }
            let name = multicast.then(|| record.name.to_string());
            answers.push(Answer { name, rtype: record.rtype, data: record.text() });
        }
        Self(answers)
    }
}

/// One answer: its data, behind name and type where no question says them (multicast DNS).
#[derive(Debug)]
pub struct Answer {
    /// Whose record it is, in multicast DNS.
    pub name: Option<String>,
    /// Its type.
    pub rtype: Type,
    /// Its data as text.
    pub data: String,
}

impl Serialize for Answer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.name {
            Some(name) => serializer.collect_str(&format_args!("{name} {} {}", self.rtype, self.data)),
            None => serializer.serialize_str(&self.data),
        }
    }
}
