//! The recipe for archives, as the document has it: Dask's scheduler and two workers, of which one is killed.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tests::padtap::{Running, binary, finish, padtap};
use tests::pypi::python;
use tests::tool::{have, output, wait_until};

const SESSION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/ps4-overwatch-2016/profile-a.pcap.gz");
const RECIPE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/archives.md");
const QUERIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/parquet.md");
const ANSWER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/parquet/queries.py");
const COMPARE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/archives/compare.py");

/// A process of Dask's; killed when dropped.
struct Dask(Child);

impl Dask {
    fn start(python: &Path, directory: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(python);
        command.args(["-m", "dask"]).args(arguments).current_dir(directory);
        // The worker finds the padtap that says when it begins before any other.
        let path = std::env::var("PATH").expect("a path");
        command.env("PATH", format!("{}:{path}", directory.display()));
        Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("Dask runs"))
    }
}

impl Drop for Dask {
    fn drop(&mut self) {
        // It may have ended, which is as well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An archive: the session in pieces of ten seconds.
struct Archive(tempfile::TempDir);

impl Archive {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(directory.path().join("captures")).expect("a folder");
        output(Command::new("editcap").args(["-i", "10", SESSION]).arg(directory.path().join("captures/part.pcapng")));
        Self(directory)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn pieces(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path().join("captures")).expect("a folder");
        let mut pieces: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        pieces.sort();
        pieces
    }

    /// A padtap that notes who called it and what for, and leaves time to be killed in.
    fn lay_padtap(&self) {
        let script = format!(
            "#!/bin/sh\nfor file; do :; done\necho \"$PPID $file\" >> {}\nsleep 0.5\nexec {} \"$@\"\n",
            self.path().join("begun").display(),
            binary().display()
        );
        let path = self.path().join("padtap");
        fs::write(&path, script).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("an executable");
    }

    /// What was begun so far: by which worker, on which piece.
    fn begun(&self) -> Vec<(u32, String)> {
        let text = fs::read_to_string(self.path().join("begun")).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let line = |line: &str| {
            let (worker, piece) = line.split_once(' ').expect("two words");
            (worker.parse().expect("a process"), piece.to_owned())
        };
        whole.lines().map(line).collect()
    }
}

/// The recipe, as the document has it.
fn recipe() -> String {
    let text = fs::read_to_string(RECIPE).expect("the document");
    let code = text.split("```python\n").nth(1).and_then(|rest| rest.split("```").next());
    code.expect("the document has a recipe").to_owned()
}

/// The answer of DuckDB to the document's query for flows that span files, in a directory that has `records`.
fn flows(python: &Path, directory: &Path) -> Vec<Value> {
    let text = output(Command::new(python).args([ANSWER, QUERIES]).current_dir(directory));
    serde_json::from_str(text.lines().last().expect("an answer")).expect("JSON")
}

#[test]
fn every_input_is_read_once_though_a_worker_is_killed() {
    let Some(python) = python(&["distributed", "duckdb", "pyarrow"]) else { return };
    if !have(&["editcap"]) {
        return;
    }
    let archive = Archive::new();
    archive.lay_padtap();
    let pieces = archive.pieces();
    assert_eq!(pieces.len(), 12);
    let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
    let (port, scheduler) = (port.to_string(), format!("tcp://127.0.0.1:{port}"));
    let _scheduler = Dask::start(
        &python,
        archive.path(),
        &["scheduler", "--host", "127.0.0.1", "--port", &port, "--dashboard-address", "127.0.0.1:0", "--no-show"],
    );
    let worker = || {
        let options =
            ["--host", "127.0.0.1", "--no-nanny", "--no-dashboard", "--nthreads", "1", "--local-directory", "."];
        Dask::start(&python, archive.path(), &[&["worker", &scheduler][..], &options].concat())
    };
    let (mut killed, survivor) = (worker(), worker());

    let script = archive.path().join("archive.py");
    fs::write(&script, recipe()).expect("a script");
    let mut command = Command::new(&python);
    command.arg(script).arg(&scheduler).arg(archive.path().join("records")).args(&pieces).stdin(Stdio::null());
    let running = Running::start(&mut command);
    let busy = |worker: &Dask, begun: &[(u32, String)]| begun.iter().filter(|(by, _)| *by == worker.0.id()).count();
    wait_until("both to work", || {
        let begun = archive.begun();
        busy(&killed, &begun) >= 2 && busy(&survivor, &begun) >= 1
    });
    killed.0.kill().expect("it is there");
    killed.0.wait().expect("it ends");
    let outcome = running.end().expect(0);

    let done: Vec<&str> = outcome.text().lines().collect();
    let expected: BTreeSet<String> = pieces.iter().map(|piece| format!("0 {}", piece.display())).collect();
    assert_eq!(done.iter().map(|line| line.trim_end().to_owned()).collect::<BTreeSet<_>>(), expected, "{done:?}");
    assert_eq!(done.len(), 12, "{done:?}");
    let begun = archive.begun();
    assert!(begun.len() > 12, "one was begun twice, for its worker was killed: {begun:?}");

    // Row for row what one padtap makes of one piece after the other.
    for piece in &pieces {
        let mut read = padtap(["read", "-q", "--sensor", "archive", "--parquet"]);
        finish(read.arg(archive.path().join("expected")).arg(piece)).expect(0);
    }
    let said = output(Command::new(&python).arg(COMPARE).arg("records").arg("expected").current_dir(archive.path()));
    assert_eq!(said.trim(), "12 inputs with 7278 frames");

    // And the flows are whole again, as those of the session that was never cut.
    let whole = tempfile::tempdir().expect("a temporary directory");
    let mut read = padtap(["read", "-q", "--sensor", "archive", "--parquet"]);
    finish(read.arg(whole.path().join("records")).arg(SESSION)).expect(0);
    let told = |flows: Vec<Value>| -> Vec<Value> {
        let names = ["community_id", "start", "end", "packets", "bytes"];
        flows.iter().map(|flow| names.iter().map(|name| flow[*name].clone()).collect()).collect()
    };
    let joined = flows(&python, archive.path());
    assert!(joined.iter().any(|flow| flow["pieces"].as_u64() >= Some(10)), "{joined:?}");
    assert_eq!(told(joined), told(flows(&python, whole.path())));
}
