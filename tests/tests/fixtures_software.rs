//! Captures of real software, against what that software itself said of it: see fixtures/live.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tests::padtap::{of_kind, run};

fn folder(case: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/live").join(case)
}

fn truth(case: &str) -> Value {
    let text = std::fs::read_to_string(folder(case).join("truth.json")).expect("the truth is there");
    serde_json::from_str(&text).expect("the truth is JSON")
}

/// What padtap says, the same with any number of workers.
fn records(case: &str) -> Vec<Value> {
    let capture = folder(case).join("capture.pcapng.gz");
    let read = |workers: &str| {
        let arguments = ["read", "-q", "--json", "--show-names", "--workers", workers];
        let outcome = run(arguments.into_iter().chain([capture.to_str().expect("a path")])).expect(0);
        assert_eq!(outcome.ledger().lost(), 0);
        let mut records = outcome.records();
        records.retain(|record| record["kind"] != "stats");
        records
    };
    let sorted = |records: &[Value]| {
        let mut lines: Vec<_> = records.iter().map(Value::to_string).collect();
        lines.sort();
        lines
    };
    let alone = read("0");
    for workers in ["1", "4"] {
        assert_eq!(sorted(&read(workers)), sorted(&alone), "{case} with {workers} workers");
    }
    alone
}

/// The values of some fields, as text.
fn fields(record: &Value, names: &[&str]) -> Vec<String> {
    names.iter().map(|name| record[*name].to_string()).collect()
}

#[test]
fn dnsmasq_agrees() {
    let (truth, records) = (truth("address"), records("address"));
    let told = |kind, names: &[&str]| of_kind(&records, kind).map(|record| fields(record, names)).collect::<Vec<_>>();
    let true_of = |list: &str, names: &[&str]| {
        truth[list].as_array().expect("a list").iter().map(|entry| fields(entry, names)).collect::<Vec<_>>()
    };
    let message = ["type", "client_mac"];
    assert_eq!(told("dhcp", &message), true_of("dhcp", &message));
    for asked in of_kind(&records, "dhcp")
        .filter(|message| ["discover", "request"].contains(&message["type"].as_str().expect("text")))
    {
        assert_eq!(
            fields(asked, &["vendor_class", "parameter_list"]),
            fields(&truth, &["vendor_class", "parameter_list"])
        );
    }
    let question = ["query", "answers"];
    assert_eq!(told("dns", &question), true_of("dns", &question));
    for (told, truth) in of_kind(&records, "dns").zip(truth["dns"].as_array().expect("questions")) {
        assert_eq!(told["src_ip"], truth["client"]);
        assert_eq!(told["rcode"] == "NXDOMAIN", truth["rcode"] == "NXDOMAIN", "{told}");
    }
    let console = of_kind(&records, "device").last().expect("a console");
    assert_eq!((&console["model"], &console["mac"]), (&"ps4".into(), &truth["dhcp"][0]["client_mac"]));
}

#[test]
fn openssl_agrees() {
    let (truth, records) = (truth("secure"), records("secure"));
    let [handshake] = of_kind(&records, "tls").collect::<Vec<_>>()[..] else { panic!("one handshake: {records:#?}") };
    assert_eq!(handshake["version"], format!("TLS {}", truth["version"].as_str().expect("a version")));
    assert_eq!(fields(handshake, &["cipher", "sni"]), fields(&truth, &["cipher", "sni"]));
    let chain: Vec<_> =
        handshake["certs"].as_array().expect("a chain").iter().map(|one| one["sha256"].clone()).collect();
    assert_eq!(Value::from(chain), truth["sha256"]);
    // openssl puts the country first and blanks around its signs.
    let subject = truth["subject_of_leaf"].as_str().expect("a name").replace(" = ", "=");
    let parts =
        |name: &str| name.split(',').map(|part| part.trim().to_owned()).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(parts(handshake["certs"][0]["subject"].as_str().expect("a name")), parts(&subject));
    let flow = of_kind(&records, "flow").find(|flow| flow["proto"] == "tcp").expect("a connection");
    assert_eq!((&flow["service"], &flow["role"]), (&"battlenet".into(), &"login".into()));
}

#[test]
fn kamailio_baresip_and_the_kernel_agree() {
    let (truth, records) = (truth("call"), records("call"));
    // What the proxy received.
    let mut told = BTreeMap::<Vec<String>, usize>::new();
    for message in of_kind(&records, "sip") {
        let sender = if message["direction"] == "out" { &message["src_ip"] } else { &message["dst_ip"] };
        if sender != "203.0.113.30" {
            *told.entry([fields(message, &["method", "status"]), vec![sender.to_string()]].concat()).or_default() += 1;
        }
    }
    let mut expected = BTreeMap::<Vec<String>, usize>::new();
    for message in truth["sip"].as_array().expect("messages") {
        *expected.entry(fields(message, &["method", "status", "sender"])).or_default() += 1;
    }
    assert_eq!(told, expected, "requests and replies that kamailio received");
    // Both directions of the call.
    let streams: Vec<_> = of_kind(&records, "rtp").collect();
    assert_eq!(streams.len(), 2, "{streams:#?}");
    for stream in streams {
        assert_eq!(fields(stream, &["codec", "clock", "lost"]), fields(&truth, &["codec", "clock", "lost"]));
        assert_eq!(stream["bound_by"], "sdp");
        let packets = stream["packets"].as_u64().expect("a count");
        // The last report of RTCP comes up to five seconds before the end; 50 packets a second follow.
        for reported in ["received", "sent"] {
            let reported = truth["reported"][reported].as_u64().expect("a count");
            assert!((reported..reported + 250).contains(&packets), "{packets}, reported {reported}");
        }
        assert!(packets.abs_diff(50 * truth["seconds"].as_u64().expect("seconds")) <= 50, "{packets}");
    }
    // Every datagram that the kernels of both hosts counted.
    for (host, counted) in truth["datagrams_sent"].as_object().expect("hosts") {
        let sum = |end: &str, count: &str| -> u64 {
            let flows = of_kind(&records, "flow").filter(|flow| flow["proto"] == "udp" && flow[end] == **host);
            flows.filter_map(|flow| flow[count].as_u64()).sum()
        };
        assert_eq!(
            sum("src_ip", "packets_out") + sum("dst_ip", "packets_in"),
            counted.as_u64().expect("a count"),
            "{host}"
        );
    }
    // The pings are what they are.
    let pinged: Vec<_> = of_kind(&records, "sip_keepalive").collect();
    assert_eq!(pinged.len(), 2, "{pinged:#?}");
    for flow in pinged {
        assert_eq!(flow["server"]["bytes"], "00000000");
        let period = flow["server"]["period_s"].as_f64().expect("a period");
        assert!((period - truth["ping_s"].as_f64().expect("a period")).abs() < 0.2, "{period}");
    }
    assert_eq!(of_kind(&records, "match").count(), 0, "a call is no match");
}
