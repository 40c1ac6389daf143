//! Parquet files and Arrow streams: what their readers make of them, and what is left of them when something goes wrong.

use std::collections::BTreeMap;
use std::fs;
use std::io::{PipeWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;
use serde_json::Value;
use tests::padtap::{Outcome, Running, binary, final_ledger, finish, of_kind, padtap, records, run};
use tests::pypi::python;
use tests::tool::{output, wait_until};

/// A session with nearly every kind of record.
const SESSION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/ps4-overwatch-2016/profile-a.pcap.gz");
const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/parquet.md");
const AGREE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/parquet/agree.py");
const QUERIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/parquet/queries.py");

fn read(file: impl AsRef<Path>, options: &str) -> Outcome {
    let arguments = ["read", "--sensor", "lab"].into_iter().chain(options.split_whitespace());
    finish(padtap(arguments).arg(file.as_ref()))
}

/// Every file below a directory, by its path from there.
fn tree(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![directory.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(directory).expect("it is below").to_string_lossy().into_owned();
                // A file may get its name, or go, in the meantime.
                files.insert(name, fs::read(&path).unwrap_or_default());
            }
        }
    }
    files
}

fn is_temporary(name: &str) -> bool {
    name.rsplit('/').next().is_some_and(|name| name.starts_with(".part-") && name.ends_with(".tmp"))
}

/// How many files a kind has.
fn of(files: &BTreeMap<String, Vec<u8>>, kind: &str) -> usize {
    files.keys().filter(|name| name.starts_with(&format!("kind={kind}/"))).count()
}

#[test]
fn readers_agree_with_ndjson_on_every_value() {
    let Some(python) = python(&["duckdb", "polars", "pyarrow"]) else { return };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let [ndjson, tables, streams] = ["records.ndjson", "tables", "streams"].map(|name| directory.path().join(name));
    let options =
        format!("--packets -o {} --parquet {} --arrow {}", ndjson.display(), tables.display(), streams.display());
    read(SESSION, &options).expect(0);
    let said = output(Command::new(python).arg(AGREE).args([ndjson, tables, streams]));
    assert!(said.contains("records of"), "{said}");
}

/// The answers of DuckDB to the queries of the document, in a directory that has `records`.
fn answers(python: &Path, directory: &Path) -> Vec<Vec<Value>> {
    let text = output(Command::new(python).arg(QUERIES).arg(DOCUMENT).current_dir(directory));
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn the_documents_queries_answer_what_they_are_asked() {
    let Some(python) = python(&["duckdb", "pyarrow"]) else { return };
    let whole = tempfile::tempdir().expect("a temporary directory");
    let ndjson = read(SESSION, &format!("--json --parquet {}/records", whole.path().display())).expect(0).records();
    let answered = answers(&python, whole.path());
    let [matches, losses, voice, roles, flows] = &answered[..] else { panic!("{} answers", answered.len()) };
    let console = of_kind(&ndjson, "match").map(|told| &told["device"]).next().expect("a match");
    assert_eq!((&matches[0]["console"], &matches[0]["matches"]), (console, &1.into()));
    let worst = of_kind(&ndjson, "rtp").filter_map(|stream| stream["lost_percent"].as_f64()).fold(0.0, f64::max);
    assert_eq!(losses[0]["worst_percent"].as_f64(), Some(worst));
    let sum = |rows: &[Value], name: &str| rows.iter().filter_map(|row| row[name].as_u64()).sum::<u64>();
    let kind = |name| of_kind(&ndjson, name).cloned().collect::<Vec<_>>();
    assert_eq!(sum(voice, "packets"), sum(&kind("rtp"), "packets"));
    assert_eq!(sum(roles, "up"), sum(&kind("flow"), "bytes_out"));

    // The same capture in pieces: flows are whole again, once they are joined.
    let pieces = tempfile::tempdir().expect("a temporary directory");
    let cut = pieces.path().join("cut.pcapng");
    read(SESSION, &format!("-w {} -b packets:3000", cut.display())).expect(0);
    let files: Vec<_> = tree(pieces.path()).into_keys().collect();
    assert!(files.len() > 2, "{files:?}");
    for file in files {
        read(pieces.path().join(file), &format!("--parquet {}/records", pieces.path().display())).expect(0);
    }
    let joined = &answers(&python, pieces.path())[4];
    let told = |rows: &[Value]| -> Vec<Value> {
        let told = |row: &Value| {
            serde_json::json!([row["community_id"], row["start"], row["end"], row["packets"], row["bytes"]])
        };
        rows.iter().map(told).collect()
    };
    assert!(joined.iter().any(|flow| flow["pieces"].as_u64() > Some(1)));
    assert_eq!(told(joined), told(flows));
}

#[test]
fn reading_again_replaces_and_duplicates_nothing() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let tables = directory.path().join("tables");
    let options = format!("--packets --parquet {}", tables.display());
    read(SESSION, &options).expect(0);
    let first = tree(&tables);
    assert!(first.len() > 10 && first.keys().all(|name| name.ends_with(".parquet")), "{:?}", first.keys());

    // The same file in another place, and without packets: their table goes.
    let copy = directory.path().join("elsewhere").join("profile-a.pcap.gz");
    fs::create_dir(copy.parent().expect("a folder")).expect("a new folder");
    fs::copy(SESSION, &copy).expect("a copy");
    read(&copy, &format!("--parquet {}", tables.display())).expect(0);
    let second = tree(&tables);
    assert_eq!((of(&first, "packet"), of(&second, "packet")), (1, 0));
    assert!(second.keys().eq(first.keys().filter(|name| !name.starts_with("kind=packet/"))), "{:?}", second.keys());

    // Another input stands beside it.
    read(concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/ps4-overwatch-2016/snap96.pcap.gz"), &options).expect(0);
    let third = tree(&tables);
    assert_eq!((of(&third, "flow"), of(&third, "packet")), (2, 1));
}

/// A padtap that reads from a pipe, has got a whole session, and waits for more.
fn reading(arguments: &str) -> (Running, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let mut command =
        padtap(["read", "-", "--packets", "--sensor", "lab"].into_iter().chain(arguments.split_whitespace()));
    let running = Running::start(command.stdin(reader));
    drop(command);
    writer.write_all(&fs::read(SESSION).expect("the session")).expect("a reader");
    (running, writer)
}

#[test]
fn a_killed_run_leaves_no_file_under_a_final_name() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let tables = directory.path().join("tables");
    let (running, _writer) = reading(&format!("--parquet {}", tables.display()));
    wait_until("a file that is being written", || tree(&tables).keys().any(|name| is_temporary(name)));
    running.signal(Signal::KILL);
    assert_eq!(running.end().code(), None);
    let left = tree(&tables);
    assert!(left.keys().all(|name| is_temporary(name)), "{:?}", left.keys());
}

#[test]
fn a_directory_that_is_removed_ends_that_output_alone() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let tables = directory.path().join("tables");
    let (running, writer) = reading(&format!("--json --parquet {}", tables.display()));
    let begun = |name: &String| name.starts_with("kind=packet/") && is_temporary(name);
    wait_until("a file that is being written", || tree(&tables).keys().any(begun));
    // It may make another folder in the meantime.
    wait_until("the end of the directory", || fs::remove_dir_all(&tables).is_ok());
    drop(writer);
    let outcome = running.end().expect(1);
    assert!(outcome.stderr.contains("/kind=") && outcome.stderr.contains("No such file"), "{}", outcome.stderr);
    let told = outcome.records();
    assert!(final_ledger(&told).of_name("sink_drops") > 0);
    assert_eq!(of_kind(&told, "match").count(), 1);
    // Kinds that came later are in files of their own, and whole.
    let left = tree(&tables);
    assert!(of(&left, "packet") == 0 && left.keys().all(|name| name.ends_with(".parquet")), "{:?}", left.keys());
}

/// padtap with files of at most so many KiB.
fn limited(kib: u32, arguments: &str, stdin: Option<&str>) -> Outcome {
    let stdin = stdin.map_or_else(String::new, |file| format!("< {file}"));
    // The shell's unit is 512 bytes.
    let script = format!("ulimit -f {}; exec {} read --sensor lab {arguments} {stdin}", kib * 2, binary().display());
    finish(Command::new("sh").args(["-c", &script]))
}

#[test]
fn a_full_disk_keeps_what_was_whole() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let tables = directory.path().join("tables");
    read(SESSION, &format!("--parquet {}", tables.display())).expect(0);
    let before = tree(&tables);
    let options = format!("--json --packets --parquet {}", tables.display());

    // Of an input nothing gets its name: what was read from it before stays.
    let outcome = limited(64, &format!("{options} {SESSION}"), None).expect(4);
    assert!(outcome.stderr.contains("kind=packet") && outcome.stderr.contains("too large"), "{}", outcome.stderr);
    assert!(final_ledger(&outcome.records()).of_name("sink_drops") > 0);
    assert!(tree(&tables) == before, "the earlier run's files are as they were");

    // Of a capture, what is sound does.
    let fresh = directory.path().join("fresh");
    let options = format!("--packets --parquet {}", fresh.display());
    limited(64, &format!("{options} -"), Some(SESSION)).expect(4);
    let files = tree(&fresh);
    assert_eq!((of(&files, "packet"), of(&files, "flow"), of(&files, "match")), (0, 1, 1), "{:?}", files.keys());
    assert!(files.keys().all(|name| name.ends_with(".parquet")), "{:?}", files.keys());
}

#[test]
fn what_cannot_be_a_directory_is_said_before_reading() {
    let outcome = run(["read", "--parquet", "/dev/null/tables", SESSION]).expect(1);
    assert!(outcome.stderr.contains("/dev/null/tables") && outcome.stdout.is_empty(), "{}", outcome.stderr);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let missing: PathBuf = directory.path().join("missing.pcap");
    let tables = directory.path().join("tables");
    read(&missing, &format!("--parquet {}", tables.display())).expect(1);
    assert_eq!(tree(&tables).len(), 0);
}

#[test]
fn a_stream_can_be_read_while_it_grows() {
    let Some(python) = python(&["pyarrow"]) else { return };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let streams = directory.path().join("streams");
    let (running, writer) = reading(&format!("--json --arrow {}", streams.display()));
    running.wait_for_packets(7_000);
    let program = "import pyarrow, sys; print(pyarrow.ipc.open_stream(sys.argv[1]).read_next_batch().num_rows)";
    let rows = output(Command::new(python).args(["-c", program]).arg(streams.join("packet.arrows")));
    assert!(rows.trim().parse().is_ok_and(|rows: u64| rows > 0), "{rows}");
    drop(writer);
    let outcome = running.end().expect(0);
    assert!(!records(&outcome.stdout).is_empty());
}
