//! EVE as those see it who read it from Suricata.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use tests::capture_file::foreign;
use tests::facts::text;
use tests::fixtures::{captures, name};
use tests::padtap::{finish, padtap, records, run};
use tests::pypi::python;
use tests::suricata;
use tests::tool::output;

/// Every fixture, those of real software included, and the captures of others where they are at hand.
fn every_capture() -> Vec<PathBuf> {
    let live = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/live");
    let live = ["address", "call", "secure"].map(|case| live.join(case).join("capture.pcapng.gz"));
    captures().into_iter().map(|(capture, _)| capture).chain(live).chain(foreign()).collect()
}

/// The events of every capture in a file each, and the directory they are in.
fn events() -> (TempDir, Vec<PathBuf>) {
    let directory = tempfile::tempdir().unwrap();
    let file_of = |capture: &PathBuf| {
        let file = directory.path().join(name(capture).replace('/', "_") + ".json");
        let mut padtap = padtap(["read", "-q", "--flow-interval", "20", "-o"]);
        let outcome = padtap.arg(format!("eve={}", file.display())).arg(capture).status().unwrap();
        assert!(outcome.success(), "{}", capture.display());
        file
    };
    let files = every_capture().iter().map(file_of).collect();
    (directory, files)
}

/// Reckons each Community ID again that has addresses and ports.
const COMMUNITY_ID: &str = "
import json, sys
import communityid
name = communityid.CommunityID()
make = {'TCP': communityid.FlowTuple.make_tcp, 'UDP': communityid.FlowTuple.make_udp}
count = 0
for file in sys.argv[1:]:
    for event in map(json.loads, open(file)):
        if event.get('proto') in make:
            ends = [event[field] for field in ('src_ip', 'dest_ip', 'src_port', 'dest_port')]
            theirs = name.calc(make[event['proto']](*ends))
            if theirs != event['community_id']:
                sys.exit(f'{file}: {theirs}: {event}')
            count += 1
print(count)
";

#[test]
fn every_event_is_as_the_schema_of_suricata_says() {
    let Some(schema) = suricata::schema() else { return };
    let validator = jsonschema::validator_for(&schema).unwrap();
    let strange =
        json!({ "timestamp": "2016-09-10T19:00:00.012345+0000", "event_type": "flow", "flow": { "role": 1 } });
    assert!(!validator.is_valid(&strange), "it is strict");
    let (_directory, files) = events();
    let (mut kinds, mut count) = (BTreeSet::new(), 0);
    for file in files {
        for event in records(&fs::read(&file).unwrap()) {
            let wrong: Vec<_> = validator.iter_errors(&event).map(|error| error.to_string()).collect();
            assert!(wrong.is_empty(), "{}: {wrong:?}: {event}", file.display());
            kinds.insert(text(&event, "event_type").to_owned());
            count += 1;
        }
    }
    assert_eq!(Vec::from_iter(kinds), ["dhcp", "dns", "flow", "sip", "stats", "tls"]);
    assert!(count > 250, "{count}");
}

#[test]
fn community_ids_are_those_of_the_reference() {
    let Some(python) = python(&["communityid"]) else { return };
    let (_directory, files) = events();
    let named = output(Command::new(&python).args(["-c", COMMUNITY_ID]).args(&files));
    assert!(named.trim().parse::<usize>().unwrap() > 125, "{named}");
}

/// What is left out is no record of that output: the account of one with EVE alone shows it.
#[test]
fn records_without_an_event_count_nowhere() {
    let (capture, _) = &captures()[0];
    let count = |format: &str| {
        let outcome =
            run(["read", "-q", "--json", "--packets", "--format", format, capture.to_str().unwrap()]).expect(0);
        records(&outcome.stdout).len()
    };
    let (all, events) = (count("ndjson"), count("eve"));
    assert!(events > 0 && events < all, "{events} of {all}");
    // The account of both together: each counts what it took.
    let directory = tempfile::tempdir().unwrap();
    let eve = format!("eve={}", directory.path().join("eve.json").display());
    let outcome = run(["read", "-q", "--json", "--packets", "-o", &eve, capture.to_str().unwrap()]).expect(0);
    assert_eq!(outcome.ledger().of_name("records_written"), (all + events) as u64);
}

/// The fields that Suricata fills as padtap does, by the type of the event.
const SAME: [(&str, &[&str]); 5] = [
    (
        "flow",
        &[
            "/src_ip",
            "/src_port",
            "/dest_ip",
            "/dest_port",
            "/proto",
            "/community_id",
            "/flow/pkts_toserver",
            "/flow/pkts_toclient",
            "/flow/start",
            "/flow/end",
        ],
    ),
    (
        "tls",
        &["/src_port", "/tls/sni", "/tls/version", "/tls/subject", "/tls/issuerdn", "/tls/notbefore", "/tls/ja3/hash"],
    ),
    ("dhcp", &["/dhcp/type", "/dhcp/dhcp_type", "/dhcp/id", "/dhcp/client_mac", "/dhcp/assigned_ip", "/dhcp/params"]),
    ("dns", &["/src_port", "/dns/id", "/dns/rrname", "/dns/rrtype", "/dns/rcode", "/dns/grouped/A", "/dns/type"]),
    ("sip", &["/src_port", "/sip/version", "/sip/uri", "/sip/request_line", "/sip/code", "/sip/response_line"]),
];

/// What the events of a type say in these fields, one text each.
fn told(events: &[Value], kind: &str, fields: &[&str]) -> BTreeSet<String> {
    let told =
        |event: &Value| fields.iter().map(|field| event.pointer(field).unwrap_or(&Value::Null).to_string()).collect();
    let of_kind = events.iter().filter(|event| event["event_type"] == kind);
    of_kind.map(told).map(|texts: Vec<_>| texts.join(" ")).collect()
}

/// Suricata counts whole frames: beyond the IP packet each has an Ethernet header, and a short one its padding.
fn check_bytes(theirs: &[Value], ours: &[Value]) {
    for flow in ours.iter().filter(|event| event["event_type"] == "flow") {
        let same = |event: &&Value| {
            event["community_id"] == flow["community_id"] && event["flow"]["start"] == flow["flow"]["start"]
        };
        let their = theirs.iter().find(same).unwrap();
        for side in ["toserver", "toclient"] {
            let count = |event: &Value, what: &str| event["flow"][format!("{what}_{side}")].as_u64().unwrap();
            let (packets, beyond) = (count(flow, "pkts"), count(their, "bytes") - count(flow, "bytes"));
            assert!((14 * packets..=(60 - 28) * packets).contains(&beyond), "{flow}: {their}");
        }
    }
}

#[test]
fn suricata_tells_the_same() {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/eve/suricata.yaml");
    for (capture, kinds) in [
        ("ps4-overwatch-2016/profile-a.pcap.gz", &["flow", "tls", "dhcp", "dns"][..]),
        // Suricata looks for SIP at its own port alone, and this is a telephone that uses it.
        ("negative-sip-phone/capture.pcap.gz", &["flow", "sip"]),
    ] {
        let Some(program) = suricata::program() else { return };
        let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(capture);
        let theirs = suricata::events(program, &config, &capture);
        let mut padtap = padtap(["read", "-q", "--json", "--format", "eve", "--show-names"]);
        let ours = finish(padtap.arg(&capture)).expect(0).records();
        for (kind, fields) in SAME.iter().filter(|(kind, _)| kinds.contains(kind)) {
            let (mut theirs, ours) = (told(&theirs, kind, fields), told(&ours, kind, fields));
            if *kind == "dns" {
                // It tells of a question when it is asked, and again when it is answered.
                theirs.retain(|event| event.contains("\"answer\""));
            }
            assert!(!theirs.is_empty());
            assert_eq!(theirs, ours, "{}: {kind}", capture.display());
        }
        check_bytes(&theirs, &ours);
    }
}
