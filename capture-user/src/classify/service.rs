//! What a flow is for.
//!
//! Each reason speaks for a service, a role or both, with a weight between 0 and 1: how likely it is right, taken alone.
//! In general a host's name says more than a signature or a protocol, that more than whose network the server is in, and
//! a port says least; but a protocol with one purpose only (SIP, DNS) says more than a name. The heaviest reason decides,
//! for service and role apart; reasons that agree with it add to the confidence (as independent ones would), and every
//! reason that was heeded is told.

use std::sync::Arc;

use arrayvec::ArrayVec;

use super::burst::Bursts;
use super::either;
use super::ends::{Ends, is_local};
use super::signature::transport;
use crate::dissect::app::{Direction, HostFrom};
use crate::flow::{Flow, Protocol, Traffic};
use crate::knowledge::{
    Confidence, HostRule, Knowledge, MOST_SHOWN, Match, Network, NetworkKind, Risk, Role, Signature, Transport,
    prefix_of,
};

/// What a flow is for; what is not known is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Classification {
    /// Whose service it is.
    pub service: Option<Arc<str>>,
    /// What it is for.
    pub role: Option<Role>,
    /// Who owns the server's address.
    pub network: Option<Arc<str>>,
    /// How likely the role is right, or the service where there is no role: 0 to 1.
    pub confidence: Option<f64>,
    /// What this rests on, the weightiest first.
    pub why: Vec<String>,
}

/// One reason. Every record of a flow has a handful, so the usual ones are put together without the machinery of
/// formatting.
#[derive(Debug, Default)]
struct Reason {
    service: Option<Arc<str>>,
    role: Option<Role>,
    weight: f64,
    text: String,
}

/// Everything a reason may come from.
struct Case<'a> {
    flow: &'a Flow,
    ends: Ends,
    knowledge: &'a Knowledge,
    network: Option<(&'a Network, u8)>,
    bursts: &'a Bursts,
}

/// Reasons that a flow has at most: one of each kind, and its signatures.
const MOST_REASONS: usize = 5 + MOST_SHOWN;
type Reasons = ArrayVec<Reason, MOST_REASONS>;

/// Weighs all reasons.
pub fn classify(flow: &Flow, knowledge: &Knowledge, bursts: &Bursts) -> Classification {
    let ends = Ends::of(flow);
    let network = knowledge.networks.find(ends.server.ip());
    let case = Case { flow, ends, knowledge, network, bursts };
    let mut reasons = Reasons::new();
    reasons.extend(case.host());
    reasons.extend(case.signatures());
    reasons.extend(case.protocol());
    reasons.extend(case.owner());
    reasons.extend(case.port());
    let behaviour = case.behaviour(&reasons);
    reasons.extend(behaviour);
    // A stable sort: of equal reasons the first named decides.
    reasons.sort_by(|one, other| other.weight.total_cmp(&one.weight));
    conclude(reasons, network.map(|(network, _)| network.owner.clone()))
}

fn conclude(reasons: Reasons, network: Option<Arc<str>>) -> Classification {
    let service = reasons.iter().find_map(|reason| reason.service.clone());
    let role = reasons.iter().find_map(|reason| reason.role);
    let agrees = |reason: &&Reason| match role {
        Some(_) => reason.role == role,
        None => service.is_some() && reason.service == service,
    };
    let known = role.is_some() || service.is_some();
    let confidence = known.then(|| either(reasons.iter().filter(agrees).map(|reason| reason.weight)));
    let heeded = |reason: &Reason| {
        reason.role.is_some_and(|told| Some(told) == role)
            || reason.service.is_some() && reason.service == service
            || reason.role.is_none() && reason.service.is_none()
    };
    let mut why = Vec::with_capacity(reasons.len());
    why.extend(reasons.into_iter().filter(heeded).map(|reason| reason.text));
    Classification { service, role, network, confidence, why }
}

impl Case<'_> {
    /// The server's name, or what its possible names have in common.
    fn host(&self) -> Option<Reason> {
        let label = &self.flow.application.label;
        if let Some(host) = &label.host {
            let from = label.host_from.unwrap_or(HostFrom::Dns);
            let rule = self.knowledge.hosts.find(host)?;
            return Some(named(rule, host, heard(from)));
        }
        let mut rules = label.host_candidates.iter().map(|host| self.knowledge.hosts.find(host));
        let first = rules.next()??;
        let same =
            |rule: Option<&HostRule>| rule.is_some_and(|rule| rule.service == first.service && rule.role == first.role);
        let candidates = label.host_candidates.len();
        let host = label.host_candidates.first()?;
        let from = if candidates > 1 { (0.6, "DNS, one of several names") } else { heard(HostFrom::Dns) };
        rules.all(same).then(|| named(first, host, from))
    }

    fn signatures(&self) -> impl Iterator<Item = Reason> {
        let shown = self.flow.marks.signatures.iter();
        let shown = shown.filter_map(|place| self.knowledge.signatures.get(*place));
        shown.filter(|signature| self.fits(signature)).map(|signature| Reason {
            service: signature.service.clone(),
            role: signature.role,
            weight: sure(signature.confidence) * risky(signature.risk),
            text: ["payloads show signature ", &signature.id, " (", &signature.name, ")"].concat(),
        })
    }

    /// Whether the conditions hold that bytes alone do not show.
    fn fits(&self, signature: &Signature) -> bool {
        let owner = self.network.map(|(network, _)| &*network.id);
        let at_home = |ids: &Vec<Box<str>>| owner.is_some_and(|owner| ids.iter().any(|id| **id == *owner));
        signature.network.as_ref().is_none_or(at_home)
            && signature.servers.is_none_or(|servers| self.bursts.servers(self.flow) >= servers)
    }

    fn protocol(&self) -> Option<Reason> {
        let app = self.flow.application.label.app?;
        let rule = self.knowledge.signatures.protocol(app)?;
        let mut reason = Reason {
            service: rule.service.clone(),
            role: rule.role,
            weight: sure(rule.confidence),
            text: match self.flow.application.label.announced {
                true => ["speaks ", app, ", as the signalling of a call had announced"].concat(),
                false => ["speaks ", app].concat(),
            },
        };
        let packets = self.flow.traffic[0].packets + self.flow.traffic[1].packets;
        if app == "stun" && packets > 100 {
            // It opened the way for something that nobody knows.
            reason.role = Some(Role::Other);
            reason.text = format!("speaks {app} among {packets} packets, most of them something else");
        }
        if app == "rtp" && self.flow.traffic.iter().any(too_large_for_voice) {
            reason.role = Some(Role::Other);
            reason.text = format!("speaks {app} in packets too large for voice");
        }
        Some(reason)
    }

    fn owner(&self) -> Option<Reason> {
        let (network, length) = self.network?;
        let prefix = prefix_of(self.ends.server.ip(), length);
        let (inside, region) = network.region.as_ref().map_or(("", ""), |region| (" in ", &**region));
        let hosting = if network.kind == NetworkKind::Cloud { ", which anybody can rent" } else { "" };
        Some(Reason {
            service: network.service.clone().filter(|_| network.kind == NetworkKind::Own),
            role: None,
            weight: 0.4 * sure(network.confidence),
            text: ["server in ", &prefix, " of ", &network.owner, inside, region, hosting].concat(),
        })
    }

    fn port(&self) -> Option<Reason> {
        let transport = transport(self.flow.protocol())?;
        let network = self.network.map(|(network, _)| &*network.id);
        let port_of = match transport {
            Transport::Tcp => "tcp port ",
            Transport::Udp => "udp port ",
        };
        let ports = [self.ends.server.port(), self.ends.client.port()];
        ports.into_iter().find_map(|port| {
            let finding = self.knowledge.ports.find(transport, port, network)?;
            let weight = if finding.with_network { 0.65 } else { 0.5 };
            let at = if finding.with_network { " on a server of that owner" } else { "" };
            Some(Reason {
                service: finding.service,
                role: finding.role,
                weight: weight * sure(finding.confidence),
                text: [port_of, &port.to_string(), at].concat(),
            })
        })
    }

    /// What the flow's packets look like: that speaks where nothing better is known, and for probes.
    fn behaviour(&self, known: &[Reason]) -> Option<Reason> {
        let told = || known.iter().filter_map(|reason| reason.role);
        match self.flow.protocol() {
            Protocol::TCP if told().all(Role::is_vague) => self.download(),
            Protocol::UDP if told().all(|role| role == Role::Probe) => self
                .probe()
                .or_else(|| if known.iter().any(|reason| reason.role.is_some()) { None } else { self.game() }),
            _ => None,
        }
    }

    /// Much one way, next to nothing the other.
    fn download(&self) -> Option<Reason> {
        let (up, down) = self.ways();
        let large = down.bytes >= 1_000_000 && down.bytes / 20 >= up.bytes;
        large.then(|| Reason {
            role: Some(Role::Download),
            weight: 0.85,
            text: format!("{} bytes to the console for {} from it", down.bytes, up.bytes),
            ..Reason::default()
        })
    }

    /// Few small packets that are answered by as many of the same size, with several servers at once.
    fn probe(&self) -> Option<Reason> {
        let servers = self.bursts.servers(self.flow);
        let (up, down) = self.ways();
        let seconds = self.seconds();
        let paired = up.packets >= 3 && down.packets * 2 >= up.packets && down.packets <= up.packets;
        let small = equal_size(up).filter(|size| *size <= 160 && equal_size(down) == Some(*size));
        let slow = (0.5..30.0).contains(&seconds) && up.packets as f64 / seconds <= 20.0;
        (servers >= 2 && paired && slow && small.is_some() && self.flow.application.label.app.is_none()).then(|| {
            Reason {
                role: Some(Role::Probe),
                weight: 0.6,
                text: format!("{} small packets, answered alike, with {servers} servers at once", up.packets),
                ..Reason::default()
            }
        })
    }

    /// Small packets of changing size both ways at the steady rate of a simulation. Payloads that were cut off could be
    /// anything else.
    fn game(&self) -> Option<Reason> {
        let (up, down) = self.ways();
        let seconds = self.seconds();
        let rate = |way: &Traffic| way.packets as f64 / seconds;
        let steady = |way: &Traffic| (8.0..150.0).contains(&rate(way));
        let unknown = self.flow.application.label.app.is_none() && !is_local(self.ends.server.ip());
        let size = up.shape.as_ref()?.size();
        let small = size.p50 <= 300.0 && size.p99 <= 600.0 && size.max > size.p50;
        let plays = unknown && !self.flow.marks.cut && seconds >= 5.0 && steady(up) && steady(down) && small;
        plays.then(|| Reason {
            role: Some(Role::Game),
            weight: 0.4,
            text: format!("{:.1} small packets a second up and {:.1} down for {seconds:.0} s", rate(up), rate(down)),
            ..Reason::default()
        })
    }

    fn ways(&self) -> (&Traffic, &Traffic) {
        let [out, inward] = &self.flow.traffic;
        if self.ends.up == Direction::Out { (out, inward) } else { (inward, out) }
    }

    fn seconds(&self) -> f64 {
        self.flow.end.nanos_since(self.flow.start) as f64 / 1e9
    }
}

/// Whether a direction has more bytes to a packet than any voice codec makes of 20 ms.
fn too_large_for_voice(way: &Traffic) -> bool {
    way.shape.as_ref().is_some_and(|shape| shape.size().p50 > 400.0)
}

/// The size of a direction's IP packets where the mean is whole: as good as surely one size, for so few packets.
fn equal_size(way: &Traffic) -> Option<u64> {
    let size = way.bytes.checked_div(way.packets)?;
    (size * way.packets == way.bytes).then_some(size)
}

fn named(rule: &HostRule, host: &str, (weight, from): (f64, &str)) -> Reason {
    let vague = if rule.role.is_some_and(Role::is_vague) { 0.8 } else { 1.0 };
    let (relation, pattern) = match rule.kind {
        Match::Exact => ("", ""),
        Match::Suffix => (" under ", &*rule.name),
        Match::Glob => (" like ", &*rule.name),
    };
    Reason {
        service: Some(rule.service.clone()),
        role: rule.role,
        weight: weight * vague * sure(rule.confidence),
        text: ["host ", host, " (", from, ")", relation, pattern].concat(),
    }
}

/// How sure a name is of the flow, and where it was heard.
fn heard(from: HostFrom) -> (f64, &'static str) {
    match from {
        HostFrom::Sni => (1.0, "TLS server name"),
        HostFrom::Http => (1.0, "HTTP"),
        HostFrom::Cert => (0.9, "certificate"),
        HostFrom::Dns => (0.85, "DNS"),
    }
}

fn sure(confidence: Confidence) -> f64 {
    match confidence {
        Confidence::Documented => 0.95,
        Confidence::Observed => 0.9,
        Confidence::Inferred => 0.6,
    }
}

fn risky(risk: Risk) -> f64 {
    match risk {
        Risk::VeryLow => 1.0,
        Risk::Low => 0.95,
        Risk::Medium => 0.8,
        Risk::High => 0.5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(service: Option<&str>, role: Option<Role>, weight: f64, text: &str) -> Reason {
        Reason { service: service.map(Into::into), role, weight, text: text.into() }
    }

    #[test]
    fn the_weightiest_reason_decides_and_others_add() {
        let reasons = Reasons::from_iter([
            reason(None, Some(Role::VoiceSignalling), 0.9, "protocol"),
            reason(Some("battlenet"), Some(Role::Platform), 0.6, "host"),
            reason(None, Some(Role::VoiceSignalling), 0.5, "port"),
            reason(Some("steam"), None, 0.3, "owner"),
            reason(None, None, 0.3, "cloud"),
        ]);
        let conclusion = conclude(reasons, None);
        assert_eq!(conclusion.role, Some(Role::VoiceSignalling));
        assert_eq!(conclusion.service.as_deref(), Some("battlenet"));
        assert_eq!(conclusion.confidence, Some(0.95));
        assert_eq!(conclusion.why, ["protocol", "host", "port", "cloud"]);
    }

    #[test]
    fn nothing_known_is_nothing_said() {
        assert_eq!(conclude(Reasons::new(), None), Classification::default());
    }

    #[test]
    fn sizes_that_are_equal() {
        let way = |packets, bytes| {
            let mut way = Traffic::default();
            (way.packets, way.bytes) = (packets, bytes);
            way
        };
        assert_eq!(equal_size(&way(10, 680)), Some(68));
        assert_eq!(equal_size(&way(10, 681)), None);
        assert_eq!(equal_size(&way(0, 0)), None);
    }
}
