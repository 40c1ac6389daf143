//! `dns` events, version 2: an answer, which has its question in it, or a query that nobody answered.

use serde_json::{Map, Value, json};

use crate::dissect::app::{DnsFacts, DnsTransport};

/// The types that Suricata groups answers by as plain text.
const GROUPED: [&str; 5] = ["A", "AAAA", "CNAME", "PTR", "TXT"];

pub(super) fn is_unicast(facts: &DnsFacts) -> bool {
    facts.transport == DnsTransport::Dns
}

pub(super) fn event(facts: &DnsFacts) -> Value {
    let kind = if facts.rcode.is_some() { "answer" } else { "query" };
    let mut event = Map::new();
    event.insert("version".into(), 2.into());
    event.insert("type".into(), kind.into());
    event.insert("id".into(), facts.id.into());
    if let Some(name) = &facts.query.query {
        event.insert("rrname".into(), name.as_str().into());
    }
    if let Some(kind) = facts.query.qtype {
        event.insert("rrtype".into(), kind.to_string().into());
    }
    if let Some(code) = facts.rcode {
        event.insert("rcode".into(), code.to_string().into());
    }
    if facts.truncated {
        event.insert("tc".into(), true.into());
    }
    if let Some(answers) = facts.answers.as_ref().filter(|answers| !answers.0.is_empty()) {
        let mut grouped = Map::new();
        for answer in &answers.0 {
            let kind = answer.rtype.to_string();
            if GROUPED.contains(&kind.as_str())
                && let Value::Array(group) = grouped.entry(kind).or_insert_with(|| json!([]))
            {
                group.push(answer.data.as_str().into());
            }
        }
        let each = answers.0.iter().map(|answer| json!({ "rrtype": answer.rtype.to_string(), "rdata": answer.data }));
        event.insert("answers".into(), each.collect());
        if !grouped.is_empty() {
            event.insert("grouped".into(), grouped.into());
        }
    }
    event.into()
}
