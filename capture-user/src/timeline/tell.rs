//! From what is known of a console to records: phases, matches, and why.

use std::net::IpAddr;

use super::console::{Console, Match, Online, SECOND, Voice};
use super::facts::{MatchFacts, PeerFacts, Phase, PhaseFacts, StallFacts, VoiceFacts, WayFacts};
use super::run::Way;
use crate::dissect::Mac;
use crate::knowledge::Knowledge;
use crate::record::{Record, Subject};
use crate::time::Timestamp;

/// A phase shorter than this is not told of.
const SHORTEST: i64 = 3 * SECOND / 10;
/// Being online between two matches is told of from here on.
const SHORTEST_BETWEEN: i64 = 5 * SECOND;
/// A search that was not seen is assumed no further back than this.
const ASSUMED: i64 = 120 * SECOND;
/// Packets from which on a source of RTP is one.
const MIN_VOICE: u64 = 16;

fn at(nanos: i64) -> Timestamp {
    Timestamp::from_nanos(nanos)
}

/// One console's records.
pub(super) struct Teller<'a> {
    ip: IpAddr,
    device: Option<Mac>,
    knowledge: &'a Knowledge,
    records: &'a mut Vec<Record>,
}

impl<'a> Teller<'a> {
    pub fn new(ip: IpAddr, console: &Console, knowledge: &'a Knowledge, records: &'a mut Vec<Record>) -> Self {
        Self { ip, device: console.device, knowledge, records }
    }

    fn phase(&mut self, phase: Phase, start: i64, end: i64, confidence: f64, why: Vec<String>) {
        if end - start < SHORTEST {
            return;
        }
        let facts = PhaseFacts { phase, start: at(start), end: at(end), confidence, why };
        let subject = Subject { device: self.device, src_ip: Some(self.ip), ..Subject::default() };
        self.records.push(Record { kind: "phase", time: at(end), subject, facts: Box::new(facts) });
    }

    /// What led to the match that has just begun.
    pub fn before(&mut self, console: &mut Console) {
        let Some(current) = &console.current else { return };
        let (start, joined, search) = (current.start, current.joined, current.search);
        let probed: Vec<_> = current.probed.iter().map(|probe| probe.ip.to_string()).collect();
        let mut free = search.map_or(joined, |search| search.start);
        if let Some(search) = search {
            let why = format!("{} answered probes, the first at {}", probed.join(", "), at(search.start));
            self.phase(Phase::Searching, search.start, joined, 0.8, vec![why]);
        } else if console.free.is_none() && console.begun_before && joined - console.first < ASSUMED {
            let why = "the capture began in the middle, and the next thing was a match being joined".to_owned();
            self.phase(Phase::Searching, console.first, joined, 0.4, vec![why]);
            free = console.first;
        }
        self.online(console, free);
        let why = format!("first packet of the match's flow at {}, first tick at {}", at(joined), at(start));
        self.phase(Phase::Joining, joined, start, 0.8, vec![why]);
    }

    /// From when the game was up, or free again, until `end`.
    fn online(&mut self, console: &Console, end: i64) {
        let Some(Online { start, why, certain }) = console.online else { return };
        let confidence = if certain { 0.8 } else { 0.6 };
        match console.free {
            None => self.phase(Phase::Online, start, end, confidence, vec![why.to_owned()]),
            Some(free) if end - free >= SHORTEST_BETWEEN => {
                let why = format!("{why}; nothing was searched or played since {}", at(free));
                self.phase(Phase::Online, free, end, confidence, vec![why]);
            }
            Some(_) => {}
        }
    }

    /// A match, now that what follows it has been waited for.
    pub fn after(&mut self, console: &mut Console, over: Match, voices: &[Voice]) {
        let Some(facts) = facts(console, &over, voices, self.knowledge) else { return };
        let Some(leg) = over.legs.first() else { return };
        self.phase(Phase::InMatch, over.start, over.end, facts.confidence, facts.why.clone());
        let (end, why) = ending(console, &over);
        self.phase(Phase::Ending, over.end, end, 0.8, why);
        console.free = Some(end.max(over.end));
        let subject = Subject { device: self.device, ..leg.subject.clone() };
        self.records.push(Record { kind: "match", time: at(over.end), subject, facts: Box::new(facts) });
    }

    /// What went on when the capture ended.
    pub fn rest(&mut self, console: &Console) {
        let certain = console.free.is_some() || console.online.is_some_and(|online| online.certain);
        let end = match console.search {
            Some(search) => {
                let why = format!("probes from {} on; the end was not seen", at(search.start));
                self.phase(Phase::Searching, search.start, console.last, 0.7, vec![why]);
                search.start
            }
            None => console.last,
        };
        if certain || console.search.is_some() {
            self.online(console, end);
        }
    }
}

/// Until when what follows a match went on.
fn ending(console: &Console, over: &Match) -> (i64, Vec<String>) {
    let (mut end, mut why) = (over.end, Vec::new());
    if let Some(time) = console.signalling(over.end - SECOND, over.end + 5 * SECOND).max() {
        end = end.max(time);
        why.push("call signalling right after the last tick".to_owned());
    }
    if let Some(upload) = console.result(over.end) {
        end = end.max(upload.last);
        let host = upload.host.as_deref().map_or_else(|| upload.server.to_string(), str::to_owned);
        why.push(format!("{} bytes up, {} down with {host} after the last tick", upload.bytes[0], upload.bytes[1]));
    }
    (end, why)
}

fn facts(console: &Console, over: &Match, voices: &[Voice], knowledge: &Knowledge) -> Option<MatchFacts> {
    let leg = over.legs.first()?;
    let [up, down] = &leg.run.ways;
    let voice_quality = quality(over, voices);
    let mut voice: Vec<u32> = Vec::new();
    for heard in &voice_quality {
        if !voice.contains(&heard.ssrc) {
            voice.push(heard.ssrc);
        }
    }
    let network = knowledge.networks.find(leg.remote.ip()).map(|(network, _)| network);
    let (confidence, mut why) = evidence(console, over, voice.len())?;
    why.extend(network.map(|network| format!("the server's address is of {}", network.owner)));
    Some(MatchFacts {
        start: at(over.start),
        end: at(over.end),
        search_start: over.search.map(|search| at(search.start)),
        server_ip: leg.remote.ip(),
        server_port: leg.remote.port(),
        server_network: network.map(|network| network.owner.clone()),
        peers: peers(over),
        up: way(up),
        down: way(down),
        stalls: stalls(&leg.run.ways),
        probed: over.probed.clone(),
        voice,
        voice_quality,
        result_host: console.result(over.end).and_then(|upload| upload.host.clone()),
        confidence,
        why,
    })
}

/// How the voices heard during a match fared, in the order in which they were first heard.
fn quality(over: &Match, voices: &[Voice]) -> Vec<VoiceFacts> {
    let during = |voice: &&Voice| voice.first <= over.end && voice.last >= over.start;
    let mut heard: Vec<&Voice> =
        voices.iter().filter(during).filter(|voice| voice.sequence.received() >= MIN_VOICE).collect();
    heard.sort_unstable_by_key(|voice| (voice.first, voice.ssrc, voice.up));
    let facts = |voice: &&Voice| {
        let (lost, expected) = (voice.sequence.lost(), voice.sequence.expected());
        VoiceFacts {
            ssrc: voice.ssrc,
            direction: if voice.up { "up" } else { "down" },
            packets: voice.sequence.received(),
            lost,
            lost_percent: (lost as f64 * 1e5 / expected.max(1) as f64).round() / 1e3,
        }
    };
    heard.iter().map(facts).collect()
}

/// Everyone on the same socket of the console, where there are several.
fn peers(over: &Match) -> Vec<PeerFacts> {
    let Some(first) = over.legs.first() else { return Vec::new() };
    let same = over.legs.iter().filter(|leg| leg.local == first.local);
    let peers: Vec<_> = same.map(|leg| PeerFacts { ip: leg.remote.ip(), port: leg.remote.port() }).collect();
    if peers.len() > 1 { peers } else { Vec::new() }
}

fn way(way: &Way) -> WayFacts {
    let rounded = |value: f64| (value * 1e3).round() / 1e3;
    WayFacts {
        tick_hz: way.cadence().map(|cadence| rounded(cadence.hz())),
        pps: rounded(way.pps()),
        gap_ms: way.gap_ms(),
        bytes: way.bytes,
    }
}

fn stalls(ways: &[Way; 2]) -> Vec<StallFacts> {
    let mut stalls: Vec<StallFacts> = Vec::new();
    for (way, direction) in ways.iter().zip(["up", "down"]) {
        stalls.extend(way.stalls().map(|(start, length)| StallFacts {
            start: at(start),
            duration_ms: length as f64 / 1e6,
            direction,
        }));
    }
    stalls.sort_by_key(|stall| stall.start);
    stalls
}

/// What speaks for the match, and how loudly.
fn evidence(console: &Console, over: &Match, voices: usize) -> Option<(f64, Vec<String>)> {
    let leg = over.legs.first()?;
    let seconds = (over.end - over.start) as f64 / 1e9;
    let rate = |way: &Way| match way.cadence() {
        Some(cadence) => format!("{:.1} Hz ({:.0} % of gaps on the beat)", cadence.hz(), cadence.regular * 100.0),
        None => format!("{:.1} packets a second without a beat", way.pps()),
    };
    let [up, down] = &leg.run.ways;
    let mut why = vec![format!(
        "UDP between {} and {} for {seconds:.1} s: up {}, down {}",
        leg.local,
        leg.remote,
        rate(up),
        rate(down)
    )];
    let mut confidence = if up.cadence().is_some() && down.cadence().is_some() { 0.7_f64 } else { 0.6 };
    let mut speaks = |weight: f64, line: String| {
        confidence += weight;
        why.push(line);
    };
    if over.legs.len() > 1 {
        speaks(0.05, format!("{} flows ticked at the same time", over.legs.len()));
    }
    if let Some(app) = leg.app {
        speaks(0.1, format!("the flow speaks {app}"));
    }
    if let Some(search) = over.search {
        speaks(0.1, format!("{} hosts were probed from {} on", over.probed.len(), at(search.start)));
    }
    if console.signalling(over.start - 10 * SECOND, over.start + 10 * SECOND).next().is_some() {
        speaks(0.05, "call signalling within 10 s of the first tick".to_owned());
    }
    if voices > 0 {
        speaks(0.05, format!("RTP of {voices} sources during it"));
    }
    if let Some(upload) = console.result(over.end) {
        let host = upload.host.as_deref().unwrap_or("a host without a name");
        speaks(
            0.1,
            format!("more was sent than received on a new connection to {host} ({}) at its end", upload.server),
        );
    }
    Some(((confidence.min(0.99) * 100.0).round() / 100.0, why))
}
