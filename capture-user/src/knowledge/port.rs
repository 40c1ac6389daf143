//! What ports are used for: the weakest evidence there is.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;

use serde::Deserialize;

use super::file::Text;
use super::{Confidence, Error, Role, Transport};

/// Ports of a rule: one, or from the first to the last.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct PortRange(pub RangeInclusive<u16>);

impl TryFrom<String> for PortRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((&text, &text));
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) if first <= last => Ok(Self(first..=last)),
            _ => Err(format!("`{text}` is not a port up to 65535 or a range of them, as in \"9295-9297\"")),
        }
    }
}

/// One rule.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortRule {
    transport: Transport,
    ports: Vec<PortRange>,
    service: Option<Arc<str>>,
    role: Option<Role>,
    network: Option<Vec<Box<str>>>,
    #[serde(default)]
    confidence: Confidence,
    #[serde(default)]
    src: Vec<String>,
    #[serde(default, rename = "note")]
    _note: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    port: Vec<PortRule>,
    #[serde(default, rename = "schema")]
    _schema: Option<u32>,
}

/// What all rules for a port agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortFinding {
    /// The service that uses it.
    pub service: Option<Arc<str>>,
    /// What for.
    pub role: Option<Role>,
    /// Whether the server's network had its say.
    pub with_network: bool,
    /// How well that is known.
    pub confidence: Confidence,
}

/// All rules, and where to find them.
#[derive(Debug, Default)]
pub struct Ports {
    rules: Vec<PortRule>,
    /// For each transport the ports at which the rules in force change, in order, and those in force from there on.
    spans: [Vec<(u16, Vec<u16>)>; 2],
}

impl Ports {
    pub(super) fn from_texts<'a>(texts: impl Iterator<Item = &'a Text>) -> Result<Self, Error> {
        let mut rules = Vec::new();
        for text in texts {
            rules.extend(text.toml::<File>()?.port);
        }
        let spans = [Transport::Tcp, Transport::Udp].map(|transport| spans(&rules, transport));
        Ok(Self { rules, spans })
    }

    /// What a port is used for on servers in `network`, as far as all rules for it agree.
    pub fn find(&self, transport: Transport, port: u16, network: Option<&str>) -> Option<PortFinding> {
        let spans = &self.spans[transport as usize];
        let (_, places) = spans.get(spans.partition_point(|(first, _)| *first <= port).checked_sub(1)?)?;
        let rules = places.iter().filter_map(|place| self.rules.get(usize::from(*place)));
        let mut rules = rules.filter(|rule| rule.is_for(network));
        let first = rules.next()?;
        let mut finding = PortFinding {
            service: first.service.clone(),
            role: first.role,
            with_network: first.network.is_some(),
            confidence: first.confidence,
        };
        for rule in rules {
            finding.service = finding.service.filter(|service| rule.service.as_ref() == Some(service));
            finding.role = finding.role.filter(|role| rule.role == Some(*role));
            finding.with_network &= rule.network.is_some();
            finding.confidence = finding.confidence.min(rule.confidence);
        }
        (finding.service.is_some() || finding.role.is_some()).then_some(finding)
    }

    /// Rules known.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Every rule's ports for people, with its service, confidence and sources.
    pub fn iter(&self) -> impl Iterator<Item = (String, Option<&str>, Option<Role>, Confidence, &[String])> {
        self.rules.iter().map(|rule| {
            let ports: Vec<_> = rule.ports.iter().map(PortRange::to_string).collect();
            let ports = format!("{} {}", rule.transport, ports.join(","));
            (ports, rule.service.as_deref(), rule.role, rule.confidence, &rule.src[..])
        })
    }
}

impl std::fmt::Display for PortRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.0.start(), self.0.end()) {
            (first, last) if first == last => write!(f, "{first}"),
            (first, last) => write!(f, "{first}-{last}"),
        }
    }
}

/// The rules of a transport by port.
fn spans(rules: &[PortRule], transport: Transport) -> Vec<(u16, Vec<u16>)> {
    let ranges = || rules.iter().filter(|rule| rule.transport == transport).flat_map(|rule| &rule.ports);
    let ends = ranges().flat_map(|range| [Some(*range.0.start()), range.0.end().checked_add(1)]);
    let changes: BTreeSet<u16> = ends.flatten().collect();
    let in_force = |port: u16| {
        let places = rules.iter().enumerate().take(usize::from(u16::MAX));
        places.filter(|(_, rule)| rule.covers(transport, port)).map(|(place, _)| place as u16).collect()
    };
    changes.into_iter().map(|port| (port, in_force(port))).collect()
}

impl PortRule {
    fn covers(&self, transport: Transport, port: u16) -> bool {
        self.transport == transport && self.ports.iter().any(|range| range.0.contains(&port))
    }

    fn is_for(&self, network: Option<&str>) -> bool {
        let at_home = |ids: &Vec<Box<str>>| network.is_some_and(|network| ids.iter().any(|id| **id == *network));
        self.network.as_ref().is_none_or(at_home)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knowledge::Knowledge;

    type Found = Option<(Option<&'static str>, Option<Role>)>;

    #[track_caller]
    fn check(transport: Transport, port: u16, network: Option<&str>, expected: Found) {
        let found = Knowledge::embedded().ports.find(transport, port, network);
        let found = found.as_ref().map(|found| (found.service.as_deref(), found.role));
        assert_eq!(found, expected, "{transport} {port}");
    }

    #[test]
    fn ports_count_where_rules_agree() {
        check(Transport::Udp, 9296, None, Some((Some("ps-remote-play"), Some(Role::RemotePlay))));
        check(Transport::Udp, 5060, None, Some((None, Some(Role::VoiceSignalling))));
        check(Transport::Tcp, 1119, Some("blizzard"), Some((Some("battlenet"), Some(Role::Login))));
        check(Transport::Tcp, 1119, Some("aws-ec2"), None);
        check(Transport::Tcp, 1119, None, None);
        check(Transport::Udp, 3074, None, None);
        check(Transport::Udp, 40_000, None, None);
        check(Transport::Tcp, 443, Some("blizzard"), None);
    }
}
