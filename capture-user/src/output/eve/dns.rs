//! `dns` events, version 2: an answer, which has its question in it, or a query that nobody answered.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::dissect::app::{DnsFacts, DnsTransport};

/// The types that Suricata groups answers by as plain text.
const GROUPED: [&str; 5] = ["A", "AAAA", "CNAME", "PTR", "TXT"];

#[derive(Serialize)]
pub(super) struct Event<'a> {
    version: u8,
    #[serde(rename = "type")]
    kind: &'static str,
    id: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    rrname: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rrtype: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rcode: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tc: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    answers: Vec<Answer<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    grouped: BTreeMap<String, Vec<&'a str>>,
}

#[derive(Serialize)]
struct Answer<'a> {
    rrtype: String,
    rdata: &'a str,
}

pub(super) fn is_unicast(facts: &DnsFacts) -> bool {
    facts.transport == DnsTransport::Dns
}

pub(super) fn event(facts: &DnsFacts) -> Event<'_> {
    let answers = facts.answers.iter().flat_map(|answers| &answers.0);
    let answers: Vec<_> =
        answers.map(|answer| Answer { rrtype: answer.rtype.to_string(), rdata: &answer.data }).collect();
    Event {
        version: 2,
        kind: if facts.rcode.is_some() { "answer" } else { "query" },
        id: facts.id,
        rrname: facts.query.query.as_deref(),
        rrtype: facts.query.qtype.map(|kind| kind.to_string()),
        rcode: facts.rcode.map(|code| code.to_string()),
        tc: facts.truncated,
        grouped: grouped(&answers),
        answers,
    }
}

/// What the answers say, by their types.
fn grouped<'a>(answers: &[Answer<'a>]) -> BTreeMap<String, Vec<&'a str>> {
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for Answer { rrtype, rdata } in answers.iter().filter(|answer| GROUPED.contains(&answer.rrtype.as_str())) {
        groups.entry(rrtype.clone()).or_default().push(*rdata);
    }
    groups
}
