//! The real binary: built once, run, and its records read.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::tool::wait_until;

/// The binary, as it is built from these sources: the one that `PADTAP_BINARY` says, which `cargo xtask test` builds
/// together with the tests, or else one that is built now.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| std::env::var_os("PADTAP_BINARY").map_or_else(build, PathBuf::from))
}

/// Builds with the profile, and into the directory, of the test itself: `target/<profile>/deps/<test>`.
fn build() -> PathBuf {
    let test = std::env::current_exe().expect("the test's own path");
    let directory = test.ancestors().nth(2).expect("a profile's directory");
    let target = directory.parent().expect("a target directory");
    let profile = directory.file_name().and_then(|name| name.to_str()).expect("a profile");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--package", "capture-user", "--bin", "padtap", "--features", "parquet"]);
    cargo.args(["--profile", if profile == "debug" { "dev" } else { profile }]).arg("--target-dir").arg(target);
    let status = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo runs");
    assert!(status.success(), "{cargo:?}: {status}");
    directory.join("padtap")
}

/// A command line of padtap; standard input is empty.
pub fn padtap<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments).stdin(Stdio::null()).env_remove("NO_COLOR");
    command
}

/// The same on one processor, the first that may be used.
///
/// # Panics
/// When the system does not say which that is.
pub fn pinned<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let may_use = rustix::thread::sched_getaffinity(None).expect("processors");
    let first = (0..rustix::thread::CpuSet::MAX_CPU).find(|processor| may_use.is_set(*processor));
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", &first.expect("a processor").to_string()]).arg(binary()).args(arguments);
    command.stdin(Stdio::null()).env_remove("NO_COLOR");
    command
}

/// What a run left behind.
#[derive(Debug)]
pub struct Outcome {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it said.
    pub stderr: String,
}

/// Runs padtap to its end.
pub fn run<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Outcome {
    finish(&mut padtap(arguments))
}

/// Runs a command to its end.
///
/// # Panics
/// When it cannot be started.
pub fn finish(command: &mut Command) -> Outcome {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Outcome { status: output.status, stdout: output.stdout, stderr }
}

impl Outcome {
    /// The exit code; a signal is none.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Itself, with this exit code.
    ///
    /// # Panics
    /// When it ended otherwise.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code(), Some(code), "{}: {}", self.status, self.stderr);
        self
    }

    /// Standard output as text.
    ///
    /// # Panics
    /// When it is none.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).expect("UTF-8")
    }

    /// Standard output as records.
    #[track_caller]
    pub fn records(&self) -> Vec<Value> {
        records(&self.stdout)
    }

    /// The ledger of the last record, which must balance and stand in the only `stats` record.
    ///
    /// # Panics
    /// When it is not so.
    #[track_caller]
    pub fn ledger(&self) -> Ledger {
        let records = self.records();
        let stats = records.iter().filter(|record| record["kind"] == "stats").count();
        assert_eq!(stats, 1, "exactly one account");
        final_ledger(&records)
    }
}

/// The records of an output: every line is a whole one.
///
/// # Panics
/// When one is not.
#[track_caller]
pub fn records(output: &[u8]) -> Vec<Value> {
    let text = std::str::from_utf8(output).expect("UTF-8");
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is not whole: {text:?}");
    let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(parse).collect()
}

/// The ledger of the last record, which must be a `stats` record and balance.
///
/// # Panics
/// When it does not.
#[track_caller]
pub fn final_ledger(records: &[Value]) -> Ledger {
    let last = records.last().expect("a record");
    assert_eq!(last["kind"], "stats", "the last record is the account");
    let ledger = Ledger::of(last);
    ledger.assert_balanced();
    ledger
}

/// The counters of a `ledger`, by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Ledger(BTreeMap<String, u64>);

impl Ledger {
    /// That of a record, or of a benchmark's report.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn of(record: &Value) -> Self {
        Self(serde_json::from_value(record["ledger"].clone()).expect("counters"))
    }

    /// One counter.
    ///
    /// # Panics
    /// When there is none of that name.
    #[track_caller]
    pub fn of_name(&self, name: &str) -> u64 {
        *self.0.get(name).unwrap_or_else(|| panic!("the ledger has no {name}: {self:?}"))
    }

    /// The sum of several counters.
    #[track_caller]
    pub fn sum(&self, names: &[&str]) -> u64 {
        names.iter().map(|name| self.of_name(name)).sum()
    }

    /// Every frame and every record is accounted for.
    ///
    /// # Panics
    /// When one is not.
    #[track_caller]
    pub fn assert_balanced(&self) {
        let rules: [(&str, &[&str]); 5] = [
            ("seen", &["passed", "filtered", "shunted", "redirected", "redirect_errors"]),
            ("redirected", &["delivered", "rx_dropped", "rx_ring_full"]),
            ("delivered", &["dissected", "worker_queue_drops", "bad_descriptors", "past_limit", "unwanted"]),
            ("records", &["records_written", "sink_drops"]),
            ("frames_to_write", &["frames_written", "write_drops"]),
        ];
        for (whole, parts) in rules {
            assert_eq!(self.of_name(whole), self.sum(parts), "{whole} = {}: {self:?}", parts.join(" + "));
        }
    }

    /// Frames that were wanted and lost.
    #[track_caller]
    pub fn lost(&self) -> u64 {
        self.sum(&["redirect_errors", "rx_dropped", "rx_ring_full", "bad_descriptors", "worker_queue_drops"])
    }
}

/// The values of one key in records of one kind.
pub fn of_kind<'a>(records: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    records.iter().filter(move |record| record["kind"] == kind)
}

/// A padtap that is running. Killed when dropped.
pub struct Running {
    child: Child,
    stdout: Collected,
    stderr: Collected,
}

/// What a pipe has brought so far.
struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
}

impl Collected {
    fn start(mut pipe: impl Read + Send + 'static) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let thread = std::thread::spawn({
            let bytes = bytes.clone();
            move || {
                let mut piece = [0; 16 * 1024];
                while let Ok(length @ 1..) = pipe.read(&mut piece) {
                    bytes.lock().expect("no reader panics").extend(&piece[..length]);
                }
            }
        });
        Self { bytes, thread: Some(thread) }
    }

    fn so_far(&self) -> Vec<u8> {
        self.bytes.lock().expect("no reader panics").clone()
    }

    fn read_to_end(mut self) -> Vec<u8> {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("no reader panics");
        }
        self.so_far()
    }
}

impl Running {
    /// Starts a command.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(command: &mut Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let stdout = Collected::start(child.stdout.take().expect("a pipe"));
        let stderr = Collected::start(child.stderr.take().expect("a pipe"));
        Self { child, stdout, stderr }
    }

    /// Starts padtap and waits until it says that it captures.
    pub fn capture(arguments: &str) -> Self {
        let mut running = Self::start(&mut padtap(["capture"].into_iter().chain(arguments.split_whitespace())));
        running.wait_to_hear(" queue", &["packet socket"]);
        running
    }

    /// Waits until it has said this, or one of the others, on standard error.
    ///
    /// # Panics
    /// When it ends before.
    #[track_caller]
    pub fn wait_to_hear(&mut self, words: &str, others: &[&str]) {
        wait_until(words, || {
            let ended = !self.is_running();
            let heard = self.heard();
            let found = heard.contains(words) || others.iter().any(|other| heard.contains(other));
            assert!(found || !ended, "it ended: {heard}");
            found
        });
    }

    /// What it has said so far on standard error.
    pub fn heard(&self) -> String {
        String::from_utf8_lossy(&self.stderr.so_far()).into_owned()
    }

    /// The records so far, without a line that is still being written.
    ///
    /// # Panics
    /// When a line is no record.
    pub fn records(&self) -> Vec<Value> {
        let bytes = self.stdout.so_far();
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1);
        records(&bytes[..whole])
    }

    /// Waits for so many lines on standard output.
    #[track_caller]
    pub fn wait_for_lines(&self, count: usize) {
        wait_until("lines", || self.stdout.so_far().iter().filter(|&&byte| byte == b'\n').count() >= count);
    }

    /// Waits until the records fulfil a condition.
    #[track_caller]
    pub fn wait_for(&self, what: &str, condition: impl Fn(&[Value]) -> bool) {
        wait_until(what, || condition(&self.records()));
    }

    /// Waits for so many `packet` records.
    #[track_caller]
    pub fn wait_for_packets(&self, count: usize) {
        self.wait_for("packet records", |records| of_kind(records, "packet").count() >= count);
    }

    /// Waits for a `stats` record in which a counter is at least so high.
    #[track_caller]
    pub fn wait_for_counter(&self, counter: &str, value: u64) {
        self.wait_for(counter, |records| {
            of_kind(records, "stats").any(|record| Ledger::of(record).of_name(counter) >= value)
        });
    }

    /// Its standard input, if the command has a pipe there.
    ///
    /// # Panics
    /// When there is none, or it was taken before.
    pub fn take_stdin(&mut self) -> ChildStdin {
        self.child.stdin.take().expect("a pipe")
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When it has ended already.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("it is there");
    }

    /// Whether it runs.
    ///
    /// # Panics
    /// When the system does not know.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("the system knows").is_none()
    }

    /// Waits until it ends.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn end(mut self) -> Outcome {
        wait_until("the end", || !self.is_running());
        let status = self.child.wait().expect("it ended");
        let empty = || Collected { bytes: Arc::default(), thread: None };
        let stdout = std::mem::replace(&mut self.stdout, empty()).read_to_end();
        let stderr = std::mem::replace(&mut self.stderr, empty()).read_to_end();
        Outcome { status, stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() }
    }

    /// Asks it to end by SIGINT, and waits.
    #[track_caller]
    pub fn interrupt(self) -> Outcome {
        self.signal(Signal::INT);
        self.end()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended, which is as well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
