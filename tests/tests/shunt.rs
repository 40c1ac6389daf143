//! `padtap capture --shunt` on a private cable: a download is counted in the driver, to the packet and byte.

use std::thread;
use std::time::Duration;

use tests::frame::Frame;
use tests::netns::{Cable, FAR, NEAR, Sender, with_cable};
use tests::padtap::{Running, final_ledger, of_kind, run};

const CONSOLE: &str = "bc:60:a7:00:00:40";
const GATEWAY: &str = "02:00:00:00:00:01";
const PAYLOAD: usize = 1400;
/// Bytes of IP of one such packet.
const BYTES: u64 = 20 + 20 + PAYLOAD as u64;
/// Packets that a flow has before it is known as a download, at the least: that takes a million bytes.
const DOWNLOAD: u64 = 1_000_000 / BYTES;

/// A segment of a file that a server sends to the console.
fn segment() -> Vec<u8> {
    Frame::ethernet(GATEWAY, CONSOLE).ipv4("203.0.113.5", "192.168.1.40").tcp(80, 50_000, 0).payload(PAYLOAD).build()
}

/// A packet of a game that goes on beside it.
fn tick() -> Vec<u8> {
    Frame::ethernet(CONSOLE, GATEWAY).ipv4("192.168.1.40", "198.51.100.7").udp(50_001, 29_503).payload(90).build()
}

#[test]
fn a_download_is_counted_and_not_taken() {
    const BEFORE: u64 = 1100;
    const AFTER: u64 = 2000;
    const TICKS: u64 = 20;
    with_cable(Cable::default(), || {
        for workers in ["0", "1"] {
            let options =
                format!("-i {NEAR} --shunt --mirror-window 0 --json --stats-interval 0.05 --workers {workers}");
            let padtap = Running::capture(&options);
            let mut sender = Sender::new();
            // Enough to be known as a download.
            (0..BEFORE).for_each(|_| sender.send(&segment()));
            padtap.wait_for_counter("seen", BEFORE);
            // The program is told within some 20 ms of the packet that makes it a download, so the last of these may
            // be shunted already, if sending them took that long.
            thread::sleep(Duration::from_millis(200));
            (0..AFTER).for_each(|_| sender.send(&segment()));
            (0..TICKS).for_each(|_| sender.send(&tick()));
            padtap.wait_for_counter("seen", BEFORE + AFTER + TICKS);
            let records = padtap.interrupt().expect(0).records();
            let ledger = final_ledger(&records);
            let shunted = ledger.of_name("shunted");
            assert!((AFTER..AFTER + BEFORE - DOWNLOAD).contains(&shunted), "{ledger:?}");
            assert_eq!((ledger.of_name("dissected"), ledger.lost()), (BEFORE + AFTER + TICKS - shunted, 0));
            let flow =
                |port: u64| of_kind(&records, "flow").find(|flow| flow["src_port"] == port).expect("its flow").clone();
            let (download, game) = (flow(80), flow(50_001));
            assert_eq!(download["role"], "download");
            assert_eq!(download["packets_out"], BEFORE + AFTER);
            assert_eq!(download["bytes_out"], (BEFORE + AFTER) * BYTES);
            assert_eq!(download["packets_shunted"], shunted);
            assert_eq!((&game["packets_out"], game.get("packets_shunted")), (&TICKS.into(), None));
        }
    });
}

#[test]
fn a_packet_socket_cannot() {
    let outcome = run(["capture", "-i", FAR, "--backend", "af-packet", "--shunt"]).expect(2);
    assert!(outcome.stderr.contains("--shunt needs the XDP program"), "{}", outcome.stderr);
}
