//! Messages as they arrive; collectors read them in the integration tests.

use std::io::Read;
use std::net::{TcpListener, TcpStream, UdpSocket};

use super::*;
use crate::flow::{CommunityId, EndReason, Protocol};
use crate::latency::Latency;
use crate::ledger::Ledger;
use crate::limits::Reached;
use crate::record::Subject;
use crate::time::Timestamp;

/// A collector on this machine, and an exporter to it.
fn pair() -> (UdpSocket, Ipfix) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.set_nonblocking(true).expect("a socket");
    let collector = format!("udp:{}", socket.local_addr().expect("an address"));
    let exporter = Ipfix::open(&collector.parse().expect("a collector"), "sensor", true).expect("a way to it");
    (socket, exporter)
}

fn received(socket: &UdpSocket) -> Vec<Vec<u8>> {
    let mut bytes = [0; 2048];
    std::iter::from_fn(|| socket.recv(&mut bytes).ok().map(|length| bytes[..length].to_vec())).collect()
}

fn flow(port: u16, packets: u64, end_reason: EndReason) -> Record {
    let [source, destination] = ["192.168.1.40", "198.51.100.7"].map(|ip| ip.parse().ok());
    let facts = FlowFacts {
        start: Timestamp::new(1, 500_000_000),
        end: Timestamp::new(1 + packets as i64, 0),
        end_reason,
        packets_out: packets,
        bytes_out: packets * 100,
        packets_in: packets / 2,
        bytes_in: packets * 10,
        packets_shunted: None,
        app: Some("overwatch"),
        host: Some("eu.example".into()),
        host_from: None,
        host_candidates: Vec::new(),
        service: None,
        role: None,
        network: None,
        confidence: Some(0.95),
        why: Vec::new(),
        rtt_ms: None,
        retransmissions: None,
        flags: None,
        out: None,
        inward: None,
    };
    let subject = Subject {
        community_id: Some(CommunityId([port as u8; 20])),
        protocol: Some(Protocol::UDP),
        src_ip: source,
        src_port: Some(port),
        dst_ip: destination,
        dst_port: Some(3724),
        ..Subject::default()
    };
    Record { kind: "flow", time: facts.end, subject, facts: Box::new(facts) }
}

fn number(bytes: &[u8], at: usize, length: usize) -> u64 {
    bytes[at..at + length].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Bytes of the record that [`flow`] becomes.
const RECORD: usize =
    4 + 4 + 2 + 2 + 1 + 2 + 8 + 8 + 1 + 1 + 2 * (8 + 8 + 2) + (1 + 30) + 1 + (1 + 9) + (1 + 10) + 1 + 1 + 1;

/// The sets of a message: number and contents.
fn sets(message: &[u8]) -> Vec<(u64, Vec<u8>)> {
    assert_eq!((number(message, 0, 2), number(message, 2, 2)), (10, message.len() as u64));
    let (mut sets, mut rest) = (Vec::new(), &message[16..]);
    while !rest.is_empty() {
        let (set, after) = rest.split_at(number(rest, 2, 2) as usize);
        sets.push((number(set, 0, 2), set[4..].to_vec()));
        rest = after;
    }
    sets
}

#[test]
fn records_are_numbered_and_messages_fit_a_datagram() {
    let (socket, mut exporter) = pair();
    for port in 1..=100 {
        exporter.record(&flow(port, 7, EndReason::Idle)).expect("it goes on");
    }
    exporter.flush().expect("it goes on");
    let messages = received(&socket);
    assert!(messages.len() > 5, "{} messages", messages.len());
    let mut before = 0;
    for (place, message) in messages.iter().enumerate() {
        assert!(message.len() <= 1400);
        assert_eq!(number(message, 8, 4), before, "the sequence number is that of the records before");
        assert_eq!(number(message, 12, 4), u64::from(domain("sensor")));
        let mut sets = sets(message);
        if place == 0 {
            assert_eq!(sets.drain(..2).map(|(set, _)| set).collect::<Vec<_>>(), [2, 3], "templates come first");
        }
        let [(256, records)] = &sets[..] else { panic!("{sets:?}") };
        assert_eq!(records.len() % RECORD, 0);
        for record in records.chunks(RECORD) {
            before += 1;
            assert_eq!(number(record, 8, 2), before, "the source's port");
            assert_eq!((number(record, 15, 8), number(record, 23, 8)), (1500, 8000), "start and end");
            assert_eq!((number(record, 33, 8), number(record, 41, 8)), (700, 7), "bytes and packets out");
            assert_eq!((number(record, 51, 8), number(record, 59, 8)), (70, 3), "bytes and packets in");
            assert_eq!(record.last(), Some(&95), "the confidence");
        }
    }
    assert_eq!(before, 100);
    assert_eq!(exporter.backlog(), Some(Backlog::default()));
}

#[test]
fn templates_are_sent_again_to_who_may_have_missed_them() {
    let (socket, mut exporter) = pair();
    let mut with_templates = Vec::new();
    for place in 0..600 {
        exporter.record(&flow(1, 1, EndReason::Idle)).expect("it goes on");
        exporter.flush().expect("it goes on");
        let messages = received(&socket);
        assert_eq!(messages.len(), 1);
        if sets(&messages[0])[0].0 == 2 {
            with_templates.push(place);
        }
    }
    assert_eq!(with_templates, [0, 256, 512]);
}

#[test]
fn a_flow_that_goes_on_is_exported_in_parts() {
    let (socket, mut exporter) = pair();
    for (packets, reason) in [(4, EndReason::Interval), (10, EndReason::Interval), (11, EndReason::Closed)] {
        exporter.record(&flow(1, packets, reason)).expect("it goes on");
    }
    // Another flow between the same ends.
    exporter.record(&flow(1, 5, EndReason::Idle)).expect("it goes on");
    exporter.flush().expect("it goes on");
    let messages = received(&socket);
    let (_, records) = &sets(&messages[0])[2];
    let parts: Vec<_> = records
        .chunks(records.len() / 4)
        .map(|record| [(15, 8), (23, 8), (31, 1), (33, 8), (41, 8), (59, 8)].map(|(at, size)| number(record, at, size)))
        .collect();
    let expected = [
        [1500, 5000, 2, 400, 4, 2],
        [5000, 11_000, 2, 600, 6, 3],
        [11_000, 12_000, 3, 100, 1, 0],
        [1500, 6000, 1, 500, 5, 2],
    ];
    assert_eq!(parts, expected);
}

#[test]
fn what_nobody_takes_is_counted_and_the_numbers_go_on() {
    let (socket, mut exporter) = pair();
    let port = socket.local_addr().expect("an address").port();
    drop(socket);
    for _ in 0..10 {
        exporter.record(&flow(1, 1, EndReason::Idle)).expect("it goes on");
        exporter.flush().expect("it goes on");
    }
    // The first refusal is heard of when the second message is sent.
    assert_eq!(exporter.backlog(), Some(Backlog { waiting: 0, lost: 9 }));
    let socket = UdpSocket::bind(("127.0.0.1", port)).expect("the port is free again");
    socket.set_nonblocking(true).expect("a socket");
    exporter.record(&flow(1, 1, EndReason::Idle)).expect("it goes on");
    exporter.flush().expect("it goes on");
    let stats = Record::stats(Timestamp::default(), Ledger::default(), Reached::default(), Latency::default());
    exporter.record(&stats).expect("it goes on");
    exporter.flush().expect("it goes on");
    let messages = received(&socket);
    assert_eq!(messages.iter().map(|message| number(message, 8, 4)).collect::<Vec<_>>(), [10, 11]);
    let options = sets(&messages[1]);
    let [(258, account)] = &options[..] else { panic!("{options:?}") };
    assert_eq!((number(account, 0, 4), &account[4..11]), (u64::from(domain("sensor")), &b"\x06sensor"[..]));
    assert_eq!((number(account, 11, 8), number(account, 19, 8)), (1, 10), "records sent, and not sent");
}

/// Messages of a connection, up to so many data records of flows.
fn over(connection: &mut TcpStream, count: u64) -> Vec<Vec<u8>> {
    let (mut messages, mut records) = (Vec::new(), 0);
    while records < count {
        let mut message = vec![0; 16];
        connection.read_exact(&mut message).expect("a header");
        message.resize(number(&message, 2, 2) as usize, 0);
        connection.read_exact(&mut message[16..]).expect("the rest of it");
        records += ports(&message).len() as u64;
        messages.push(message);
    }
    messages
}

/// The source's ports of the flows in a message: their names in these tests.
fn ports(message: &[u8]) -> Vec<u64> {
    let flows = sets(message).into_iter().filter(|(set, _)| *set == 256);
    flows
        .flat_map(|(_, records)| records.chunks(RECORD).map(|record| number(record, 8, 2)).collect::<Vec<_>>())
        .collect()
}

fn to_tcp(port: u16, live: bool) -> Ipfix {
    Ipfix::open(&format!("tcp:127.0.0.1:{port}").parse().expect("a collector"), "sensor", live)
        .expect("it is tried again")
}

fn send(exporter: &mut Ipfix, ports: std::ops::RangeInclusive<u16>) {
    for port in ports {
        exporter.record(&flow(port, 7, EndReason::Idle)).expect("it goes on");
    }
    exporter.flush().expect("it goes on");
}

#[test]
fn a_connection_begins_with_templates_and_counts_from_nought() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let mut exporter = to_tcp(port, true);
    for round in 0..3 {
        let (mut connection, _) = listener.accept().expect("it connects");
        send(&mut exporter, 1..=50);
        let messages = over(&mut connection, 50);
        let [(2, _), (3, _)] = &sets(&messages[0])[..] else { panic!("no templates") };
        let mut before = 0;
        for message in &messages {
            assert_eq!(number(message, 8, 4), before, "round {round}");
            before += ports(message).len() as u64;
        }
        drop(connection);
        let gone = || exporter.flush().map(|()| exporter.backlog());
        assert_eq!(
            std::iter::repeat_with(gone).take(3).last().expect("three").expect("it goes on"),
            Some(Backlog::default())
        );
    }
}

#[test]
fn flows_wait_for_a_collector_that_is_away() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let mut exporter = to_tcp(port, true);
    send(&mut exporter, 1..=100);
    assert_eq!(exporter.backlog(), Some(Backlog { waiting: 100, lost: 0 }));
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free again");
    let collector = std::thread::spawn(move || over(&mut listener.accept().expect("it connects").0, 100));
    exporter.settle().expect("somebody came");
    assert_eq!(exporter.backlog(), Some(Backlog::default()));
    let messages = collector.join().expect("no collector panics");
    assert!(messages.iter().flat_map(|message| ports(message)).eq(1..=100));
}

#[test]
fn a_collector_that_takes_nothing_costs_counted_flows_and_no_time() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let mut exporter = to_tcp(port, true);
    let (_connection, _) = listener.accept().expect("it connects");
    for _ in 0..4 {
        send(&mut exporter, 1..=u16::MAX);
    }
    let Some(Backlog { waiting, lost }) = exporter.backlog() else { panic!("it knows") };
    assert!(waiting > 0 && lost > 0 && waiting + lost < 4 * 65_535, "{waiting} wait, {lost} are lost");
    let error = exporter.settle().expect_err("it is too slow").to_string();
    let lost = waiting + lost;
    assert_eq!(error, format!("the collector is too slow; {waiting} records at the end are lost, {lost} in all"));
    assert_eq!(exporter.backlog(), Some(Backlog { waiting: 0, lost }));
}

#[test]
fn records_without_a_place_in_ipfix_are_passed_over() {
    let (socket, mut exporter) = pair();
    let nobodys = Record { subject: Subject::default(), ..flow(1, 1, EndReason::Idle) };
    exporter.record(&nobodys).expect("it goes on");
    exporter.flush().expect("it goes on");
    assert!(received(&socket).is_empty());
}
