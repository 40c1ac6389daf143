//! What may happen to outputs of records, one test a row of the table in docs/outputs.md: whatever it is, capture goes
//! on, every record is accounted for, and what is there can be read.

mod files;
mod full;
mod sockets;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{ChildStdin, Stdio};

use serde_json::Value;
use tests::frame::Frame;
use tests::padtap::{Outcome, Running, of_kind, padtap};

/// One small frame, in a flow of its own.
fn frame(number: usize) -> Vec<u8> {
    let from = (1024 + number % 60_000) as u16;
    let frame = Frame::ethernet("bc:60:a7:00:00:40", "02:00:00:00:00:01").ipv4("192.168.1.40", "198.51.100.7");
    frame.udp(from, 3074).payload(16).build()
}

/// A packet of a pcap file.
fn packet(second: u32, micros: u32, frame: &[u8]) -> Vec<u8> {
    let length = frame.len() as u32;
    let head = [second, micros, length, length].map(u32::to_le_bytes);
    [head.as_flattened(), frame].concat()
}

/// A padtap that reads what the test feeds it, when it feeds it. Its standard output has every record.
struct Fed {
    running: Running,
    stdin: ChildStdin,
    fed: usize,
}

impl Fed {
    fn start(options: &[&str]) -> Self {
        let mut command = padtap(["read", "--json", "--packets"]);
        let mut running = Running::start(command.args(options).arg("-").stdin(Stdio::piped()));
        let mut stdin = running.take_stdin();
        stdin.write_all(&tests::capture_file::pcap(&[])).unwrap();
        Self { running, stdin, fed: 0 }
    }

    /// So many packets more, a millisecond apart.
    fn feed(&mut self, count: usize) {
        for _ in 0..count {
            let (second, milli) = (1_700_000_000 + self.fed as u32 / 1000, self.fed as u32 % 1000);
            self.stdin.write_all(&packet(second, milli * 1000, &frame(self.fed))).unwrap();
            self.fed += 1;
        }
    }

    /// Waits until standard output has all that was fed.
    fn settle(&self) {
        self.running.wait_for_packets(self.fed);
    }

    fn end(self) -> Outcome {
        let Self { running, stdin, .. } = self;
        drop(stdin);
        running.end()
    }
}

/// The numbers of the packets among these records, none of which is there twice.
fn packets(records: &[Value]) -> BTreeSet<u64> {
    let numbers: Vec<_> = of_kind(records, "packet").map(|record| record["number"].as_u64().unwrap()).collect();
    let set: BTreeSet<_> = numbers.iter().copied().collect();
    assert_eq!(set.len(), numbers.len(), "a record is there twice");
    set
}

/// The records of a file, all of whose lines are whole.
fn records_of(path: &Path) -> Vec<Value> {
    tests::padtap::records(&std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}
