//! Facts of one capture, in a form that two tools' answers can be brought to.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// Values by what they are values of.
pub type Facts = BTreeMap<String, String>;

/// What stands where a side does not have the fact at all.
pub const ABSENT: &str = "-";

/// A difference that was found.
#[derive(Debug)]
pub struct Found {
    /// The capture.
    pub file: String,
    /// What the two sides do not agree on.
    pub fact: String,
    /// padtap's value.
    pub ours: String,
    /// The other side's.
    pub theirs: String,
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}: ours {}, theirs {}", self.file, self.fact, self.ours, self.theirs)
    }
}

/// Every fact that the two sides do not agree on.
pub fn differences(file: &str, ours: &Facts, theirs: &Facts) -> Vec<Found> {
    let facts: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let value = |side: &Facts, fact: &String| side.get(fact).map_or(ABSENT, String::as_str).to_owned();
    facts
        .into_iter()
        .map(|fact| Found {
            file: file.to_owned(),
            fact: fact.clone(),
            ours: value(ours, fact),
            theirs: value(theirs, fact),
        })
        .filter(|found| found.ours != found.theirs)
        .collect()
}

/// How often each value occurs.
#[derive(Default)]
pub struct Counts(BTreeMap<String, u64>);

impl Counts {
    /// Counts a value.
    pub fn add(&mut self, what: impl Into<String>, times: u64) {
        if times > 0 {
            *self.0.entry(what.into()).or_default() += times;
        }
    }

    /// One fact a value: its count.
    pub fn tell(&self, kind: &str, facts: &mut Facts) {
        for (what, times) in &self.0 {
            facts.insert(format!("{kind} {what}"), times.to_string());
        }
    }
}

/// The same from a list of counts in `expected.json`.
pub fn tell_counts(counts: &Value, kind: &str, facts: &mut Facts) {
    for (what, times) in counts.as_object().into_iter().flatten() {
        facts.insert(format!("{kind} {what}"), times.to_string());
    }
}

/// A field's text; empty where there is none.
pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

/// A field's items; none where it is no list.
pub fn items<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value[name].as_array().into_iter().flatten()
}

/// A list's items as text, with commas between.
pub fn joined<'a>(values: impl IntoIterator<Item = &'a Value>) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    values.into_iter().map(text).collect::<Vec<_>>().join(",")
}

/// How often a `dns` or `stun` record's request was sent, and how often it was answered. An answer whose request was not
/// captured has no `rtt_ms`.
pub fn sent_and_answered(record: &Value, answered: bool) -> (u64, u64) {
    let asked = record.get("rtt_ms").is_some() || !answered;
    let retries = record["retries"].as_u64().unwrap_or(0);
    (if asked { 1 + retries } else { 0 }, u64::from(answered))
}
