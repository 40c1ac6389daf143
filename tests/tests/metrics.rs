//! The metrics, read by others: an HTTP client, and Prometheus's own checker.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{ChildStdin, Command, Stdio};

use serde_json::Value;
use tests::padtap::{Running, padtap, run};
use tests::tool::{have, output, wait_until};

const SESSION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/ps4-overwatch-2016/profile-a.pcap.gz");
const DASHBOARD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/grafana.json");

/// A padtap that has read the whole session, and waits for more.
struct Session {
    /// As long as this is open, more may come.
    _more: ChildStdin,
    address: String,
    _running: Running,
}

impl Session {
    fn read() -> Self {
        let mut padtap = padtap(["read", "-", "--metrics", "127.0.0.1:0"]);
        let mut running = Running::start(padtap.stdin(Stdio::piped()));
        let mut more = running.take_stdin();
        running.wait_to_hear("/metrics", &[]);
        let heard = running.heard();
        let address = heard.split("http://").nth(1).and_then(|rest| rest.split('/').next());
        let address = address.unwrap_or_else(|| panic!("no address: {heard}")).to_owned();
        more.write_all(&std::fs::read(SESSION).expect("a fixture")).expect("it reads");
        let session = Self { _more: more, address, _running: running };
        wait_until("7278 frames", || session.metrics().contains("padtap_frames_dissected_total 7278\n"));
        wait_until("its match", || session.metrics().contains("padtap_matches_total 1\n"));
        session
    }

    fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("somebody listens");
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: padtap\r\n\r\n").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        body.to_owned()
    }
}

#[test]
fn metrics_tell_the_session() {
    let session = Session::read();
    let text = session.metrics();
    let console = "console=\"bc:60:a7:00:00:40\"";
    for sample in [
        "padtap_frames_seen_total 7278",
        "padtap_sink_drops_total{sink=\"metrics\"} 0",
        "padtap_latency_seconds_count{stage=\"dissect\"} 7278",
        "padtap_records_by_kind_total{kind=\"match\"} 1",
        &format!("padtap_console_matches_total{{{console}}} 1"),
        &format!("padtap_console_in_match{{{console}}} 0"),
        &format!("padtap_console_phase_seconds_total{{{console},phase=\"in_match\"}} 59.96719"),
    ] {
        assert!(text.lines().any(|line| line == sample), "{sample} is not in\n{text}");
    }
    promtool_accepts(&text);
    dashboard_asks_for_metrics_that_exist(&text);
}

/// `promtool check metrics` parses the text and applies the naming rules.
fn promtool_accepts(text: &str) {
    if !have(&["promtool"]) {
        return;
    }
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = promtool.spawn().expect("promtool runs");
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("it reads");
    let checked = child.wait_with_output().expect("it ends");
    let said = [checked.stdout, checked.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(checked.status.success() && said.is_empty(), "{said}\n{text}");
}

/// Every query of the Grafana dashboard names metrics that there are, and is one that Prometheus can parse.
fn dashboard_asks_for_metrics_that_exist(text: &str) {
    let dashboard: Value = serde_json::from_slice(&std::fs::read(DASHBOARD).expect("a dashboard")).expect("JSON");
    let families: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let panels = dashboard["panels"].as_array().expect("panels");
    let queries: Vec<&str> = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().into_iter().flatten())
        .map(|target| target["expr"].as_str().expect("a query"))
        .collect();
    assert!(queries.len() >= panels.len(), "{queries:?}");
    for query in &queries {
        let is_name = |character: char| character.is_ascii_alphanumeric() || character == '_';
        let names = query.split(|character| !is_name(character)).filter(|word| word.starts_with("padtap_"));
        let mut asked = 0;
        for name in names {
            let family = name.strip_suffix("_sum").or_else(|| name.strip_suffix("_count")).unwrap_or(name);
            assert!(families.contains(family), "{query}: no {name} in\n{text}");
            asked += 1;
        }
        assert!(asked > 0, "{query}");
    }
    if !have(&["promtool"]) {
        return;
    }
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("rules.yml");
    let rules = queries.iter().zip(0..).map(|(query, number)| {
        let query = serde_json::to_string(&query.replace("$__rate_interval", "1m")).expect("text");
        format!("  - record: dashboard:query:{number}\n    expr: {query}\n")
    });
    std::fs::write(&path, format!("groups:\n- name: dashboard\n  rules:\n{}", rules.collect::<String>()))
        .expect("a file");
    output(Command::new("promtool").args(["check", "rules", "--lint=none"]).arg(&path));
}

#[test]
fn a_port_in_use_is_said_before_reading() {
    let session = Session::read();
    let outcome = run(["read", "--metrics", &session.address, SESSION]).expect(1);
    assert!(outcome.stderr.contains(&session.address) && outcome.stderr.contains("in use"), "{}", outcome.stderr);
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
    assert!(outcome.stdout.is_empty());
    run(["read", "--metrics", "9469", SESSION]).expect(2);
}
