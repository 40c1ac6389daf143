//! A spool from both of its ends.

use std::fs;
use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::*;
use crate::output::Sink;
use crate::record::{GapFacts, Record, Subject};
use crate::time::Timestamp;

fn config(folder: &Path, limit: u64) -> Config {
    Config { folder: folder.to_owned(), limit, sensor: "attic".into() }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// A record that says which it is, and is so long.
fn record(number: u64, length: usize) -> Record {
    let facts = Box::new(serde_json::json!({ "number": number, "padding": "x".repeat(length) }));
    Record { kind: "dns", time: Timestamp::default(), subject: Subject::default(), facts }
}

/// Writes the records of these numbers, 40 KiB each: four make a batch.
fn write(folder: &Path, limit: u64, numbers: std::ops::Range<u64>) {
    let mut spool = Spool::open(config(folder, limit)).expect("a spool");
    numbers.for_each(|number| spool.record(&record(number, 40 * 1024)).expect("it takes the record"));
    spool.finish().expect("it ends");
}

fn batches(folder: &Path) -> Vec<Batch> {
    let depot = Depot::open(folder).expect("a depot");
    let read = |sequence| depot.read(sequence).expect("a file").expect("there").expect("whole");
    depot.waiting().expect("a folder").into_iter().map(read).collect()
}

fn lines(batch: &Batch) -> Vec<Value> {
    let text = std::str::from_utf8(&batch.body).expect("UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn numbers(batches: &[Batch]) -> Vec<u64> {
    batches.iter().flat_map(lines).filter_map(|line| line["number"].as_u64()).collect()
}

#[test]
fn records_become_batches_in_order() {
    let folder = folder();
    write(folder.path(), u64::MAX, 0..10);
    let batches = batches(folder.path());
    let counts: Vec<_> = batches.iter().map(|batch| (batch.header.sequence, batch.header.records)).collect();
    assert_eq!(counts, [(1, 4), (2, 4), (3, 2)]);
    assert_eq!(numbers(&batches), (0..10).collect::<Vec<_>>());
    assert!(batches.iter().all(|batch| batch.header.sensor == "attic" && batch.header.gap.is_none()));
}

#[test]
fn large_records_have_batches_of_their_own() {
    let folder = folder();
    let mut spool = Spool::open(config(folder.path(), u64::MAX)).expect("a spool");
    for (number, length) in [(0, 10), (1, 2 * writer::MOST), (2, 10)] {
        spool.record(&record(number, length)).expect("it takes the record");
    }
    spool.finish().expect("it ends");
    let batches = batches(folder.path());
    assert_eq!(batches.iter().map(|batch| batch.header.records).collect::<Vec<_>>(), [1, 1, 1]);
    assert_eq!(numbers(&batches), [0, 1, 2]);
}

#[test]
fn a_few_records_do_not_wait_for_more() {
    let folder = folder();
    let mut spool = Spool::open(config(folder.path(), u64::MAX)).expect("a spool");
    spool.record(&record(7, 10)).expect("it takes the record");
    let depot = Depot::open(folder.path()).expect("a depot");
    while depot.waiting().expect("a folder").is_empty() {
        spool.flush().expect("it writes");
        thread::sleep(Duration::from_millis(10));
    }
    drop(depot);
    assert_eq!(numbers(&batches(folder.path())), [7]);
}

#[test]
fn numbers_go_on_whatever_was_taken_away() {
    let folder = folder();
    let path = folder.path();
    write(path, u64::MAX, 0..8);
    let boot = batches(path)[0].header.boot.clone();
    fs::write(path.join("00000000000000000003.tmp"), "half").expect("a file");
    let mut depot = Depot::open(path).expect("a depot");
    depot.shipped(1).expect("a rename");
    depot.shipped(2).expect("a rename");
    assert!(depot.waiting().expect("a folder").is_empty());
    drop(depot);
    write(path, u64::MAX, 8..12);
    let batches = batches(path);
    assert_eq!(batches.iter().map(|batch| batch.header.sequence).collect::<Vec<_>>(), [3]);
    assert_eq!((numbers(&batches), &batches[0].header.boot), ((8..12).collect(), &boot));
    let mut names: Vec<_> =
        fs::read_dir(path).expect("a folder").map(|entry| entry.expect("a file").file_name()).collect();
    names.sort();
    let expected = ["00000000000000000002.shipped", "00000000000000000003.batch", "shipper.lock", "writer.lock"];
    assert_eq!(names, expected);
}

#[test]
fn a_new_folder_has_a_new_name_for_its_numbers() {
    let (one, other) = (folder(), folder());
    write(one.path(), u64::MAX, 0..1);
    write(other.path(), u64::MAX, 0..1);
    assert_ne!(batches(one.path())[0].header.id(), batches(other.path())[0].header.id());
}

#[test]
fn the_oldest_go_and_are_counted() {
    let folder = folder();
    // Room for six batches of four records.
    write(folder.path(), LEAST_LIMIT, 0..60);
    let kept = batches(folder.path());
    let (first, last) = (&kept[0], kept.last().expect("a batch"));
    let gap = last.header.gap.expect("a gap");
    let given_up = first.header.sequence - 1;
    let expected = GapFacts { first_sequence: 1, last_sequence: given_up, batches: given_up, records: 4 * given_up };
    assert_eq!(gap, expected);
    assert_eq!(numbers(&kept), (gap.records..60).collect::<Vec<_>>());
    let line = lines(last).remove(0);
    assert_eq!((&line["kind"], &line["records"]), (&Value::from("gap"), &Value::from(gap.records)));
    assert!(kept.iter().rev().skip(1).all(|batch| batch.header.gap.is_none()), "one time without room, one record");
    let size = |entry: io::Result<fs::DirEntry>| entry.expect("an entry").metadata().expect("a file").len();
    let bytes: u64 = fs::read_dir(folder.path()).expect("a folder").map(size).sum();
    assert!(bytes <= LEAST_LIMIT + 4096, "{bytes}");
}

/// What was lost is not forgotten when its writer is killed, or the batch that told of it is lost as well.
#[test]
fn gaps_outlive_their_writer_and_their_batch() {
    let folder = folder();
    let mut killed = Spool::open(config(folder.path(), LEAST_LIMIT)).expect("a spool");
    (0..60).for_each(|number| killed.record(&record(number, 40 * 1024)).expect("it takes the record"));
    let untold = batches(folder.path()).pop().and_then(|batch| batch.header.untold).expect("lost, and not told");
    drop(killed);
    write(folder.path(), LEAST_LIMIT, 60..64);
    let told = batches(folder.path()).pop().and_then(|batch| batch.header.gap).expect("a gap");
    assert_eq!((told.first_sequence, told.records), (1, untold.records + 4));
    write(folder.path(), LEAST_LIMIT, 64..124);
    let kept = batches(folder.path());
    let told = kept.last().and_then(|batch| batch.header.gap).expect("a gap");
    assert_eq!(numbers(&kept), (told.records..124).collect::<Vec<_>>());
    assert_eq!((told.first_sequence, told.batches), (1, kept[0].header.sequence - 1));
}

#[test]
fn what_was_taken_away_in_time_is_not_lost() {
    let folder = folder();
    let mut spool = Spool::open(config(folder.path(), LEAST_LIMIT)).expect("a spool");
    let mut depot = Depot::open(folder.path()).expect("a depot");
    for number in 0..60 {
        spool.record(&record(number, 40 * 1024)).expect("it takes the record");
        for sequence in depot.waiting().expect("a folder") {
            depot.shipped(sequence).expect("a rename");
        }
    }
    spool.finish().expect("it ends");
    drop(depot);
    assert!(batches(folder.path()).iter().all(|batch| batch.header.gap.is_none()));
    assert!(folder.path().join("00000000000000000015.shipped").exists());
}

#[test]
fn each_end_is_one_process_alone() {
    let folder = folder();
    let _spool = Spool::open(config(folder.path(), LEAST_LIMIT)).expect("a spool");
    let busy = Spool::open(config(folder.path(), LEAST_LIMIT)).err().map(|error| error.kind());
    assert_eq!(busy, Some(io::ErrorKind::ResourceBusy));
    let _depot = Depot::open(folder.path()).expect("the other end");
    assert_eq!(Depot::open(folder.path()).expect_err("busy").kind(), io::ErrorKind::ResourceBusy);
    assert!(Depot::open(&folder.path().join("nowhere")).is_err());
}

#[test]
fn damage_is_seen_and_set_aside() {
    let folder = folder();
    write(folder.path(), u64::MAX, 0..4);
    let file = folder.path().join("00000000000000000001.batch");
    let mut bytes = fs::read(&file).expect("a batch");
    bytes[1000] ^= 1;
    fs::write(&file, bytes).expect("a file");
    let depot = Depot::open(folder.path()).expect("a depot");
    assert_eq!(depot.read(1).expect("a file"), Some(Err(Damage::Checksum)));
    depot.set_aside(1).expect("a rename");
    assert_eq!(depot.read(1).expect("no error"), None);
    drop(depot);
    write(folder.path(), u64::MAX, 4..8);
    assert_eq!(batches(folder.path())[0].header.sequence, 2);
}
