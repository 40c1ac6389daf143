//! The name table of one shard: which name a console's flows to an address stand for.
//!
//! A console asks for a name and then talks to the address it got. So a flow is named by what *its* client last heard
//! of *its* server; where the client asked for nothing, by what the local network was told by multicast DNS.
//!
//! - **Age.** Consoles keep connections, and use addresses, far longer than the answer allows. A name holds for its
//!   time to live or an hour, whichever is longer (`LEAST_AGE`), at most a day.
//! - **Shared addresses.** Many names of a content network live at one address. All that were heard of it while they
//!   hold are kept, the [`MAX_NAMES`] latest of them, and the answer is then [`Lookup::Ambiguous`].
//! - **Bound.** At most as many addresses as [`Names::with_capacity`] was given; then the oldest that was not learned
//!   again makes room, and is counted. An address with its names needs about 200 bytes and the names' text.

use std::hash::BuildHasher as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use arrayvec::ArrayVec;
use hashbrown::DefaultHashBuilder;

use crate::dissect::app::Resolved;
use crate::index::Index;
use crate::time::Timestamp;

/// How long a name holds at least.
const LEAST_AGE: Duration = Duration::from_secs(3600);
/// How long a name holds at most.
const MOST_AGE: Duration = Duration::from_secs(86_400);
/// Names kept of one address.
pub const MAX_NAMES: usize = 4;
/// Bytes of the longest name that is kept; no host has a longer one (RFC 1035 section 2.3.4).
const MAX_LENGTH: usize = 255;
/// Addresses that a table holds unless told otherwise.
const CAPACITY: usize = 16_384;

/// A client and the address it asked about.
type Key = (IpAddr, IpAddr);

/// Names by client and server.
#[derive(Debug)]
pub struct Names {
    entries: Vec<Entry>,
    index: Index,
    hasher: DefaultHashBuilder,
    capacity: usize,
    /// Where a full table looks for room next.
    hand: usize,
    evicted: u64,
}

#[derive(Debug)]
struct Entry {
    key: Key,
    /// The latest first.
    names: ArrayVec<Learned, MAX_NAMES>,
    /// Whether it was learned again since room was last looked for here.
    again: bool,
}

#[derive(Debug)]
struct Learned {
    name: Arc<str>,
    holds_until: Timestamp,
}

/// What is known of a server's name.
#[derive(Clone, Debug)]
pub enum Lookup<'a> {
    /// Nothing.
    Unknown,
    /// One name.
    Named(&'a Arc<str>),
    /// Several names share the address: at least two.
    Ambiguous(Candidates<'a>),
}

/// Names that share one address.
#[derive(Clone, Debug)]
pub struct Candidates<'a> {
    names: &'a [Learned],
    now: Timestamp,
}

impl<'a> Candidates<'a> {
    /// The names that still hold, the one heard last first.
    pub fn iter(&self) -> impl Iterator<Item = &'a Arc<str>> + use<'a> {
        let now = self.now;
        self.names.iter().filter(move |learned| now <= learned.holds_until).map(|learned| &learned.name)
    }
}

impl Default for Names {
    fn default() -> Self {
        Self::with_capacity(CAPACITY)
    }
}

impl Names {
    /// An empty table for at most `capacity` addresses, at least one; it allocates as it fills.
    pub fn with_capacity(capacity: usize) -> Self {
        let capacity = capacity.clamp(1, u32::MAX as usize);
        let (entries, index, hasher) = (Vec::new(), Index::default(), DefaultHashBuilder::default());
        Self { entries, index, hasher, capacity, hand: 0, evicted: 0 }
    }

    /// Every address with the name heard last of it; an address that several clients asked about comes several times.
    pub fn iter(&self) -> impl Iterator<Item = (IpAddr, &Arc<str>)> {
        self.entries.iter().filter_map(|entry| Some((entry.key.1, &entry.names.first()?.name)))
    }

    /// Addresses that are named.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing was learned yet.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Addresses forgotten because the table was full.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Notes what a client heard at the time `now`.
    pub fn learn(&mut self, resolved: &Resolved, now: Timestamp) {
        if resolved.name.is_empty() || resolved.name.len() > MAX_LENGTH {
            return;
        }
        let key = (resolved.client.to_canonical(), resolved.address.to_canonical());
        let hash = self.hasher.hash_one(key);
        let place = match self.find(hash, &key) {
            Some(place) => place,
            None => self.insert(hash, key),
        };
        let age = Duration::from_secs(u64::from(resolved.ttl)).clamp(LEAST_AGE, MOST_AGE);
        if let Some(entry) = self.entries.get_mut(place as usize) {
            entry.again = !entry.names.is_empty();
            entry.learn(&resolved.name, now, now.after(age));
        }
    }

    /// What `server` is called by what `client` heard of it, or else by what everybody heard.
    pub fn lookup(&self, client: IpAddr, server: IpAddr, now: Timestamp) -> Lookup<'_> {
        let server = server.to_canonical();
        let everybody = match server {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        match self.told(client, server, now) {
            Lookup::Unknown => self.heard_by(everybody, server, now),
            known => known,
        }
    }

    /// What `server` is called by what `client` heard of it alone.
    pub fn told(&self, client: IpAddr, server: IpAddr, now: Timestamp) -> Lookup<'_> {
        self.heard_by(client.to_canonical(), server.to_canonical(), now)
    }

    fn heard_by(&self, client: IpAddr, server: IpAddr, now: Timestamp) -> Lookup<'_> {
        let key = (client, server);
        let found = self.find(self.hasher.hash_one(key), &key);
        let Some(entry) = found.and_then(|place| self.entries.get(place as usize)) else { return Lookup::Unknown };
        let candidates = Candidates { names: &entry.names, now };
        let mut names = candidates.iter();
        match (names.next(), names.next()) {
            (None, _) => Lookup::Unknown,
            (Some(name), None) => Lookup::Named(name),
            (Some(_), Some(_)) => Lookup::Ambiguous(candidates),
        }
    }

    fn find(&self, hash: u64, key: &Key) -> Option<u32> {
        self.index.find(hash, |place| self.entries.get(place as usize).is_some_and(|entry| entry.key == *key))
    }

    /// Makes an entry without names; a full table gives up another for it.
    fn insert(&mut self, hash: u64, key: Key) -> u32 {
        let entry = Entry { key, names: ArrayVec::new(), again: false };
        let place = if self.entries.len() < self.capacity {
            self.entries.push(entry);
            self.entries.len() - 1
        } else {
            let place = self.make_room();
            self.entries[place] = entry;
            place
        } as u32;
        self.index.insert(hash, place);
        place
    }

    /// Forgets the next entry that was not learned again; who was has another round.
    fn make_room(&mut self) -> usize {
        loop {
            let place = self.hand;
            self.hand = (place + 1) % self.entries.len();
            if !std::mem::take(&mut self.entries[place].again) {
                self.index.remove(self.hasher.hash_one(self.entries[place].key), place as u32);
                self.evicted += 1;
                return place;
            }
        }
    }
}

impl Entry {
    /// Puts a name first; of too many, one that holds no more or else the one heard longest ago goes.
    fn learn(&mut self, name: &Arc<str>, now: Timestamp, holds_until: Timestamp) {
        let mut learned = Learned { name: name.clone(), holds_until };
        if let Some(place) = self.names.iter().position(|known| known.name == *name) {
            let known = self.names.remove(place);
            learned.holds_until = holds_until.max(known.holds_until);
            learned.name = known.name;
        } else if self.names.is_full() {
            let stale = self.names.iter().rposition(|known| known.holds_until < now);
            self.names.remove(stale.unwrap_or(MAX_NAMES - 1));
        }
        self.names.insert(0, learned);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSOLE: &str = "192.168.1.40";

    const fn at(seconds: i64) -> Timestamp {
        Timestamp::new(seconds, 0)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn resolved(client: &str, address: IpAddr, name: &str, ttl: u32) -> Resolved {
        Resolved { client: ip(client), address, name: name.into(), ttl }
    }

    fn shown(names: &Names, client: &str, server: &str, seconds: i64) -> Vec<String> {
        match names.lookup(ip(client), ip(server), at(seconds)) {
            Lookup::Unknown => vec![],
            Lookup::Named(name) => vec![name.to_string()],
            Lookup::Ambiguous(candidates) => candidates.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn a_name_is_its_clients_own_and_outlives_its_ttl() {
        let mut names = Names::default();
        names.learn(&resolved(CONSOLE, ip("203.0.113.1"), "game.example", 5), at(0));
        names.learn(&resolved(CONSOLE, ip("203.0.113.2"), "store.example", 7200), at(0));
        assert_eq!(shown(&names, CONSOLE, "203.0.113.1", 3600), ["game.example"]);
        assert!(shown(&names, CONSOLE, "203.0.113.1", 3601).is_empty());
        assert_eq!(shown(&names, CONSOLE, "203.0.113.2", 7200), ["store.example"]);
        assert!(shown(&names, "192.168.1.41", "203.0.113.1", 1).is_empty());
        assert_eq!(shown(&names, CONSOLE, "::ffff:203.0.113.1", 1), ["game.example"]);
    }

    #[test]
    fn everybody_hears_multicast() {
        let mut names = Names::default();
        names.learn(&resolved("0.0.0.0", ip("192.168.1.9"), "printer.local", 120), at(0));
        assert_eq!(shown(&names, CONSOLE, "192.168.1.9", 1), ["printer.local"]);
        names.learn(&resolved(CONSOLE, ip("192.168.1.9"), "printer.lan", 120), at(0));
        assert_eq!(shown(&names, CONSOLE, "192.168.1.9", 1), ["printer.lan"]);
    }

    #[test]
    fn shared_addresses_stay_ambiguous_the_latest_name_first() {
        let mut names = Names::default();
        let cdn = ip("203.0.113.1");
        for (second, name) in ["a", "b", "a", "c"].into_iter().enumerate() {
            names.learn(&resolved(CONSOLE, cdn, name, 30), at(second as i64 * 1000));
        }
        assert_eq!(shown(&names, CONSOLE, "203.0.113.1", 3000), ["c", "a", "b"]);
        // b was heard at 1000, a at 2000: they fade in that order, and one name is no longer ambiguous.
        assert_eq!(shown(&names, CONSOLE, "203.0.113.1", 5000), ["c", "a"]);
        assert!(matches!(names.lookup(ip(CONSOLE), cdn, at(6000)), Lookup::Named(name) if &**name == "c"));
        for name in ["d", "e", "f"] {
            names.learn(&resolved(CONSOLE, cdn, name, 30), at(6000));
        }
        assert_eq!(shown(&names, CONSOLE, "203.0.113.1", 6000), ["f", "e", "d", "c"]);
    }

    #[test]
    fn a_flood_of_names_stays_under_the_cap() {
        let mut names = Names::with_capacity(100);
        names.learn(&resolved(CONSOLE, ip("203.0.113.1"), "game.example", 30), at(0));
        for number in 0..10_000_u32 {
            let address = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
            names.learn(&resolved(CONSOLE, address, &format!("x{number}.example"), 30), at(1));
            // Heard again and again, so it is never the oldest.
            names.learn(&resolved(CONSOLE, ip("203.0.113.1"), "game.example", 30), at(1));
        }
        assert_eq!((names.len(), names.evicted()), (100, 10_001 - 100));
        assert_eq!(shown(&names, CONSOLE, "203.0.113.1", 2), ["game.example"]);
        assert_eq!(shown(&names, CONSOLE, "10.0.39.15", 2), ["x9999.example"]);
        assert_eq!(shown(&names, CONSOLE, "10.0.38.173", 2), ["x9901.example"]);
        assert!(shown(&names, CONSOLE, "10.0.38.172", 2).is_empty());
    }

    #[test]
    fn a_table_of_one() {
        let mut names = Names::with_capacity(0);
        for (address, name) in [("203.0.113.1", "a"), ("203.0.113.2", "b"), ("203.0.113.1", "c")] {
            names.learn(&resolved(CONSOLE, ip(address), name, 30), at(0));
            assert_eq!(shown(&names, CONSOLE, address, 0), [name]);
        }
        assert_eq!((names.len(), names.evicted()), (1, 2));
    }

    #[test]
    fn names_that_no_host_has_are_not_kept() {
        let mut names = Names::default();
        names.learn(&resolved(CONSOLE, ip("203.0.113.1"), &"x".repeat(256), 30), at(0));
        names.learn(&resolved(CONSOLE, ip("203.0.113.1"), "", 30), at(0));
        assert!(names.is_empty());
    }
}
