//! What the fixtures' flows are for and which devices they show, by the real binary with the fixtures' own networks.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn padtap(arguments: &[&str]) -> Output {
    tests::padtap::padtap(arguments).output().expect("padtap runs")
}

/// A folder for --knowledge with the table of networks that the fixtures invent.
fn tables() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::copy(workspace().join("fixtures/networks.toml"), folder.path().join("networks.toml")).expect("a table");
    folder
}

/// Every capture of every fixture: the folder's name, its file, and what is true of it.
fn captures() -> Vec<(String, PathBuf, Value)> {
    let mut captures = Vec::new();
    for folder in fs::read_dir(workspace().join("fixtures")).expect("fixtures").flatten() {
        let Ok(text) = fs::read_to_string(folder.path().join("truth.json")) else { continue };
        let truth: Value = serde_json::from_str(&text).expect("JSON");
        for (file, truth) in truth["captures"].as_object().expect("captures") {
            let name = folder.file_name().to_string_lossy().into_owned();
            captures.push((name, folder.path().join(file), truth.clone()));
        }
    }
    assert!(captures.len() > 10, "only {} captures", captures.len());
    captures
}

fn records(capture: &Path, tables: &Path, workers: &str) -> Vec<Value> {
    let (capture, tables) = (capture.to_str().expect("a path"), tables.to_str().expect("a path"));
    let output = padtap(&["read", "-q", "--json", "--workers", workers, "--knowledge", tables, capture]);
    assert!(output.status.success(), "{capture}: {}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("text");
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

fn of_kind<'a>(records: &'a [Value], kind: &str) -> impl Iterator<Item = &'a Value> {
    records.iter().filter(move |record| record["kind"] == kind)
}

/// The ends of a flow in either order.
fn ends(flow: &Value) -> [String; 3] {
    let end = |ip: &str, port: &str| format!("{}:{}", flow[ip], flow[port]);
    let mut ends = [end("src_ip", "src_port"), end("dst_ip", "dst_port")];
    ends.sort();
    let [one, other] = ends;
    [flow["proto"].to_string(), one, other]
}

/// Whether a capture hides what its flow is for: no name was seen of a server that only a name tells of, or frames are
/// cut off.
fn is_hidden(capture: &Path, truth: &Value) -> bool {
    let file = capture.file_name().unwrap_or_default().to_string_lossy();
    let cut = file.starts_with("snap96") || file.starts_with("cut-payload");
    let nameless = truth["app"] == "tls" && truth.get("host").is_none() && truth["dst_port"] == 443;
    let by_payload = matches!(truth["app"].as_str(), Some("rtp" | "rtcp" | "overwatch"));
    nameless || cut && by_payload || truth["role"] == "other"
}

#[track_caller]
fn check_flows(capture: &Path, truth: &Value, records: &[Value]) {
    let mut told: BTreeMap<_, Vec<&Value>> = BTreeMap::new();
    for flow in of_kind(records, "flow") {
        told.entry(ends(flow)).or_default().push(flow);
    }
    for wanted in truth["flows"].as_array().expect("flows") {
        let found = told.get(&ends(wanted)).unwrap_or_else(|| panic!("{}: no flow {wanted}", capture.display()));
        for flow in found {
            let (role, network) = (flow.get("role"), flow.get("network"));
            let hidden = role.is_none() && is_hidden(capture, wanted);
            assert!(hidden || role == wanted.get("role"), "{}: {wanted} is told as {flow}", capture.display());
            assert_eq!(network, wanted.get("network"), "{}: {flow}", capture.display());
        }
    }
}

#[track_caller]
fn check_devices(capture: &Path, truth: &Value, records: &[Value]) {
    // Of several records of one device the latest holds, whichever shard's comes first.
    let mut told: Vec<_> = of_kind(records, "device").collect();
    told.sort_by_key(|device| device["ts"].to_string());
    let told: BTreeMap<_, _> = told.into_iter().map(|device| (device["mac"].to_string(), device)).collect();
    let wanted = truth["devices"].as_array().expect("devices");
    for device in wanted {
        let found = told.get(&device["mac"].to_string());
        let found = found.unwrap_or_else(|| panic!("{}: no {device}", capture.display()));
        for field in ["family", "model", "vendor", "ips"] {
            let said = found.get(field).filter(|_| device.get(field).is_some() || field == "model");
            assert_eq!(said, device.get(field), "{}: {field} of {found}", capture.display());
        }
    }
    let consoles = |devices: &mut dyn Iterator<Item = &Value>| devices.filter(|one| one["family"] != "other").count();
    let (said, wanted) = (consoles(&mut told.values().copied()), consoles(&mut wanted.iter()));
    assert_eq!(said, wanted, "{}: {told:?}", capture.display());
}

/// A match names its console and whose its server is; of its voices it tells the losses that their own records tell.
#[track_caller]
fn check_matches(capture: &Path, truth: &Value, records: &[Value]) {
    let losses = |stream: &Value| (stream["ssrc"].as_u64(), stream["lost"].as_u64());
    let streams: Vec<_> = of_kind(records, "rtp").map(losses).collect();
    for told in of_kind(records, "match") {
        assert_eq!(told["device"], truth["devices"][0]["mac"], "{}: {told}", capture.display());
        assert_eq!(told["server_network"], "EC2", "{}: {told}", capture.display());
        let voices = told["voice_quality"].as_array().map_or(&[][..], Vec::as_slice);
        assert_eq!(voices.len(), told["voice"].as_array().map_or(0, Vec::len), "{told}");
        assert!(
            voices.iter().all(|voice| streams.contains(&losses(voice))),
            "{}: {told}, {streams:?}",
            capture.display()
        );
    }
    let named = |phase: &Value| phase["device"].is_string();
    assert!(of_kind(records, "phase").all(named), "{}", capture.display());
}

#[track_caller]
fn check_reasons(capture: &Path, records: &[Value]) {
    let conclusions = ["service", "role", "network", "family"];
    for record in records.iter().filter(|record| conclusions.iter().any(|field| record.get(field).is_some())) {
        let reasons = record["why"].as_array().map_or(0, Vec::len);
        assert!(reasons > 0, "{}: {record}", capture.display());
        let concluded = ["service", "role", "family"].iter().any(|field| record.get(field).is_some());
        let confidence = record.get("confidence").and_then(Value::as_f64);
        assert_eq!(confidence.is_some(), concluded, "{}: {record}", capture.display());
        assert!(confidence.is_none_or(|confidence| (0.0..1.0).contains(&confidence)), "{record}");
    }
}

#[test]
fn every_fixture_says_what_its_flows_are_for_and_who_is_there() {
    let tables = tables();
    for (_, capture, truth) in captures() {
        for workers in ["0", "4"] {
            let records = records(&capture, tables.path(), workers);
            check_flows(&capture, &truth, &records);
            check_devices(&capture, &truth, &records);
            check_matches(&capture, &truth, &records);
            check_reasons(&capture, &records);
        }
    }
}

#[test]
fn negatives_are_given_to_no_other_service() {
    let tables = tables();
    let allowed: BTreeMap<&str, &[&str]> = BTreeMap::from([
        ("negative-cod-probes", &["demonware"][..]),
        ("negative-discord", &["discord"]),
        ("negative-download", &["psn"]),
        ("negative-pia", &["nintendo"]),
        ("negative-remote-play", &["ps-remote-play"]),
        ("negative-sip-phone", &[]),
        ("negative-video-conference", &[]),
        ("negative-zero-udp", &[]),
    ]);
    for (name, capture, _) in captures().into_iter().filter(|(name, ..)| name.starts_with("negative-")) {
        let allowed = allowed.get(&*name).unwrap_or_else(|| panic!("{name}: which services does it show?"));
        for flow in of_kind(&records(&capture, tables.path(), "1"), "flow") {
            let service = flow.get("service").and_then(Value::as_str);
            assert!(service.is_none_or(|service| allowed.contains(&service)), "{name}: {flow}");
        }
    }
}

#[test]
fn records_of_a_console_name_it() {
    let capture = workspace().join("fixtures/ps4-overwatch-2016/profile-a.pcap.gz");
    let records = records(&capture, tables().path(), "1");
    let flows: Vec<_> = of_kind(&records, "flow").filter(|flow| flow["src_ip"] == "192.168.1.40").collect();
    assert!(flows.len() > 10 && flows.iter().all(|flow| flow["device"] == "bc:60:a7:00:00:40"), "{flows:?}");
    assert!(of_kind(&records, "sip").all(|message| message["device"] == "bc:60:a7:00:00:40"));
}

/// What the author of the capture of 2016 wondered about.
#[test]
fn the_keep_alives_are_told_for_what_they_are() {
    for file in ["profile-a.pcap.gz", "after-login.pcap.gz", "snap96.pcap.gz"] {
        let records = records(&workspace().join("fixtures/ps4-overwatch-2016").join(file), tables().path(), "1");
        let voice = of_kind(&records, "flow").find(|flow| flow["app"] == "sip").expect("a flow of SIP");
        assert_eq!(voice["role"], "voice-signalling", "{voice}");
        let why = voice["why"].to_string();
        assert!(why.contains("exosip-keepalive") && why.contains("nathelper-ping"), "{file}: {why}");
    }
    let records = records(&workspace().join("fixtures/ps4-overwatch-2016/profile-a.pcap.gz"), tables().path(), "1");
    let media = of_kind(&records, "flow").find(|flow| flow["app"] == "rtp").expect("a flow of RTP");
    assert!(media["why"].to_string().contains("as the signalling of a call had announced"), "{media}");
}

#[test]
fn a_bad_table_is_a_mistake_of_usage_with_its_place() {
    let folder = tempfile::tempdir().expect("a folder");
    let table = folder.path().join("hosts.toml");
    fs::write(&table, "[[host]]\nmatch = \"exact\"\nname = \"a.example\"\nservice = \"a\"\nrole = \"gaming\"\n")
        .expect("a table");
    let path = folder.path().to_str().expect("a path");
    for arguments in [&["knowledge", "check", path][..], &["read", "--knowledge", path, "none.pcap"]] {
        let output = padtap(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        let capture_is_first = said.contains("none.pcap");
        assert!(capture_is_first || output.status.code() == Some(2), "{said}");
        assert!(capture_is_first || said.contains("hosts.toml:5: ") && said.contains("`game`"), "{said}");
    }
}

#[test]
fn tables_are_listed_checked_and_refreshed() {
    let listed = padtap(&["knowledge", "list", "hosts"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("\tbattlenet\tlogin\t"), "{listed:?}");
    let folder = tempfile::tempdir().expect("a folder");
    let list = folder.path().join("ip-ranges.json");
    let region = r#"{"ip_prefix": "198.51.100.0/24", "region": "eu-central-1", "service": "EC2"}"#;
    fs::write(&list, format!(r#"{{"createDate": "2026-08-22-21-17-05", "prefixes": [{region}]}}"#)).expect("a list");
    let (list, tables) = (list.to_str().expect("a path"), folder.path().join("tables"));
    let tables = tables.to_str().expect("a path");
    let refreshed = padtap(&["knowledge", "refresh", "--aws", list, tables]);
    assert!(String::from_utf8_lossy(&refreshed.stdout).contains("2026-08-22-21-17-05"), "{refreshed:?}");
    assert!(padtap(&["knowledge", "check", tables]).status.success());
}

#[test]
fn devices_are_listed() {
    let capture = workspace().join("fixtures/ps4-overwatch-2016/profile-a.pcap.gz");
    let output = padtap(&["devices", capture.to_str().expect("a path")]);
    let text = String::from_utf8_lossy(&output.stdout);
    let consoles: Vec<_> = text.lines().filter(|line| line.contains("playstation ps4")).collect();
    assert_eq!(consoles.len(), 1, "{text}");
    assert!(consoles[0].starts_with("bc:60:a7:00:00:40  192.168.1.40  "), "{text}");
    assert!(text.contains("DHCP vendor class PS4"), "{text}");
}
