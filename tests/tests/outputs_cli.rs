//! What padtap writes, read by others: capture files, pipes, full disks, terminals, the latency log.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;
use tests::capture_file::{self, foreign, write_pcap};
use tests::disk::{SmallDisk, files};
use tests::frame::Frame;
use tests::padtap::{Outcome, binary, finish, padtap, records, run};
use tests::pypi::python;
use tests::tool::{have, output, tshark};

/// Frames of several sizes, in as many flows.
fn frames(count: usize) -> Vec<Vec<u8>> {
    let frame = |number: usize| {
        let from = (1024 + number % 60_000) as u16;
        let frame = Frame::ethernet("bc:60:a7:00:00:40", "02:00:00:00:00:01").ipv4("192.168.1.40", "198.51.100.7");
        frame.udp(from, 3074).payload(number * 37 % 1400).build()
    };
    (0..count).map(frame).collect()
}

fn capture(count: usize) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("in.pcap");
    write_pcap(&path, &frames(count));
    (directory, path)
}

fn read(path: &Path, options: &str) -> Outcome {
    finish(padtap(["read", "-q"]).args(options.split_whitespace()).arg(path))
}

#[test]
fn frames_come_back_byte_for_byte_with_their_times() {
    if !have(&["editcap"]) {
        return;
    }
    let (directory, own) = capture(300);
    let (plain, written) = (directory.path().join("plain.pcap"), directory.path().join("out.pcapng"));
    for file in foreign().into_iter().chain([own]) {
        output(Command::new("editcap").args(["-F", "nsecpcap"]).args([&file, &plain]));
        read(&file, &format!("-w {}", written.display())).expect(0);
        assert!(capture_file::read(&plain) == capture_file::read(&written), "{}", file.display());
        let piped = read(&file, "-w -").expect(0);
        assert!(capture_file::read(&plain) == capture_file::parse(&piped.stdout), "{} piped", file.display());
    }
}

#[test]
fn others_read_what_is_written() {
    if !have(&["tshark", "tcpdump", "capinfos"]) {
        return;
    }
    let (directory, file) = capture(300);
    let written = directory.path().join("out.pcapng");
    let outcome = read(&file, &format!("--json --workers 2 -w {}", written.display())).expect(0);
    assert_eq!(outcome.ledger().of_name("frames_written"), 300);
    let fields = ["frame.time_epoch", "frame.len", "udp.srcport"];
    let sorted = |file: &Path| {
        let mut rows = tshark(file, &fields);
        rows.sort();
        rows
    };
    assert_eq!(sorted(&written), sorted(&file));
    let text = output(Command::new("tcpdump").args(["-nn", "-r"]).arg(&written));
    assert_eq!(text.lines().count(), 300);
    let about = output(Command::new("capinfos").args(["-M", "-c"]).arg(&written));
    assert!(about.lines().any(|line| line.starts_with("Number of packets") && line.ends_with(" 300")), "{about}");
}

#[test]
fn tshark_reads_the_pipe() {
    if !have(&["tshark"]) {
        return;
    }
    let (_directory, file) = capture(300);
    let mut padtap = padtap(["read", "-q", "-w", "-"]).arg(&file).stdout(Stdio::piped()).spawn().unwrap();
    let mut tshark = Command::new("tshark");
    tshark.args(["-n", "-r", "-", "-T", "fields", "-e", "udp.srcport"]).stdin(padtap.stdout.take().unwrap());
    let ports = output(&mut tshark);
    assert!(ports.lines().eq((1024..1324).map(|port| port.to_string())), "{ports}");
    assert!(padtap.wait().unwrap().success());
}

#[test]
fn files_rotate_as_dumpcap_names_them() {
    let (_directory, file) = capture(95);
    let ring = tempfile::tempdir().unwrap();
    let base = ring.path().join("ring.pcapng");
    read(&file, &format!("-w {} -b packets:10 -b files:3", base.display())).expect(0);
    let kept = files(ring.path());
    assert_eq!(kept.len(), 3, "{kept:?}");
    let packets: Vec<_> = kept.iter().map(|file| capture_file::read(file)).collect();
    assert_eq!(packets.iter().map(Vec::len).collect::<Vec<_>>(), [10, 10, 5]);
    let data: Vec<_> = packets.into_iter().flatten().map(|packet| packet.data).collect();
    assert_eq!(data, frames(95)[70..]);
    for (file, number) in kept.iter().zip(["00008", "00009", "00010"]) {
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with(&format!("ring_{number}_20231114")) && name.ends_with(".pcapng"), "{name}");
    }

    let limited = tempfile::tempdir().unwrap();
    let base = limited.path().join("one.pcapng");
    read(&file, &format!("-w {} -b packets:10 -a files:2", base.display())).expect(0);
    let kept = files(limited.path());
    let counts: Vec<_> = kept.iter().map(|file| capture_file::read(file).len()).collect();
    assert_eq!(counts, [10, 10], "{kept:?}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let (directory, file) = capture(20_000);
    for arguments in [
        vec!["read", "--json", "--packets"],
        vec!["read", "--packets"],
        vec!["read", "-w", "-"],
        vec!["completions", "bash"],
        vec!["man"],
        vec!["read", "--help"],
    ] {
        let is_read = arguments[0] == "read" && arguments[1] != "--help";
        let mut command = padtap(&arguments);
        command.args(is_read.then_some(&file)).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = Vec::new();
        BufReader::with_capacity(16, child.stdout.take().unwrap()).read_until(b'\n', &mut line).unwrap();
        let outcome = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&outcome.stderr);
        assert!(outcome.status.success() && !said.contains("padtap:"), "{arguments:?}: {}: {said}", outcome.status);
        assert!(!line.is_empty());
    }
    drop(directory);
}

#[test]
fn quiet_is_quiet_and_loud_is_on_standard_error() {
    let (_directory, file) = capture(10);
    assert_eq!(read(&file, "--json").expect(0).stderr, "");
    let outcome = run(["read", "--json", file.to_str().unwrap()]).expect(0);
    assert!(outcome.stderr.starts_with("frames   10 seen, 10 delivered, 10 dissected, 0 lost\n"), "{}", outcome.stderr);
    assert_eq!(outcome.ledger().of_name("dissected"), 10);
}

/// A terminal gets colours, unless its user does not want them; a pipe never does.
#[test]
fn colours_are_for_terminals_whose_users_want_them() {
    if !have(&["script"]) {
        return;
    }
    let (_directory, file) = capture(3);
    let line = format!("{} read -q --packets {}", binary().display(), file.display());
    let on_terminal = |colour: Option<&str>| {
        let mut script = Command::new("script");
        script.args(["-qec", &line, "/dev/null"]).stdin(Stdio::null()).env_remove("NO_COLOR");
        script.envs(colour.map(|value| ("NO_COLOR", value)));
        output(&mut script)
    };
    assert!(on_terminal(None).contains("\x1b["));
    assert!(on_terminal(Some("")).contains("\x1b["), "an empty value is none (no-color.org)");
    let plain = on_terminal(Some("1"));
    assert!(plain.contains("198.51.100.7") && !plain.contains('\x1b'), "{plain}");
    assert!(!read(&file, "--packets").expect(0).text().contains('\x1b'));
}

#[test]
fn a_full_device_is_exit_code_4() {
    let (_directory, file) = capture(300);
    for option in ["-o", "-w", "--latency-log"] {
        let outcome = read(&file, &format!("{option} /dev/full")).expect(4);
        assert_eq!(outcome.stderr.lines().count(), 1, "{option}: {}", outcome.stderr);
        assert!(outcome.stderr.contains("No space left"), "{option}: {}", outcome.stderr);
    }
    // The one that is full does not disturb the other.
    let outcome = read(&file, "--json --packets -o /dev/full").expect(4);
    assert!(outcome.stderr.contains("/dev/full"), "{}", outcome.stderr);
    let ledger = outcome.ledger();
    assert_eq!(ledger.of_name("dissected"), 300);
    assert_eq!(outcome.records().len() as u64, ledger.of_name("records_written"), "none went to the full one");
}

#[test]
fn a_full_disk_leaves_readable_files() {
    let Some(disk) = SmallDisk::new(512) else { return };
    let (_directory, file) = capture(3_000);
    let all = frames(3_000);
    let written = disk.path().join("out.pcapng");
    let outcome = read(&file, &format!("-w {}", written.display())).expect(4);
    let packets = capture_file::read(&written);
    assert!(!packets.is_empty() && packets.len() < all.len(), "{}", packets.len());
    assert!(packets.iter().map(|packet| &packet.data).eq(&all[..packets.len()]));
    assert!(outcome.stderr.contains("no more room") && outcome.stderr.contains(&format!("{} packets", packets.len())));
    assert_eq!(files(disk.path()), std::slice::from_ref(&written), "no temporary file stays");
    fs::remove_file(&written).unwrap();

    // Records go on while frames cannot, and the account says so.
    let outcome = read(&file, &format!("--json -w {}", written.display())).expect(4);
    let ledger = outcome.ledger();
    let packets = capture_file::read(&written).len() as u64;
    assert_eq!((ledger.of_name("dissected"), ledger.of_name("frames_written")), (3_000, packets));
    fs::remove_file(&written).unwrap();

    let lines = disk.path().join("out.ndjson");
    let outcome = read(&file, &format!("--json --packets -o {}", lines.display())).expect(4);
    let kept = records(&fs::read(&lines).unwrap()).len() as u64;
    let ledger = outcome.ledger();
    let to_stdout = outcome.records().len() as u64;
    assert!(kept > 0 && kept < to_stdout, "{kept}");
    let counted = ledger.of_name("records_written") - to_stdout;
    assert!(counted <= kept, "{counted} are said to be written, {kept} are");
}

#[test]
fn what_cannot_be_written_is_said_before_reading() {
    let (directory, file) = capture(10);
    for option in ["-o", "-w", "--latency-log"] {
        let outcome = read(&file, &format!("{option} {}/nowhere/out", directory.path().display())).expect(1);
        assert!(outcome.stderr.contains("nowhere/out"), "{}", outcome.stderr);
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    }
}

#[test]
fn the_latency_log_is_read_by_hdrh() {
    let (directory, file) = capture(300);
    let log = directory.path().join("latency.hlog");
    let outcome = read(&file, &format!("--json --latency-log {}", log.display())).expect(0);
    assert!(fs::read_to_string(&log).unwrap().starts_with('#'));
    let Some(python) = python(&["hdrh"]) else { return };
    let program = "
import sys
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader
reader = HistogramLogReader(sys.argv[1], HdrHistogram(1, 60_000_000_000, 2))
while True:
    histogram = reader.get_next_interval_histogram()
    if histogram is None:
        break
    print(histogram.get_tag(), histogram.get_total_count(), histogram.get_max_value())
";
    let text = output(Command::new(python).args(["-c", program]).arg(&log));
    let stats = outcome.records().pop().unwrap();
    for stage in ["queue_wait", "dissect", "classify", "emit", "total"] {
        let counts = text.lines().filter_map(|line| line.strip_prefix(&format!("{stage} ")));
        let (count, max) = counts.fold((0, 0), |(sum, most), line| {
            let (count, max) = line.split_once(' ').unwrap();
            (sum + count.parse::<u64>().unwrap(), most.max(max.parse::<u64>().unwrap()))
        });
        let ours = &stats["latency_ns"][stage];
        assert_eq!(ours["count"], count, "{stage}: {text}");
        let their_max = max as f64 / ours["max"].as_u64().unwrap() as f64;
        assert!((0.99..=1.01).contains(&their_max), "{stage}: {ours} and {text}");
    }
}

#[test]
fn completions_and_the_manual_are_what_shells_and_man_read() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(["completions", shell]).expect(0);
        assert!(script.text().contains("padtap") && script.text().contains("capture"), "{shell}");
    }
    let script = run(["completions", "bash"]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("padtap.bash");
    fs::write(&path, script.stdout).unwrap();
    if have(&["bash"]) {
        output(Command::new("bash").arg("-n").arg(&path));
    }
    let manual = run(["man"]).expect(0);
    for word in [".TH padtap 1", "capture", "EXIT", "SIGHUP"] {
        assert!(manual.text().to_uppercase().contains(&word.to_uppercase()), "{word}");
    }
}
