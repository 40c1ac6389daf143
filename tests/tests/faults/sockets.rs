//! Readers of sockets: absent, late, slow, killed, back again. They are socat.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tests::netns::{Cable, NEAR, Sender, with_cable};
use tests::padtap::{Running, run};
use tests::tool::{have, wait_until};

use super::{Fed, frame, packets, records_of};

/// A kind of socket: padtap's word for it, socat's, and a file for each reader.
struct Place {
    directory: TempDir,
    ours: String,
    theirs: String,
}

impl Place {
    fn all() -> [Self; 3] {
        [Self::unix("unix", "UNIX-LISTEN"), Self::unix("unixgram", "UNIX-RECV"), Self::tcp()]
    }

    fn unix(ours: &str, theirs: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("socket");
        let (ours, theirs) =
            (format!("{ours}:{}", path.display()), format!("{theirs}:{},unlink-early", path.display()));
        Self { directory, ours, theirs }
    }

    fn tcp() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (ours, theirs) = (format!("tcp:127.0.0.1:{port}"), format!("TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr"));
        Self { directory: tempfile::tempdir().unwrap(), ours, theirs }
    }

    fn reader(&self, name: &str) -> Reader {
        let file = self.directory.path().join(name);
        let mut socat = Command::new("socat");
        socat.args(["-u", "-b", "262144", &self.theirs]).arg(format!("CREATE:{}", file.display()));
        Reader { child: socat.stdin(Stdio::null()).spawn().expect("socat"), file }
    }

    fn is_datagram(&self) -> bool {
        self.ours.starts_with("unixgram")
    }
}

/// A socat that writes what it reads to a file. Killed when dropped.
struct Reader {
    child: Child,
    file: PathBuf,
}

impl Reader {
    fn wait_for_lines(&self, count: usize) {
        wait_until("lines", || fs::read(&self.file).is_ok_and(|bytes| lines(&bytes) >= count));
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    fn kill(mut self) -> PathBuf {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.file.clone()
    }

    /// Datagram sockets have no end.
    fn end(mut self, place: &Place) -> PathBuf {
        if place.is_datagram() {
            return self.kill();
        }
        self.child.wait().unwrap();
        self.file.clone()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        // It has ended, as a rule.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lines(bytes: &[u8]) -> usize {
    bytes.iter().filter(|&&byte| byte == b'\n').count()
}

#[test]
fn absent() {
    for place in Place::all() {
        let capture = place.directory.path().join("in.pcap");
        tests::capture_file::write_pcap(&capture, &(0..100).map(frame).collect::<Vec<_>>());
        let outcome = run(["read", "--json", "--packets", "-o", &place.ours, capture.to_str().unwrap()]).expect(1);
        let (ledger, records) = (outcome.ledger(), outcome.records());
        assert_eq!(packets(&records).len(), 100, "the other output has all");
        assert_eq!(ledger.of_name("sink_drops"), records.len() as u64 - 1, "all but the account itself");
        assert!(outcome.stderr.contains(&format!("{}: nobody reads it", place.ours)), "{}", outcome.stderr);
    }
}

#[test]
fn late() {
    if !have(&["socat"]) {
        return;
    }
    for place in Place::all() {
        let mut padtap = Fed::start(&["-o", &place.ours]);
        padtap.feed(500);
        padtap.settle();
        let reader = place.reader("late");
        reader.wait_for_lines(500);
        padtap.feed(100);
        let outcome = padtap.end().expect(0);
        reader.wait_for_lines(outcome.records().len());
        assert!(records_of(&reader.end(&place)) == outcome.records(), "{}: what waited came, in its order", place.ours);
        assert_eq!(outcome.ledger().of_name("sink_drops"), 0);
        assert!(outcome.stderr.contains("nobody reads") && outcome.stderr.contains("connected"), "{}", outcome.stderr);
    }
}

#[test]
fn killed_and_back_again() {
    if !have(&["socat"]) {
        return;
    }
    for place in Place::all() {
        let mut padtap = Fed::start(&["-o", &place.ours]);
        let first = place.reader("first");
        padtap.feed(300);
        first.wait_for_lines(300);
        let first = first.kill();
        padtap.feed(300);
        padtap.settle();
        let second = place.reader("second");
        padtap.feed(300);
        second.wait_for_lines(600);
        let outcome = padtap.end().expect(0);
        second.wait_for_lines(outcome.records().len() - 300);
        let (first, second) = (records_of(&first), records_of(&second.end(&place)));
        assert_eq!(first.len(), 300);
        assert!([first, second].concat() == outcome.records(), "{}: each record once, in its order", place.ours);
        assert_eq!(outcome.ledger().of_name("sink_drops"), 0);
    }
}

/// A reader that is killed while it is behind takes with it what the system holds for it, and no half line is left.
#[test]
fn killed_while_it_is_behind() {
    if !have(&["socat"]) {
        return;
    }
    for place in Place::all() {
        let mut padtap = Fed::start(&["-o", &place.ours]);
        let first = place.reader("first");
        padtap.feed(10);
        first.wait_for_lines(10);
        first.signal(Signal::STOP);
        padtap.feed(6000);
        padtap.settle();
        let first = fs::read(first.kill()).unwrap();
        let second = place.reader("second");
        // The system may have taken for the first all that came before.
        padtap.feed(10);
        second.wait_for_lines(10);
        let outcome = padtap.end().expect(0);
        let file = second.file.clone();
        wait_until("the account", || fs::read(&file).is_ok_and(|bytes| bytes.ends_with(b"}\n") && has_account(&bytes)));
        let second = records_of(&second.end(&place));
        let whole = &first[..first.iter().rposition(|&byte| byte == b'\n').map_or(0, |newline| newline + 1)];
        let first = tests::padtap::records(whole);
        let all = outcome.records();
        let received = packets(&[&first[..], &second].concat()).len() as u64;
        let lost = outcome.ledger().of_name("sink_drops");
        assert_eq!(all[all.len() - second.len()..], second, "{}: from some line on, all", place.ours);
        assert!(received + lost <= packets(&all).len() as u64, "{received} received, {lost} lost");
    }
}

fn has_account(bytes: &[u8]) -> bool {
    String::from_utf8_lossy(bytes).lines().last().is_some_and(|line| line.starts_with("{\"kind\":\"stats\""))
}

/// A file is read no faster than its records are.
#[test]
fn slow_reader_of_a_file() {
    if !have(&["socat"]) {
        return;
    }
    let place = Place::unix("unix", "UNIX-LISTEN");
    let reader = place.reader("slow");
    let mut padtap = Fed::start(&["-q", "-o", &place.ours]);
    padtap.feed(10);
    reader.wait_for_lines(10);
    reader.signal(Signal::STOP);
    padtap.feed(6000);
    padtap.settle();
    reader.signal(Signal::CONT);
    let outcome = padtap.end().expect(0);
    assert!(records_of(&reader.end(&place)) == outcome.records());
    assert_eq!(outcome.ledger().of_name("sink_drops"), 0);
}

#[test]
fn slow_reader_of_a_live_capture() {
    if !have(&["socat"]) {
        return;
    }
    with_cable(Cable::default(), || {
        let place = Place::unix("unix", "UNIX-LISTEN");
        let reader = place.reader("stuck");
        wait_until("a socket", || Path::new(place.ours.trim_start_matches("unix:")).exists());
        let options = format!("-i {NEAR} --json --packets --stats-interval 0.1 -o {}", place.ours);
        let padtap = Running::capture(&options);
        reader.signal(Signal::STOP);
        let mut sender = Sender::new();
        for number in 0..3000 {
            sender.send(&frame(number));
        }
        padtap.wait_for_counter("dissected", 3000);
        let outcome = padtap.interrupt().expect(1);
        let ledger = tests::padtap::final_ledger(&outcome.records());
        assert_eq!((ledger.of_name("dissected"), ledger.lost()), (3000, 0), "nobody has waited");
        assert_eq!(packets(&outcome.records()).len(), 3000);
        assert!(ledger.of_name("sink_drops") > 0);
        assert!(outcome.stderr.contains("its reader is too slow"), "{}", outcome.stderr);
    });
}
