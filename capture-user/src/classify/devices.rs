//! Which devices there are: one for each MAC, however many addresses it uses and however many marks it shows.
//!
//! What one console says of itself may reach several shards, so those of a run share one registry. Shards bring what
//! they see in any order; records come of it in the order of time, once no shard can bring anything older.

use std::fmt::Display;
use std::net::IpAddr;

use hashbrown::HashMap;

use super::device::{Clue, Device, DeviceFacts};
use super::ends::{hosts, is_local, is_local_host};
use crate::dissect::app::{DdpFacts, DhcpFacts, Event, HttpFacts, SmartGlassFacts, SsdpFacts};
use crate::dissect::{Mac, Packet};
use crate::flow::Flow;
use crate::knowledge::{Knowledge, Strength, SynShape};
use crate::time::Timestamp;

/// Devices that are told apart; more are not looked at.
const MOST_DEVICES: usize = 4_096;

/// All devices of a run.
#[derive(Debug, Default)]
pub struct Devices {
    known: HashMap<Mac, Device>,
    /// Whether anything was learned since they were told of.
    changed: bool,
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

/// Who sent a packet of ARP for IPv4 over Ethernet (RFC 826).
pub fn meeting_by_arp(packet: &Packet<'_>) -> Option<Meeting> {
    let ([0, 1, 8, 0, 6, 4, _, _, a, b, c, d, e, f, address @ ..], _) = packet.payload.split_first_chunk::<18>()?
    else {
        return None;
    };
    let mac = Mac([*a, *b, *c, *d, *e, *f]);
    let address = IpAddr::from(*address);
    (!mac.is_group() && mac != Mac::default()).then(|| Meeting {
        mac,
        address: Some(address).filter(|address| is_local_host(*address)),
        routes: false,
        speaks: true,
    })
}

/// Whether devices are told of by such facts.
pub fn is_telling(event: &Event) -> bool {
    HEARD.contains(&event.kind)
}

/// The kinds of records that tell of their sender.
pub const HEARD: &[&str] = &["dhcp", "http", "ssdp", "ddp", "smartglass"];

impl Devices {
    /// Takes in a meeting.
    pub fn meet(&mut self, meeting: Meeting, time: Timestamp, knowledge: &Knowledge) {
        let Some(device) = self.device(meeting.mac, time, knowledge) else { return };
        device.routes |= meeting.routes;
        device.speaks |= meeting.speaks && meeting.address.is_some();
        if let Some(address) = meeting.address {
            device.add_address(address, time);
        }
    }

    /// Takes in how a device opens a TCP connection.
    pub fn see_opening(&mut self, mac: Mac, shape: &SynShape<'_>, time: Timestamp, knowledge: &Knowledge) {
        let Some(device) = self.device(mac, time, knowledge) else { return };
        for entry in knowledge.devices.syn(shape) {
            let text = format!("TCP SYN with window {} and time to live {}", shape.window, shape.ttl);
            device.add_clue(Clue::new(entry.family, &entry.model, entry.strength, entry.confidence, text), time);
        }
    }

    /// Takes in what was said on a flow.
    pub fn hear(&mut self, flow: &Flow, event: &Event, knowledge: &Knowledge) {
        let facts = (*event.facts).as_any();
        if let Some(facts) = facts.downcast_ref() {
            self.hear_dhcp(flow, facts, event.time, knowledge);
        } else if let Some(HttpFacts { user_agent: Some(agent), .. }) = facts.downcast_ref() {
            self.hear_agent(flow, "HTTP", agent, event.time, knowledge);
        } else if let Some(SsdpFacts { user_agent, server, .. }) = facts.downcast_ref() {
            for agent in user_agent.iter().chain(server) {
                self.hear_agent(flow, "SSDP", agent, event.time, knowledge);
            }
        } else if let Some(DdpFacts { host_type: Some(name), .. }) = facts.downcast_ref() {
            // The one that was searched answers.
            self.hear_answer(flow.macs.map(|(_, answers)| answers), name, event.time, knowledge);
        } else if let Some(SmartGlassFacts { client_type: Some(name), .. }) = facts.downcast_ref() {
            // Searches go to everybody, so an answer is a flow of its own, from the console's port.
            let answers = flow.macs.map(|(source, other)| if flow.source().port() == 5050 { source } else { other });
            self.hear_answer(answers, name, event.time, knowledge);
        }
    }

    /// A device told what it is when it was searched.
    fn hear_answer(&mut self, answers: Option<Mac>, name: &str, time: Timestamp, knowledge: &Knowledge) {
        let device = answers.and_then(|mac| self.device(mac, time, knowledge));
        let Some((device, entry)) = device.zip(knowledge.devices.host_type(name)) else { return };
        let text = format!("answers a search as {name}");
        device.add_clue(Clue::new(entry.family, &entry.model, entry.strength, entry.confidence, text), time);
    }

    fn hear_dhcp(&mut self, flow: &Flow, facts: &DhcpFacts, time: Timestamp, knowledge: &Knowledge) {
        let Some(mac) = facts.client_mac else { return };
        let server = flow.macs.filter(|_| facts.your_ip.is_some()).map(|(source, _)| source);
        if let Some(server) =
            server.filter(|server| *server != mac).and_then(|server| self.device(server, time, knowledge))
        {
            server.routes = true;
        }
        let Some(device) = self.device(mac, time, knowledge) else { return };
        if let (Some(address), true) = (facts.your_ip, facts.kind == "ack") {
            device.add_address(address.into(), time);
        }
        let (class, name) = (facts.vendor_class.as_deref(), facts.hostname.as_deref());
        for entry in knowledge.devices.dhcp(class, name, &facts.parameter_list, &facts.option_order) {
            let text = match (&entry.vendor_class, &entry.hostname) {
                (Some(class), _) => format!("DHCP vendor class {class}"),
                (None, Some(start)) => format!("DHCP host name that begins with {start}"),
                (None, None) => format!("DHCP options {}", list(&facts.option_order)),
            };
            device.add_clue(Clue::new(entry.family, &entry.model, entry.strength, entry.confidence, text), time);
        }
    }

    fn hear_agent(&mut self, flow: &Flow, protocol: &str, agent: &str, time: Timestamp, knowledge: &Knowledge) {
        let Some(device) = flow.macs.and_then(|(source, _)| self.device(source, time, knowledge)) else { return };
        for entry in knowledge.devices.agent(agent) {
            let text = format!("{protocol} agent with {:?}", entry.contains);
            device.add_clue(Clue::new(entry.family, &entry.model, entry.strength, entry.confidence, text), time);
        }
    }

    /// The device of a MAC that was seen at `time`, made where it is new; `None` for groups, and where there are too
    /// many.
    fn device(&mut self, mac: Mac, time: Timestamp, knowledge: &Knowledge) -> Option<&mut Device> {
        let is_one = !mac.is_group() && mac != Mac::default();
        if !is_one || self.known.len() >= MOST_DEVICES && !self.known.contains_key(&mac) {
            return None;
        }
        self.changed = true;
        let maker = knowledge.ouis.find(mac);
        let device = self.known.entry(mac).or_insert_with(|| Device::new(maker.map(|maker| maker.vendor.clone())));
        if let Some((maker, family)) = maker.and_then(|maker| Some((maker, maker.family?))) {
            let text = format!("MAC of {}", maker.vendor);
            device.add_clue(Clue::new(family, &maker.model, Strength::Medium, maker.confidence, text), time);
        }
        Some(device)
    }

    /// What became known of consoles until `until` and was not told before, in the order of time. The latest of a
    /// device's records holds.
    pub fn news(&mut self, until: Timestamp) -> Vec<(Timestamp, DeviceFacts)> {
        let mut news = Vec::new();
        if std::mem::take(&mut self.changed) {
            for (mac, device) in &mut self.known {
                device.tell(*mac, until, |time, facts| news.push((time, facts)));
                self.changed |= device.has_untold();
            }
        }
        news.sort_by_key(|(time, facts)| (*time, facts.mac));
        news
    }

    /// Hosts that are no consoles, as far as is known: neither are those beyond routers, nor routers. Each is told once.
    pub fn rest(&mut self) -> Vec<DeviceFacts> {
        let mut hosts = Vec::new();
        for (mac, device) in &mut self.known {
            let is_host = device.speaks && !device.routes && device.has_address();
            if !device.is_console() && is_host && !std::mem::replace(&mut device.is_told, true) {
                hosts.push(device.facts(*mac, Timestamp::MAX));
            }
        }
        hosts.sort_by_key(|host| host.mac);
        hosts
    }

    /// The MACs that are known as consoles' by now.
    pub fn consoles(&self) -> impl Iterator<Item = Mac> {
        self.known.iter().filter(|(_, device)| device.is_console()).map(|(mac, _)| *mac)
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
    use crate::knowledge::{Confidence, Family};

    const MAC: Mac = Mac([0xbc, 0x60, 0xa7, 0, 0, 0x40]);
    const PC: Mac = Mac([2, 0, 0, 0, 0, 0x77]);
    const TIME: Timestamp = Timestamp::new(9, 0);

    fn devices() -> Devices {
        let mut devices = Devices::default();
        for mac in [MAC, PC] {
            devices.device(mac, TIME, &Knowledge::embedded()).expect("a device").speaks = true;
        }
        devices
    }

    #[test]
    fn consoles_are_told_at_once_and_other_hosts_at_the_end() {
        let (mut devices, knowledge) = (devices(), Knowledge::embedded());
        let told: Vec<_> = devices.news(TIME).into_iter().map(|(time, facts)| (time, facts.mac)).collect();
        assert_eq!(told, [(TIME, MAC)]);
        assert!(devices.news(TIME).is_empty());
        assert_eq!(devices.consoles().collect::<Vec<_>>(), [MAC]);
        devices.device(PC, TIME, &knowledge).expect("known").add_address([192, 168, 1, 77].into(), TIME);
        let rest = devices.rest();
        assert_eq!(rest.iter().map(|host| (host.mac, host.family)).collect::<Vec<_>>(), [(PC, Family::Other)]);
    }

    #[test]
    fn a_mark_that_others_share_makes_no_console() {
        let mut devices = devices();
        devices.news(TIME);
        let mark = Clue::new(Family::Playstation, &None, Strength::Weak, Confidence::Observed, "syn".to_owned());
        devices.device(PC, TIME, &Knowledge::embedded()).expect("known").add_clue(mark, TIME);
        assert!(devices.news(Timestamp::MAX).is_empty());
    }

    #[test]
    fn what_was_too_young_to_tell_is_told_later() {
        let mut devices = devices();
        assert!(devices.news(Timestamp::new(8, 0)).is_empty());
        assert_eq!(devices.news(TIME).len(), 1);
    }

    #[test]
    fn memory_is_bounded() {
        let (mut devices, knowledge) = (Devices::default(), Knowledge::embedded());
        for number in 0..2 * MOST_DEVICES as u32 {
            let [a, b, c, d] = number.to_be_bytes();
            devices.device(Mac([2, 0, a, b, c, d]), TIME, &knowledge);
        }
        assert_eq!(devices.known.len(), MOST_DEVICES);
        assert!(devices.device(Mac([1, 0, 0x5e, 0, 0, 1]), TIME, &knowledge).is_none());
    }
}
