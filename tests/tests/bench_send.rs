//! `padtap bench send`: the kernel sends a file's frames, each as often and as fast as asked for, and they arrive whole.

use std::path::Path;

use tests::capture_file::write_pcap;
use tests::frame::Frame;
use tests::netns::{Cable, FAR, NEAR, with_cable};
use tests::padtap::{Running, final_ledger, of_kind, run};

const CONSOLE: &str = "bc:60:a7:00:00:40";
const GATEWAY: &str = "02:00:00:00:00:01";
/// Payloads that differ in length, so that a frame in another's place would show.
const PAYLOADS: [usize; 5] = [1, 1400, 90, 500, 18];

fn frame(payload: usize) -> Vec<u8> {
    let port = 50_000 + payload as u16;
    Frame::ethernet(CONSOLE, GATEWAY).ipv4("192.168.1.40", "198.51.100.7").udp(port, 29_503).payload(payload).build()
}

fn send(file: &Path, options: &str) -> serde_json::Value {
    let fixed = ["bench", "send", "--json", "-i", FAR].map(String::from);
    let file = file.display().to_string();
    let outcome = run(fixed.into_iter().chain(options.split_whitespace().map(String::from)).chain([file])).expect(0);
    serde_json::from_str(outcome.text()).expect("JSON")
}

#[test]
fn what_is_sent_arrives_as_often_as_asked_for() {
    with_cable(Cable::default(), || {
        const ROUNDS: u64 = 40;
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("frames.pcap");
        let mut frames: Vec<_> = PAYLOADS.map(frame).into();
        frames.push(frame(3000));
        write_pcap(&file, &frames);
        let padtap = Running::capture(&format!("-i {NEAR} --mirror-window 0 --json --stats-interval 0.05"));
        let once = send(&file, "");
        assert_eq!((&once["sent"], &once["left_out"]), (&5.into(), &1.into()), "{once}");
        let more = send(&file, &format!("--rate 5000 --frames {}", 5 * (ROUNDS - 1)));
        assert!(more["rate"].as_f64().is_some_and(|rate| rate < 5500.0), "{more}");
        padtap.wait_for_counter("seen", 5 * ROUNDS);
        let records = padtap.interrupt().expect(0).records();
        let ledger = final_ledger(&records);
        assert_eq!((ledger.of_name("dissected"), ledger.lost()), (5 * ROUNDS, 0), "{ledger:?}");
        for payload in PAYLOADS {
            let flow = of_kind(&records, "flow").find(|flow| flow["src_port"] == 50_000 + payload);
            let flow = flow.expect("a flow for each length");
            assert_eq!(flow["packets_out"], ROUNDS, "{flow}");
            assert_eq!(flow["bytes_out"], ROUNDS * (28 + payload as u64), "{flow}");
        }
    });
}

#[test]
fn what_cannot_be_sent_is_said() {
    with_cable(Cable::default(), || {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("large.pcap");
        write_pcap(&file, &[frame(3000)]);
        let file = file.display().to_string();
        let outcome = run(["bench", "send", "-i", FAR, &file]).expect(1);
        assert!(outcome.stderr.contains("no frame of 14 to 2047 bytes"), "{}", outcome.stderr);
        let outcome = run(["bench", "send", "-i", "nowhere", &file]).expect(1);
        assert!(outcome.stderr.contains("nowhere"), "{}", outcome.stderr);
    });
}
