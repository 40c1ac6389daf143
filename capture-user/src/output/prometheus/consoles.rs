//! What records tell of each console.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::exposition::{Exposition, Type};
use crate::classify::DeviceFacts;
use crate::dissect::Mac;
use crate::dissect::app::Facts;
use crate::flow::EndReason;
use crate::knowledge::Family;
use crate::record::{FlowFacts, Record, Subject};
use crate::time::Timestamp;
use crate::timeline::{MatchFacts, Phase, PhaseFacts};

/// Consoles that metrics tell apart; of more only a count is kept.
pub const MOST_CONSOLES: usize = 256;

/// All consoles.
#[derive(Debug, Default)]
pub(super) struct Consoles {
    devices: BTreeMap<Mac, Device>,
    plays: BTreeMap<Owner, Play>,
    matches: u64,
    left_out: u64,
}

/// Whose phases and matches these are: the device, or the address where that is all that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    Device(Mac),
    Host(IpAddr),
}

#[derive(Debug, Default)]
struct Device {
    known: Option<DeviceFacts>,
    flows: u64,
    sent: u64,
    received: u64,
}

/// What a console plays.
#[derive(Clone, Debug, Default)]
struct Play {
    /// Nanoseconds spent in each phase that is over.
    spent: [i64; Phase::ALL.len()],
    matches: u64,
    /// When the match began that goes on.
    playing: Option<Timestamp>,
}

impl Consoles {
    pub fn observe(&mut self, record: &Record) {
        let facts: &dyn Facts = &*record.facts;
        let facts = facts.as_any();
        if let Some(facts) = facts.downcast_ref::<DeviceFacts>() {
            if facts.family != Family::Other
                && let Some(device) = self.device(facts.mac)
            {
                device.known = Some(facts.clone());
            }
        } else if let Some(facts) = facts.downcast_ref::<FlowFacts>() {
            self.flow(record, facts);
        } else if let Some(facts) = facts.downcast_ref::<PhaseFacts>() {
            let play = owner(&record.subject, record.subject.src_ip).and_then(|owner| self.play(owner));
            play.into_iter().for_each(|play| play.phase(facts));
        } else if let Some(facts) = facts.downcast_ref::<MatchFacts>() {
            self.matches += 1;
            let sides = [record.subject.src_ip, record.subject.dst_ip].into_iter().flatten();
            let address = sides.into_iter().find(|address| *address != facts.server_ip);
            let play = owner(&record.subject, address).and_then(|owner| self.play(owner));
            play.into_iter().for_each(|play| play.matched(facts));
        }
    }

    fn flow(&mut self, record: &Record, facts: &FlowFacts) {
        if facts.end_reason == EndReason::Interval {
            return;
        }
        let (source, destination) = (record.subject.src_ip, record.subject.dst_ip);
        let Some(device) = record.subject.device.and_then(|mac| self.device(mac)) else { return };
        device.flows += 1;
        let is_own = |address: Option<IpAddr>| {
            let known = device.known.as_ref();
            address.is_some_and(|address| known.is_some_and(|known| known.ips.contains(&address)))
        };
        let (sent, received) = if is_own(destination) && !is_own(source) {
            (facts.bytes_in, facts.bytes_out)
        } else {
            (facts.bytes_out, facts.bytes_in)
        };
        device.sent += sent;
        device.received += received;
    }

    fn device(&mut self, mac: Mac) -> Option<&mut Device> {
        let found = bounded(&mut self.devices, mac);
        self.left_out += u64::from(found.is_none());
        found
    }

    fn play(&mut self, owner: Owner) -> Option<&mut Play> {
        let found = bounded(&mut self.plays, owner);
        self.left_out += u64::from(found.is_none());
        found
    }

    /// What each console plays, by its name: its MAC where that is known, else its address.
    fn by_name(&self) -> BTreeMap<String, Play> {
        let mut named: BTreeMap<String, Play> = BTreeMap::new();
        for (mac, device) in &self.devices {
            if device.known.is_some() {
                named.entry(mac.to_string()).or_default();
            }
        }
        for (owner, play) in &self.plays {
            named.entry(self.name(*owner)).or_default().add(play);
        }
        named
    }

    fn name(&self, owner: Owner) -> String {
        let address = match owner {
            Owner::Device(mac) => return mac.to_string(),
            Owner::Host(address) => address,
        };
        let has = |device: &Device| device.known.as_ref().is_some_and(|known| known.ips.contains(&address));
        let owner = self.devices.iter().find(|(_, device)| has(device));
        owner.map_or_else(|| address.to_string(), |(mac, _)| mac.to_string())
    }

    pub fn write(&self, to: &mut Exposition) {
        self.write_devices(to);
        let plays = self.by_name();
        to.family("padtap_console_in_match", Type::Gauge, "1 while a match goes on, as far as records tell.");
        for (console, play) in &plays {
            to.sample(&[("console", console)], u8::from(play.playing.is_some()));
        }
        to.family("padtap_console_matches_total", Type::Counter, "Matches that ended.");
        for (console, play) in &plays {
            to.sample(&[("console", console)], play.matches);
        }
        to.family("padtap_console_phase_seconds_total", Type::Counter, "Time spent in phases that are over.");
        for (console, play) in &plays {
            for (phase, nanos) in Phase::ALL.iter().zip(play.spent) {
                to.sample(&[("console", console), ("phase", &phase.to_string())], nanos as f64 / 1e9);
            }
        }
        to.family("padtap_matches_total", Type::Counter, "Matches that ended, of all consoles.");
        to.sample(&[], self.matches);
        to.family("padtap_metrics_left_out_total", Type::Counter, "Records about consoles beyond the metrics' limit.");
        to.sample(&[], self.left_out);
    }

    fn write_devices(&self, to: &mut Exposition) {
        let named: Vec<_> = self.devices.iter().map(|(mac, device)| (mac.to_string(), device)).collect();
        to.family("padtap_console_info", Type::Gauge, "Always 1; labels say what the console is.");
        for (console, device) in &named {
            let Some(known) = &device.known else { continue };
            let model = known.model.as_deref().unwrap_or_default();
            let vendor = known.vendor.as_deref().unwrap_or_default();
            let address = known.ips.first().map(ToString::to_string).unwrap_or_default();
            let family = known.family.to_string();
            let labels = [("family", &*family), ("model", model), ("vendor", vendor), ("ip", &address)];
            to.sample(&[&[("console", &**console)][..], &labels].concat(), 1);
        }
        to.family("padtap_console_flows_total", Type::Counter, "Flows that ended.");
        for (console, device) in &named {
            to.sample(&[("console", console)], device.flows);
        }
        to.family("padtap_console_bytes_total", Type::Counter, "Bytes of IP in flows that ended.");
        for (console, device) in &named {
            to.sample(&[("console", console), ("direction", "sent")], device.sent);
            to.sample(&[("console", console), ("direction", "received")], device.received);
        }
    }
}

fn owner(subject: &Subject, address: Option<IpAddr>) -> Option<Owner> {
    subject.device.map(Owner::Device).or(address.map(Owner::Host))
}

/// The entry of a key, new where there is room for it.
fn bounded<K: Ord, V: Default>(map: &mut BTreeMap<K, V>, key: K) -> Option<&mut V> {
    if map.len() >= MOST_CONSOLES { map.get_mut(&key) } else { Some(map.entry(key).or_default()) }
}

impl Play {
    /// Phases before a match are told of when it begins: what such a record says of the present is that a match goes
    /// on. The record of the match comes last, well after its end; another match may have begun by then.
    fn phase(&mut self, facts: &PhaseFacts) {
        if let Some(spent) = self.spent.get_mut(facts.phase as usize) {
            *spent += facts.end.nanos_since(facts.start).max(0);
        }
        match facts.phase {
            Phase::Online | Phase::Searching | Phase::Joining => self.playing = self.playing.max(Some(facts.end)),
            Phase::InMatch => self.over(facts.end),
            Phase::Ending => {}
        }
    }

    fn matched(&mut self, facts: &MatchFacts) {
        self.matches += 1;
        self.over(facts.end);
    }

    fn over(&mut self, end: Timestamp) {
        self.playing = self.playing.filter(|began| *began > end);
    }

    /// What it plays under another of its addresses.
    fn add(&mut self, other: &Self) {
        self.spent.iter_mut().zip(other.spent).for_each(|(own, others)| *own += others);
        self.matches += other.matches;
        self.playing = self.playing.max(other.playing);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSOLE: Mac = Mac([0xbc, 0x60, 0xa7, 0, 0, 0x40]);
    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 1, 40));

    fn device(mac: Mac, family: Family) -> Record {
        let facts = DeviceFacts {
            mac,
            ips: vec![ADDRESS],
            vendor: None,
            family,
            model: Some("ps4".into()),
            confidence: 0.9,
            why: Vec::new(),
        };
        Record::device(Timestamp::default(), facts)
    }

    fn phase(phase: Phase, start: i64, end: i64) -> Record {
        let at = |second: i64| Timestamp::from_nanos(second * 1_000_000_000);
        let facts = Box::new(PhaseFacts { phase, start: at(start), end: at(end), confidence: 1.0, why: Vec::new() });
        let subject = Subject { src_ip: Some(ADDRESS), ..Subject::default() };
        Record { kind: "phase", time: at(end), subject, facts }
    }

    fn text(consoles: &Consoles) -> String {
        let mut to = Exposition::default();
        consoles.write(&mut to);
        to.into_text()
    }

    #[test]
    fn a_console_is_in_a_match_from_what_led_to_it_until_its_end() {
        let mut consoles = Consoles::default();
        consoles.observe(&device(CONSOLE, Family::Playstation));
        let labels =
            "console=\"bc:60:a7:00:00:40\",family=\"playstation\",model=\"ps4\",vendor=\"\",ip=\"192.168.1.40\"";
        assert!(text(&consoles).contains(&format!("padtap_console_info{{{labels}}} 1\n")), "{}", text(&consoles));
        let plays = |consoles: &Consoles, yes: u8| {
            let text = text(consoles);
            let line = format!("padtap_console_in_match{{console=\"bc:60:a7:00:00:40\"}} {yes}\n");
            assert!(text.contains(&line), "{text}");
        };
        plays(&consoles, 0);
        consoles.observe(&phase(Phase::Searching, 10, 20));
        consoles.observe(&phase(Phase::Joining, 20, 22));
        plays(&consoles, 1);
        // The next match begins before the record of the last one comes.
        consoles.observe(&phase(Phase::Joining, 90, 92));
        consoles.observe(&phase(Phase::InMatch, 22, 82));
        plays(&consoles, 1);
        consoles.observe(&phase(Phase::InMatch, 92, 100));
        plays(&consoles, 0);
    }

    #[test]
    fn consoles_beyond_the_limit_are_counted() {
        let mut consoles = Consoles::default();
        let number = MOST_CONSOLES as u16 + 3;
        for last in 0..number {
            let [high, low] = last.to_be_bytes();
            consoles.observe(&device(Mac([2, 0, 0, 0, high, low]), Family::Xbox));
            consoles.observe(&device(Mac([4, 0, 0, 0, high, low]), Family::Other));
        }
        assert_eq!(consoles.devices.len(), MOST_CONSOLES);
        assert!(text(&consoles).ends_with("padtap_metrics_left_out_total 3\n"));
    }
}
