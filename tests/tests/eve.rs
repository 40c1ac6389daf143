//! EVE as those see it who read it from Suricata.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;
use tests::fixtures::{captures, name};
use tests::padtap::{padtap, records, run};
use tests::pypi::python;
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

/// Validates what `PADTAP_EVE_SCHEMA` names (Suricata's own, `etc/schema.json` in its repository), or else the fields
/// that Suricata documents.
const VALIDATE: &str = "
import json, sys
from jsonschema import Draft7Validator
schema, *files = sys.argv[1:]
validator = Draft7Validator(json.load(open(schema)))
count = 0
for file in files:
    for line in open(file):
        for error in validator.iter_errors(json.loads(line)):
            sys.exit(f'{file}: {error.json_path}: {error.message}: {line}')
        count += 1
print(count)
";

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
fn every_event_has_the_fields_that_suricata_documents() {
    let Some(python) = python(&["jsonschema", "communityid"]) else { return };
    let (_directory, files) = events();
    let lines: usize = files.iter().map(|file| fs::read_to_string(file).unwrap().lines().count()).sum();
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/eve/schema.json");
    let schema = std::env::var_os("PADTAP_EVE_SCHEMA").map_or(own, PathBuf::from);
    let validated = output(Command::new(&python).args(["-c", VALIDATE]).arg(schema).args(&files));
    assert_eq!(validated.trim(), lines.to_string());
    assert!(lines > 250, "{lines}");
    let named = output(Command::new(&python).args(["-c", COMMUNITY_ID]).args(&files));
    assert!(named.trim().parse::<usize>().unwrap() > lines / 2, "{named} of {lines}");
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

/// Suricata, where it is installed (Debian has it in bookworm-backports and from trixie on), tells the same.
#[test]
fn suricata_tells_the_same() {
    let Ok(version) = Command::new("suricata").arg("-V").output() else {
        eprintln!("SKIPPED: suricata is not installed");
        return;
    };
    let (capture, _) = captures().into_iter().find(|(path, _)| path.ends_with("profile-a.pcap.gz")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let plain = directory.path().join("plain.pcap");
    fs::write(&plain, output_bytes(Command::new("gzip").arg("-dc").arg(&capture))).unwrap();
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/eve/suricata.yaml");
    let mut suricata = Command::new("suricata");
    suricata.arg("-c").arg(config).arg("-r").arg(&plain).arg("-l").arg(directory.path()).args(["-k", "none"]);
    output(&mut suricata);
    let theirs = records(&fs::read(directory.path().join("eve.json")).unwrap());
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
        assert_eq!(theirs, ours, "{kind}, {}", String::from_utf8_lossy(&version.stdout));
    }
}

fn output_bytes(command: &mut Command) -> Vec<u8> {
    command.output().unwrap().stdout
}
