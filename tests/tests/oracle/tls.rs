//! TLS, DTLS and QUIC: hellos, fingerprints, certificates.
//!
//! `expected.json` leaves a field empty where its tshark says nothing: JA3 and the server's answer under DTLS. Where
//! another tool does say it, `repositories` compares that.

use std::collections::BTreeSet;

use serde_json::Value;

use super::capture::Capture;
use tests::facts::{Counts, Facts, items, joined, text};

/// Names in `expected.json` end after this many.
const NAMES_LISTED: usize = 12;

/// The cipher suites that the captures' servers chose, from IANA's list.
const CIPHERS: &[(&str, &str)] = &[
    ("0x1301", "TLS_AES_128_GCM_SHA256"),
    ("0x1303", "TLS_CHACHA20_POLY1305_SHA256"),
    ("0xc02b", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    ("0xc02f", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
    ("0xc030", "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
];

pub fn handshakes(capture: &Capture) -> impl Iterator<Item = &Value> {
    capture.of_kind("tls").chain(capture.of_kind("quic"))
}

pub fn client(record: &Value) -> String {
    format!("{} {}", text(record, "src_ip"), record["src_port"])
}

fn server(record: &Value) -> String {
    format!("{} {}", text(record, "dst_ip"), record["dst_port"])
}

fn transport(record: &Value) -> &'static str {
    match (text(record, "kind"), text(record, "proto")) {
        ("quic", _) => "quic",
        (_, "tcp") => "tcp",
        _ => "dtls",
    }
}

pub fn ours(capture: &Capture, _: &Value) -> Facts {
    let (mut facts, mut servers, mut versions) = (Facts::new(), Counts::default(), BTreeSet::new());
    for record in handshakes(capture) {
        let (client, server, over) = (client(record), server(record), transport(record));
        facts.insert(format!("SNI of {client}"), format!("{over} {}", text(record, "sni")));
        facts.insert(format!("ALPN of {client}"), joined(items(record, "alpn")));
        if over != "dtls" {
            facts.insert(format!("JA3 of {client}"), text(record, "ja3").to_owned());
        }
        if over == "quic" {
            versions.insert(text(record, "version").to_owned());
        } else if over == "tcp" {
            let answer = [text(record, "version"), text(record, "cipher"), text(record, "server_alpn")].join(" ");
            servers.add(format!("{server}: {answer}"), 1);
        }
        for (list, from) in [("certs", server), ("client_certs", client)] {
            chain(items(record, list).collect(), &from, &mut facts);
        }
    }
    servers.tell("hellos of", &mut facts);
    if !versions.is_empty() {
        facts.insert("QUIC versions".to_owned(), versions.into_iter().collect::<Vec<_>>().join(","));
    }
    facts
}

fn chain(chain: Vec<&Value>, from: &str, facts: &mut Facts) {
    if chain.is_empty() {
        return;
    }
    let digest = |certificate: &&Value| text(certificate, "sha256").to_owned();
    facts.insert(format!("certificates of {from}"), chain.iter().map(digest).collect::<Vec<_>>().join(" "));
    for certificate in chain {
        let short: String = text(certificate, "sha256").chars().take(8).collect();
        let day = |name: &str| text(certificate, name).trim_end_matches("+00:00").trim_end_matches('Z').to_owned();
        let names = if certificate.get("san").is_some() { "san" } else { "san_dns" };
        let number = items(certificate, names).count();
        let mut value = vec![
            text(certificate, "subject").to_owned(),
            format!("by {}", text(certificate, "issuer")),
            format!("valid {} to {}", day("not_before"), day("not_after")),
        ];
        if number > 0 {
            value.push(format!("for {}", joined(items(certificate, names).take(NAMES_LISTED))));
            facts.insert(format!("number of names in certificate {short}"), number.to_string());
        }
        facts.insert(format!("certificate {short}"), value.join("; "));
    }
}

pub fn theirs(expected: &Value) -> Facts {
    let (mut facts, mut servers) = (Facts::new(), Counts::default());
    let tls = &expected["tshark"]["tls"];
    for hello in items(tls, "client_hellos") {
        let client = format!("{} {}", innermost(text(hello, "src")), text(hello, "sport"));
        facts.insert(format!("SNI of {client}"), format!("{} {}", text(hello, "transport"), text(hello, "sni")));
        facts.insert(format!("ALPN of {client}"), joined(items(hello, "alpn")));
        if text(hello, "transport") != "dtls" {
            facts.insert(format!("JA3 of {client}"), text(hello, "ja3").to_owned());
        }
    }
    for hello in items(tls, "server_hellos").filter(|hello| hello["transport"] == "tcp") {
        let version = if text(hello, "supported_version") == "0x0304" { "TLS 1.3" } else { "TLS 1.2" };
        let name = CIPHERS.iter().find(|(code, _)| *code == text(hello, "cipher"));
        let cipher = name.map_or(text(hello, "cipher"), |(_, name)| name);
        let answer = [version, cipher, text(hello, "alpn")].join(" ");
        servers.add(format!("{} {}: {answer}", innermost(text(hello, "src")), text(hello, "sport")), 1);
    }
    servers.tell("hellos of", &mut facts);
    for sent in items(tls, "certificates") {
        let from = format!("{} {}", innermost(text(sent, "src")), text(sent, "sport"));
        chain(items(sent, "chain").collect(), &from, &mut facts);
    }
    let versions: Vec<String> = expected["tshark"]["quic"]["versions"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(code, _)| number(code))
        .collect();
    if !versions.is_empty() {
        facts.insert("QUIC versions".to_owned(), versions.join(","));
    }
    facts
}

/// QUIC's first version has the number 1.
fn number(code: &str) -> String {
    u32::from_str_radix(code.trim_start_matches("0x"), 16).map_or(code.to_owned(), |number| number.to_string())
}

/// tshark lists the addresses of a tunnel before those within.
fn innermost(addresses: &str) -> &str {
    addresses.rsplit(['|', ',']).next().unwrap_or_default()
}
