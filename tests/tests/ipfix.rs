//! Flows over the network, as collectors and dissectors of IPFIX read them.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::Value;
use tests::capture_file::{foreign, write_pcap};
use tests::fixtures::captures;
use tests::frame::Frame;
use tests::nfdump::collect;
use tests::padtap::{Outcome, finish, of_kind, padtap, run};
use tests::tool::{have, output};

/// What collector and padtap must agree on of one flow: ends and protocol, time of first and last packet in
/// milliseconds, VLAN, packets and bytes out and in.
type Row = String;

/// The project's own captures, and those that nobody here wrote.
fn files() -> Vec<PathBuf> {
    captures().into_iter().map(|(path, _)| path).chain(foreign()).collect()
}

fn export(file: &Path, to: &str) -> Outcome {
    finish(padtap(["read", "-q", "--json", "--sensor", "a sensor", "--ipfix", to]).arg(file)).expect(0)
}

/// A row for each flow record.
fn ours(records: &[Value]) -> Vec<Row> {
    let row = |flow: &Value| {
        let protocol = match flow["proto"].as_str().expect("a protocol") {
            "tcp" => 6,
            "udp" => 17,
            "icmp" => 1,
            "icmpv6" => 58,
            "igmp" => 2,
            "gre" => 47,
            "ospf" => 89,
            other => other.parse().unwrap_or_else(|_| panic!("{other}")),
        };
        let text = |name: &str| flow[name].as_str().expect("a text").to_owned();
        let number = |name: &str| flow[name].as_u64().unwrap_or_default();
        let time = |name: &str| text(name)[..23].to_owned();
        let ends = ["src_ip", "dst_ip"].map(text);
        let counts = ["packets_out", "bytes_out", "packets_in", "bytes_in"].map(number);
        let ports = if matches!(protocol, 6 | 17) { [number("src_port"), number("dst_port")] } else { [0; 2] };
        let vlan = flow["vlan"][0].as_u64().unwrap_or_default();
        format!("{ends:?} {ports:?} {protocol} {} {} {vlan} {counts:?}", time("start"), time("end"))
    };
    let mut rows: Vec<_> = of_kind(records, "flow").map(row).collect();
    rows.sort();
    rows
}

/// A row for each flow that nfdump reads.
fn nfdumps(flows: &[Value]) -> Vec<Row> {
    let row = |flow: &Value| {
        let text = |name: &str| flow[name].as_str().map(str::to_owned);
        let number = |name: &str| flow[name].as_u64().unwrap_or_default();
        let ends = [["src4_addr", "src6_addr"], ["dst4_addr", "dst6_addr"]]
            .map(|names| names.iter().find_map(|name| text(name)).expect("an address"));
        let counts = ["in_packets", "in_bytes", "out_packets", "out_bytes"].map(number);
        let protocol = number("proto");
        let ports = if matches!(protocol, 6 | 17) { [number("src_port"), number("dst_port")] } else { [0; 2] };
        let [first, last] = ["first", "last"].map(|name| text(name).expect("a time"));
        format!("{ends:?} {ports:?} {protocol} {first} {last} {} {counts:?}", number("src_vlan"))
    };
    let mut rows: Vec<_> = flows.iter().map(row).collect();
    rows.sort();
    rows
}

#[test]
fn nfdump_has_the_same_flows() {
    if !have(&["nfcapd", "nfdump"]) {
        return;
    }
    let (mut compared, mut six) = (0, 0);
    for file in files() {
        let (flows, said, outcome) = collect(|port| export(&file, &format!("udp:127.0.0.1:{port}")));
        let expected = ours(&outcome.records());
        assert_eq!(nfdumps(&flows), expected, "{}: {said}", file.display());
        assert!(said.contains("Sequence Errors: 0, Bad Packets: 0"), "{}: {said}", file.display());
        assert_eq!(outcome.ledger().of_name("sink_drops"), 0);
        compared += expected.len();
        six += flows.iter().filter(|flow| flow.get("src6_addr").is_some()).count();
    }
    eprintln!("{compared} flows compared, {six} of IPv6");
    assert!(compared > 100, "only {compared} flows");
}

#[test]
fn the_parts_of_flows_that_go_on_add_up() {
    if !have(&["nfcapd", "nfdump"]) {
        return;
    }
    let (file, _) = &captures()[0];
    let (flows, said, outcome) = collect(|port| {
        let to = format!("udp:127.0.0.1:{port}");
        let options = ["read", "-q", "--json", "--flow-interval", "1", "--ipfix", &to];
        finish(padtap(options).arg(file)).expect(0)
    });
    let records = outcome.records();
    let (mut theirs, mut whole) = (BTreeMap::<_, u64>::new(), BTreeMap::<_, u64>::new());
    for flow in &flows {
        *theirs.entry(flow["src_port"].as_u64()).or_default() += flow["in_bytes"].as_u64().expect("bytes");
    }
    for flow in of_kind(&records, "flow").filter(|flow| flow["end_reason"] != "interval") {
        *whole.entry(flow["src_port"].as_u64()).or_default() += flow["bytes_out"].as_u64().expect("bytes");
    }
    assert_eq!(theirs, whole, "{said}");
    assert!(flows.len() > whole.len() * 2, "{} parts of {} flows", flows.len(), whole.len());
    assert_eq!(flows.len(), of_kind(&records, "flow").count());
}

/// The messages that come to a socket of the test's own while `feed` runs, as frames of a capture file.
fn record(path: &Path, feed: impl FnOnce(u16) -> Outcome) -> Outcome {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a socket");
    let port = socket.local_addr().expect("an address").port();
    let receiver = thread::spawn(move || {
        let mut bytes = [0; 65_536];
        let mut messages = Vec::new();
        loop {
            match socket.recv(&mut bytes) {
                // Empty: the test says that this was all.
                Ok(0) => return messages,
                Ok(length) => messages.push(bytes[..length].to_vec()),
                Err(_) => {}
            }
        }
    });
    let outcome = feed(port);
    let done = UdpSocket::bind("127.0.0.1:0").expect("a port");
    done.send_to(&[], ("127.0.0.1", port)).expect("an empty datagram");
    let messages = receiver.join().expect("no receiver panics");
    let frames: Vec<_> = messages.iter().map(|message| datagram(message)).collect();
    write_pcap(path, &frames);
    outcome
}

fn datagram(message: &[u8]) -> Vec<u8> {
    assert!(message.len() <= 1400, "{} bytes", message.len());
    let frame = Frame::ethernet("02:00:00:00:00:01", "02:00:00:00:00:02").ipv4("127.0.0.1", "127.0.0.2");
    let mut bytes = frame.udp(40_000, 4739).payload(message.len()).build();
    let payload = bytes.len() - message.len();
    bytes[payload..].copy_from_slice(message);
    let length = 8 + message.len() as u16;
    bytes[payload - 4..payload - 2].copy_from_slice(&length.to_be_bytes());
    bytes
}

/// All values of each field in all packets of a file, in order, as tshark reads them.
fn values<const N: usize>(file: &Path, fields: [&str; N]) -> [Vec<String>; N] {
    let mut tshark = Command::new("tshark");
    tshark.args([
        "-n",
        "-d",
        "udp.port==4739,cflow",
        "-d",
        "tcp.port==4739,cflow",
        "-T",
        "fields",
        "-E",
        "aggregator=;",
    ]);
    let text = output(tshark.args(fields.iter().flat_map(|field| ["-e", field])).arg("-r").arg(file));
    let mut values = [const { Vec::new() }; N];
    for line in text.lines() {
        for (column, values) in line.split('\t').zip(&mut values) {
            values.extend(column.split(';').filter(|value| !value.is_empty()).map(str::to_owned));
        }
    }
    values
}

/// The values of padtap's own elements, as a dissector that does not know them shows them: those that are not empty, in
/// hexadecimal.
fn own_values(records: &[Value]) -> Vec<String> {
    let names = ["community_id", "device", "app", "host", "service", "role"];
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let values = |flow: &Value| {
        let texts = names.iter().filter_map(|name| flow[name].as_str()).map(|text| hex(text.as_bytes()));
        let confidence = (flow["confidence"].as_f64().unwrap_or_default() * 100.0).round() as u8;
        texts.chain([hex(&[confidence])]).collect::<Vec<_>>()
    };
    of_kind(records, "flow").flat_map(values).collect()
}

/// tshark finds nothing wrong with a file of messages, and reads in it what the records say.
fn assert_tshark_agrees(file: &Path, records: &[Value]) {
    let complaints = ["_ws.malformed", "_ws.expert.message", "cflow.unexpected_sequence_number"];
    let fields = ["cflow.octets", "cflow.enterprise_private_entry", "cflow.observation_domain_name"];
    let [malformed, expert, sequence, octets, own, domain] =
        values(file, [complaints, fields].concat().try_into().expect("six"));
    assert_eq!([malformed, expert, sequence], [const { Vec::<String>::new() }; 3]);
    let bytes = |flow: &Value| ["bytes_out", "bytes_in"].map(|name| flow[name].to_string());
    assert_eq!(octets, of_kind(records, "flow").flat_map(bytes).collect::<Vec<_>>());
    assert_eq!(own, own_values(records));
    assert_eq!(domain, ["a sensor"]);
}

#[test]
fn tshark_reads_every_message() {
    if !have(&["tshark"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary directory");
    let messages = folder.path().join("messages.pcap");
    for file in files() {
        let outcome = record(&messages, |port| export(&file, &format!("udp:127.0.0.1:{port}")));
        assert_tshark_agrees(&messages, &outcome.records());
    }
}

/// A connection's bytes, in segments that know nothing of messages.
fn segments(stream: &[u8]) -> Vec<Vec<u8>> {
    let segment = |(place, piece): (usize, &[u8])| {
        let frame = Frame::ethernet("02:00:00:00:00:01", "02:00:00:00:00:02").ipv4("127.0.0.1", "127.0.0.2");
        let mut bytes = frame.tcp(40_000, 4739, 0).payload(piece.len()).build();
        let payload = bytes.len() - piece.len();
        bytes[payload..].copy_from_slice(piece);
        let sequence = 1 + (place * SEGMENT) as u32;
        bytes[payload - 16..payload - 12].copy_from_slice(&sequence.to_be_bytes());
        bytes
    };
    stream.chunks(SEGMENT).enumerate().map(segment).collect()
}

const SEGMENT: usize = 1000;

#[test]
fn tshark_reads_a_connection() {
    if !have(&["tshark"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary directory");
    let messages = folder.path().join("messages.pcap");
    for (file, _) in captures() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let collector = thread::spawn(move || {
            let mut stream = Vec::new();
            listener.accept().expect("it connects").0.read_to_end(&mut stream).expect("it is read to its end");
            stream
        });
        let outcome = export(&file, &format!("tcp:127.0.0.1:{port}"));
        let stream = collector.join().expect("no collector panics");
        write_pcap(&messages, &segments(&stream));
        assert_tshark_agrees(&messages, &outcome.records());
        assert_eq!(outcome.ledger().of_name("sink_drops"), 0);
    }
}

#[test]
fn a_collector_that_never_comes_is_said_and_its_flows_are_counted() {
    let (file, _) = &captures()[0];
    let port = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
    let to = format!("tcp:127.0.0.1:{port}");
    let outcome = finish(padtap(["read", "--json", "--ipfix", &to]).arg(file)).expect(1);
    assert!(outcome.stderr.contains(&format!("{to}: no collector is there")), "{}", outcome.stderr);
    let records = outcome.records();
    assert_eq!(outcome.ledger().of_name("sink_drops"), of_kind(&records, "flow").count() as u64);
}

#[test]
fn what_names_no_collector_is_said_before_reading() {
    let (file, _) = &captures()[0];
    for (collector, code) in [("sctp:127.0.0.1:4739", 2), ("127.0.0.1", 2), ("udp:127.0.0.1:0", 2)] {
        let outcome = run(["read", "-q", "--ipfix", collector, file.to_str().expect("a path")]).expect(code);
        assert!(outcome.stderr.contains(collector) && outcome.stderr.contains("udp:HOST:PORT"), "{}", outcome.stderr);
    }
    let outcome = run(["read", "-q", "--ipfix", "udp:collector.invalid", file.to_str().expect("a path")]).expect(1);
    assert!(outcome.stderr.contains("udp:collector.invalid:4739"), "{}", outcome.stderr);
}
