//! Port mappings by UPnP's Internet gateway device (WANIPConnection:1 sections 2.4.16 to 2.4.18): SOAP over HTTP.
//!
//! Only the arguments' elements are looked for, by their names; this is no XML parser.

use std::net::IpAddr;

use super::{Action, Mapping, Via};
use crate::dissect::app::wire::some_text;

/// Bytes of text kept of an argument.
const MAX_TEXT: usize = 128;

/// Which requests are told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dissect::app) struct Asked(Action);

/// What a SOAPAction field asks for, if it is about port mappings.
pub(in crate::dissect::app) fn action(field: &[u8]) -> Option<Asked> {
    let name = field.rsplit(|byte| *byte == b'#').next()?;
    Some(Asked(match name.strip_suffix(b"\"").unwrap_or(name) {
        b"AddPortMapping" | b"AddAnyPortMapping" => Action::Add,
        b"DeletePortMapping" => Action::Delete,
        b"GetExternalIPAddress" => Action::Address,
        _ => return None,
    }))
}

/// A request about port mappings.
#[derive(Debug)]
pub(in crate::dissect::app) struct Soap(Mapping);

impl Soap {
    /// Bytes it takes.
    pub(in crate::dissect::app) fn memory(&self) -> usize {
        size_of::<Self>() + self.0.memory()
    }

    /// Reads the arguments of a request.
    pub(in crate::dissect::app) fn request(asked: Asked, body: &[u8]) -> Self {
        let mut mapping = Mapping::new(Via::Upnp, asked.0);
        mapping.protocol = match element(body, "NewProtocol") {
            Some(b"TCP") => Some("tcp"),
            Some(b"UDP") => Some("udp"),
            _ => None,
        };
        mapping.internal_ip = parsed::<IpAddr>(body, "NewInternalClient");
        mapping.internal_port = parsed(body, "NewInternalPort");
        mapping.external_port = parsed(body, "NewExternalPort");
        mapping.lifetime_s = parsed(body, "NewLeaseDuration");
        let description = element(body, "NewPortMappingDescription");
        mapping.description = description.and_then(|description| some_text(description, MAX_TEXT));
        Self(mapping)
    }

    /// Adds what the router answered: the status of HTTP, and in the body the address, the port or the fault.
    pub(in crate::dissect::app) fn answered(self, status: u16, body: &[u8], rtt_ms: Option<f64>) -> Mapping {
        let Self(mut mapping) = self;
        mapping.external_ip = parsed(body, "NewExternalIPAddress");
        mapping.external_port = parsed(body, "NewReservedPort").or(mapping.external_port);
        let fault = element(body, "errorCode").and_then(|code| some_text(code, MAX_TEXT));
        mapping.result = Some(match fault {
            Some(code) => code,
            None if (200..300).contains(&status) => "success".to_owned(),
            None => status.to_string(),
        });
        mapping.rtt_ms = rtt_ms;
        mapping
    }

    /// What is known without an answer.
    pub(in crate::dissect::app) fn unanswered(self) -> Mapping {
        self.0
    }
}

fn parsed<T: std::str::FromStr>(body: &[u8], name: &str) -> Option<T> {
    std::str::from_utf8(element(body, name)?).ok()?.parse().ok()
}

/// The text of the first element of this name, whatever its attributes.
fn element<'a>(body: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let open = body.windows(name.len() + 1).position(|window| {
        window.split_first().is_some_and(|(bracket, rest)| *bracket == b'<' && rest == name.as_bytes())
    })?;
    let behind = body.get(open + 1 + name.len()..)?;
    if !matches!(behind.first()?, b'>' | b' ' | b'\t' | b'\r' | b'\n') {
        return None;
    }
    let text = behind.splitn(2, |byte| *byte == b'>').nth(1)?;
    Some(text.split(|byte| *byte == b'<').next()?.trim_ascii())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_mapping_is_added() {
        let asked = action(b"\"urn:schemas-upnp-org:service:WANIPConnection:1#AddPortMapping\"").expect("known");
        let body = b"<u:AddPortMapping xmlns:u=\"x\"><NewRemoteHost></NewRemoteHost>\
            <NewExternalPort xsi:type=\"ui2\">3074</NewExternalPort><NewProtocol>UDP</NewProtocol>\
            <NewInternalPort>3074</NewInternalPort><NewInternalClient>192.168.1.40</NewInternalClient>\
            <NewPortMappingDescription>a game</NewPortMappingDescription>\
            <NewLeaseDuration>0</NewLeaseDuration></u:AddPortMapping>";
        let told = Soap::request(asked, body).answered(200, b"", Some(1.5));
        assert_eq!(
            serde_json::to_value(told).expect("it serialises"),
            json!({"via": "upnp", "action": "add", "protocol": "udp", "internal_ip": "192.168.1.40",
                "internal_port": 3074, "external_port": 3074, "lifetime_s": 0, "description": "a game",
                "result": "success", "rtt_ms": 1.5})
        );
    }

    #[test]
    fn actions_of_no_interest_and_broken_bodies() {
        assert!(action(b"urn:x#GetStatusInfo").is_none());
        assert_eq!(action(b"urn:x#DeletePortMapping"), Some(Asked(Action::Delete)));
        for body in [b"<errorCode".as_slice(), b"<errorCode>", b"<errorCodes>1</errorCodes>", b""] {
            assert!(element(body, "errorCode").unwrap_or_default().is_empty(), "{body:?}");
        }
    }
}
