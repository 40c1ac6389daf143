//! Disks without room.

use std::fs;
use std::process::Command;

use tests::disk::{SmallDisk, files};
use tests::padtap::{Outcome, finish, padtap, records};
use tests::tool::have;

use super::{Fed, frame, packets, records_of};

/// Reads 3000 packets, whose records do not fit on a disk of half a megabyte.
fn overflow(options: &[&str]) -> Outcome {
    let directory = tempfile::tempdir().unwrap();
    let capture = directory.path().join("in.pcap");
    tests::capture_file::write_pcap(&capture, &(0..3000).map(frame).collect::<Vec<_>>());
    finish(padtap(["read", "-q", "--json", "--packets"]).args(options).arg(&capture))
}

/// The output's own part of what the ledger has as written: standard output got all.
fn written(outcome: &Outcome) -> usize {
    outcome.ledger().of_name("records_written") as usize - outcome.records().len()
}

#[test]
fn stop() {
    let Some(disk) = SmallDisk::new(512) else { return };
    let file = disk.path().join("out.ndjson");
    let outcome = overflow(&["-o", file.to_str().unwrap()]).expect(4);
    let kept = records_of(&file);
    assert!(kept.len() > 1000 && kept == outcome.records()[..kept.len()], "the first {}", kept.len());
    assert_eq!(written(&outcome), kept.len());
    assert!(
        outcome.stderr.contains(&format!("the {} records before that are in it", kept.len())),
        "{}",
        outcome.stderr
    );
}

#[test]
fn compressed() {
    if !have(&["gzip", "zstd"]) {
        return;
    }
    let Some(disk) = SmallDisk::new(64) else { return };
    for (name, reader) in [("out.ndjson.gz", ["gzip", "-dc"]), ("out.ndjson.zst", ["zstd", "-dcq"])] {
        let file = disk.path().join(name);
        fs::write(disk.path().join("ballast"), vec![0; 40 * 1024]).unwrap();
        let outcome = overflow(&["-o", file.to_str().unwrap()]).expect(4);
        let read = Command::new(reader[0]).args(&reader[1..]).arg(&file).output().unwrap();
        assert!(read.status.success(), "{reader:?}: {}", String::from_utf8_lossy(&read.stderr));
        let kept = records(&read.stdout);
        assert!(!kept.is_empty() && kept == outcome.records()[..kept.len()], "the first {}", kept.len());
        assert_eq!(written(&outcome), kept.len());
        fs::remove_file(file).unwrap();
    }
}

#[test]
fn drop_until_there_is_room() {
    let Some(disk) = SmallDisk::new(2048) else { return };
    let (file, ballast) = (disk.path().join("out.ndjson"), disk.path().join("ballast"));
    fs::write(&ballast, vec![0; 1900 * 1024]).unwrap();
    let mut padtap = Fed::start(&["--on-full", "drop", "-o", file.to_str().unwrap()]);
    padtap.feed(1000);
    padtap.running.wait_to_hear("no more room", &[]);
    padtap.settle();
    fs::remove_file(ballast).unwrap();
    padtap.feed(300);
    padtap.settle();
    let outcome = padtap.end().expect(4);
    let kept = records_of(&file);
    assert_eq!(written(&outcome), kept.len());
    assert!(packets(&kept).contains(&1300), "what came when there was room is there");
    assert!(kept.len() < outcome.records().len());
    assert!(outcome.stderr.contains("there was no room at times"), "{}", outcome.stderr);
}

#[test]
fn ring_deletes_its_oldest_files() {
    let Some(disk) = SmallDisk::new(512) else { return };
    let base = disk.path().join("out.ndjson");
    let foreign = disk.path().join("out_00000_20231114221320.ndjson");
    fs::write(&foreign, "not padtap's\n").unwrap();
    let options = ["--on-full", "ring", "--rotate", "filesize:50", "-o", base.to_str().unwrap()];
    let outcome = overflow(&options).expect(0);
    fs::remove_file(&foreign).expect("what is not its own stays");
    let kept: Vec<_> = files(disk.path()).iter().flat_map(|file| records_of(file)).collect();
    let all = outcome.records();
    assert!(kept.len() > 1000 && kept.len() < all.len(), "{} of {}", kept.len(), all.len());
    assert!(kept == all[all.len() - kept.len()..], "the newest");
    assert_eq!((written(&outcome), outcome.ledger().of_name("sink_drops")), (all.len(), 0));
}

#[test]
fn a_file_may_grow_no_more() {
    if !have(&["prlimit"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let capture = directory.path().join("in.pcap");
    tests::capture_file::write_pcap(&capture, &(0..3000).map(frame).collect::<Vec<_>>());
    let limited = |options: &[&str]| {
        let mut prlimit = Command::new("prlimit");
        prlimit.arg("--fsize=200000").arg(tests::padtap::binary()).args(["read", "-q", "--json", "--packets"]);
        finish(prlimit.args(options).arg(&capture))
    };
    let file = directory.path().join("out.ndjson");
    let outcome = limited(&["-o", file.to_str().unwrap()]).expect(4);
    let kept = records_of(&file);
    assert!(kept.len() > 100 && kept == outcome.records()[..kept.len()]);
    assert_eq!(written(&outcome), kept.len());
    assert!(outcome.stderr.contains("File too large"), "{}", outcome.stderr);

    // Of several files the next one goes on.
    let several = directory.path().join("several");
    fs::create_dir(&several).unwrap();
    let base = several.join("out.ndjson");
    let outcome = limited(&["--rotate", "filesize:100000", "-o", base.to_str().unwrap()]).expect(0);
    let kept: Vec<_> = files(&several).iter().flat_map(|file| records_of(file)).collect();
    assert!(kept == outcome.records(), "{} of {}", kept.len(), outcome.records().len());
}
