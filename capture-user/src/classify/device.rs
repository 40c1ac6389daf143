//! Which devices there are: one for each MAC, however many addresses it uses and however many marks it shows.

use std::collections::{HashMap, VecDeque};
use std::fmt::Display;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::either;
use super::ends::{hosts, is_local, is_local_host};
use crate::dissect::app::{DdpFacts, DhcpFacts, Event, HttpFacts, SsdpFacts};
use crate::dissect::{Mac, Packet};
use crate::flow::Flow;
use crate::knowledge::{Confidence, Family, Fingerprints, Knowledge, Strength, SynShape};
use crate::time::Timestamp;

/// Devices that are told apart; more are not looked at.
const MOST_DEVICES: usize = 4_096;
/// Addresses of one device that are kept.
const MOST_ADDRESSES: usize = 16;
/// How likely a family must be before a device is called a console: more than what many hosts share.
const LIKELY: f64 = 0.4;
/// Marks of one device that are kept.
const MOST_CLUES: usize = 16;

/// What a `device` record tells.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DeviceFacts {
    /// Its MAC.
    pub mac: Mac,
    /// Its addresses, sorted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<IpAddr>,
    /// Who built its network adapter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vendor: Option<Arc<str>>,
    /// The kind of device.
    pub family: Family,
    /// Which of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<Arc<str>>,
    /// How likely the family is right: 0 to 1.
    pub confidence: f64,
    /// What this rests on, the weightiest first.
    pub why: Vec<String>,
}

/// One mark.
#[derive(Clone, Debug)]
struct Clue {
    family: Family,
    model: Option<Arc<str>>,
    weight: f64,
    text: String,
}

#[derive(Debug, Default)]
struct Device {
    addresses: Vec<IpAddr>,
    vendor: Option<Arc<str>>,
    clues: Vec<Clue>,
    /// Whether it carries traffic of other networks, or gives addresses.
    routes: bool,
    /// Whether its own address was seen to send.
    speaks: bool,
    is_news: bool,
    /// When it was told of last.
    told: Option<Timestamp>,
    /// Whether it was told of as no console.
    is_told: bool,
}

/// All devices of a run.
#[derive(Debug, Default)]
pub struct Devices {
    known: HashMap<Mac, Device>,
    news: VecDeque<Mac>,
}

/// A MAC that was seen with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Meeting {
    mac: Mac,
    /// The address, if it is a host's on the local network.
    address: Option<IpAddr>,
    /// Whether it is of another network: who carries it routes.
    routes: bool,
    /// Whether it sent.
    speaks: bool,
}

/// Who a new flow's first packet is between.
pub fn meetings(flow: &Flow, packet: &Packet<'_>) -> impl Iterator<Item = Meeting> + use<> {
    let sender = packet.macs.map(|(sender, _)| sender);
    hosts(flow).into_iter().flatten().filter(|(_, mac)| !mac.is_group() && *mac != Mac::default()).map(
        move |(address, mac)| Meeting {
            mac,
            address: Some(address).filter(|address| is_local_host(*address)),
            routes: !is_local(address),
            speaks: sender == Some(mac),
        },
    )
}

/// Whether devices are told of by such facts.
pub fn is_telling(event: &Event) -> bool {
    matches!(event.kind, "dhcp" | "http" | "ssdp" | "ddp")
}

impl Devices {
    /// Takes in a meeting.
    pub fn meet(&mut self, meeting: Meeting, knowledge: &Knowledge) {
        let Some(device) = self.device(meeting.mac, knowledge) else { return };
        device.routes |= meeting.routes;
        device.speaks |= meeting.speaks && meeting.address.is_some();
        if meeting.address.is_some_and(|address| device.add_address(address)) {
            self.tell(meeting.mac);
        }
    }

    /// Takes in how a device opens a TCP connection.
    pub fn see_opening(&mut self, mac: Mac, shape: &SynShape<'_>, marks: &Fingerprints) {
        for entry in marks.syn(shape) {
            let text = format!("TCP SYN with window {} and time to live {}", shape.window, shape.ttl);
            self.note(mac, Clue::new(entry.family, &entry.model, entry.strength, entry.confidence, text));
        }
    }

    /// Takes in what was said on a flow.
    pub fn hear(&mut self, flow: &Flow, event: &Event, knowledge: &Knowledge) {
        let (facts, marks) = ((*event.facts).as_any(), &knowledge.devices);
        if let Some(facts) = facts.downcast_ref() {
            self.hear_dhcp(flow, facts, knowledge);
        } else if let Some(HttpFacts { user_agent: Some(agent), .. }) = facts.downcast_ref() {
            self.hear_agent(flow, "HTTP", agent, marks);
        } else if let Some(SsdpFacts { user_agent, server, .. }) = facts.downcast_ref() {
            for agent in user_agent.iter().chain(server) {
                self.hear_agent(flow, "SSDP", agent, marks);
            }
        } else if let Some(DdpFacts { host_type: Some(name), .. }) = facts.downcast_ref() {
            // The one that was searched answers.
            let Some((mac, entry)) = flow.macs.map(|(_, answers)| answers).zip(marks.host_type(name)) else { return };
            let text = format!("answers a search as {name}");
            self.note(mac, Clue::new(entry.family, &entry.model, entry.strength, entry.confidence, text));
        }
    }

    fn hear_dhcp(&mut self, flow: &Flow, facts: &DhcpFacts, knowledge: &Knowledge) {
        let Some(mac) = facts.client_mac else { return };
        if self.device(mac, knowledge).is_none() {
            return;
        }
        let server = flow.macs.filter(|_| facts.your_ip.is_some()).map(|(source, _)| source);
        if let Some(server) = server.filter(|server| *server != mac).and_then(|server| self.known.get_mut(&server)) {
            server.routes = true;
        }
        if let (Some(address), true) = (facts.your_ip, facts.kind == "ack") {
            let change = self.known.get_mut(&mac).is_some_and(|device| device.add_address(address.into()));
            if change {
                self.tell(mac);
            }
        }
        let (class, name) = (facts.vendor_class.as_deref(), facts.hostname.as_deref());
        for entry in knowledge.devices.dhcp(class, name, &facts.parameter_list, &facts.option_order) {
            let text = match (&entry.vendor_class, &entry.hostname) {
                (Some(class), _) => format!("DHCP vendor class {class}"),
                (None, Some(start)) => format!("DHCP host name that begins with {start}"),
                (None, None) => format!("DHCP options {}", list(&facts.option_order)),
            };
            self.note(mac, Clue::new(entry.family, &entry.model, entry.strength, entry.confidence, text));
        }
    }

    fn hear_agent(&mut self, flow: &Flow, protocol: &str, agent: &str, marks: &Fingerprints) {
        let Some((source, _)) = flow.macs else { return };
        for entry in marks.agent(agent) {
            let text = format!("{protocol} agent with {:?}", entry.contains);
            self.note(source, Clue::new(entry.family, &entry.model, entry.strength, entry.confidence, text));
        }
    }

    /// The device of a MAC, made where it is new; `None` for groups, and where there are too many.
    fn device(&mut self, mac: Mac, knowledge: &Knowledge) -> Option<&mut Device> {
        if mac.is_group() || mac == Mac::default() {
            return None;
        }
        if !self.known.contains_key(&mac) {
            if self.known.len() >= MOST_DEVICES {
                return None;
            }
            self.known.insert(mac, Device::default());
            self.meet_vendor(mac, knowledge);
        }
        self.known.get_mut(&mac)
    }

    fn meet_vendor(&mut self, mac: Mac, knowledge: &Knowledge) {
        let Some(vendor) = knowledge.ouis.find(mac) else { return };
        if let Some(device) = self.known.get_mut(&mac) {
            device.vendor = Some(vendor.vendor.clone());
        }
        if let Some(family) = vendor.family {
            let text = format!("MAC of {}", vendor.vendor);
            self.note(mac, Clue::new(family, &vendor.model, Strength::Medium, vendor.confidence, text));
        }
    }

    /// Takes in a mark, unless it is known.
    fn note(&mut self, mac: Mac, clue: Clue) {
        let Some(device) = self.known.get_mut(&mac) else { return };
        if device.clues.len() < MOST_CLUES && device.clues.iter().all(|known| known.text != clue.text) {
            device.clues.push(clue);
            self.tell(mac);
        }
    }

    /// Something new is known of a device: worth telling if it is a console.
    fn tell(&mut self, mac: Mac) {
        if let Some(device) = self.known.get_mut(&mac)
            && device.likely().is_some()
            && !std::mem::replace(&mut device.is_news, true)
        {
            self.news.push_back(mac);
        }
    }

    /// The next device of which something new is known, and since when: a little later than it was told of before, so
    /// that of several shards' records the latest holds.
    pub fn news(&mut self, now: Timestamp) -> Option<(Timestamp, DeviceFacts)> {
        let mac = self.news.pop_front()?;
        let device = self.known.get_mut(&mac)?;
        device.is_news = false;
        let time = device.told.map_or(now, |told| now.max(told.after(Duration::from_nanos(1))));
        device.told = Some(time);
        Some((time, device.facts(mac)))
    }

    /// Hosts that are no consoles, as far as is known: neither are those beyond routers, nor routers. Each is told once.
    pub fn rest(&mut self) -> Vec<DeviceFacts> {
        let mut hosts = Vec::new();
        for (mac, device) in &mut self.known {
            let is_host = device.speaks && !device.routes && !device.addresses.is_empty();
            if device.likely().is_none() && is_host && !std::mem::replace(&mut device.is_told, true) {
                hosts.push(device.facts(*mac));
            }
        }
        hosts.sort_by_key(|host| host.mac);
        hosts
    }
}

impl Device {
    fn add_address(&mut self, address: IpAddr) -> bool {
        let new = self.addresses.len() < MOST_ADDRESSES && !self.addresses.contains(&address);
        if new {
            self.addresses.push(address);
            // In no order of events: several shards bring them.
            self.addresses.sort_unstable();
        }
        new
    }

    /// The family that its marks speak for, and how likely it is; `None` where that is not likely at all.
    fn likely(&self) -> Option<(Family, f64)> {
        let families = self.clues.iter().map(|clue| clue.family);
        let rated = families.map(|family| (family, either(self.of(family).map(|clue| clue.weight))));
        rated.filter(|(_, rate)| *rate >= LIKELY).max_by(|(_, one), (_, other)| one.total_cmp(other))
    }

    /// The marks of a family.
    fn of(&self, family: Family) -> impl Iterator<Item = &Clue> {
        self.clues.iter().filter(move |clue| clue.family == family)
    }

    fn facts(&self, mac: Mac) -> DeviceFacts {
        let (addresses, vendor) = (self.addresses.clone(), self.vendor.clone());
        let Some((family, confidence)) = self.likely() else {
            let why = vec!["shows no mark that only consoles have".to_owned()];
            return DeviceFacts {
                mac,
                ips: addresses,
                vendor,
                family: Family::Other,
                model: None,
                confidence: 0.5,
                why,
            };
        };
        let mut clues: Vec<_> = self.of(family).collect();
        clues.sort_by(|one, other| other.weight.total_cmp(&one.weight).then_with(|| one.text.cmp(&other.text)));
        let model = clues.iter().find_map(|clue| clue.model.clone());
        let why = clues.iter().map(|clue| clue.text.clone()).collect();
        DeviceFacts { mac, ips: addresses, vendor, family, model, confidence, why }
    }
}

impl Clue {
    fn new(family: Family, model: &Option<Arc<str>>, strength: Strength, confidence: Confidence, text: String) -> Self {
        let strength = match strength {
            Strength::Weak => 0.3,
            Strength::Medium => 0.6,
            Strength::Strong => 0.9,
        };
        let known = match confidence {
            Confidence::Documented | Confidence::Observed => 1.0,
            Confidence::Inferred => 0.8,
        };
        Self { family, model: model.clone(), weight: strength * known, text }
    }
}

/// Who opens a TCP connection with this packet, and how.
pub fn opening<'a>(packet: &Packet<'a>) -> Option<(Mac, SynShape<'a>)> {
    let (header, ip) = (packet.transport.tcp()?, packet.ip.as_ref()?);
    let (mac, _) = packet.macs?;
    let opens = header.flags.syn() && !header.flags.ack();
    opens.then_some((mac, SynShape { ttl: ip.ttl, window: header.window, options: header.options }))
}

fn list(numbers: &[impl Display]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = Mac([0xbc, 0x60, 0xa7, 0, 0, 0x40]);
    const PC: Mac = Mac([2, 0, 0, 0, 0, 0x77]);

    fn clue(family: Family, model: Option<&str>, strength: Strength, text: &str) -> Clue {
        Clue::new(family, &model.map(Into::into), strength, Confidence::Observed, text.to_owned())
    }

    fn devices() -> Devices {
        let mut devices = Devices::default();
        for mac in [MAC, PC] {
            devices.device(mac, &Knowledge::embedded()).expect("a device").speaks = true;
        }
        devices
    }

    fn news(devices: &mut Devices) -> Option<DeviceFacts> {
        devices.news(Timestamp::new(0, 0)).map(|(_, facts)| facts)
    }

    #[test]
    fn later_news_are_later_whoever_tells_them() {
        let mut devices = devices();
        let (first, _) = devices.news(Timestamp::new(9, 0)).expect("its MAC");
        devices.note(MAC, clue(Family::Playstation, None, Strength::Strong, "class"));
        let (second, _) = devices.news(Timestamp::new(3, 0)).expect("its class");
        assert!(first < second && second < Timestamp::new(10, 0));
    }

    #[test]
    fn marks_add_up_and_news_come_once() {
        let mut devices = devices();
        let first = news(&mut devices).expect("its MAC");
        assert_eq!((first.mac, first.family, first.model.as_deref()), (MAC, Family::Playstation, Some("ps4")));
        assert!(news(&mut devices).is_none());
        for _ in 0..2 {
            devices.note(MAC, clue(Family::Playstation, Some("ps4"), Strength::Strong, "class"));
        }
        let second = news(&mut devices).expect("its class");
        assert!(second.confidence > first.confidence, "{second:?}");
        assert_eq!(second.why.first().map(String::as_str), Some("class"));
        assert!(news(&mut devices).is_none());
    }

    #[test]
    fn a_mark_that_others_share_makes_no_console() {
        let mut devices = devices();
        while news(&mut devices).is_some() {}
        devices.note(PC, clue(Family::Playstation, Some("ps4"), Strength::Weak, "syn"));
        assert!(news(&mut devices).is_none());
        devices.known.get_mut(&PC).expect("known").add_address(IpAddr::from([192, 168, 1, 77]));
        let rest = devices.rest();
        assert_eq!(rest.iter().map(|host| (host.mac, host.family)).collect::<Vec<_>>(), [(PC, Family::Other)]);
    }

    #[test]
    fn the_likelier_family_wins() {
        let mut devices = devices();
        devices.note(MAC, clue(Family::Xbox, None, Strength::Strong, "agent"));
        let device = news(&mut devices).expect("known");
        assert_eq!((device.family, device.why), (Family::Xbox, vec!["agent".to_owned()]));
    }

    #[test]
    fn memory_is_bounded() {
        let (mut devices, knowledge) = (Devices::default(), Knowledge::embedded());
        for number in 0..2 * MOST_DEVICES as u32 {
            let [a, b, c, d] = number.to_be_bytes();
            devices.device(Mac([2, 0, a, b, c, d]), &knowledge);
        }
        assert_eq!(devices.known.len(), MOST_DEVICES);
        let device = devices.known.values_mut().next().expect("a device");
        for last in 0..100 {
            device.add_address(IpAddr::from([10, 0, 0, last]));
        }
        assert_eq!(device.addresses.len(), MOST_ADDRESSES);
        assert!(devices.device(Mac([1, 0, 0x5e, 0, 0, 1]), &knowledge).is_none());
    }
}
