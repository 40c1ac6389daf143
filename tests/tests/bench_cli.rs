//! `padtap bench live`: every frame it offers is dissected or counted as lost, and it says which.

use serde_json::Value;
use tests::netns::may_run_live;
use tests::padtap::{Ledger, run};

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
    check("--inject kernel --size 3072", 10_000);
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
