//! The plug-in for Wireshark: tshark labels the flows of every fixture as padtap does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tests::fixtures::{captures, name};
use tests::padtap::{of_kind, run};
use tests::tool::{have, output};

/// Labels by flow: its protocol and its two ends in order.
type Labels = BTreeMap<(&'static str, [String; 2]), BTreeSet<String>>;

/// The fixtures' networks, and a signature of a user's own.
fn tables() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let networks = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/networks.toml");
    std::fs::copy(networks, folder.path().join("networks.toml")).expect("a copy");
    let own = "[[signature]]\nid = \"my-zeros\"\nname = \"Zeros of \\\"mine\\\"\"\ntransport = \"udp\"\nports = [\"40000\"]\n\
               bytes = [{ at = 0, hex = \"0000\" }, { at = -2, hex = \"??00\" }]\nlength = \"4\"\nservice = \"mine\"\n\
               role = \"game\"\nrisk = \"low\"\n";
    std::fs::write(folder.path().join("signatures.toml"), own).expect("a table");
    folder
}

fn ends(one: String, other: String) -> [String; 2] {
    if one < other { [one, other] } else { [other, one] }
}

fn padtaps(capture: &str, tables: &str) -> Labels {
    let mut labels = Labels::new();
    let records = run(["read", "-q", "--json", "--knowledge", tables, capture]).expect(0).records();
    for flow in of_kind(&records, "flow") {
        let end = |ip: &str, port: &str| format!("{} {}", flow[ip].as_str().unwrap_or_default(), flow[port]);
        let transport = if flow["proto"] == "tcp" { "tcp" } else { "udp" };
        let key = (transport, ends(end("src_ip", "src_port"), end("dst_ip", "dst_port")));
        let reasons = flow["why"].as_array().map_or(&[][..], Vec::as_slice).iter().filter_map(Value::as_str);
        let shown = reasons.filter_map(|reason| reason.strip_prefix("payloads show signature ")?.split(' ').next());
        labels.entry(key).or_default().extend(shown.map(str::to_owned));
    }
    labels.retain(|_, labels| !labels.is_empty());
    labels
}

const FIELDS: [&str; 7] =
    ["ip.src", "ip.dst", "udp.srcport", "udp.dstport", "tcp.srcport", "tcp.dstport", "padtap.signature"];

fn tsharks(capture: &str, plugin: &str) -> Labels {
    let mut tshark = Command::new("tshark");
    tshark.args(["-n", "-r", capture, "-X", &format!("lua_script:{plugin}"), "-Y", "padtap.signature", "-T", "fields"]);
    let text = output(tshark.args(FIELDS.iter().flat_map(|field| ["-e", field])));
    let mut labels = Labels::new();
    for line in text.lines() {
        let fields: Vec<_> = line.split('\t').collect();
        let [source, destination, udp_from, udp_to, tcp_from, tcp_to, shown] = fields[..] else { panic!("{line}") };
        let (transport, from, to) =
            if udp_from.is_empty() { ("tcp", tcp_from, tcp_to) } else { ("udp", udp_from, udp_to) };
        let key = (transport, ends(format!("{source} {from}"), format!("{destination} {to}")));
        labels.entry(key).or_default().extend(shown.split(',').map(str::to_owned));
    }
    labels
}

#[test]
fn tshark_labels_flows_as_padtap_does() {
    if !have(&["tshark"]) {
        return;
    }
    let tables = tables();
    let folder = tables.path().to_str().expect("a path");
    let plugins = tempfile::tempdir().expect("a folder");
    let exported =
        run(["knowledge", "export", "--knowledge", folder, "--wireshark", plugins.path().to_str().expect("a path")]);
    let plugin = plugins.path().join("padtap.lua");
    let plugin = plugin.to_str().expect("a path");
    assert!(exported.expect(0).text().starts_with(plugin));
    let mut seen = BTreeSet::new();
    for (path, _) in captures() {
        let capture = path.to_str().expect("a path");
        let (ours, theirs) = (padtaps(capture, folder), tsharks(capture, plugin));
        assert_eq!(ours, theirs, "{}: padtap's and tshark's labels", name(&path));
        seen.extend(ours.into_values().flatten());
    }
    for id in ["exosip-keepalive", "nathelper-ping", "overwatch2-latency-probes", "my-zeros"] {
        assert!(seen.contains(id), "no fixture shows {id}: {seen:?}");
    }
}

#[test]
fn fields_say_service_role_and_meaning() {
    if !have(&["tshark"]) {
        return;
    }
    let tables = tables();
    let folder = tables.path().to_str().expect("a path");
    run(["knowledge", "export", "--knowledge", folder, "--wireshark", folder]).expect(0);
    let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/negative-zero-udp/capture.pcap.gz");
    let mut tshark = Command::new("tshark");
    tshark.args(["-n", "-X", &format!("lua_script:{folder}/padtap.lua"), "-Y", "padtap.service == \"mine\""]);
    tshark.args(["-T", "fields", "-e", "padtap.service", "-e", "padtap.role", "-e", "padtap.meaning", "-r"]);
    let text = output(tshark.arg(capture));
    assert!(!text.is_empty() && text.lines().all(|line| line == "mine\tgame\tZeros of \"mine\""), "{text}");
}
