//! What tshark says of captures that nobody here made, against what this dissector says of them.
//!
//! It is also asked, where it is installed, about the packets that the tests build.
//!
//! The captures and `expected.json` are found through PADTAP_PCAPS; without it the test is skipped.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::{Dissector, Packet, Settings, Transport, dissect, samples};
use crate::source::pcap::open;
use crate::source::{Received, Source, View};

/// Addresses and ports, from and to, and whether it is TCP.
type Way = (bool, String, u16, String, u16);

/// What the dissector found in one file.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    ways: BTreeMap<Way, u64>,
    /// How many packets came through which tunnels, by their numbers.
    encap: BTreeMap<(String, Option<u32>), u64>,
    /// Frame, fragments and payload length of each datagram put together.
    joined: Vec<(u64, u32)>,
    duplicates: u64,
}

impl Found {
    fn add(&mut self, number: u64, packet: &Packet<'_>) {
        self.duplicates += u64::from(packet.duplicate);
        if !packet.encap.is_empty() {
            *self.encap.entry((packet.encap.join("+"), packet.tunnel_id)).or_default() += 1;
        }
        self.joined.extend(packet.reassembled.map(|fragments| (number, fragments)));
        let (Some((from, to)), Some((source, destination))) = (packet.addresses(), packet.ports()) else { return };
        let is_tcp = matches!(packet.transport, Transport::Tcp(_));
        *self.ways.entry((is_tcp, from.to_string(), source, to.to_string(), destination)).or_default() += 1;
    }
}

fn dissect_file(path: &Path, settings: &Settings) -> Found {
    let mut source = open([path], |_| Some(0)).expect("a capture that can be read");
    let (view, mut tokens, mut scratch) = (source.view(), Vec::new(), Vec::new());
    let (mut dissector, mut found) = (Dissector::new(settings), Found::default());
    loop {
        let received = source.receive(64, Duration::ZERO, &mut tokens).expect("a capture without damage");
        for token in &tokens {
            let frame = view.frame(token, &mut scratch);
            found.add(frame.number, &dissector.dissect(&frame));
        }
        source.recycle(&mut tokens);
        if received == Received::End {
            return found;
        }
    }
}

/// The packets of each way, as tshark counted them.
fn expected_ways(facts: &Value) -> BTreeMap<Way, u64> {
    let mut ways = BTreeMap::new();
    for flow in facts["flows_innermost"].as_array().expect("flows") {
        let text = |name: &str| flow[name].as_str().expect("text").to_owned();
        let number = |name: &str| flow[name].as_u64().expect("a number");
        let port = |name: &str| u16::try_from(number(name)).expect("a port");
        let is_tcp = text("proto") == "tcp";
        let there = (is_tcp, text("a"), port("aport"), text("b"), port("bport"));
        let back = (is_tcp, text("b"), port("bport"), text("a"), port("aport"));
        ways.insert(there, number("packets_ab"));
        ways.insert(back, number("packets_ba"));
    }
    ways.retain(|_, packets| *packets > 0);
    ways
}

/// Frame and fragments of each datagram, as tshark put them together.
fn expected_joined(facts: &Value) -> Vec<(u64, u32)> {
    let lists = ["ipv4_reassembled", "ipv6_reassembled"].map(|name| facts["fragments"][name].as_array());
    let joined = lists.into_iter().flatten().flatten().map(|entry| {
        let count = entry["count"].as_str().and_then(|count| count.parse().ok()).expect("a count");
        (entry["frame"].as_u64().expect("a number"), count)
    });
    joined.collect()
}

/// In one capture, every packet of one host is there twice, up to 1.2 ms apart, with the same identification.
fn doubled(name: &str) -> u64 {
    if name == "ndpi-wow.pcap" { 33 } else { 0 }
}

fn captures() -> Option<(PathBuf, Value)> {
    let folder = PathBuf::from(std::env::var_os("PADTAP_PCAPS")?);
    let facts = std::fs::read_to_string(folder.join("expected.json")).expect("expected.json beside the captures");
    Some((folder, serde_json::from_str(&facts).expect("JSON")))
}

#[test]
fn agrees_with_tshark() {
    let Some((folder, facts)) = captures() else {
        eprintln!("skipped: PADTAP_PCAPS is not set");
        return;
    };
    let settings = Settings { duplicate_window: Duration::ZERO, ..Settings::default() };
    for (name, facts) in facts["files"].as_object().expect("files") {
        let found = dissect_file(&folder.join(name), &settings);
        assert_eq!(found.ways, expected_ways(&facts["tshark"]), "{name}");
        assert_eq!(found.joined, expected_joined(&facts["tshark"]), "{name}");
        let looking = dissect_file(&folder.join(name), &Settings::default());
        assert_eq!(looking.duplicates, doubled(name), "{name}: copies that a mirror made");
        assert_eq!(looking.joined, found.joined, "{name}");
    }
}

#[test]
fn tunnels_are_those_of_the_captures() {
    let Some((folder, facts)) = captures() else {
        eprintln!("skipped: PADTAP_PCAPS is not set");
        return;
    };
    for name in facts["files"].as_object().expect("files").keys() {
        let found = dissect_file(&folder.join(name), &Settings::default());
        let tunnels = match name.as_str() {
            "ndpi-vxlan-vlan-tls.pcap" => vec![("vxlan", 1111, 127)],
            "zeek-erspan1-mixed.pcap" => vec![("gre", 0, 125), ("gre", 0x0200_0000, 123)],
            _ => vec![],
        };
        let tunnels = tunnels.into_iter().map(|(encap, id, packets)| ((encap.to_owned(), Some(id)), packets));
        assert_eq!(found.encap, tunnels.collect(), "{name}");
    }
}

/// A classic capture file of Ethernet frames.
fn capture_of(frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = [0xa1b2_c3d4_u32, 0x0002_0004, 0, 0, 0x4_0000, 1].map(u32::to_be_bytes).concat();
    for frame in frames {
        let length = u32::try_from(frame.len()).expect("a short frame");
        file.extend([0, 0, length, length].map(u32::to_be_bytes).concat());
        file.extend_from_slice(frame);
    }
    file
}

/// tshark's names of the layers of each frame, or `None` where there is no tshark.
fn ask_tshark(frames: &[Vec<u8>]) -> Option<Vec<String>> {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(&capture_of(frames)).expect("a file that can be written");
    let mut command = Command::new("tshark");
    command.args(["-o", "ip.defragment:FALSE", "-T", "fields", "-e", "frame.protocols", "-r"]).arg(file.path());
    let output = command.output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

#[test]
fn layers_have_the_names_that_tshark_gives_them() {
    let frames = samples::tunnels();
    let Some(answers) = ask_tshark(&frames) else {
        assert!(std::env::var_os("PADTAP_REQUIRE_LIVE").is_none(), "tshark is not installed");
        eprintln!("skipped: tshark is not installed");
        return;
    };
    assert_eq!(answers.len(), frames.len());
    for (bytes, answer) in frames.iter().zip(answers) {
        // It counts dispatchers as layers, and the control word apart from the labels before it.
        let dispatchers = ["ethertype", "pwethheuristic", "pwethcw"];
        let theirs: Vec<&str> = answer.split(':').filter(|name| !dispatchers.contains(name)).collect();
        let packet = dissect(&samples::frame(bytes));
        let ours: Vec<&str> = packet.layers.iter().map(|layer| layer.name()).collect();
        // Behind our layers come applications, or `data`.
        assert_eq!(theirs.get(..ours.len()), Some(&ours[..]), "{answer}");
    }
}
