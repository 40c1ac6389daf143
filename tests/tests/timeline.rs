//! What consoles do, on every fixture: phases, matches, ticks and stalls, and silence where there is no match.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use capture_user::latency::{Latency, Stopwatch};
use capture_user::record::Record;
use capture_user::shard::{Config, Shard};
use capture_user::source::policy::ConsoleFilter;
use capture_user::source::route::route;
use capture_user::source::{Received, Source, View, pcap};
use capture_user::time::Timestamp;
use serde_json::Value;
use tests::fixtures::captures;
use tests::padtap::{self, of_kind};

/// The `match` and `phase` records of a capture, by so many shards.
fn told(path: &Path, shards: usize) -> Result<Vec<Value>> {
    let everything = ConsoleFilter::everything();
    let mut source = pcap::open([path], move |frame| route(frame, &everything))?;
    let view = source.view();
    let (mut tokens, mut scratch) = (Vec::new(), Vec::new());
    let (mut watch, mut latency) = (Stopwatch::default(), Latency::default());
    let mut all: Vec<Shard> = (0..shards).map(|_| Shard::new(&Config::default())).collect();
    let mut last = Timestamp::from_nanos(i64::MIN);
    while source.receive(64, Duration::ZERO, &mut tokens)? != Received::End {
        for token in &tokens {
            let frame = view.frame(token, &mut scratch);
            last = last.max(frame.time);
            all[view.shard(token) as usize % shards].process(&frame, &mut watch, &mut latency);
        }
        source.recycle(&mut tokens);
    }
    let mut records = Vec::new();
    for shard in &mut all {
        shard.finish(last);
        records.append(shard.records());
    }
    let mut told: Vec<Value> =
        records.iter().filter(|record| ["match", "phase"].contains(&record.kind)).map(json).collect();
    told.sort_by_key(|record| (record["src_ip"].to_string(), record["ts"].to_string(), record["kind"].to_string()));
    Ok(told)
}

fn json(record: &Record) -> Value {
    let mut fields = serde_json::to_value(&*record.facts).expect("facts serialise");
    fields["kind"] = record.kind.into();
    fields["ts"] = record.time.to_string().into();
    fields["src_ip"] = record.subject.src_ip.map(|ip| ip.to_string()).into();
    fields
}

/// Seconds within the hour: all of a fixture happens in one.
fn seconds(time: &Value) -> f64 {
    let text = time.as_str().expect("a time");
    let minutes: f64 = text[14..16].parse().expect("minutes");
    minutes * 60.0 + text[17..text.len() - 1].parse::<f64>().expect("seconds")
}

fn close(what: &str, told: f64, truth: f64, within: f64) {
    assert!((told - truth).abs() <= within, "{what}: {told}, in truth {truth}");
}

#[test]
fn matches_are_told_as_they_were() -> Result<()> {
    for (path, truth) in captures() {
        let name = path.display().to_string();
        let records = told(&path, 1)?;
        let matches: Vec<_> = of_kind(&records, "match").collect();
        let expected = truth["matches"].as_array().cloned().unwrap_or_default();
        assert_eq!(matches.len(), expected.len(), "{name}: {matches:#?}");
        for (told, truth) in matches.iter().zip(&expected) {
            check_match(&name, told, truth);
        }
    }
    Ok(())
}

fn check_match(name: &str, told: &Value, truth: &Value) {
    for edge in ["start", "end"] {
        close(&format!("{name} {edge}"), seconds(&told[edge]), seconds(&truth[edge]), 1.0);
    }
    assert_eq!(told["search_start"].is_null(), truth["search_start"].is_null(), "{name}: {told}");
    if !truth["search_start"].is_null() {
        close(&format!("{name} search"), seconds(&told["search_start"]), seconds(&truth["search_start"]), 1.0);
    }
    for field in ["server_ip", "server_port"] {
        assert_eq!(told[field], truth[field], "{name} {field}");
    }
    assert_eq!(told["result_host"], truth["result_host"], "{name}");
    for way in ["up", "down"] {
        let number = |from: &Value, field: &str| from[way][field].as_f64().expect("a number");
        let hz = number(truth, "tick_hz");
        close(&format!("{name} {way} tick"), number(told, "tick_hz"), hz, 0.02 * hz);
        close(&format!("{name} {way} pps"), number(told, "pps"), number(truth, "pps"), 0.02 * hz);
        close(
            &format!("{name} {way} bytes"),
            number(told, "bytes"),
            number(truth, "bytes"),
            0.01 * number(truth, "bytes"),
        );
        for (quantile, within) in [("p50", 0.02), ("p99", 0.05), ("max", 0.05)] {
            let of = |from: &Value| from[way]["gap_ms"][quantile].as_f64().expect("a gap");
            close(&format!("{name} {way} {quantile}"), of(told), of(truth), within * of(truth));
        }
    }
    check_stalls(name, &told["stalls"], &truth["stalls"]);
    check_probes(name, &told["probed"], &truth["probed"]);
    assert_eq!(numbers(&told["voice"]), numbers(&truth["voice"]), "{name}");
    assert!(told["why"].as_array().is_some_and(|why| !why.is_empty()), "{name}");
}

fn check_stalls(name: &str, told: &Value, truth: &Value) {
    let (told, truth) = (told.as_array().expect("stalls"), truth.as_array().expect("stalls"));
    assert_eq!(told.len(), truth.len(), "{name}: {told:?}");
    for (told, truth) in told.iter().zip(truth) {
        assert_eq!(told["direction"], truth["direction"], "{name}");
        close(&format!("{name} stall"), seconds(&told["start"]), seconds(&truth["start"]), 0.2);
        let length = truth["duration_ms"].as_f64().expect("a duration");
        close(
            &format!("{name} stall's length"),
            told["duration_ms"].as_f64().expect("a duration"),
            length,
            0.1 * length,
        );
    }
}

fn check_probes(name: &str, told: &Value, truth: &Value) {
    let (told, truth) = (told.as_array().expect("probes"), truth.as_array().expect("probes"));
    assert_eq!(told.len(), truth.len(), "{name}: {told:?}");
    for (told, truth) in told.iter().zip(truth) {
        assert_eq!(told["ip"], truth["ip"], "{name}");
        close(name, told["rtt_ms"].as_f64().expect("a time"), truth["rtt_ms"].as_f64().expect("a time"), 0.5);
    }
}

fn numbers(list: &Value) -> Vec<u64> {
    let mut numbers: Vec<u64> = list.as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    numbers.sort_unstable();
    numbers
}

#[test]
fn phases_follow_one_another() -> Result<()> {
    let mut compared = 0;
    for (path, truth) in captures() {
        let Some(expected) = truth["phases"].as_array() else { continue };
        let name = path.display().to_string();
        let (first, last) = (seconds(&truth["start"]), seconds(&truth["end"]));
        let records = told(&path, 1)?;
        let mut phases: Vec<_> = of_kind(&records, "phase").collect();
        phases.sort_by(|one, other| seconds(&one["start"]).total_cmp(&seconds(&other["start"])));
        // An edge beyond the capture is the capture's; a phase that lies beyond it cannot be told.
        let seen = |phase: &&Value| seconds(&phase["end"]).min(last) - seconds(&phase["start"]).max(first) > 0.3;
        let expected: Vec<_> = expected.iter().filter(seen).collect();
        let names = |phases: &[&Value]| phases.iter().map(|phase| phase["phase"].clone()).collect::<Vec<_>>();
        assert_eq!(names(&phases), names(&expected), "{name}");
        for (told, truth) in phases.iter().zip(&expected) {
            let what = format!("{name} {}", truth["phase"]);
            close(&what, seconds(&told["start"]), seconds(&truth["start"]).max(first), 1.0);
            close(&what, seconds(&told["end"]), seconds(&truth["end"]).min(last), 1.0);
            compared += 1;
        }
    }
    assert!(compared > 30, "{compared}");
    Ok(())
}

#[test]
fn the_number_of_workers_changes_nothing() -> Result<()> {
    for (path, _) in captures() {
        let one = told(&path, 1)?;
        for shards in [2, 4] {
            assert_eq!(told(&path, shards)?, one, "{}", path.display());
        }
    }
    Ok(())
}

#[test]
fn the_binary_tells_the_same_with_any_number_of_workers() {
    for (path, truth) in captures() {
        let tell = |workers: &str| {
            let outcome =
                padtap::run(["read", "--json", "--workers", workers, path.to_str().expect("a path")]).expect(0);
            let told = |record: &Value| ["match", "phase"].contains(&record["kind"].as_str().unwrap_or_default());
            let mut records: Vec<String> =
                outcome.records().iter().filter(|record| told(record)).map(Value::to_string).collect();
            records.sort();
            records
        };
        let one = tell("1");
        assert_eq!(one.is_empty(), truth["matches"].as_array().is_none_or(Vec::is_empty), "{}", path.display());
        for workers in ["0", "4"] {
            assert_eq!(tell(workers), one, "{} workers {workers}", path.display());
        }
    }
}
