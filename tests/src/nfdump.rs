//! nfdump's collector, as a witness of exported flows.

use std::net::UdpSocket;
use std::process::Command;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::padtap::{Outcome, Running};
use crate::tool::{output, wait_until};

/// A port that nobody listens on.
///
/// # Panics
/// When there is none.
fn free_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port()
}

/// nfcapd, and what it stored of the messages that came while `feed` ran; at least `count` flows.
///
/// # Panics
/// When nfcapd or nfdump does not do its part.
pub fn collect(feed: impl FnOnce(u16) -> Outcome) -> (Vec<Value>, String, Outcome) {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let port = free_port();
    let mut nfcapd = Command::new("nfcapd");
    // It writes flows as they come, and finishes the file when it is asked to end.
    nfcapd.args(["-b", "127.0.0.1", "-p", &port.to_string(), "-B", "1000000", "-w"]).arg(folder.path());
    let mut collector = Running::start(&mut nfcapd);
    collector.wait_to_hear("Startup nfcapd", &[]);
    let outcome = feed(port);
    wait_until_read(port);
    collector.signal(Signal::TERM);
    let said = collector.end().stderr;
    let mut nfdump = Command::new("nfdump");
    let text = output(nfdump.args(["-o", "json", "-R"]).arg(folder.path()).env("TZ", "UTC"));
    let flows = if text.trim().is_empty() { Vec::new() } else { serde_json::from_str(&text).expect("JSON") };
    (flows, said, outcome)
}

/// Waits until the socket of this port has nothing waiting.
///
/// # Panics
/// When it always has.
fn wait_until_read(port: u16) {
    let port = format!(":{port:04X}");
    wait_until("an empty socket", || {
        let sockets = std::fs::read_to_string("/proc/net/udp").expect("the kernel's table");
        let columns = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let socket = sockets.lines().map(columns).find(|line| line.get(1).is_some_and(|local| local.ends_with(&port)));
        socket.is_none_or(|socket| socket[4].ends_with(":00000000"))
    });
    thread::sleep(Duration::from_millis(200));
}
