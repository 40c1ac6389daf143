//! What records say of packets, as comments on them that Wireshark shows.
//!
//! A record is made when what it tells is over, so its packets have passed by then. Two ways lead from one to the other:
//!
//! - Over a capture file one goes twice. The first time [`Comments`] hears every record; the second time each packet asks
//!   whether something was said of it, and everything stands where it belongs.
//! - A live capture is written as it comes: [`known_now`] says at a packet what was learned by it.

use std::net::IpAddr;

use hashbrown::HashMap;

use super::only::{Ends, Only, Played};
use crate::dissect::Packet;
use crate::flow::{CommunityId, EndReason, Key};
use crate::record::{FlowFacts, Record};
use crate::time::Timestamp;
use crate::timeline::{MatchFacts, Phase, PhaseFacts, WayFacts};

/// Comments that are kept at most.
const MOST: usize = 1 << 18;

/// Comments on the packets of a capture, by the packets' times.
#[derive(Clone, Debug, Default)]
pub struct Comments {
    by_time: HashMap<i64, Vec<Comment>>,
    count: usize,
    left_out: u64,
    only: Option<Only>,
    /// The matches that were played, and what followed each.
    played: Vec<Played>,
    endings: Vec<(IpAddr, Timestamp, Timestamp)>,
    /// The ends of the only flow that is wanted.
    ends: Option<Ends>,
}

#[derive(Clone, Debug)]
struct Comment {
    about: About,
    text: String,
}

/// Whose packet a comment may stand at.
#[derive(Clone, Copy, Debug)]
enum About {
    Flow(CommunityId),
    Host(IpAddr),
}

impl Comments {
    /// None yet. Of the records that come, what `only` needs to know is kept, too.
    pub fn new(only: Option<Only>) -> Self {
        Self { only, ..Self::default() }
    }

    /// Takes in what a record says.
    pub fn hear(&mut self, record: &Record) {
        let facts = record.facts.as_any();
        if let Some(flow) = facts.downcast_ref::<FlowFacts>() {
            self.hear_flow(record, flow);
        } else if let Some(phase) = facts.downcast_ref::<PhaseFacts>() {
            self.hear_phase(record, phase);
        } else if let Some(played) = facts.downcast_ref::<MatchFacts>() {
            self.hear_match(record, played);
        }
    }

    fn hear_flow(&mut self, record: &Record, flow: &FlowFacts) {
        // A flow that goes on will be told of again, and better.
        let Some(id) = record.subject.community_id.filter(|_| flow.end_reason != EndReason::Interval) else { return };
        if let Some(Only::Flow(wanted)) = &self.only
            && *wanted == id
        {
            self.ends = record.subject.src_ip.zip(record.subject.dst_ip);
        }
        if let Some(text) = label(flow) {
            self.add(flow.start, About::Flow(id), text);
        }
    }

    fn hear_phase(&mut self, record: &Record, phase: &PhaseFacts) {
        let Some(host) = record.subject.src_ip else { return };
        if phase.phase == Phase::Ending {
            self.endings.push((host, phase.start, phase.end));
        }
        // The match says more, at the same packet.
        if phase.phase != Phase::InMatch {
            self.add(phase.start, About::Host(host), stretch(phase));
        }
    }

    fn hear_match(&mut self, record: &Record, played: &MatchFacts) {
        let ends = [record.subject.src_ip, record.subject.dst_ip];
        let Some(console) = ends.into_iter().flatten().find(|end| *end != played.server_ip) else { return };
        self.add(played.start, About::Host(console), meeting(played));
        let seconds = played.end.nanos_since(played.start) as f64 / 1e9;
        self.add(played.end, About::Host(console), format!("padtap: the match ends here, after {seconds:.1} s"));
        for stall in &played.stalls {
            let who = if stall.direction == "up" { "the console" } else { "the server" };
            let text = format!("padtap: stall, {who} is silent for {:.0} ms after this", stall.duration_ms);
            let about = record.subject.community_id.map_or(About::Host(console), About::Flow);
            self.add(stall.start, about, text);
        }
        let from = played.search_start.unwrap_or(played.start);
        self.played.push(Played { console, start: played.start, from, to: played.end });
    }

    fn add(&mut self, time: Timestamp, about: About, text: String) {
        if self.count >= MOST {
            self.left_out += 1;
            return;
        }
        self.count += 1;
        self.by_time.entry(time.as_nanos()).or_default().push(Comment { about, text });
    }

    /// Takes over what another shard's records said.
    pub fn absorb(&mut self, other: Self) {
        for (time, comments) in other.by_time {
            comments.into_iter().for_each(|it| self.add(Timestamp::from_nanos(time), it.about, it.text));
        }
        self.left_out += other.left_out;
        self.played.extend(other.played);
        self.endings.extend(other.endings);
        self.ends = self.ends.or(other.ends);
        self.only = self.only.take().or(other.only);
    }

    /// The comments on a packet, a line each. Every one is given away once: to the first packet that it fits.
    pub fn take(&mut self, packet: &Packet<'_>, time: Timestamp) -> Option<String> {
        let comments = self.by_time.get_mut(&time.as_nanos()).filter(|_| !packet.duplicate)?;
        let (source, destination) = packet.addresses()?;
        let whole = packet.ip.as_ref().is_some_and(|ip| ip.fragment.is_none());
        let flow = Key::of(packet).filter(|_| whole).map(|(key, _)| CommunityId::of(&key));
        let fitting = comments.extract_if(.., |comment| match comment.about {
            About::Flow(id) => flow == Some(id),
            About::Host(host) => host == source || host == destination,
        });
        let mut lines: Vec<_> = fitting.map(|comment| comment.text).collect();
        // In which order shards told of them is chance.
        lines.sort();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }

    /// How many comments no room was left for.
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The matches in the order in which they began, each with what led to it and what followed.
    pub fn played(&self) -> Vec<Played> {
        let whole = |played: &Played| {
            let followed = |(host, start, end): &(IpAddr, Timestamp, Timestamp)| {
                (*host == played.console && *start == played.to).then_some(*end)
            };
            let to = self.endings.iter().find_map(followed).unwrap_or(played.to);
            Played { to, ..*played }
        };
        let mut all: Vec<_> = self.played.iter().map(whole).collect();
        all.sort_by_key(|played| (played.start, played.console));
        all
    }

    /// The ends of the flow that [`Only::Flow`] names, if there was one.
    pub fn ends(&self) -> Option<Ends> {
        self.ends
    }
}

/// What a frame's records and the flow that it begins make known, for who writes it at once.
pub fn known_now(begun: Option<&FlowFacts>, records: &[Record]) -> Option<String> {
    let said = |record: &Record| {
        let facts = record.facts.as_any();
        let phase = facts.downcast_ref::<PhaseFacts>().filter(|phase| phase.phase != Phase::InMatch);
        phase.map(stretch).or_else(|| facts.downcast_ref::<MatchFacts>().map(meeting))
    };
    let lines: Vec<_> = begun.and_then(label).into_iter().chain(records.iter().filter_map(said)).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// What a flow is; `None` where that is not known.
fn label(flow: &FlowFacts) -> Option<String> {
    let FlowFacts { service, role, app, host, confidence, why, .. } = flow;
    let mut text = match (service, role) {
        (Some(service), Some(role)) => format!("padtap: {service} {role}"),
        (Some(service), None) => format!("padtap: {service}"),
        (None, Some(role)) => format!("padtap: {role}"),
        (None, None) => format!("padtap: {}", (*app)?),
    };
    let host = host.as_ref().filter(|host| !why.iter().any(|reason| reason.contains(&***host)));
    let host = host.map(|host| format!("host {host}"));
    let confidence = confidence.map(|confidence| format!("confidence {confidence}"));
    let about: Vec<_> = host.into_iter().chain(confidence).collect();
    if !about.is_empty() {
        text = format!("{text} ({})", about.join(", "));
    }
    Some(with_reasons(text, why))
}

fn with_reasons(text: String, why: &[String]) -> String {
    if why.is_empty() { text } else { format!("{text}: {}", why.join("; ")) }
}

fn stretch(phase: &PhaseFacts) -> String {
    let PhaseFacts { phase, start, end, confidence, why } = phase;
    with_reasons(format!("padtap: {phase} from {start} to {end} (confidence {confidence})"), why)
}

fn meeting(played: &MatchFacts) -> String {
    let MatchFacts { start, end, server_ip, server_port, up, down, confidence, .. } = played;
    let server = std::net::SocketAddr::new(*server_ip, *server_port);
    let (up, down) = (rate(up), rate(down));
    format!("padtap: match from {start} to {end} with {server}, up {up}, down {down} (confidence {confidence})")
}

fn rate(way: &WayFacts) -> String {
    match way.tick_hz {
        Some(hz) => format!("{hz:.1} Hz"),
        None => format!("{:.1} packets/s", way.pps),
    }
}
