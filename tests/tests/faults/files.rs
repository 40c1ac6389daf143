//! Files whose directory goes, that cannot be opened, whose times jump.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tests::padtap::{finish, run};
use tests::tool::have;

use super::{Fed, frame, packet, packets, records_of};

#[test]
fn its_directory_is_removed() {
    for rotate in [None, Some(["--rotate", "filesize:20"])] {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("out.ndjson");
        let options: Vec<_> = rotate.iter().flatten().copied().chain(["-o", file.to_str().unwrap()]).collect();
        let mut padtap = Fed::start(&options);
        padtap.feed(100);
        padtap.settle();
        fs::remove_dir_all(directory.path()).unwrap();
        padtap.feed(500);
        padtap.settle();
        let outcome = padtap.end().expect(1);
        assert_eq!(packets(&outcome.records()).len(), 600, "the other output goes on");
        let ledger = outcome.ledger();
        assert!(ledger.of_name("sink_drops") >= 500, "{ledger:?}");
        assert!(outcome.stderr.contains("out.ndjson: "), "{}", outcome.stderr);
    }
}

#[test]
fn no_more_files_may_be_open() {
    if !have(&["prlimit"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let capture = directory.path().join("in.pcap");
    tests::capture_file::write_pcap(&capture, &[frame(0)]);
    let mut prlimit = Command::new("prlimit");
    prlimit.arg("--nofile=8").arg(tests::padtap::binary()).args(["read", "--json"]);
    for number in 0..10 {
        prlimit.arg("-o").arg(directory.path().join(format!("out{number}.ndjson")));
    }
    let outcome = finish(prlimit.arg(&capture)).expect(1);
    let words = outcome.stderr.trim();
    assert!(words.contains(".ndjson: Too many open files") && words.lines().count() == 1, "{words}");
    assert!(outcome.stdout.is_empty(), "nothing was read");
}

/// The records of numbered files, in the order of their numbers, file by file.
fn numbered(directory: &Path) -> Vec<(PathBuf, usize)> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|kind| kind == "ndjson")).collect();
    files.sort();
    files.into_iter().map(|file| (file.clone(), records_of(&file).len())).collect()
}

/// A clock that jumps back makes a file longer, and never many of one record.
#[test]
fn the_clock_jumps_back() {
    let directory = tempfile::tempdir().unwrap();
    let capture = directory.path().join("in.pcap");
    let times = (0..30).chain(-1000..-970).chain(30..60).map(|second| 1_700_000_000 + second);
    let mut bytes = tests::capture_file::pcap(&[]);
    for (number, second) in times.enumerate() {
        bytes.extend(packet(second as u32, 0, &frame(number)));
    }
    fs::write(&capture, bytes).unwrap();
    let base = directory.path().join("out.ndjson");
    let options = ["read", "-q", "--json", "--packets", "--rotate", "duration:10", "-o", base.to_str().unwrap()];
    let outcome = run(options.into_iter().chain([capture.to_str().unwrap()])).expect(0);
    let files = numbered(directory.path());
    let all: Vec<_> = files.iter().flat_map(|(file, _)| records_of(file)).collect();
    assert!(all == outcome.records(), "every record, in its order");
    let counts: Vec<_> = files.iter().map(|(_, records)| *records).collect();
    assert!((5..=8).contains(&files.len()) && counts.iter().all(|&records| records >= 10), "{counts:?}");
}
