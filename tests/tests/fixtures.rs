//! The project's own captures, read by the whole engine, against what is true of them by construction: `truth.json`.

use std::path::Path;

use capture_user::dissect::app::People;
use serde_json::Value;
use tests::engine::Run;
use tests::facts::{self, Counts, Facts, items, joined, text};
use tests::fixtures::{captures, name};

/// A value as text; of a list, its items.
fn show(value: &Value) -> String {
    match value {
        Value::Array(list) => joined(list),
        Value::Null => "none".to_owned(),
        other => joined([other]),
    }
}

/// Counts one thing by the values of its fields.
fn count(counts: &mut Counts, kind: &str, fields: &[(&str, String)]) {
    let fields: Vec<String> = fields.iter().map(|(name, value)| format!("{name} {value}")).collect();
    counts.add(format!("{kind}: {}", fields.join(", ")), 1);
}

/// The fields of a record that have the same name and form in the truth.
fn plain<'a>(record: &Value, names: &[&'a str]) -> Vec<(&'a str, String)> {
    names.iter().map(|name| (*name, show(&record[*name]))).collect()
}

const RTP: &[&str] = &[
    "ssrc",
    "payload_type",
    "codec",
    "clock",
    "packets",
    "lost",
    "duplicates",
    "reordered",
    "bound_by",
    "call_id",
    "start",
    "end",
];
const DNS: &[&str] = &["ts", "query", "qtype", "rcode", "answers", "transport"];
const DHCP: &[&str] =
    &["ts", "type", "client_mac", "vendor_class", "requested_ip", "your_ip", "server_id", "parameter_list"];
const SIP: &[&str] = &["ts", "method", "status", "call_id", "user_agent"];
const TLS: &[&str] = &["sni", "cipher"];

/// How often a query was sent, and how long its answer took. Where it was sent again, padtap counts from the first time,
/// as Wireshark does, and the truth from the last.
fn queries(sent: u64, exchange: &Value) -> Vec<(&'static str, String)> {
    let took = if sent == 1 { show(&exchange["rtt_ms"]) } else { "not compared".to_owned() };
    vec![("queries", sent.to_string()), ("rtt_ms", took)]
}

fn certificates(record: &Value) -> String {
    let one = |certificate| format!("{} by {}", text(certificate, "sha256"), text(certificate, "issuer_org"));
    items(record, "certs").map(one).collect::<Vec<_>>().join(", ")
}

/// First and last packet, packets and bytes each way, over the parts that silence cut a flow into.
fn flows<'a>(flows: impl Iterator<Item = &'a Value>, facts: &mut Facts) {
    let mut all = std::collections::BTreeMap::<String, (String, String, [u64; 4])>::new();
    for flow in flows.filter(|flow| matches!(text(flow, "proto"), "tcp" | "udp")) {
        let ends: Vec<String> =
            ["proto", "src_ip", "src_port", "dst_ip", "dst_port"].iter().map(|name| show(&flow[*name])).collect();
        let (start, end) = (text(flow, "start").to_owned(), text(flow, "end").to_owned());
        let counts = ["packets_out", "bytes_out", "packets_in", "bytes_in"];
        let counts = counts.map(|name| flow[name].as_u64().unwrap_or_default());
        let known = all.entry(ends.join(" ")).or_insert_with(|| (start.clone(), end.clone(), [0; 4]));
        *known = (known.0.clone().min(start), known.1.clone().max(end), add(known.2, counts));
    }
    for (flow, (start, end, [packets_out, bytes_out, packets_in, bytes_in])) in all {
        let counts = format!("{packets_out} packets, {bytes_out} bytes out, {packets_in}, {bytes_in} in");
        facts.insert(format!("flow {flow}"), format!("{start} to {end}, {counts}"));
    }
}

fn add(one: [u64; 4], other: [u64; 4]) -> [u64; 4] {
    std::array::from_fn(|place| one[place] + other[place])
}

/// The facts of messages are those of whole messages: of a capture that cuts frames off, truth tells none.
fn ours(run: &Run, truth: &Value) -> Facts {
    let packets = || run.of_kind("packet");
    let lengths = packets().filter_map(|packet| packet["length"].as_u64());
    let mut facts = Facts::from([
        ("frames".to_owned(), packets().count().to_string()),
        ("bytes".to_owned(), lengths.sum::<u64>().to_string()),
        ("start".to_owned(), packets().map(|packet| text(packet, "ts")).min().unwrap_or_default().to_owned()),
        ("end".to_owned(), packets().map(|packet| text(packet, "ts")).max().unwrap_or_default().to_owned()),
        ("copies".to_owned(), run.ledger.duplicates.to_string()),
        (
            "ARP".to_owned(),
            packets().filter(|packet| joined(items(packet, "layers")).ends_with("arp")).count().to_string(),
        ),
    ]);
    flows(run.of_kind("flow"), &mut facts);
    let mut counts = Counts::default();
    for stream in run.of_kind("rtp") {
        count(&mut counts, "RTP", &plain(stream, RTP));
    }
    if truth.get("snap_length").is_some() {
        counts.tell("", &mut facts);
        return facts;
    }
    for exchange in run.of_kind("dns") {
        let sent = 1 + exchange["retries"].as_u64().unwrap_or(0);
        count(&mut counts, "DNS", &[plain(exchange, DNS), queries(sent, exchange)].concat());
    }
    for message in run.of_kind("dhcp") {
        let options = joined(items(message, "option_order"));
        count(&mut counts, "DHCP", &[plain(message, DHCP), vec![("options", options)]].concat());
    }
    for message in run.of_kind("sip") {
        let sequence = text(message, "cseq").split(' ').next().unwrap_or_default().to_owned();
        let media = |media| format!("{}:{}", text(media, "address"), media["port"]);
        let media = items(&message["sdp"], "media").map(media).collect::<Vec<_>>().join(",");
        count(&mut counts, "SIP", &[plain(message, SIP), vec![("cseq", sequence), ("media", media)]].concat());
    }
    for handshake in run.of_kind("tls") {
        let version = text(handshake, "version").trim_start_matches("TLS ").to_owned();
        let rest = vec![("version", version), ("certificates", certificates(handshake))];
        count(&mut counts, "TLS", &[plain(handshake, TLS), rest].concat());
    }
    counts.tell("", &mut facts);
    facts
}

fn theirs(truth: &Value) -> Facts {
    let number = |name: &str| truth[name].as_u64().unwrap_or_default().to_string();
    let mut facts = Facts::from([
        ("frames".to_owned(), number("frames")),
        ("bytes".to_owned(), number("bytes")),
        ("start".to_owned(), text(truth, "start").to_owned()),
        ("end".to_owned(), text(truth, "end").to_owned()),
        ("copies".to_owned(), number("mirror_duplicates")),
        ("ARP".to_owned(), number("arp")),
    ]);
    flows(items(truth, "flows"), &mut facts);
    let mut counts = Counts::default();
    for stream in items(truth, "rtp") {
        count(&mut counts, "RTP", &plain(stream, RTP));
    }
    for exchange in items(truth, "dns") {
        let sent = exchange["queries"].as_u64().unwrap_or_default();
        count(&mut counts, "DNS", &[plain(exchange, DNS), queries(sent, exchange)].concat());
    }
    for message in items(truth, "dhcp") {
        // The end mark is no option and padtap does not list it.
        let options = joined(items(message, "options").filter(|option| **option != 255));
        count(&mut counts, "DHCP", &[plain(message, DHCP), vec![("options", options)]].concat());
    }
    for message in items(truth, "sip") {
        let rest = vec![("cseq", show(&message["cseq"])), ("media", text(message, "media").to_owned())];
        count(&mut counts, "SIP", &[plain(message, SIP), rest].concat());
    }
    for handshake in items(truth, "tls") {
        let version = text(handshake, "version").to_owned();
        let rest = vec![("version", version), ("certificates", certificates(handshake))];
        count(&mut counts, "TLS", &[plain(handshake, TLS), rest].concat());
    }
    counts.tell("", &mut facts);
    facts
}

#[test]
fn the_engine_says_what_is_true() {
    let mut found = Vec::new();
    for (path, truth) in captures() {
        let run = Run::of(&path, 0, People::SHOWN);
        found.extend(facts::differences(&name(&path), &ours(&run, &truth), &theirs(&truth)));
    }
    let found: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn names_of_people_are_shown_to_nobody_who_did_not_ask() {
    let people = People::hashed([7; 16]);
    let mut names = 0;
    for (path, truth) in captures() {
        let records: Vec<String> = Run::of(&path, 0, people).records.iter().map(Value::to_string).collect();
        for person in items(&truth, "names").filter_map(Value::as_str) {
            names += 1;
            let told = records.iter().find(|record| record.contains(person));
            assert_eq!(told, None, "{person} in {}", name(&path));
        }
    }
    assert!(names > 0, "the captures name nobody");
}

#[test]
fn the_number_of_workers_changes_no_record() {
    let sorted = |path: &Path, workers| {
        let records = Run::of(path, workers, People::SHOWN).records;
        let mut lines: Vec<String> = records.iter().map(Value::to_string).collect();
        lines.sort_unstable();
        lines
    };
    for (path, _) in captures() {
        let alone = sorted(&path, 0);
        for workers in [1, 2, 4] {
            let shared = sorted(&path, workers);
            let first = alone.iter().zip(&shared).find(|(one, other)| one != other);
            assert_eq!(first, None, "{} with {workers} workers", name(&path));
            assert_eq!(alone.len(), shared.len(), "{} with {workers} workers", name(&path));
        }
    }
}
