//! What is known of one device: its addresses and the marks it shows, each since when.
//!
//! Everything is kept with the time it was seen first. What a `device` record says at some moment follows from these
//! times alone, so it does not matter which shard brought what, nor in which order they did.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;

use super::either;
use crate::dissect::Mac;
use crate::knowledge::{Confidence, Family, Strength};
use crate::time::Timestamp;

/// Addresses of one device that are kept: the first ones.
const MOST_ADDRESSES: usize = 16;
/// How likely a family must be before a device is called a console: more than what many hosts share.
const LIKELY: f64 = 0.4;
/// Marks of one device that are kept: the first ones.
const MOST_CLUES: usize = 16;

/// What a `device` record tells.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
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
pub struct Clue {
    family: Family,
    model: Option<Arc<str>>,
    weight: f64,
    text: String,
}

impl Clue {
    /// A mark of this family (and model), how telling it is, how sure that is, and how a person would call it.
    pub fn new(
        family: Family,
        model: &Option<Arc<str>>,
        strength: Strength,
        confidence: Confidence,
        text: String,
    ) -> Self {
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

/// Something, and when it was seen first.
#[derive(Clone, Debug)]
struct Dated<T> {
    since: Timestamp,
    what: T,
}

/// Adds what was seen at `since`, or moves it there if it was known only later. A full list keeps what came first.
fn date<T>(list: &mut Vec<Dated<T>>, most: usize, since: Timestamp, what: T, same: impl Fn(&T, &T) -> bool) {
    if let Some(known) = list.iter_mut().find(|known| same(&known.what, &what)) {
        known.since = known.since.min(since);
    } else if list.len() < most {
        list.push(Dated { since, what });
    } else if let Some(last) = list.iter_mut().max_by_key(|known| known.since).filter(|last| since < last.since) {
        *last = Dated { since, what };
    }
}

/// One device.
#[derive(Debug, Default)]
pub struct Device {
    vendor: Option<Arc<str>>,
    addresses: Vec<Dated<IpAddr>>,
    clues: Vec<Dated<Clue>>,
    /// Whether it carries traffic of other networks, or gives addresses.
    pub routes: bool,
    /// Whether its own address was seen to send.
    pub speaks: bool,
    /// The moment up to which it was told of.
    told: Option<Timestamp>,
    /// Whether it was told of as no console.
    pub is_told: bool,
}

impl Device {
    /// A device whose adapter was built by `vendor`.
    pub fn new(vendor: Option<Arc<str>>) -> Self {
        Self { vendor, ..Self::default() }
    }

    /// It was seen with an address.
    pub fn add_address(&mut self, address: IpAddr, time: Timestamp) {
        let since = self.untold(time);
        date(&mut self.addresses, MOST_ADDRESSES, since, address, |one, other| one == other);
    }

    /// It showed a mark.
    pub fn add_clue(&mut self, clue: Clue, time: Timestamp) {
        let since = self.untold(time);
        date(&mut self.clues, MOST_CLUES, since, clue, |one, other| one.text == other.text);
    }

    /// What is learned of a time that was told of already (live, a shard may be that far behind) counts from now on.
    fn untold(&self, time: Timestamp) -> Timestamp {
        self.told.map_or(time, |told| time.max(told.after(Duration::from_nanos(1))))
    }

    /// Whether it has an address that was seen.
    pub fn has_address(&self) -> bool {
        !self.addresses.is_empty()
    }

    /// Whether there is something that was not told, or not asked about, yet.
    pub fn has_untold(&self) -> bool {
        let times = self.addresses.iter().map(|address| address.since);
        let mut times = times.chain(self.clues.iter().map(|clue| clue.since));
        times.any(|time| self.told.is_none_or(|told| time > told))
    }

    /// Whether its marks speak for a console.
    pub fn is_console(&self) -> bool {
        self.likely(Timestamp::MAX).is_some()
    }

    /// What there is to tell for each moment up to `until` at which more became known of it, if it then was a console.
    pub fn tell(&mut self, mac: Mac, until: Timestamp, mut to: impl FnMut(Timestamp, DeviceFacts)) {
        let moments = self.addresses.iter().map(|address| address.since);
        let mut moments: Vec<_> = moments.chain(self.clues.iter().map(|clue| clue.since)).collect();
        moments.retain(|moment| *moment <= until && self.told.is_none_or(|told| *moment > told));
        moments.sort_unstable();
        moments.dedup();
        for moment in moments {
            self.told = Some(moment);
            if self.likely(moment).is_some() {
                to(moment, self.facts(mac, moment));
            }
        }
    }

    /// The family that its marks of the time until `moment` speak for, and how likely it is; `None` where that is not
    /// likely at all.
    fn likely(&self, moment: Timestamp) -> Option<(Family, f64)> {
        let families = self.clues.iter().map(|clue| clue.what.family);
        let rated = families.map(|family| (family, either(self.of(family, moment).map(|clue| clue.weight))));
        rated
            .filter(|(_, rate)| *rate >= LIKELY)
            .max_by(|(one, rate), (other, rated)| rate.total_cmp(rated).then_with(|| (*one as u8).cmp(&(*other as u8))))
    }

    /// The marks of a family.
    fn of(&self, family: Family, moment: Timestamp) -> impl Iterator<Item = &Clue> {
        let known = self.clues.iter().filter(move |clue| clue.since <= moment);
        known.map(|clue| &clue.what).filter(move |clue| clue.family == family)
    }

    /// What was known of it at `moment`.
    pub fn facts(&self, mac: Mac, moment: Timestamp) -> DeviceFacts {
        let known = self.addresses.iter().filter(|address| address.since <= moment);
        let mut ips: Vec<_> = known.map(|address| address.what).collect();
        ips.sort_unstable();
        let vendor = self.vendor.clone();
        let Some((family, confidence)) = self.likely(moment) else {
            let why = vec!["shows no mark that only consoles have".to_owned()];
            return DeviceFacts { mac, ips, vendor, family: Family::Other, model: None, confidence: 0.5, why };
        };
        let mut clues: Vec<_> = self.of(family, moment).collect();
        clues.sort_by(|one, other| other.weight.total_cmp(&one.weight).then_with(|| one.text.cmp(&other.text)));
        let model = clues.iter().find_map(|clue| clue.model.clone());
        let why = clues.iter().map(|clue| clue.text.clone()).collect();
        DeviceFacts { mac, ips, vendor, family, model, confidence, why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = Mac([0xbc, 0x60, 0xa7, 0, 0, 0x40]);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::new(seconds, 0)
    }

    fn clue(family: Family, model: Option<&str>, strength: Strength, text: &str) -> Clue {
        Clue::new(family, &model.map(Into::into), strength, Confidence::Observed, text.to_owned())
    }

    fn told(device: &mut Device, until: Timestamp) -> Vec<(Timestamp, DeviceFacts)> {
        let mut told = Vec::new();
        device.tell(MAC, until, |time, facts| told.push((time, facts)));
        told
    }

    #[test]
    fn marks_add_up_and_news_come_once() {
        let mut device = Device::default();
        device.add_clue(clue(Family::Playstation, Some("ps4"), Strength::Medium, "MAC"), at(1));
        let first = told(&mut device, at(9));
        assert_eq!(first.len(), 1);
        assert_eq!(
            (first[0].0, first[0].1.family, first[0].1.model.as_deref()),
            (at(1), Family::Playstation, Some("ps4"))
        );
        for _ in 0..2 {
            device.add_clue(clue(Family::Playstation, Some("ps4"), Strength::Strong, "class"), at(2));
        }
        let second = told(&mut device, at(9));
        assert_eq!(second.len(), 1);
        assert!(second[0].1.confidence > first[0].1.confidence, "{second:?}");
        assert_eq!(second[0].1.why.first().map(String::as_str), Some("class"));
        assert!(told(&mut device, at(9)).is_empty());
    }

    #[test]
    fn the_order_of_arrival_changes_nothing() {
        let signs = |device: &mut Device, order: [usize; 3]| {
            for sign in order {
                match sign {
                    0 => device.add_clue(clue(Family::Playstation, None, Strength::Medium, "MAC"), at(3)),
                    1 => device.add_address([192, 168, 1, 40].into(), at(5)),
                    _ => device.add_clue(clue(Family::Playstation, None, Strength::Strong, "class"), at(4)),
                }
            }
        };
        let orders = [[0, 1, 2], [2, 1, 0], [1, 0, 2]].map(|order| {
            let mut device = Device::default();
            signs(&mut device, order);
            signs(&mut device, order);
            told(&mut device, at(9))
        });
        assert_eq!(orders[0].iter().map(|(time, _)| *time).collect::<Vec<_>>(), [at(3), at(4), at(5)]);
        assert!(orders.iter().all(|told| *told == orders[0]));
    }

    #[test]
    fn what_comes_too_late_is_news_all_the_same() {
        let mut device = Device::default();
        device.add_clue(clue(Family::Playstation, None, Strength::Medium, "MAC"), at(3));
        assert_eq!(told(&mut device, at(3)).len(), 1);
        device.add_address([192, 168, 1, 40].into(), at(2));
        let late = told(&mut device, at(4));
        assert_eq!(
            late.iter().map(|(time, facts)| (*time, facts.ips.len())).collect::<Vec<_>>(),
            [(at(3).after(Duration::from_nanos(1)), 1)]
        );
    }

    #[test]
    fn the_future_is_not_told() {
        let mut device = Device::default();
        device.add_clue(clue(Family::Playstation, None, Strength::Strong, "class"), at(3));
        assert!(told(&mut device, at(2)).is_empty());
        assert_eq!(told(&mut device, at(3)).len(), 1);
    }

    #[test]
    fn the_likelier_family_wins() {
        let mut device = Device::default();
        device.add_clue(clue(Family::Playstation, None, Strength::Medium, "MAC"), at(1));
        device.add_clue(clue(Family::Xbox, None, Strength::Strong, "agent"), at(1));
        let facts = device.facts(MAC, at(1));
        assert_eq!((facts.family, facts.why), (Family::Xbox, vec!["agent".to_owned()]));
    }

    #[test]
    fn the_first_of_many_are_kept() {
        let mut device = Device::default();
        for last in (0..100).rev() {
            device.add_address([10, 0, 0, last].into(), at(last.into()));
            device.add_clue(clue(Family::Other, None, Strength::Weak, &last.to_string()), at(last.into()));
        }
        assert_eq!((device.addresses.len(), device.clues.len()), (MOST_ADDRESSES, MOST_CLUES));
        assert!(device.addresses.iter().all(|address| address.since < at(16)));
        assert!(device.clues.iter().all(|clue| clue.since < at(16)));
    }
}
