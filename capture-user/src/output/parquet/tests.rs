use std::fs::File;

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;
use crate::latency::Latency;
use crate::ledger::Ledger;
use crate::limits::Reached;
use crate::time::Timestamp;

fn stats(day: i64) -> Record {
    let time = Timestamp::new(day * 86_400, 1);
    Record::stats(time, Ledger::default(), Reached::default(), Latency::default())
}

fn sink(directory: &Path, name: Name) -> Parquet {
    Parquet::create(directory.to_owned(), "lab".into(), name).expect("a new directory")
}

fn capture() -> Name {
    Name::of_capture("lab", Timestamp::new(1_473_534_036, 24))
}

fn input() -> Name {
    Name::of_input(&[concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]).expect("a readable file")
}

/// Rows by file, of all files of the kind `stats`; whatever else is there, too.
fn files(directory: &Path) -> BTreeMap<String, i64> {
    let mut files = BTreeMap::new();
    for date in folders(&directory.join("kind=stats"), "date=").unwrap_or_default() {
        for entry in std::fs::read_dir(&date).expect("a folder") {
            let path = entry.expect("a file").path();
            let rows = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).expect("a file"))
                .map_or(-1, |reader| reader.metadata().file_metadata().num_rows());
            files.insert(path.strip_prefix(directory).expect("below").display().to_string(), rows);
        }
    }
    files
}

#[test]
fn a_file_has_its_name_when_it_is_whole() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut capture = sink(directory.path(), capture());
    capture.record(&stats(0)).expect("room");
    capture.flush().expect("room");
    assert!(files(directory.path()).keys().all(|name| name.contains("/.part-") && name.ends_with(".tmp")));
    assert_eq!(capture.backlog(), Some(Backlog { waiting: 1, lost: 0 }));
    capture.settle().expect("room");
    assert_eq!(capture.backlog(), Some(Backlog::default()));
    capture.record(&stats(0)).expect("room");
    capture.finish().expect("room");
    let name = |number| format!("kind=stats/date=1970-01-01/part-lab-20160910T190036.000000024Z-{number}.parquet");
    assert_eq!(files(directory.path()), BTreeMap::from([(name(0), 1), (name(1), 1)]));
}

#[test]
fn files_that_are_given_up_leave_nothing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut capture = sink(directory.path(), capture());
    capture.record(&stats(0)).expect("room");
    drop(capture);
    assert_eq!(files(directory.path()).len(), 0);
}

#[test]
fn more_days_than_open_files_lose_nothing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut capture = sink(directory.path(), capture());
    for day in (0..100).chain(0..100) {
        capture.record(&stats(day)).expect("room");
        assert!(capture.open.len() <= OPEN);
    }
    capture.finish().expect("room");
    let files = files(directory.path());
    assert_eq!((files.len(), files.values().sum::<i64>()), (200, 200));
}

#[test]
fn an_input_replaces_what_was_read_from_it_and_nothing_else() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut other = sink(directory.path(), capture());
    other.record(&stats(1)).expect("room");
    other.finish().expect("room");
    let read = |days: &[i64]| {
        let mut sink = sink(directory.path(), input());
        days.iter().for_each(|day| sink.record(&stats(*day)).expect("room"));
        sink.finish().expect("room");
        files(directory.path()).into_iter().filter(|(name, _)| name.contains("Cargo.toml")).collect::<Vec<_>>()
    };
    let first = read(&[0, 1, 1, 2]);
    assert_eq!(first.iter().map(|(_, rows)| *rows).collect::<Vec<_>>(), [1, 2, 1]);
    assert_eq!(read(&[1, 1]), first[1..2]);
    assert_eq!(files(directory.path()).len(), 2, "the capture's file is still there");
}

#[test]
fn a_failure_names_the_file_and_gives_no_more_names() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let tables = directory.path().join("tables");
    let mut sink = sink(&tables, input());
    sink.record(&stats(0)).expect("room");
    std::fs::remove_dir_all(&tables).expect("a directory");
    let error = sink.settle().expect_err("no directory");
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(error.to_string().contains("kind=stats/date=1970-01-01/part-Cargo.toml-"), "{error}");
    sink.finish().expect("nothing more to do");
    assert!(!tables.exists());
}

#[test]
fn encoded_rows_stay_within_their_memory() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut capture = sink(directory.path(), capture());
    capture.memory = 100_000;
    for _ in 0..40 * 256 {
        capture.record(&stats(0)).expect("room");
        assert!(capture.open.values().map(Part::memory).sum::<usize>() <= capture.memory);
    }
    capture.finish().expect("room");
    assert_eq!(files(directory.path()).into_values().collect::<Vec<_>>(), [40 * 256]);
}

#[test]
fn names_are_plain_and_belong_to_one_input() {
    let name = Name::of_capture("a b/c=ü", Timestamp::default());
    assert_eq!(name.file(7), "part-a_b_c__-19700101T000000.000000000Z-7.parquet");
    assert!(name.is_of(&name.file(0)) && !name.is_of(&input().file(0)));
    let stem = name.file(0).replace("-0.parquet", "");
    for other in ["", "-", "-.parquet", "-x.parquet", "-0.parquet.tmp", "-0-1.parquet"] {
        assert!(!name.is_of(&format!("{stem}{other}")), "{other}");
    }
}
