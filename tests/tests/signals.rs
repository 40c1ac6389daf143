//! What happens to a capture from outside: signals, SIGKILL, an interface that goes, another program on it.

use std::fs;

use rustix::process::Signal;
use tests::frame::Frame;
use tests::netns::{Cable, FAR, NEAR, Sender, ip, with_cable};
use tests::padtap::{Running, final_ledger, of_kind, run};
use tests::tool::wait_until;

use capture_user::source::xdp::link::Link;

fn frame(host: &str, number: u16) -> Vec<u8> {
    let frame = Frame::ethernet(host, "02:00:00:00:00:01").ipv4("192.168.1.40", "198.51.100.7");
    frame.udp(1024 + number, 3074).payload(100).build()
}

fn send(count: u16) {
    let mut sender = Sender::new();
    (0..count).for_each(|number| sender.send(&frame("bc:60:a7:00:00:40", number)));
}

fn link() -> Link {
    Link::find(NEAR).expect("the near end")
}

#[test]
fn the_first_signal_drains_and_summarises() {
    with_cable(Cable::default(), || {
        for (signal, options) in [
            (Signal::INT, "--workers 1"),
            (Signal::TERM, "--workers 0"),
            (Signal::INT, "--backend af-packet"),
            (Signal::TERM, "--backend af-packet --workers 2"),
        ] {
            let padtap = Running::capture(&format!("-i {NEAR} --json --packets {options}"));
            send(100);
            padtap.wait_for_packets(100);
            padtap.signal(signal);
            let outcome = padtap.end().expect(0);
            assert_eq!(outcome.ledger().of_name("dissected"), 100, "{options}");
            let records = outcome.records();
            assert_eq!(of_kind(&records, "flow").count(), 100, "every open flow is told");
            assert!(outcome.stderr.contains("100 seen, 100 delivered, 100 dissected, 0 lost"), "{}", outcome.stderr);
            assert_eq!((link().xdp, link().promiscuity), (None, 0));
        }
    });
}

/// A slow worker still has frames when the signal comes: they are dissected, too.
#[test]
fn what_is_waiting_is_taken_before_the_end() {
    with_cable(Cable::default(), || {
        let padtap =
            Running::capture(&format!("-i {NEAR} --json --stats-interval 0.05 --workers 1 --stall-worker-us 10000"));
        send(200);
        padtap.wait_for_counter("seen", 200);
        let ledger = final_ledger(&padtap.interrupt().expect(0).records());
        assert_eq!((ledger.of_name("dissected"), ledger.lost()), (200, 0), "{ledger:?}");
    });
}

/// A packet socket under constant traffic never runs dry.
#[test]
fn constant_traffic_does_not_keep_it_from_ending() {
    with_cable(Cable::default(), || {
        for backend in ["xdp", "af-packet"] {
            let padtap = Running::capture(&format!("-i {NEAR} --json --stats-interval 0.05 --backend {backend}"));
            let stop = std::sync::atomic::AtomicBool::new(false);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    let (mut sender, frame) = (Sender::new(), frame("bc:60:a7:00:00:40", 1));
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        sender.send(&frame);
                    }
                });
                padtap.wait_for_counter("seen", 1000);
                let outcome = padtap.interrupt();
                stop.store(true, std::sync::atomic::Ordering::Relaxed);
                final_ledger(&outcome.expect(0).records());
            });
        }
    });
}

#[test]
fn the_second_signal_ends_at_once() {
    with_cable(Cable::default(), || {
        // The worker sleeps for longer than any test waits.
        let mut padtap = Running::capture(&format!("-i {NEAR} --json --workers 1 --stall-worker-us 600000000"));
        send(10);
        padtap.signal(Signal::INT);
        wait_until("the program is off the interface", || link().xdp.is_none());
        assert!(padtap.is_running(), "it waits for its worker");
        padtap.signal(Signal::INT);
        let outcome = padtap.end();
        assert_eq!(outcome.code(), Some(130), "{}", outcome.stderr);
        assert_eq!(link().promiscuity, 0);
    });
}

#[test]
fn statistics_on_request() {
    with_cable(Cable::default(), || {
        for options in ["", "--backend af-packet"] {
            let mut padtap = Running::capture(&format!("-i {NEAR} --json --packets {options}"));
            send(10);
            padtap.wait_for_packets(10);
            // Its threads publish their counts ten times a second: the first answer may be from before the packets.
            wait_until("frames   10 seen", || {
                padtap.signal(Signal::USR1);
                padtap.heard().contains("frames   10 seen")
            });
            assert!(padtap.is_running());
            send(5);
            padtap.wait_for_packets(15);
            let outcome = padtap.interrupt().expect(0);
            assert_eq!(outcome.ledger().of_name("dissected"), 15);
        }
    });
}

/// In the middle of traffic its counts are of different moments, which is no reason to complain.
#[test]
fn statistics_under_traffic() {
    with_cable(Cable::default(), || {
        for backend in ["xdp", "af-packet"] {
            let padtap = Running::capture(&format!("-i {NEAR} --backend {backend} --json"));
            let (mut sender, frame) = (Sender::new(), frame("bc:60:a7:00:00:40", 1));
            wait_until("ten answers", || {
                (0..100).for_each(|_| sender.send(&frame));
                padtap.signal(Signal::USR1);
                padtap.heard().matches(" seen, ").count() >= 10
            });
            let outcome = padtap.interrupt().expect(0);
            assert!(!outcome.stderr.contains("please report"), "{}", outcome.stderr);
        }
    });
}

#[test]
fn a_reload_changes_whom_it_captures() {
    const ONE: &str = "02:00:00:00:00:0a";
    const OTHER: &str = "02:00:00:00:00:0b";
    with_cable(Cable::default(), || {
        for backend in ["xdp", "af-packet"] {
            let directory = tempfile::tempdir().expect("a temporary directory");
            let config = directory.path().join("padtap.toml");
            let configure = |console: &str| {
                let text = format!("console = [\"{console}\"]\nno-discovery = true\npackets = true\n");
                fs::write(&config, text).expect("a file");
            };
            configure(ONE);
            let mut padtap = Running::capture(&format!(
                "-i {NEAR} --json --stats-interval 0.05 --backend {backend} --config {}",
                config.display()
            ));
            let mut sender = Sender::new();
            let mut both = || {
                sender.send(&frame(ONE, 1));
                sender.send(&frame(OTHER, 2));
            };
            let ports = |padtap: &Running| -> Vec<_> {
                of_kind(&padtap.records(), "packet").map(|packet| packet["src_port"].as_u64()).collect()
            };
            both();
            padtap.wait_for_counter("seen", 2);
            wait_until("the one", || ports(&padtap) == [Some(1025)]);

            configure("nonsense");
            padtap.signal(Signal::HUP);
            padtap.wait_to_hear("not reloaded, all stays as it was", &[]);
            both();
            wait_until("the one again", || ports(&padtap) == [Some(1025), Some(1025)]);

            configure(OTHER);
            padtap.signal(Signal::HUP);
            padtap.wait_to_hear("padtap: reloaded", &[]);
            both();
            wait_until("the other", || ports(&padtap) == [Some(1025), Some(1025), Some(1026)]);
            let ledger = final_ledger(&padtap.interrupt().expect(0).records());
            assert_eq!((ledger.of_name("seen"), ledger.of_name("filtered")), (6, 3), "{backend}");
        }
    });
}

/// The tables are read again, too: what was somebody's server is named, and a wrong table changes nothing.
#[test]
fn a_reload_changes_what_it_knows() {
    let table = |service: &str| {
        format!(
            "[[port]]\nports = [\"3074\"]\ntransport = \"udp\"\nservice = \"{service}\"\nrole = \"game\"\n\
             confidence = \"observed\"\nsrc = [\"mine\"]\n"
        )
    };
    with_cable(Cable::default(), || {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let path = folder.path().join("ports.toml");
        fs::write(&path, table("one")).expect("a file");
        let options = format!("-i {NEAR} --json --packets --knowledge-only --knowledge {}", folder.path().display());
        let mut padtap = Running::capture(&options);
        send(1);
        padtap.wait_for_packets(1);

        fs::write(&path, "[[port]]\nports = 7\n").expect("a file");
        padtap.signal(Signal::HUP);
        padtap.wait_to_hear("not reloaded, all stays as it was", &[]);
        fs::write(&path, table("other")).expect("a file");
        padtap.signal(Signal::HUP);
        padtap.wait_to_hear("padtap: reloaded", &[]);
        let records = padtap.interrupt().expect(0).records();
        let services: Vec<_> = of_kind(&records, "flow").map(|flow| flow["service"].as_str()).collect();
        assert_eq!(services, [Some("other")]);
    });
}

#[test]
fn a_killed_capture_leaves_nothing_behind() {
    with_cable(Cable { queues: 2, ..Cable::default() }, || {
        ip(&format!("link set {NEAR} promisc on"));
        for options in ["", "--attach generic", "--backend af-packet"] {
            for _ in 0..2 {
                let padtap = Running::capture(&format!("-i {NEAR} --json --packets {options}"));
                assert_eq!(link().promiscuity, 2);
                assert_eq!(link().xdp.is_some(), !options.contains("af-packet"));
                send(10);
                padtap.wait_for_packets(10);
                padtap.signal(Signal::KILL);
                assert_eq!(padtap.end().code(), None);
                // At once: whatever the dead left to the kernel, the next one must cope with.
                let padtap = Running::capture(&format!("-i {NEAR} --json --packets {options}"));
                send(10);
                padtap.wait_for_packets(10);
                padtap.interrupt().expect(0);
                assert_eq!((link().xdp, link().promiscuity), (None, 1));
            }
        }
    });
}

#[test]
fn an_interface_that_goes_ends_the_capture_with_its_records_complete() {
    for (command, words) in [(format!("link del {FAR}"), "removed"), (format!("link set {NEAR} down"), "down")] {
        for options in ["--workers 1", "--workers 0", "--backend af-packet"] {
            with_cable(Cable::default(), || {
                let padtap = Running::capture(&format!("-i {NEAR} --json --packets {options}"));
                send(20);
                padtap.wait_for_packets(20);
                ip(&command);
                let outcome = padtap.end().expect(1);
                let ledger = outcome.ledger();
                assert_eq!((ledger.of_name("dissected"), ledger.lost()), (20, 0), "{command}: {options}");
                assert_eq!(of_kind(&outcome.records(), "flow").count(), 20);
                let errors: Vec<_> =
                    outcome.stderr.lines().filter(|line| line.starts_with("padtap: padtap0: ")).collect();
                let said = errors.last().expect("an error");
                assert!(said.contains(words) || options.contains("af-packet"), "{said}");
                assert!(said.contains("interface"), "{said}");
            });
        }
    }
}

#[test]
fn two_captures_of_one_interface_do_not_disturb_each_other() {
    with_cable(Cable::default(), || {
        let first = Running::capture(&format!("-i {NEAR} --json --packets"));
        let outcome = run(["capture", "-q", "-i", NEAR]).expect(1);
        let lines: Vec<_> = outcome.stderr.lines().collect();
        assert!(matches!(lines[..], [line] if line.contains("another XDP program")), "{lines:?}");
        send(10);
        first.wait_for_packets(10);
        first.interrupt().expect(0);
        let second = Running::capture(&format!("-i {NEAR} --json --packets"));
        send(10);
        second.wait_for_packets(10);
        second.interrupt().expect(0);
    });
}
