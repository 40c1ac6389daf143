//! The name table against a list that does the same slowly: what is learned, kept, forgotten and answered.

#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use capture_user::dissect::app::Resolved;
use capture_user::names::{Lookup, MAX_NAMES, Names};
use capture_user::time::Timestamp;
use libfuzzer_sys::fuzz_target;

const CAPACITY: usize = 5;
const HOUR: i64 = 3_600;

/// Pairs of client and address, the one learned least recently first, with name and end of each, the latest first.
#[derive(Default)]
struct Model(Vec<((IpAddr, IpAddr), Vec<(u8, i64)>)>);

impl Model {
    /// Whether another was forgotten for it.
    fn learn(&mut self, key: (IpAddr, IpAddr), name: u8, ttl: u32, now: i64) -> bool {
        let known = self.0.iter().position(|(other, _)| *other == key).map(|place| self.0.remove(place).1);
        let evicts = known.is_none() && self.0.len() == CAPACITY;
        if evicts {
            self.0.remove(0);
        }
        let mut names = known.unwrap_or_default();
        let mut end = now + i64::from(ttl).clamp(HOUR, 24 * HOUR);
        if let Some(place) = names.iter().position(|(other, _)| *other == name) {
            end = end.max(names.remove(place).1);
        } else if names.len() == MAX_NAMES {
            let stale = names.iter().rposition(|(_, end)| *end < now);
            names.remove(stale.unwrap_or(MAX_NAMES - 1));
        }
        names.insert(0, (name, end));
        self.0.push((key, names));
        evicts
    }

    fn heard_by(&self, client: IpAddr, address: IpAddr, now: i64) -> Vec<u8> {
        let known = self.0.iter().filter(|(key, _)| *key == (client, address)).flat_map(|(_, names)| names);
        known.filter(|(_, end)| now <= *end).map(|(name, _)| *name).collect()
    }

    fn lookup(&self, client: IpAddr, address: IpAddr, now: i64) -> Vec<u8> {
        let own = self.heard_by(client, address, now);
        if own.is_empty() { self.heard_by(Ipv4Addr::UNSPECIFIED.into(), address, now) } else { own }
    }
}

/// The first of these is everybody.
fn client(byte: u8) -> IpAddr {
    [0, 0, 0, byte & 3].into()
}

fn address(byte: u8) -> IpAddr {
    [203, 0, 113, byte >> 2 & 7].into()
}

fuzz_target!(|input: &[u8]| {
    let (mut names, mut model, mut now, mut evicted) = (Names::with_capacity(CAPACITY), Model::default(), 0_i64, 0);
    for &[who, name, ttl, step] in input.as_chunks::<4>().0 {
        now += (i64::from(step) - 16) * 60;
        let (client, address, time) = (client(who), address(who), Timestamp::new(now, 0));
        let (name, ttl) = (name % 7, u32::from(ttl) << 9);
        // An IPv4 address is the same one inside IPv6.
        let written = if who & 0x20 == 0 { address } else { mapped(address) };
        if who & 0x40 == 0 {
            names.learn(&Resolved { client, address: written, name: text(name).into(), ttl }, time);
            evicted += u64::from(model.learn((client, address), name, ttl, now));
        }
        let found: Vec<String> = match names.lookup(client, written, time) {
            Lookup::Unknown => Vec::new(),
            Lookup::Named(name) => vec![name.to_string()],
            Lookup::Ambiguous(candidates) => candidates.iter().map(ToString::to_string).collect(),
        };
        let expected: Vec<String> = model.lookup(client, address, now).into_iter().map(text).collect();
        assert_eq!(found, expected);
        assert_eq!((names.len(), names.evicted()), (model.0.len(), evicted));
    }
});

fn mapped(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().into(),
        IpAddr::V6(_) => address,
    }
}

fn text(name: u8) -> String {
    format!("host{name}.example")
}
