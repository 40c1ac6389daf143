//! Captures made by others, against what tshark says of them: `expected.json` beside the captures of PADTAP_PCAPS.
//!
//! The flows here are simpler than the engine's: no tunnels, no fragments, and of streams only what comes in order.
//! So each protocol is tested by itself, on real bytes.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use super::testing::json;
use super::{Conversation, Direction, Output, Over, Probe, Protocol, Segment, Step, dhcp, dns, http, nbns, ssdp, stun};
use crate::dissect::{Packet, Transport, dissect};
use crate::source::{Received, Source, View, pcap};
use crate::time::Timestamp;

type Counts = BTreeMap<String, u64>;

/// The records that some protocols make of a capture; `None`, said aloud, where there is none.
fn records(
    file: &str,
    protocols: &[&'static Protocol],
    takes: fn(&Segment<'_>) -> bool,
) -> Option<Vec<(&'static str, Value)>> {
    let path = path(file)?;
    let mut source = pcap::open([&path], |_| Some(0)).expect("the capture opens");
    let view = source.view();
    let (mut tokens, mut scratch) = (Vec::new(), Vec::new());
    let (mut flows, mut out) = (Flows::default(), Output::default());
    while source.receive(64, Duration::ZERO, &mut tokens).expect("the capture is sound") != Received::End {
        for token in &tokens {
            let frame = view.frame(token, &mut scratch);
            flows.packet(&dissect(&frame), frame.time, protocols, takes, &mut out);
        }
        source.recycle(&mut tokens);
    }
    for flow in flows.0.values_mut() {
        flow.conversation.end(Timestamp::default(), &mut out);
    }
    Some(out.events.iter().map(|event| (event.kind, json(event))).collect())
}

fn path(file: &str) -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("PADTAP_PCAPS") else {
        eprintln!("skipped: PADTAP_PCAPS names no folder with {file}");
        return None;
    };
    Some(PathBuf::from(folder).join(file))
}

/// What tshark found of a protocol in a capture.
fn expected(file: &str, what: &str) -> Value {
    let text = std::fs::read_to_string(path("expected.json").expect("the folder is there")).expect("it is readable");
    let all: Value = serde_json::from_str(&text).expect("it is JSON");
    all["files"][file]["tshark"][what].clone()
}

/// Flows by source and destination.
#[derive(Default)]
struct Flows(HashMap<(bool, SocketAddr, SocketAddr), Flow>);

struct Flow {
    conversation: Box<dyn Conversation>,
    open: bool,
    /// The next sequence number of each direction, and its bytes that were not consumed.
    streams: [(Option<u32>, Vec<u8>); 2],
}

impl Flows {
    fn packet(
        &mut self,
        packet: &Packet<'_>,
        time: Timestamp,
        protocols: &[&'static Protocol],
        takes: fn(&Segment<'_>) -> bool,
        out: &mut Output,
    ) {
        let (Some((from, to)), Some((from_port, to_port))) = (packet.addresses(), packet.ports()) else { return };
        let (source, destination) = (SocketAddr::new(from, from_port), SocketAddr::new(to, to_port));
        let stream = matches!(packet.transport, Transport::Tcp(_));
        let back = self.0.contains_key(&(stream, destination, source));
        let (direction, key) = if back {
            (Direction::In, (stream, destination, source))
        } else {
            (Direction::Out, (stream, source, destination))
        };
        let (bytes, length) = (packet.payload, packet.payload_length);
        let segment = Segment { time, direction, source, destination, stream, bytes, length };
        if packet.payload.is_empty() || !takes(&segment) {
            return;
        }
        let flow = match self.0.entry(key) {
            std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::hash_map::Entry::Vacant(new) => {
                let unfit = if stream { Over::Udp } else { Over::Tcp };
                let mut fit = protocols.iter().filter(|protocol| protocol.over != unfit);
                let Some(protocol) = fit.find(|protocol| (protocol.probe)(&segment) != Probe::No) else { return };
                new.insert(Flow { conversation: (protocol.open)(), open: true, streams: Default::default() })
            }
        };
        flow.read(packet, &segment, out);
    }
}

impl Flow {
    fn read(&mut self, packet: &Packet<'_>, segment: &Segment<'_>, out: &mut Output) {
        let Transport::Tcp(tcp) = &packet.transport else { return self.offer(segment, out) };
        let (next, waiting) = &mut self.streams[segment.direction.index()];
        let wanted = next.unwrap_or(tcp.sequence);
        let ahead = tcp.sequence.wrapping_sub(wanted) as i32;
        let mut new = segment.bytes;
        if ahead < 0 {
            new = new.get(ahead.unsigned_abs() as usize..).unwrap_or_default();
        } else if ahead > 0 {
            waiting.clear();
            self.open &= self.conversation.gap(segment.direction, ahead as u32, out) != Step::Done;
        }
        if new.is_empty() {
            return;
        }
        *next = Some(tcp.sequence.wrapping_add(segment.bytes.len() as u32));
        waiting.extend_from_slice(new);
        let bytes = std::mem::take(waiting);
        self.offer(&Segment { bytes: &bytes, ..*segment }, out);
        let consumed = self.streams[segment.direction.index()].1.len();
        self.streams[segment.direction.index()].1 = bytes[consumed.min(bytes.len())..].to_vec();
    }

    /// Offers a segment; of a stream, the number of bytes that were consumed is left as that many zeros.
    fn offer(&mut self, segment: &Segment<'_>, out: &mut Output) {
        if !self.open {
            return;
        }
        match self.conversation.read(segment, out) {
            Step::Consumed(count) if segment.stream => {
                self.streams[segment.direction.index()].1 = vec![0; count];
            }
            Step::Consumed(_) => {}
            Step::Done | Step::Reject => self.open = false,
        }
    }
}

fn anything(_: &Segment<'_>) -> bool {
    true
}

fn count(counts: &mut Counts, name: &str, times: u64) {
    *counts.entry(name.to_owned()).or_default() += times;
}

/// How often a request was sent, and how often it was answered, by the rules that the protocols' pages give.
fn sent_and_answered(record: &Value, answered: bool) -> (u64, u64) {
    let asked = record.get("rtt_ms").is_some() || !answered;
    let retries = record.get("retries").and_then(Value::as_u64).unwrap_or(0);
    (if asked { 1 + retries } else { 0 }, u64::from(answered))
}

#[test]
fn name_services() {
    for (file, what) in [
        ("pcpp-dns-packets.pcap", "dns"),
        ("pcpp-dns-packets.pcap", "mdns"),
        ("pcpp-dns-packets.pcap", "llmnr"),
        ("ja4-latest.pcapng", "dns"),
        ("zeek-pcapng-multi-if.pcapng", "dns"),
    ] {
        let protocols = [&nbns::PROTOCOL, &dns::DNS, &dns::MDNS, &dns::LLMNR];
        let Some(records) = records(file, &protocols, anything) else { return };
        let mut seen = (0, 0);
        let (mut names, mut codes) = (Counts::new(), Counts::new());
        for (_, record) in records.iter().filter(|(_, record)| record["transport"] == what) {
            let (queries, responses) = sent_and_answered(record, record.get("rcode").is_some());
            seen = (seen.0 + queries, seen.1 + responses);
            let more = record["more_questions"].as_array().into_iter().flatten();
            let more = more.filter_map(|question| question.as_str()?.split_once(' ')).map(|(_, name)| name);
            for name in record["query"].as_str().into_iter().chain(more) {
                count(&mut names, name, queries + responses);
            }
            if let Some(code) = record["rcode"].as_str() {
                let number = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN"].iter().position(|name| *name == code);
                count(&mut codes, &number.map_or(code.to_owned(), |number| number.to_string()), 1);
            }
        }
        let expected = expected(file, what);
        let wanted = (expected["queries"].as_u64().unwrap_or(0), expected["responses"].as_u64().unwrap_or(0));
        assert_eq!(seen, wanted, "{file} {what}");
        assert_eq!(names, listed(&expected["question_names"]), "{file} {what}");
        assert_eq!(codes, listed(&expected["rcodes"]), "{file} {what}");
    }
}

fn listed(counts: &Value) -> Counts {
    let entries = counts.as_object().into_iter().flatten();
    entries.filter_map(|(name, count)| Some((name.clone(), count.as_u64()?))).collect()
}

#[test]
fn a_datagram_full_of_forward_pointers_is_one_record() {
    let Some(records) = records("tcpdump-dns-fwdptr.pcap", &[&dns::DNS], anything) else { return };
    let [(_, record)] = records.as_slice() else { panic!("one record, not {records:?}") };
    // tshark: one response with code 15, malformed.
    assert_eq!(record["rcode"], "RCODE15");
    assert!(record["malformed"].is_string());
}

#[test]
fn dhcp_messages() {
    for file in ["tcpdump-dhcp-mud.pcap", "wireshark-dhcp-ns.pcapng"] {
        let Some(records) = records(file, &[&dhcp::PROTOCOL], anything) else { return };
        let expected = expected(file, "dhcp");
        let expected = expected.as_array().expect("a list");
        assert_eq!(records.len(), expected.len());
        for wanted in expected {
            let numbers = |value: &Value| {
                let numbers = value.as_array().into_iter().flatten().map(Value::to_string);
                numbers.collect::<Vec<_>>().join(",")
            };
            let text = |name: &str| wanted[name].as_str().unwrap_or_default();
            // tshark shows the end mark as a 0, which padtap leaves out.
            let order = text("option_order").trim_end_matches(",0");
            let types = ["", "discover", "offer", "request", "decline", "ack", "nak", "release", "inform"];
            let kind = types[text("msg_type").parse::<usize>().expect("a number")];
            let found = records.iter().find(|(_, record)| numbers(&record["option_order"]) == order);
            let (_, record) = found.unwrap_or_else(|| panic!("{file}: options {order}"));
            assert_eq!(record["type"], kind);
            let or_none = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
            assert_eq!(or_none("client_mac"), text("chaddr").split(',').next().unwrap_or_default());
            assert_eq!(or_none("hostname"), text("hostname"));
            assert_eq!(or_none("vendor_class"), text("vendor_class"));
            assert_eq!(numbers(&record["parameter_list"]), text("prl"));
            let your = record["your_ip"].as_str().unwrap_or("0.0.0.0");
            assert_eq!(your, text("yiaddr"));
            for (ours, theirs) in [("routers", "router"), ("dns_servers", "dns")] {
                assert_eq!(numbers(&record[ours]).replace('"', ""), text(theirs));
            }
        }
    }
}

#[test]
fn stun_messages_by_type() {
    for file in ["ndpi-stun-dtls-rtp.pcapng", "ndpi-geforcenow.pcapng"] {
        // What shares the datagrams' flow is for others; tshark, too, looks at each datagram by itself.
        let takes = |segment: &Segment<'_>| segment.stream || super::is_stun(segment.bytes);
        let Some(records) = records(file, &[&stun::STUN, &stun::STUN_TCP], takes) else { return };
        let mut types = Counts::new();
        for (_, record) in &records {
            let methods =
                ["", "Binding", "", "Allocate", "Refresh", "", "Send", "Data", "CreatePermission", "Channel-Bind"];
            let Some(method) = methods.iter().position(|name| record["type"] == *name) else { continue };
            let mut add = |class: usize, times| {
                if times > 0 {
                    count(&mut types, &format!("0x{:04x}", method | class), times);
                }
            };
            let result = record["result"].as_str().unwrap_or_default();
            if result == "indication" {
                add(0x010, record["messages"].as_u64().unwrap_or(0));
            } else {
                let (requests, answers) = sent_and_answered(record, result != "unanswered");
                add(0x000, requests);
                add(if result == "error" { 0x110 } else { 0x100 }, answers);
            }
        }
        assert_eq!(types, listed(&expected(file, "stun")["types"]), "{file}");
    }
}

#[test]
fn requests_of_http_and_searches_of_ssdp() {
    for file in ["ndpi-wow.pcap", "ja4-latest.pcapng"] {
        let Some(records) = records(file, &[&http::PROTOCOL], anything) else { return };
        let expected = expected(file, "http");
        for (ours, theirs) in
            [("method", "methods"), ("host", "hosts"), ("user_agent", "user_agents"), ("status", "status")]
        {
            let mut counts = Counts::new();
            for (_, record) in &records {
                match &record[ours] {
                    Value::String(text) => count(&mut counts, text, 1),
                    Value::Number(number) => count(&mut counts, &number.to_string(), 1),
                    _ => {}
                }
            }
            assert_eq!(counts, listed(&expected[theirs]), "{file} {theirs}");
        }
    }
    let Some(records) = records("ja4-latest.pcapng", &[&ssdp::PROTOCOL, &nbns::PROTOCOL], anything) else { return };
    let searches = records.iter().filter(|(_, record)| record["method"] == "M-SEARCH").count() as u64;
    assert_eq!(searches, expected("ja4-latest.pcapng", "ssdp")["frames"]);
    // Three frames of one query, by tshark's list.
    let names: Vec<_> = records.iter().filter(|(kind, _)| *kind == "nbns").map(|(_, record)| record).collect();
    assert_eq!((names.len(), &names[0]["name"], &names[0]["suffix"]), (1, &"BLUECATNETWORKS".into(), &0x1b.into()));
    assert_eq!(names[0]["retries"], 2);
}
