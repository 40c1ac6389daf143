//! `padtap capture` on a private cable, with others at its far end: tcpreplay sends, tcpdump is the witness.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tests::capture_file::{self, Packet, write_pcap};
use tests::disk::files;
use tests::frame::Frame;
use tests::netns::{Cable, FAR, Sender, may_run_live, send, with_cable};
use tests::padtap::{Ledger, Running, binary, final_ledger, finish, of_kind, records};
use tests::tool::{have, interface_statistics, output, tshark, wait_until};

const CONSOLE: &str = "bc:60:a7:00:00:40";
const OTHER: &str = "02:00:00:00:00:77";
const GATEWAY: &str = "02:00:00:00:00:01";

/// A UDP frame of a host's own, whose payload is so long.
fn frame(host: &str, number: usize, payload: usize) -> Vec<u8> {
    let from = (1024 + number % 60_000) as u16;
    Frame::ethernet(host, GATEWAY).ipv4("192.168.1.40", "198.51.100.7").udp(from, 3074).payload(payload).build()
}

/// Frames of all sizes up to `largest`.
fn frames(count: usize, largest: usize) -> Vec<Vec<u8>> {
    (0..count).map(|number| frame(CONSOLE, number, number * 389 % (largest - 60) + 18)).collect()
}

fn scratch() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// tcpdump at the far end, until it has seen so many frames.
struct Witness {
    file: PathBuf,
    tcpdump: Running,
}

impl Witness {
    fn start(directory: &Path, count: usize) -> Self {
        let file = directory.join("witness.pcap");
        let mut tcpdump = Command::new("tcpdump");
        tcpdump.args(["-i", FAR, "-Z", "root", "-B", "32768", "-s", "0", "--nano", "-c", &count.to_string(), "-w"]);
        let mut tcpdump = Running::start(tcpdump.arg(&file));
        tcpdump.wait_to_hear("listening on", &[]);
        Self { file, tcpdump }
    }

    fn packets(self) -> Vec<Packet> {
        self.tcpdump.end().expect(0);
        capture_file::read(&self.file)
    }
}

/// At a rate that no machine of today is too slow for.
fn replay(directory: &Path, frames: &[Vec<u8>]) {
    let file = directory.join("replay.pcap");
    write_pcap(&file, frames);
    output(Command::new("tcpreplay").args(["-q", "--pps=5000", "-i", FAR]).arg(file));
}

/// What padtap writes and what tcpdump saw must be the same bytes in the same order, and those that were sent.
fn check_against_the_witness(options: &str, cable: Cable, send: impl Fn(&Path, &[Vec<u8>]) + Sync) {
    if !have(&["tcpdump", "tcpreplay"]) {
        return;
    }
    with_cable(cable, || {
        let directory = scratch();
        let sent = frames(500, cable.mtu as usize);
        let written = directory.path().join("padtap.pcapng");
        let padtap = Running::capture(&format!("-i padtap0 --json -c 500 -w {} {options}", written.display()));
        let witness = Witness::start(directory.path(), 500);
        send(directory.path(), &sent);
        let seen: Vec<_> = witness.packets().into_iter().map(|packet| packet.data).collect();
        assert!(seen == sent, "the witness saw what was sent");
        let outcome = padtap.end().expect(0);
        let ledger = outcome.ledger();
        assert_eq!((ledger.of_name("dissected"), ledger.lost()), (500, 0), "{ledger:?}");
        let captured = capture_file::read(&written);
        assert!(captured.iter().map(|packet| &packet.data).eq(&seen), "byte for byte, in order");
        assert!(captured.iter().all(|packet| packet.length as usize == packet.data.len()));
    });
}

#[test]
fn xdp_captures_what_tcpdump_sees() {
    let jumbo = Cable { mtu: 9000, queues: 1 };
    check_against_the_witness("--workers 1", Cable::default(), replay);
    check_against_the_witness("--workers 0", jumbo, |_, frames| send(frames));
    check_against_the_witness("--workers 1 --attach generic", Cable::default(), |_, frames| send(frames));
}

#[test]
fn a_packet_socket_captures_what_tcpdump_sees() {
    check_against_the_witness("--backend af-packet", Cable::default(), replay);
    check_against_the_witness("--backend af-packet --workers 0", Cable::default(), |_, frames| send(frames));
}

#[test]
fn a_capture_stops_after_exactly_so_many_frames() {
    with_cable(Cable::default(), || {
        for options in ["-c 50 --workers 1", "-a packets:50 --workers 0", "-c 50 --backend af-packet"] {
            let padtap = Running::capture(&format!("-i padtap0 --json --packets {options}"));
            send(&frames(200, 1500));
            let outcome = padtap.end().expect(0);
            let numbers = of_kind(&outcome.records(), "packet").count();
            let ledger = outcome.ledger();
            assert_eq!((numbers, ledger.of_name("dissected")), (50, 50), "{options}");
            assert_eq!(ledger.of_name("delivered"), 50 + ledger.of_name("past_limit"), "{options}");
        }
    });
}

#[test]
fn a_capture_stops_after_so_long() {
    with_cable(Cable::default(), || {
        for options in ["", "--backend af-packet"] {
            let padtap = Running::capture(&format!("-i padtap0 --json -a duration:1 {options}"));
            send(&frames(20, 1500));
            let outcome = padtap.end().expect(0);
            assert_eq!(outcome.ledger().of_name("dissected"), 20);
        }
    });
}

#[test]
fn files_rotate_by_time_while_it_captures() {
    with_cable(Cable::default(), || {
        let (ring, told) = (scratch(), scratch());
        let padtap = Running::capture(&format!(
            "-i padtap0 --json --packets -b duration:1 -w {}/ring.pcapng --rotate duration:1 -o {}/told.ndjson",
            ring.path().display(),
            told.path().display()
        ));
        let sent = frames(30, 1500);
        for (burst, frames) in (1..).zip(sent.chunks(10)) {
            send(frames);
            padtap.wait_for_packets(10 * burst);
            std::thread::sleep(Duration::from_millis(1100));
        }
        // A file has its name when it is whole, and the next one has begun.
        let written = || -> Vec<Vec<Vec<u8>>> {
            let whole =
                files(ring.path()).into_iter().filter(|file| file.extension().is_some_and(|end| end == "pcapng"));
            whole.map(|file| capture_file::read(&file).into_iter().map(|packet| packet.data).collect()).collect()
        };
        wait_until("two files", || written().len() == 2);
        assert!(written().iter().eq(sent.chunks(10).take(2)));
        padtap.interrupt().expect(0);
        assert!(written().iter().eq(sent.chunks(10)));

        let mut ports = Vec::new();
        for file in files(told.path()) {
            let records = records(&fs::read(&file).unwrap());
            let of_file: Vec<_> = of_kind(&records, "packet").map(|packet| packet["src_port"].as_u64()).collect();
            let bursts: BTreeSet<_> = of_file.iter().map(|port| port.map(|port| (port - 1024) / 10)).collect();
            assert!(bursts.len() <= 1, "{}: {of_file:?}", file.display());
            ports.extend(of_file);
        }
        assert!(ports.into_iter().eq((1024..1054).map(Some)), "all are there, in order");
    });
}

#[test]
fn filters_choose_in_the_kernel_and_behind_it() {
    // Frames of the console, of somebody else, of the console to an excluded port, and an ARP request.
    let mix = || {
        let web = |number: u16| {
            let frame = Frame::ethernet(CONSOLE, GATEWAY).ipv4("192.168.1.40", "203.0.113.9");
            frame.tcp(1024 + number, 443, 0).payload(100).build()
        };
        let arp = Frame::ethernet(OTHER, "ff:ff:ff:ff:ff:ff").ether_type(0x0806).padding(46).build();
        let mut mix: Vec<_> = (0..10).map(|number| frame(CONSOLE, number, 50)).collect();
        mix.extend((0..20).map(|number| frame(OTHER, number, 50)));
        mix.extend((0..30).map(web));
        mix.push(arp);
        mix
    };
    with_cable(Cable::default(), || {
        for backend in ["xdp", "af-packet"] {
            for (options, dissected, filtered, unwanted) in [
                ("--console bc:60:a7", 41, 20, 0),
                ("--console bc:60:a7:00:00:40 --no-discovery", 40, 21, 0),
                ("--console bc:60:a7 --no-discovery --exclude 443", 10, 51, 0),
                ("--console bc:60:a7 --no-discovery --exclude 203.0.113.0/24 --exclude udp/3074", 0, 61, 0),
                ("-f tcp", 30, 0, 31),
                ("--console bc:60:a7 --no-discovery -f udp", 10, 21, 30),
            ] {
                let padtap =
                    Running::capture(&format!("-i padtap0 --json --stats-interval 0.05 --backend {backend} {options}"));
                send(&mix());
                padtap.wait_for_counter("seen", 61);
                let ledger = final_ledger(&padtap.interrupt().expect(0).records());
                let counts = ["dissected", "filtered", "unwanted"].map(|name| ledger.of_name(name));
                assert_eq!(counts, [dissected, filtered, unwanted], "{backend}: {options}");
                assert_eq!(ledger.lost(), 0);
            }
        }
    });
}

#[test]
fn frames_that_nobody_asked_for_can_go_to_the_stack() {
    with_cable(Cable::default(), || {
        let padtap =
            Running::capture("-i padtap0 --json --stats-interval 0.05 --console bc:60:a7 --no-discovery --pass");
        send(&[frame(OTHER, 1, 50), frame(CONSOLE, 1, 50), frame(OTHER, 2, 50)]);
        padtap.wait_for_counter("seen", 3);
        let ledger = final_ledger(&padtap.interrupt().expect(0).records());
        assert_eq!((ledger.of_name("passed"), ledger.of_name("dissected")), (2, 1));
    });
}

#[test]
fn snapped_frames_keep_their_length() {
    with_cable(Cable::default(), || {
        for (option, keeps) in [("96", 96), ("headers", 42)] {
            let directory = scratch();
            let written = directory.path().join("snapped.pcapng");
            let padtap = Running::capture(&format!("-i padtap0 -c 60 -s {option} -w {}", written.display()));
            let sent = frames(60, 1500);
            send(&sent);
            padtap.end().expect(0);
            for (packet, sent) in capture_file::read(&written).iter().zip(&sent) {
                assert_eq!(packet.length as usize, sent.len());
                assert_eq!(packet.data, sent[..sent.len().min(keeps)], "-s {option}");
            }
        }
    });
}

#[test]
fn loss_is_counted_and_is_exit_code_3_where_it_must_not_be() {
    with_cable(Cable::default(), || {
        let directory = scratch();
        let written = directory.path().join("lossy.pcapng");
        let padtap = Running::capture(&format!(
            "-i padtap0 --json --stats-interval 0.05 --workers 1 --stall-worker-us 5000 --fail-on-drop -w {}",
            written.display()
        ));
        let burst = frames(64, 1500);
        let (mut sender, mut sent) = (Sender::new(), 0);
        wait_until("a loss", || {
            burst.iter().for_each(|frame| sender.send(frame));
            sent += burst.len() as u64;
            of_kind(&padtap.records(), "stats").any(|record| Ledger::of(record).of_name("worker_queue_drops") > 0)
        });
        padtap.wait_for("the worker to catch up", |records| {
            let ledger = Ledger::of(of_kind(records, "stats").last().expect("statistics"));
            ledger.of_name("seen") == ledger.of_name("dissected") + ledger.lost()
        });
        // A frame tells of those that were lost before it: there must be one behind the last loss.
        sender.send(&burst[0]);
        let outcome = padtap.interrupt().expect(3);
        let ledger = final_ledger(&outcome.records());
        assert!(ledger.of_name("worker_queue_drops") > 0);
        assert!(ledger.of_name("seen") <= sent + 1);
        assert_eq!(ledger.of_name("seen"), ledger.of_name("dissected") + ledger.lost());
        assert!(outcome.stderr.contains("at a full worker queue"), "{}", outcome.stderr);
        if have(&["tshark"]) {
            let counted = [
                ledger.of_name("seen"),
                ledger.sum(&["redirect_errors", "rx_dropped", "rx_ring_full"]),
                ledger.sum(&["bad_descriptors", "worker_queue_drops", "write_drops"]),
                capture_file::read(&written).len() as u64,
            ];
            assert_eq!(interface_statistics(&written), counted.map(|count| count.to_string()));
            let told = tshark(&written, &["frame.drop_count"]).concat();
            let told: u64 = told.iter().filter_map(|count| count.parse::<u64>().ok()).sum();
            assert_eq!(told, ledger.sum(&["worker_queue_drops", "write_drops"]));
        }
    });
}

#[test]
fn others_read_the_capture_file() {
    if !have(&["tshark", "tcpdump", "capinfos"]) {
        return;
    }
    with_cable(Cable::default(), || {
        let directory = scratch();
        let written = directory.path().join("padtap.pcapng");
        let padtap = Running::capture(&format!("-i padtap0 -c 300 -f udp -w {}", written.display()));
        send(&frames(300, 1500));
        padtap.end().expect(0);
        let ports = tests::tool::tshark(&written, &["udp.srcport", "frame.interface_name"]);
        let numbers: Vec<_> = ports.iter().map(|row| row[0].clone()).collect();
        assert_eq!(numbers, (1024..1324).map(|port| port.to_string()).collect::<Vec<_>>());
        assert!(ports.iter().all(|row| row[1] == "padtap0"));
        let lines = output(Command::new("tcpdump").args(["-nn", "-r"]).arg(&written));
        assert_eq!(lines.lines().filter(|line| line.contains("192.168.1.40")).count(), 300);
        let about = output(Command::new("capinfos").arg("-M").arg(&written));
        for told in ["Number of packets = 300", "Name = padtap0", "Number of stat entries = 1", "Filter string = udp"] {
            assert!(about.contains(told), "capinfos does not say {told}: {about}");
        }
        let counted = interface_statistics(&written);
        assert!(counted[0].parse::<u64>().unwrap() >= 300 && counted[1..] == ["0", "0", "300"], "{counted:?}");
        let ordered = tshark(&written, &["frame.time_epoch"]);
        assert!(ordered.is_sorted_by(|a, b| a[0] <= b[0]), "times do not go back");
    });
}

#[test]
fn tshark_reads_a_capture_while_it_runs() {
    if !have(&["tshark"]) {
        return;
    }
    with_cable(Cable::default(), || {
        let mut command = tests::padtap::padtap("capture -i padtap0 -c 100 -w -".split_whitespace());
        let mut padtap = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut tshark = Command::new("tshark");
        tshark.args(["-n", "-l", "-r", "-", "-T", "fields", "-e", "udp.srcport"]).stdin(padtap.stdout.take().unwrap());
        let tshark = Running::start(&mut tshark);
        drop(command);
        wait_until("a program on the interface", || {
            capture_user::source::xdp::link::Link::find("padtap0").is_ok_and(|link| link.xdp.is_some())
        });
        send(&frames(100, 1500));
        assert!(padtap.wait().unwrap().success());
        let outcome = tshark.end().expect(0);
        assert_eq!(outcome.text().lines().count(), 100);
    });
}

#[test]
fn what_prevents_a_capture_is_said_in_a_line() {
    with_cable(Cable::default(), || {
        for (options, part) in [
            ("-i padtap-nothing", "padtap-nothing"),
            ("-i padtap-nothing --backend af-packet", "no such interface"),
            ("-i padtap0 --copy zero-copy", "padtap0"),
        ] {
            let outcome = tests::padtap::run(["capture", "-q"].into_iter().chain(options.split_whitespace())).expect(1);
            let lines: Vec<_> = outcome.stderr.lines().collect();
            assert!(matches!(lines[..], [line] if line.contains(part)), "{options}: {lines:?}");
        }
        for (options, part) in [("-i padtap0 --ring 1000", "--ring 1000"), ("-i padtap0 -f frobnicate", "frobnicate")] {
            let outcome = tests::padtap::run(["capture", "-q"].into_iter().chain(options.split_whitespace())).expect(2);
            assert!(outcome.stderr.contains(part), "{options}: {}", outcome.stderr);
        }
    });
}

/// Somebody who is not root gets a line with what to do.
#[test]
fn without_privileges_a_hint_says_which() {
    if !may_run_live() || !have(&["setpriv"]) {
        return;
    }
    let directory = scratch();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = directory.path().join("padtap");
    fs::copy(binary(), &copy).unwrap();
    with_cable(Cable::default(), || {
        for backend in ["xdp", "af-packet"] {
            let mut command = Command::new("setpriv");
            command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups"]).arg(&copy);
            command.args(["capture", "-i", "padtap0", "--backend", backend]).current_dir("/");
            let outcome = finish(&mut command).expect(1);
            let lines: Vec<_> = outcome.stderr.lines().collect();
            let [line] = lines[..] else { panic!("one line: {lines:?}") };
            assert!(line.contains("root") && line.contains("CAP_NET_RAW"), "{backend}: {line}");
        }
    });
}
