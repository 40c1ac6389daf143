//! `padtap read`, run as users run it: records of files, their options, and what is said when something is wrong.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tests::capture_file::{self, foreign, write_pcap};
use tests::fixtures;
use tests::frame::Frame;
use tests::padtap::{Outcome, Running, finish, of_kind, padtap, pinned, run};
use tests::tool::have;

const CONSOLE: &str = "bc:60:a7:00:00:40";
const GATEWAY: &str = "02:00:00:00:00:01";

/// Conversations of a console: 40 flows of UDP, each three packets out and two in, of growing size.
fn frames() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for round in 0..5_u16 {
        for flow in 0..40_u16 {
            let (server, ports) = (format!("198.51.100.{flow}"), (40_000 + flow, 3074));
            let frame = match round % 2 {
                0 => Frame::ethernet(CONSOLE, GATEWAY).ipv4("192.168.1.40", &server).udp(ports.0, ports.1),
                _ => Frame::ethernet(GATEWAY, CONSOLE).ipv4(&server, "192.168.1.40").udp(ports.1, ports.0),
            };
            frames.push(frame.payload(usize::from(20 + flow * 30 + round)).build());
        }
    }
    frames
}

/// A directory with a capture of [`frames`] in it.
fn capture() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("session.pcap");
    write_pcap(&path, &frames());
    (directory, path)
}

fn read(path: &Path, options: &str) -> Outcome {
    finish(padtap(["read", "--json", "-q"]).args(options.split_whitespace()).arg(path))
}

/// Records that do not depend on the run: without times of this machine, sorted.
fn comparable(records: &[Value]) -> Vec<String> {
    let mut lines: Vec<_> =
        records.iter().filter(|record| record["kind"] != "stats").map(ToString::to_string).collect();
    lines.sort();
    lines
}

#[test]
fn records_end_with_one_final_account() {
    let (_directory, path) = capture();
    let outcome = read(&path, "").expect(0);
    assert_eq!(outcome.stderr, "");
    let ledger = outcome.ledger();
    assert_eq!((ledger.of_name("seen"), ledger.of_name("dissected"), ledger.lost()), (200, 200, 0));
    let records = outcome.records();
    assert_eq!(ledger.of_name("records"), records.len() as u64);
    let flows: Vec<_> = of_kind(&records, "flow").collect();
    assert_eq!(flows.len(), 40);
    for flow in flows {
        assert_eq!((&flow["packets_out"], &flow["packets_in"]), (&Value::from(3), &Value::from(2)), "{flow}");
        assert_eq!(flow["src_ip"], "192.168.1.40");
    }
    let stats = records.last().expect("records");
    assert_eq!(stats["latency_ns"]["total"]["count"], 200);
}

#[test]
fn packets_come_as_lines_and_as_records() {
    let (_directory, path) = capture();
    let records = read(&path, "--packets").expect(0).records();
    let numbers: Vec<_> = of_kind(&records, "packet").map(|packet| packet["number"].as_u64().unwrap()).collect();
    assert!(numbers.into_iter().eq(1..=200), "one a frame, in order");

    let outcome = run(["read", "-q", "--packets", path.to_str().unwrap()]).expect(0);
    let lines: Vec<_> = outcome.text().lines().filter(|line| line.contains('→') && line.contains(" UDP ")).collect();
    assert!(lines.len() >= 200, "{}", lines.len());
    assert!(
        lines[0].trim_start().starts_with("1 ") && lines[0].contains("192.168.1.40 → 198.51.100.0"),
        "{}",
        lines[0]
    );
}

#[test]
fn reading_stops_after_so_many_frames() {
    let (_directory, path) = capture();
    for (options, frames) in [("-c 7", 7), ("-a packets:9", 9), ("-c 500", 200), ("-c 7 -a packets:5", 5)] {
        let outcome = read(&path, &format!("--packets {options}")).expect(0);
        assert_eq!(of_kind(&outcome.records(), "packet").count() as u64, frames, "{options}");
        assert_eq!(outcome.ledger().of_name("dissected"), frames, "{options}");
    }
}

#[test]
fn an_expression_selects_and_the_rest_is_counted() {
    let (_directory, path) = capture();
    let path = path.to_str().unwrap();
    for (expression, matching) in
        [("host 198.51.100.7", 5), ("dst port 3074 and net 198.51.100.0/30", 12), ("tcp", 0), ("not tcp", 200)]
    {
        let outcome = run(["read", "-q", "--json", "--packets", "-f", expression, path]).expect(0);
        assert_eq!(of_kind(&outcome.records(), "packet").count() as u64, matching, "{expression}");
        let ledger = outcome.ledger();
        let kept = (ledger.of_name("seen"), ledger.of_name("dissected"));
        assert_eq!(kept, (200, matching), "{expression}");
    }
    let outcome = run(["read", "-q", "--json", "-f", "host 198.51.100.7 and frobnicate 3", path]).expect(2);
    assert!(outcome.stderr.contains("`frobnicate`"), "{}", outcome.stderr);
    assert!(outcome.stdout.is_empty());
}

#[test]
fn consoles_and_exclusions_select_as_they_do_live() {
    let (_directory, path) = capture();
    for (options, matching) in [
        ("--console bc:60:a7", 200),
        ("--console bc:60:a7:00:00:40 --exclude 198.51.100.16/28", 120),
        ("--console 198.51.100.7 --no-discovery", 5),
        ("--console 02:00:00:00:00:99 --no-discovery", 0),
        ("--exclude udp/3074", 0),
        ("--exclude tcp/1-443", 200),
    ] {
        let ledger = read(&path, options).expect(0).ledger();
        let kept = (ledger.of_name("filtered"), ledger.of_name("dissected"));
        assert_eq!(kept, (200 - matching, matching), "{options}");
    }
    let outcome = read(&path, "--console nonsense").expect(2);
    assert!(outcome.stderr.contains("nonsense"), "{}", outcome.stderr);
}

#[test]
fn workers_change_nothing_but_the_order() {
    let (_directory, own) = capture();
    // Its MACs are made up: one direction goes to a group's, and the receiver of a group is nobody's peer.
    let is_like_any = |path: &PathBuf| !path.ends_with("suricata-sip-sdp.pcap");
    for path in foreign().into_iter().filter(is_like_any).chain([own]) {
        let alone = comparable(&read(&path, "--workers 0 --packets --show-names --sensor x").expect(0).records());
        for workers in [1, 2, 4] {
            let options = format!("--workers {workers} --packets --show-names --sensor x");
            let outcome = read(&path, &options).expect(0);
            outcome.ledger();
            let together = comparable(&outcome.records());
            let difference = alone.iter().zip(&together).find(|(one, other)| one != other);
            assert!(alone == together, "{}, {workers} workers: {difference:#?}", path.display());
        }
    }
}

/// There whoever dissects writes, too.
#[test]
fn one_processor_changes_nothing() {
    let options = ["read", "--json", "-q", "--packets", "--show-names", "--sensor", "x"];
    for (path, _) in fixtures::captures() {
        let all = finish(padtap(options).arg(&path)).expect(0);
        let one = finish(pinned(options).arg(&path)).expect(0);
        assert_eq!(one.ledger(), all.ledger());
        assert!(comparable(&one.records()) == comparable(&all.records()), "{}", path.display());
    }
}

#[test]
fn kinds_that_are_not_asked_for_are_missing_and_nothing_else_is() {
    for (path, _) in fixtures::captures() {
        let all = read(&path, "--show-names --sensor x").expect(0).records();
        for kinds in ["flow,device", "dns,tls,match,phase"] {
            let some = read(&path, &format!("--show-names --sensor x --kinds {kinds}")).expect(0).records();
            let wanted = |record: &&Value| kinds.split(',').any(|kind| record["kind"] == kind);
            let wanted: Vec<_> = all.iter().filter(wanted).cloned().collect();
            assert_eq!(comparable(&some), comparable(&wanted), "{}: {kinds}", path.display());
        }
    }
}

#[test]
fn a_kind_that_there_is_not_is_wrong_usage() {
    let (_directory, path) = capture();
    let outcome = read(&path, "--kinds flow,flows").expect(2);
    assert!(outcome.stderr.contains("`flows` is not a kind of record; there are "), "{}", outcome.stderr);
}

fn expected() -> Value {
    let directory = std::env::var("PADTAP_PCAPS").expect("there are foreign captures");
    let text = fs::read(Path::new(&directory).join("expected.json")).expect("their facts");
    serde_json::from_slice(&text).expect("JSON")
}

/// Packets per direction by protocol and addresses, the smaller address first.
type Flows = BTreeMap<(String, (String, u64), (String, u64)), (u64, u64)>;

fn add(flows: &mut Flows, protocol: &Value, ends: [(&Value, &Value); 2], packets: [&Value; 2]) {
    let [a, b] = ends.map(|(ip, port)| (ip.as_str().unwrap_or_default().to_owned(), port.as_u64().unwrap_or_default()));
    let [there, back] = packets.map(|packets| packets.as_u64().expect("a count"));
    let protocol = protocol.as_str().unwrap_or_default().to_owned();
    let (key, (there, back)) =
        if a <= b { ((protocol, a, b), (there, back)) } else { ((protocol, b, a), (back, there)) };
    let sum = flows.entry(key).or_default();
    *sum = (sum.0 + there, sum.1 + back);
}

/// What independent tools counted. Tunnels and fragments have tests of their own.
#[test]
fn frames_and_flows_are_those_that_others_count() {
    for path in foreign() {
        let name = path.file_name().unwrap().to_str().unwrap();
        let expected = &expected()["files"][name]["tshark"];
        assert!(expected.is_object(), "{name} has no facts");
        let outcome = read(&path, "").expect(0);
        assert_eq!(outcome.ledger().of_name("seen"), expected["container"]["packets"], "{name}");
        if expected["encapsulation"].is_object() || !expected["fragments"].is_null() {
            continue;
        }
        let (mut ours, mut theirs) = (Flows::new(), Flows::new());
        for flow in expected["flows_innermost"].as_array().expect("flows") {
            let ends = [(&flow["a"], &flow["aport"]), (&flow["b"], &flow["bport"])];
            add(&mut theirs, &flow["proto"], ends, [&flow["packets_ab"], &flow["packets_ba"]]);
        }
        for flow in of_kind(&outcome.records(), "flow")
            .filter(|flow| ["tcp", "udp"].contains(&flow["proto"].as_str().unwrap_or_default()))
        {
            let ends = [(&flow["src_ip"], &flow["src_port"]), (&flow["dst_ip"], &flow["dst_port"])];
            add(&mut ours, &flow["proto"], ends, [&flow["packets_out"], &flow["packets_in"]]);
        }
        // What a mirror delivered twice they count twice.
        let copies = outcome.ledger().of_name("duplicates");
        if copies == 0 {
            assert_eq!(ours, theirs, "{name}");
        }
        let sum = |flows: &Flows| flows.values().map(|(there, back)| there + back).sum::<u64>();
        assert!(ours.keys().eq(theirs.keys()), "{name}: {ours:?} and {theirs:?}");
        assert_eq!(sum(&ours) + copies, sum(&theirs), "{name}");
    }
}

#[test]
fn gzip_and_standard_input_read_alike() {
    let (directory, path) = capture();
    let plain = comparable(&read(&path, "--sensor x").expect(0).records());
    let packed = directory.path().join("session.pcap.gz");
    if have(&["gzip"]) {
        let gzip = finish(Command::new("gzip").arg("-c").arg(&path)).expect(0);
        fs::write(&packed, gzip.stdout).unwrap();
        assert_eq!(comparable(&read(&packed, "--sensor x").expect(0).records()), plain);
    }
    for file in [&path, &packed].into_iter().filter(|file| file.exists()) {
        let mut command = padtap(["read", "--json", "-q", "--sensor", "x", "-"]);
        let outcome = finish(command.stdin(fs::File::open(file).unwrap())).expect(0);
        assert_eq!(comparable(&outcome.records()), plain, "{} redirected", file.display());
        let mut cat = Command::new("cat").arg(file).stdout(Stdio::piped()).spawn().unwrap();
        let outcome = finish(command.stdin(cat.stdout.take().unwrap())).expect(0);
        cat.wait().unwrap();
        assert_eq!(comparable(&outcome.records()), plain, "{} through a pipe", file.display());
    }
}

#[test]
fn several_files_are_read_one_after_the_other() {
    let (directory, first) = capture();
    let second = directory.path().join("second.pcap");
    write_pcap(&second, &frames()[..10]);
    let (first, second) = (first.to_str().unwrap(), second.to_str().unwrap());
    for files in [vec!["-r", first, second], vec![first, second], vec!["-r", first, "-r", second]] {
        let outcome = run(["read", "--json", "-q"].into_iter().chain(files)).expect(0);
        assert_eq!(outcome.ledger().of_name("seen"), 210);
    }
}

/// Before the damage everything, after it one line, in exit code 1; however the bytes come.
#[test]
fn what_precedes_damage_is_put_out() {
    let directory = tempfile::tempdir().unwrap();
    let whole = capture_file::pcap(&frames());
    let before = 24 + frames().iter().take(123).map(|frame| frame.len() + 16).sum::<usize>();
    let mut impossible = whole.clone();
    impossible[before + 8..before + 12].copy_from_slice(&[0xff; 4]);
    for (name, bytes) in [("cut.pcap", &whole[..before + 21]), ("impossible.pcap", &impossible[..])] {
        let path = directory.path().join(name);
        fs::write(&path, bytes).unwrap();
        let by_name = read(&path, "--packets --workers 2");
        let piped = finish(padtap(["read", "--json", "-q", "--packets", "-"]).stdin(fs::File::open(&path).unwrap()));
        for (outcome, called) in [(by_name, name), (piped, "standard input")] {
            let outcome = outcome.expect(1);
            assert_eq!(of_kind(&outcome.records(), "packet").count(), 123, "{name}");
            assert_eq!(outcome.ledger().of_name("dissected"), 123);
            let said: Vec<_> = outcome.stderr.lines().collect();
            let [line] = said[..] else { panic!("one line: {said:?}") };
            assert!(line.starts_with("padtap: ") && line.contains(&format!("byte {before}")), "{line}");
            assert!(called != name || line.contains(name), "{line}");
        }
    }
}

#[test]
fn what_is_no_capture_is_refused_in_a_line() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("notes.txt");
    fs::write(&text, "no capture at all, but long enough to be looked at").unwrap();
    for path in [&directory.path().join("missing.pcap"), &text, &directory.path().to_owned()] {
        let outcome = read(path, "").expect(1);
        assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
        assert!(outcome.stderr.contains(path.to_str().unwrap()), "{}", outcome.stderr);
        let reasons: Vec<_> = outcome.stderr.match_indices("os error").collect();
        assert!(reasons.len() <= 1, "the reason is said once: {}", outcome.stderr);
    }
}

#[test]
fn wrong_usage_is_exit_code_2_and_names_what_is_wrong() {
    let (_directory, path) = capture();
    for (options, named) in [
        ("--frobnicate", "--frobnicate"),
        ("--workers many", "many"),
        ("-c 0", "0"),
        ("-a forever:1", "forever:1"),
        ("-a filesize:100", "-w"),
        ("--pin 7-3", "7-3"),
        ("-b packets:1", "--write"),
        ("-w - -b packets:1", "standard output"),
        ("-w -", "not both"),
        ("-o -", "named twice"),
        ("-o ndjsn=x", "ndjsn"),
        ("-o udp:localhost:9", "udp:"),
        ("-o tcp:localhost", "tcp:HOST:PORT"),
        ("--rotate filesize:1", "--output"),
        ("-o - --rotate filesize:1", "named twice"),
        ("-o tcp:localhost:9 --rotate filesize:1", "files of -o"),
        ("-o x --rotate packets:1", "packets:N"),
        ("-o x --rotate files:1", "filesize or duration"),
        ("-o x --on-full ring", "--rotate"),
        ("--format yaml", "ndjson"),
        ("--exclude sctp/1", "sctp/1"),
    ] {
        let outcome = read(&path, options).expect(2);
        assert!(outcome.stderr.contains(named), "{options}: {}", outcome.stderr);
        assert!(outcome.stdout.is_empty(), "{options}");
    }
    assert_eq!(run(["read"]).code(), Some(2));
    assert_eq!(run(["frobnicate"]).code(), Some(2));
    assert_eq!(run(["--version"]).expect(0).text(), concat!("padtap ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn options_come_from_a_file_too() {
    let (directory, path) = capture();
    let config = directory.path().join("padtap.toml");
    fs::write(&config, "packets = true\nworkers = 2\nsensor = \"den\"\nconsole = [\"bc:60:a7\"]\nquiet = false\n")
        .unwrap();
    let with_config = |options: &str| read(&path, &format!("--config {} {options}", config.display()));
    let records = with_config("-c 5").expect(0).records();
    assert_eq!(of_kind(&records, "packet").filter(|packet| packet["sensor"] == "den").count(), 5);
    let records = with_config("--sensor attic").expect(0).records();
    assert!(records.iter().all(|record| record["sensor"] == "attic"), "the command line wins");

    for (text, named) in
        [("wrokers = 2\n", "wrokers"), ("workers = [\n", "padtap.toml"), ("workers = {a = 1}\n", "workers")]
    {
        fs::write(&config, text).unwrap();
        let outcome = with_config("").expect(2);
        assert!(outcome.stderr.contains(named), "{text}: {}", outcome.stderr);
    }
    fs::remove_file(&config).unwrap();
    assert!(with_config("").expect(2).stderr.contains("padtap.toml"));
}

/// From a pipe that brings nothing more, and from one that never ends.
#[test]
fn reading_can_be_interrupted() {
    let options = ["read", "--json", "--packets", "-"];
    for mut command in [padtap(options), pinned(options)] {
        let mut feed = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let running = Running::start(command.stdin(feed.stdout.take().unwrap()));
        let mut input = feed.stdin.take().unwrap();
        std::io::Write::write_all(&mut input, &capture_file::pcap(&frames())).unwrap();
        running.wait_for_packets(200);
        let outcome = running.interrupt().expect(0);
        assert_eq!(outcome.ledger().of_name("dissected"), 200);
        assert!(outcome.stderr.contains("200 dissected"), "{}", outcome.stderr);
        drop(input);
        feed.wait().unwrap();
    }

    let directory = tempfile::tempdir().unwrap();
    let (head, body) = (directory.path().join("head"), directory.path().join("body"));
    let bytes = capture_file::pcap(&frames());
    fs::write(&head, &bytes[..24]).unwrap();
    fs::write(&body, &bytes[24..]).unwrap();
    let endless = "cat \"$0\"; while cat \"$1\" 2>&-; do :; done";
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(endless).arg(&head).arg(&body).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut shell = shell.spawn().unwrap();
    let mut command = padtap(["read", "--json", "--stats-interval", "0.05", "-"]);
    let running = Running::start(command.stdin(shell.stdout.take().unwrap()));
    // The command has its own copy of the pipe, without which the shell would not notice the end.
    drop(command);
    running.wait_for_counter("dissected", 1000);
    let outcome = running.interrupt().expect(0);
    tests::padtap::final_ledger(&outcome.records());
    shell.wait().unwrap();
}
