//! What the captures' own repositories expect of their tools, where that is a fact: JA4, JA3 under DTLS, Community IDs,
//! bytes of IP, media. FoxIO's `ja4.py` was run on all captures.

use serde_json::Value;

use super::capture::Capture;
use super::tls::{client, handshakes};
use tests::facts::{Facts, items, joined, text};

/// The fingerprints of a client, and who tells them.
const TOOLS: [&str; 5] = ["ja4.py", "ja4.py's repository", "ja4 in Rust", "nDPI", "Arkime"];

pub fn ours(capture: &Capture, expected: &Value) -> Facts {
    let theirs = theirs(expected);
    let mut facts = Facts::new();
    let mut tell = |fact: String, value: &str| {
        // Not every tool looks at every handshake.
        if theirs.contains_key(&fact) {
            facts.insert(fact, value.to_owned());
        }
    };
    for record in handshakes(capture) {
        for tool in TOOLS {
            for (kind, field) in [("JA4", "ja4"), ("JA3", "ja3")] {
                tell(format!("{kind} of port {} by {tool}", record["src_port"]), text(record, field));
            }
        }
        let quic = format!("{} {} {}", text(record, "version"), text(record, "sni"), joined(items(record, "alpn")));
        tell(format!("QUIC of {} by Zeek", client(record)), &quic);
    }
    for message in capture.of_kind("sip") {
        for media in items(&message["sdp"], "media") {
            let formats: Vec<String> = items(media, "formats").map(|format| format["pt"].to_string()).collect();
            let formats = formats.join(" ");
            let line = format!("{} {} {} {formats}", text(media, "kind"), media["port"], text(media, "profile"));
            tell("SDP media by Suricata".to_owned(), &line);
        }
    }
    for flow in capture.of_kind("flow") {
        let bytes = format!("{} and {}", flow["bytes_out"], flow["bytes_in"]);
        tell(format!("IP bytes of port {} by Zeek", flow["src_port"]), &bytes);
        tell(format!("Community ID of port {} by Arkime", flow["src_port"]), text(flow, "community_id"));
    }
    facts
}

pub fn theirs(expected: &Value) -> Facts {
    let mut facts = Facts::new();
    let repository = &expected["repo_expected"];
    let mut fingerprint = |kind: &str, port: &str, tool: &str, value: &str| {
        if !value.is_empty() {
            facts.insert(format!("{kind} of port {port} by {tool}"), value.to_owned());
        }
    };
    for hello in items(expected, "ja4_foxio_python") {
        fingerprint("JA4", text(hello, "srcport"), TOOLS[0], text(hello, "JA4.1"));
    }
    for hello in items(repository, "ja4_python_testdata") {
        fingerprint("JA4", text(hello, "srcport"), TOOLS[1], text(hello, "JA4.1"));
    }
    for hello in items(repository, "ja4_rust_snapshot") {
        fingerprint("JA4", &hello["src_port"].to_string(), TOOLS[2], text(hello, "ja4"));
    }
    for flow in items(&repository["ndpi_4_11dev_out"], "flows") {
        let port = text(flow, "a").rsplit(':').next().unwrap_or_default();
        fingerprint("JA4", port, TOOLS[3], text(flow, "ja4"));
        fingerprint("JA3", port, TOOLS[3], text(flow, "ja3c"));
    }
    for session in items(repository, "arkime_sessions") {
        let port = session["source"]["port"].to_string();
        fingerprint("JA4", &port, TOOLS[4], first(&session["tls"]["ja4"]));
        fingerprint("JA3", &port, TOOLS[4], first(&session["tls"]["ja3"]));
        fingerprint("Community ID", &port, TOOLS[4], text(&session["network"], "community_id"));
    }
    for check in items(repository, "suricata_checks") {
        if let Some(media) = check["match"]["sip.sdp.media_descriptions[0].media"].as_str() {
            facts.insert("SDP media by Suricata".to_owned(), media.to_owned());
        }
    }
    for (log, lines) in repository["zeek_baseline"].as_object().into_iter().flatten() {
        zeek(log, lines, &mut facts);
    }
    facts
}

fn first(list: &Value) -> &str {
    list[0].as_str().unwrap_or_default()
}

/// A line of Zeek's logs has its values between tabs.
fn zeek(log: &str, lines: &Value, facts: &mut Facts) {
    let lines = lines.as_array().into_iter().flatten().filter_map(Value::as_str);
    for line in lines.filter(|line| !line.starts_with('#')) {
        let column: Vec<&str> = line.split('\t').collect();
        match (log.rsplit('/').next(), column.as_slice()) {
            (Some("quic.log"), [_, _, ip, port, _, _, version, _, _, _, host, alpn, ..]) => {
                facts.insert(format!("QUIC of {ip} {port} by Zeek"), format!("{version} {host} {alpn}"));
            }
            (Some("conn.log"), [_, _, _, port, .., out, _, back, _, _]) => {
                facts.insert(format!("IP bytes of port {port} by Zeek"), format!("{out} and {back}"));
            }
            _ => {}
        }
    }
}
