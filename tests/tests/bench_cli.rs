//! `padtap bench`: live, every frame it offers is dissected or counted as lost, and it says which; of files it counts
//! what is there.

use serde_json::Value;
use tests::netns::may_run_live;
use tests::padtap::{Ledger, of_kind, run};

fn bench(options: &str) -> Value {
    let arguments = ["bench", "live", "--json"].into_iter().chain(options.split_whitespace());
    let outcome = run(arguments).expect(0);
    let lines: Vec<_> = outcome.text().lines().collect();
    assert_eq!(lines.len(), 1, "one object: {lines:?}");
    serde_json::from_str(lines[0]).expect("JSON")
}

/// All the sums that a report must fulfil, whatever happened.
#[track_caller]
fn check(options: &str, frames: u64) -> (Value, Ledger) {
    let report = bench(&format!("--frames {frames} {options}"));
    let ledger = Ledger::of(&report);
    ledger.assert_balanced();
    let number = |name: &str| report[name].as_u64().unwrap_or_else(|| panic!("{name}: {report}"));
    assert_eq!(report["balanced"], true, "{options}: {report}");
    assert_eq!(number("offered"), frames, "{options}");
    let lost = ledger.lost() + number("lost_on_the_cable");
    let done = if options.contains("discard") { "delivered" } else { "dissected" };
    assert_eq!(number("offered"), number(done) + lost, "{options}: {report}");
    assert_eq!(number("lost"), lost, "{options}: {report}");
    for name in ["delivered", "dissected"] {
        assert_eq!(number(name), ledger.of_name(name), "{options}");
    }
    let nothing = ["passed", "filtered", "shunted", "redirect_errors", "bad_descriptors", "past_limit"];
    assert_eq!(ledger.sum(&nothing), 0, "{options}: {report}");
    assert!(report["mpps"].as_f64().is_some_and(|rate| rate > 0.0), "{options}: {report}");
    (report, ledger)
}

#[test]
fn every_frame_is_accounted_for() {
    if !may_run_live() {
        return;
    }
    for size in [64, 300, 1500, 9000] {
        for flows in [1, 10_000] {
            // Making ten thousand large frames takes an unoptimised build long.
            let workers: &[u32] = if flows > 1 && size > 300 { &[1] } else { &[0, 1, 2] };
            for workers in workers {
                check(&format!("--size {size} --flows {flows} --workers {workers}"), 10_000);
            }
        }
    }
}

#[test]
fn many_frames_are_accounted_for() {
    if !may_run_live() {
        return;
    }
    let (report, ledger) = check("", 200_000);
    let dissected = ledger.of_name("dissected");
    assert!(dissected > 0);
    for stage in ["kernel_to_rx", "queue_wait", "dissect", "classify", "emit", "total"] {
        assert_eq!(report["latency_ns"][stage]["count"], dissected, "{stage}");
    }
}

#[test]
fn a_rate_and_other_ways_are_accounted_for() {
    if !may_run_live() {
        return;
    }
    let (report, _) = check("--rate 20000 --workers 1", 10_000);
    assert!(report["offered_mpps"].as_f64().is_some_and(|rate| rate <= 0.0201), "{report}");
    check("--inject packet --size 60 --flows 100", 10_000);
    check("--inject kernel --size 2047", 10_000);
    check("--inject cable --size 300 --flows 50", 10_000);
    check("--size 3500", 1_000);
    let (report, ledger) = check("--mode discard", 50_000);
    assert_eq!((&report["dissected"], ledger.of_name("dissected")), (&Value::from(0), 0));
}

#[test]
fn overload_is_counted_and_nothing_else_is_wrong() {
    if !may_run_live() {
        return;
    }
    for workers in [1, 2] {
        let options = format!("--flows 100 --stall-worker-us 20000 --workers {workers}");
        let (_, ledger) = check(&options, 60_000);
        assert!(ledger.of_name("worker_queue_drops") > 0, "{ledger:?}");
        assert!(ledger.of_name("dissected") > 0, "{ledger:?}");
    }
    // With nobody between, the rings are what overflows.
    let (_, ledger) = check("--stall-worker-us 20000 --workers 0", 60_000);
    assert!(ledger.sum(&["rx_dropped", "rx_ring_full"]) > 0, "{ledger:?}");
}

#[test]
fn people_get_words() {
    if !may_run_live() {
        return;
    }
    let outcome = run("bench live --frames 1000".split_whitespace()).expect(0);
    for words in ["offered  1000 frames", "every frame accounted for", "latency"] {
        assert!(outcome.text().contains(words), "{}", outcome.text());
    }
    assert!(outcome.stderr.contains("native XDP"), "{}", outcome.stderr);
}

#[test]
fn what_cannot_be_is_wrong_usage() {
    for (options, named) in [("--size 59", "59"), ("--size 9015", "9015"), ("--frames 0", "0"), ("--flows 0", "0")] {
        let outcome = run(["bench", "live"].into_iter().chain(options.split_whitespace())).expect(2);
        assert!(outcome.stderr.contains(named), "{options}: {}", outcome.stderr);
    }
    if may_run_live() {
        let outcome = run("bench live --inject kernel --size 9000".split_whitespace()).expect(2);
        assert!(outcome.stderr.contains("--inject kernel"), "{}", outcome.stderr);
    }
}

/// Measures a capture of a telephone: the report, and the packets and bytes there are.
fn dissect(options: &str) -> (Value, u64, u64) {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/negative-sip-phone/capture.pcap.gz");
    let read = run(["read", "--json", "--packets", file]).expect(0);
    let packets: Vec<_> = of_kind(&read.records(), "packet").filter_map(|packet| packet["length"].as_u64()).collect();
    let arguments = ["bench", "dissect", "--json", file].into_iter().chain(options.split_whitespace());
    let outcome = run(arguments).expect(0);
    let report = serde_json::from_str(outcome.text()).expect("one JSON object");
    (report, packets.len() as u64, packets.iter().sum())
}

#[test]
fn dissection_is_measured_stage_by_stage() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let records = directory.path().join("records.ndjson");
    let output = format!("--repeat 2 --workers 2 --output {}", records.display());
    let (report, packets, bytes) = dissect(&output);
    assert_eq!((report["packets"].as_u64(), report["bytes"].as_u64()), (Some(packets), Some(bytes)), "{report}");
    for name in ["seconds", "mpps", "gbps", "ns_per_packet", "allocations_per_packet", "peak_rss_bytes"] {
        assert!(report[name].as_f64().is_some_and(|figure| figure > 0.0), "{name}: {report}");
    }
    let stages: Vec<_> = report["stages"].as_array().expect("stages").iter().map(|stage| &stage["stage"]).collect();
    assert_eq!(stages, ["read", "dissect", "flow", "classify", "emit"]);
    let workers: Vec<_> = report["scaling"].as_array().expect("scaling").iter().map(|run| &run["workers"]).collect();
    assert_eq!(workers, [1, 2]);
    let written = std::fs::read_to_string(records).expect("the records");
    assert_eq!(report["records"].as_u64(), Some(written.lines().count() as u64), "{report}");
}

#[test]
fn one_stage_alone_is_measured_for_profilers() {
    let (report, packets, _) = dissect("--repeat 1 --stage flow");
    assert_eq!(report["packets"].as_u64(), Some(packets));
    assert_eq!(report["stages"].as_array().map(Vec::len), Some(1), "{report}");
    assert_eq!(report["latency_ns"], serde_json::json!({}));
}

#[test]
fn nothing_to_measure_is_an_error() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let empty = directory.path().join("empty.pcap");
    let mut header = [0; 24];
    header[..4].copy_from_slice(&0xa1b2_c3d4_u32.to_le_bytes());
    (header[4], header[20]) = (2, 1);
    std::fs::write(&empty, header).expect("a file");
    let outcome = run(["bench", "dissect", empty.to_str().expect("a plain path")]).expect(1);
    assert!(outcome.stderr.contains("no frame in the files"), "{}", outcome.stderr);
}

#[test]
fn every_output_is_measured() {
    const SESSION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/ps4-overwatch-2016/profile-a.pcap.gz");
    let report: Value =
        serde_json::from_str(run(["bench", "sinks", "--repeat", "1", "--json", SESSION]).expect(0).text())
            .expect("one object");
    let records = report["records"].as_u64().expect("a number");
    assert_eq!(report["packets"], 7278);
    let sinks = report["sinks"].as_array().expect("a list");
    let names: Vec<_> = sinks.iter().map(|sink| sink["sink"].as_str().expect("a name")).collect();
    assert_eq!(names, ["ndjson", "ndjson.zst", "eve", "spool", "ipfix", "parquet", "arrow"]);
    for sink in sinks {
        // Suricata and collectors of flows take some kinds of records only.
        let all = !matches!(sink["sink"].as_str(), Some("eve" | "ipfix"));
        let taken = sink["records"].as_u64().expect("a number");
        assert!(if all { taken == records } else { (1..records).contains(&taken) }, "{sink}: of {records}");
        assert!(sink["records_per_second"].as_f64().is_some_and(|rate| rate > 0.0), "{sink}");
        assert_eq!(sink["bytes_per_record"].is_number(), sink["sink"] != "ipfix", "{sink}");
    }
}
