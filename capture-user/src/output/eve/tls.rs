//! `tls` events.

use serde::Serialize;

use crate::dissect::app::tls::Facts;

#[derive(Serialize)]
pub(super) struct Event<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuerdn: Option<String>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    subjectaltname: &'a [String],
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    session_resumed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    sni: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notbefore: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notafter: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ja3: Option<Ja3<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ja4: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    client_alpns: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    server_alpns: &'a [String],
}

#[derive(Serialize)]
struct Ja3<'a> {
    hash: &'a str,
}

pub(super) fn event(facts: &Facts) -> Event<'_> {
    let own = facts.certs.first();
    Event {
        subject: own.and_then(|own| own.subject.as_deref()).map(distinguished_name),
        issuerdn: own.and_then(|own| own.issuer.as_deref()).map(distinguished_name),
        subjectaltname: own.map_or(&[], |own| &own.san),
        session_resumed: facts.resumed == Some(true),
        sni: facts.sni.as_deref(),
        version: facts.version.as_deref().map(version),
        notbefore: own.and_then(|own| own.not_before.as_deref()).map(without_zone),
        notafter: own.and_then(|own| own.not_after.as_deref()).map(without_zone),
        ja3: facts.ja3.as_deref().map(|hash| Ja3 { hash }),
        ja4: facts.ja4.as_deref(),
        client_alpns: &facts.alpn,
        server_alpns: facts.server_alpn.as_slice(),
    }
}

/// Suricata's names of the versions that others call otherwise.
fn version(name: &str) -> &str {
    match name {
        "SSL 3.0" => "SSLv3",
        "TLS 1.0" => "TLSv1",
        other => other,
    }
}

/// Times of certificates are UTC, and stand without a zone.
fn without_zone(time: &str) -> &str {
    time.strip_suffix('Z').unwrap_or(time)
}

/// RFC 4514 begins with the last part of a name and has no spaces between; Suricata writes the parts as they stand in
/// the certificate.
fn distinguished_name(name: &str) -> String {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for letter in name.chars() {
        match letter {
            ',' if !escaped => parts.push(String::new()),
            _ => parts.iter_mut().last().into_iter().for_each(|part| part.push(letter)),
        }
        escaped = letter == '\\' && !escaped;
    }
    parts.reverse();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_as_in_the_certificate() {
        assert_eq!(distinguished_name("CN=a,O=Test\\, Inc,C=US"), "C=US, O=Test\\, Inc, CN=a");
        assert_eq!(distinguished_name(r"CN=a\\,C=US"), r"C=US, CN=a\\");
        assert_eq!(distinguished_name(""), "");
    }
}
