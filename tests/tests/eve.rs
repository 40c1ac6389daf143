//! EVE as those see it who read it from Suricata.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;
use tests::facts::text;
use tests::fixtures::{captures, name};
use tests::padtap::{padtap, records, run};
use tests::pypi::python;
use tests::suricata;
use tests::tool::output;

/// The events of every fixture in a file each, and the directory they are in.
fn events() -> (TempDir, Vec<PathBuf>) {
    let directory = tempfile::tempdir().unwrap();
    let file_of = |capture: &PathBuf| {
        let file = directory.path().join(name(capture).replace('/', "_") + ".json");
        let mut padtap = padtap(["read", "-q", "--flow-interval", "20", "-o"]);
        let outcome = padtap.arg(format!("eve={}", file.display())).arg(capture).status().unwrap();
        assert!(outcome.success(), "{}", capture.display());
        file
    };
    let files = captures().iter().map(|(capture, _)| file_of(capture)).collect();
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

/// What an event of this type says, one text each.
fn told(events: &[Value], kind: &str, fields: &[&str]) -> BTreeSet<String> {
    let told =
        |event: &Value| fields.iter().map(|field| event.pointer(field).unwrap_or(&Value::Null).to_string()).collect();
    let of_kind = events.iter().filter(|event| event["event_type"] == kind);
    of_kind.map(told).map(|texts: Vec<_>| texts.join(" ")).collect()
}

#[test]
fn suricata_tells_the_same() {
    let Some(program) = suricata::program() else { return };
    let (capture, _) = captures().into_iter().find(|(path, _)| path.ends_with("profile-a.pcap.gz")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let plain = directory.path().join("plain.pcap");
    fs::write(&plain, output_bytes(Command::new("gzip").arg("-dc").arg(&capture))).unwrap();
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/eve/suricata.yaml");
    let theirs = suricata::events(program, &config, &plain);
    let ours = run(["read", "-q", "--json", "--format", "eve", plain.to_str().unwrap()]).expect(0).records();
    let ends = ["/src_ip", "/src_port", "/dest_ip", "/dest_port", "/proto", "/community_id"];
    let flow = [&ends[..], &["/flow/pkts_toserver", "/flow/pkts_toclient", "/flow/start", "/flow/end"]].concat();
    let tls =
        ["/src_port", "/tls/sni", "/tls/version", "/tls/subject", "/tls/issuerdn", "/tls/notbefore", "/tls/ja3/hash"];
    let dhcp = ["/dhcp/type", "/dhcp/dhcp_type", "/dhcp/id", "/dhcp/client_mac", "/dhcp/assigned_ip", "/dhcp/params"];
    let dns = ["/src_port", "/dns/id", "/dns/rrname", "/dns/rrtype", "/dns/rcode", "/dns/grouped/A", "/dns/type"];
    for (kind, fields) in [("flow", &flow[..]), ("tls", &tls), ("dhcp", &dhcp), ("dns", &dns)] {
        let (mut theirs, ours) = (told(&theirs, kind, fields), told(&ours, kind, fields));
        if kind == "dns" {
            // It tells of a question when it is asked, and again when it is answered.
            theirs.retain(|event| event.contains("\"answer\""));
        }
        assert!(!theirs.is_empty());
        assert_eq!(theirs, ours, "{kind}");
    }
}

fn output_bytes(command: &mut Command) -> Vec<u8> {
    command.output().unwrap().stdout
}
