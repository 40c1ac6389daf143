//! `padtap capture --console auto` on a private cable: consoles are captured from when they show themselves on.

use std::path::Path;

use tests::fixtures;
use tests::frame::Frame;
use tests::netns::{Cable, Sender, with_cable};
use tests::padtap::{Running, final_ledger, of_kind, run};
use tests::tool::wait_until;

const CONSOLE: &str = "bc:60:a7:00:00:40";
const COMPUTER: &str = "02:00:00:00:00:77";
const GATEWAY: &str = "02:00:00:00:00:01";

/// A datagram that says nothing of who sends it.
fn datagram(host: &str) -> Vec<u8> {
    Frame::ethernet(host, GATEWAY).ipv4("192.168.1.40", "198.51.100.7").udp(50_000, 29_503).payload(40).build()
}

/// The console asks for an address: the first frames of the fixture.
fn dhcp() -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/ps4-overwatch-2016/profile-a.pcap.gz");
    fixtures::frames(&path).into_iter().take(4).map(|frame| frame.data).collect()
}

/// A console that has its address already looks for its gateway.
fn arp() -> Vec<u8> {
    let mut frame = vec![0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0x60, 0xa7, 0, 0, 0x40, 8, 6];
    frame.extend([0, 1, 8, 0, 6, 4, 0, 1, 0xbc, 0x60, 0xa7, 0, 0, 0x40, 192, 168, 1, 40]);
    frame.extend([0, 0, 0, 0, 0, 0, 192, 168, 1, 1]);
    frame.resize(60, 0);
    frame
}

fn check(backend: &str, shows: &[Vec<u8>]) {
    let shown = shows.len();
    with_cable(Cable::default(), || {
        let mut sender = Sender::new();
        let options = format!("-i padtap0 --backend {backend} --console auto --json --packets --stats-interval 0.05");
        let mut padtap = Running::capture(&options);
        for _ in 0..5 {
            sender.send(&datagram(CONSOLE));
            sender.send(&datagram(COMPUTER));
        }
        padtap.wait_for_counter("filtered", 10);
        assert_eq!(of_kind(&padtap.records(), "packet").count(), 0, "nobody has shown itself");
        for frame in shows {
            sender.send(frame);
        }
        padtap.wait_to_hear("padtap: console bc:60:a7:00:00:40: captured from now on", &[]);
        padtap.wait_for_packets(shown);
        // The filter is written a moment after the line.
        let mut sent = 0;
        wait_until("a frame of the console", || {
            sender.send(&datagram(CONSOLE));
            sent += 1;
            of_kind(&padtap.records(), "packet").count() > shown
        });
        for _ in 0..5 {
            sender.send(&datagram(COMPUTER));
        }
        padtap.wait_for_counter("filtered", 15);
        let outcome = padtap.interrupt().expect(0);
        let records = outcome.records();
        let ledger = final_ledger(&records);
        assert_eq!(ledger.of_name("seen"), 10 + shown as u64 + sent + 5);
        assert_eq!(ledger.of_name("seen"), ledger.sum(&["filtered", "dissected"]));
        assert!(ledger.of_name("dissected") > shown as u64);
        assert!(records.iter().all(|record| record["device"] != COMPUTER), "nobody asked for the computer");
    });
}

#[test]
fn xdp_captures_consoles_that_show_themselves() {
    check("xdp", &dhcp());
    check("xdp", &[arp()]);
}

#[test]
fn a_packet_socket_captures_consoles_that_show_themselves() {
    check("af-packet", &dhcp());
}

#[test]
fn what_cannot_be_is_said() {
    for (arguments, said) in [
        (&["read", "--console", "auto", "none.pcap"][..], "`padtap devices FILE` lists the consoles of a file"),
        (&["capture", "-i", "lo", "--console", "auto", "--no-discovery"], "not with --no-discovery"),
    ] {
        let outcome = run(arguments).expect(2);
        assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    }
}
