//! IP fragments to datagrams (RFC 791 section 3.2, RFC 8200 section 4.5).
//!
//! Policy: of bytes that arrive twice the first stay (RFC 5722 would have the whole IPv6 datagram discarded; an
//! observer that did so could be blinded with one forged fragment). A fragment that contradicts an earlier one about
//! where the datagram ends is dropped, the datagram stays. Datagrams wait [`Limits::timeout`] from their first
//! fragment on; when there are too many or they hold too much, the oldest goes.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use hashbrown::HashMap;

use super::Budget;
use super::pieces::{Full, Pieces};
use crate::time::Timestamp;

/// The longest payload of an IP packet, in bytes.
const LONGEST: u64 = 65_535;
/// How many datagrams that were completed are remembered, so that late copies of their fragments start nothing.
const REMEMBERED: usize = 16;
/// For how long they are: copies that a mirror makes are there by then, and no sender's identification has come round.
const REMEMBERED_FOR: Duration = Duration::from_millis(100);

/// How much may wait, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all datagrams together, with what holding them costs.
    pub bytes: usize,
    /// Datagrams.
    pub datagrams: usize,
    /// Runs of bytes with holes between them in one datagram.
    pub runs: usize,
    /// How long a datagram waits for its last fragment, by the time on the wire. RFC 8200 says 60 s from the first
    /// fragment, RFC 791 at least 15 s; 30 s is what Linux gives IPv4, and enough for anything that still arrives.
    pub timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes: 4 << 20, datagrams: 1024, runs: 256, timeout: Duration::from_secs(30) }
    }
}

/// What the fragments of one datagram have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Sender.
    pub source: IpAddr,
    /// Receiver.
    pub destination: IpAddr,
    /// The datagram's identification.
    pub id: u32,
    /// The payload's protocol, for IPv4 only: in IPv6 the fragments of one datagram may differ in it.
    pub protocol: Option<u8>,
}

/// One fragment.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// Of which datagram.
    pub key: Key,
    /// The protocol of the payload, as this fragment's header has it.
    pub protocol: u8,
    /// Where its bytes belong, in bytes from the start of the payload.
    pub offset: u32,
    /// Whether others follow it.
    pub more: bool,
    /// Its bytes, as captured.
    pub bytes: &'a [u8],
    /// How many it had on the wire.
    pub length: u32,
}

/// A datagram that is whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Fragments it was made of, without duplicates.
    pub fragments: u32,
    /// The protocol of its payload, as the first fragment's header has it.
    pub protocol: u8,
}

/// What became of fragments and datagrams.
/// `datagrams = completed + timed_out + evicted + overflowed + those waiting`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Fragments seen.
    pub fragments: u64,
    /// Datagrams of which a fragment was kept.
    pub datagrams: u64,
    /// Datagrams made whole.
    pub completed: u64,
    /// Datagrams that waited too long.
    pub timed_out: u64,
    /// Datagrams that made room for newer ones.
    pub evicted: u64,
    /// Datagrams given up because they were in too many runs, or alone larger than all that may be held.
    pub overflowed: u64,
    /// Fragments of which some bytes were there already, with new ones beside them.
    pub overlaps: u64,
    /// Fragments that brought nothing new, those of datagrams just completed included.
    pub duplicates: u64,
    /// Fragments that reach beyond the longest datagram ("ping of death").
    pub too_large: u64,
    /// Fragments before the last of fewer than eight bytes, or in IPv6 of a length that is no multiple of eight.
    pub tiny: u64,
    /// Fragments that contradict others about where the datagram ends.
    pub inconsistent: u64,
    /// Fragments that were not captured whole.
    pub snapped: u64,
}

/// The fragments of one shard.
#[derive(Debug)]
pub struct Fragments {
    limits: Limits,
    budget: Budget,
    /// Waiting datagrams by the order in which they began, and where each key is among them.
    waiting: BTreeMap<u64, Datagram>,
    places: HashMap<Key, u64>,
    begun: u64,
    /// The last datagrams completed, oldest first.
    completed: VecDeque<(Key, Timestamp)>,
    counters: Counters,
}

#[derive(Debug)]
struct Datagram {
    key: Key,
    since: Timestamp,
    pieces: Pieces,
    /// Different bytes held.
    held: u64,
    /// Where the payload ends, once its last fragment is there.
    end: Option<u64>,
    /// The protocol that the first fragment gave.
    protocol: Option<u8>,
    fragments: u32,
}

impl Default for Fragments {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Fragments {
    /// An empty table.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            budget: Budget::new(limits.bytes),
            waiting: BTreeMap::new(),
            places: HashMap::new(),
            begun: 0,
            completed: VecDeque::with_capacity(REMEMBERED),
            counters: Counters::default(),
        }
    }

    /// What became of the fragments so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Datagrams that wait for fragments.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Bytes held for them, never more than [`Limits::bytes`].
    pub fn memory(&self) -> usize {
        self.budget.used()
    }

    /// Adds a fragment. When that makes a datagram whole, `payload` becomes its payload.
    pub fn insert(&mut self, piece: &Piece<'_>, now: Timestamp, payload: &mut Vec<u8>) -> Option<Joined> {
        self.counters.fragments += 1;
        self.expire(now);
        let bytes = self.usable(piece)?;
        let place = self.place(piece, now)?;
        if !self.keep(place, piece, bytes) {
            return None;
        }
        let whole = self.waiting.get(&place).is_some_and(Datagram::is_whole);
        if !whole {
            return None;
        }
        let datagram = self.remove(place)?;
        self.counters.completed += 1;
        self.remember(datagram.key, now);
        Some(datagram.join(payload))
    }

    /// The bytes of a fragment that can be part of a datagram, or `None` and a count.
    fn usable<'a>(&mut self, piece: &Piece<'a>) -> Option<&'a [u8]> {
        let is_v6 = piece.key.protocol.is_none();
        let odd = !piece.length.is_multiple_of(8) && piece.more;
        let mut bytes = piece.bytes;
        if bytes.len() < piece.length as usize {
            self.counters.snapped += 1;
            return None;
        }
        if odd && is_v6 || piece.more && piece.length < 8 {
            self.counters.tiny += 1;
            return None;
        }
        if odd {
            // IPv4 counts offsets in eights, so the bytes beyond belong to the next fragment (Linux does the same).
            bytes = bytes.get(..bytes.len() & !7).unwrap_or_default();
        }
        if u64::from(piece.offset) + bytes.len() as u64 > LONGEST {
            self.counters.too_large += 1;
            return None;
        }
        Some(bytes)
    }

    /// The place of the fragment's datagram, which it begins if need be.
    fn place(&mut self, piece: &Piece<'_>, now: Timestamp) -> Option<u64> {
        if let Some(place) = self.places.get(&piece.key) {
            return Some(*place);
        }
        let is_near = |then: Timestamp| now.nanos_since(then).unsigned_abs() <= REMEMBERED_FOR.as_nanos() as u64;
        if self.completed.iter().any(|(key, then)| *key == piece.key && is_near(*then)) {
            self.counters.duplicates += 1;
            return None;
        }
        if self.waiting.len() >= self.limits.datagrams {
            self.evict();
        }
        let place = self.begun;
        self.begun += 1;
        self.counters.datagrams += 1;
        self.places.insert(piece.key, place);
        self.waiting.insert(place, Datagram::new(piece.key, now, self.budget.clone()));
        Some(place)
    }

    /// Puts the bytes into the datagram at `place`, at the cost of older ones where there is no room; says whether
    /// anything was new.
    fn keep(&mut self, place: u64, piece: &Piece<'_>, bytes: &[u8]) -> bool {
        loop {
            let Some(datagram) = self.waiting.get_mut(&place) else { return false };
            if !datagram.fits(piece, bytes) {
                self.counters.inconsistent += 1;
                return false;
            }
            match datagram.add(piece, bytes, self.limits.runs) {
                Ok(Added::Nothing) => {
                    self.counters.duplicates += 1;
                    return false;
                }
                Ok(Added::Some { overlap }) => {
                    self.counters.overlaps += u64::from(overlap);
                    return true;
                }
                Err(Full::Budget) if self.waiting.first_key_value().is_some_and(|(oldest, _)| *oldest != place) => {
                    self.evict();
                }
                Err(Full::Budget) if self.waiting.len() > 1 => self.evict_second(),
                Err(_) => {
                    self.counters.overflowed += 1;
                    self.remove(place);
                    return false;
                }
            }
        }
    }

    /// Drops what has waited too long. The oldest are in front; a clock that was set back shows in a `since` that
    /// lies further ahead than anything waits, and that counts as too long too.
    fn expire(&mut self, now: Timestamp) {
        let timeout = self.limits.timeout.as_nanos() as u64;
        while let Some((place, datagram)) = self.waiting.first_key_value()
            && now.nanos_since(datagram.since).unsigned_abs() > timeout
        {
            let place = *place;
            self.counters.timed_out += 1;
            self.remove(place);
        }
    }

    fn evict(&mut self) {
        if let Some((place, _)) = self.waiting.first_key_value() {
            let place = *place;
            self.counters.evicted += 1;
            self.remove(place);
        }
    }

    /// The oldest datagram itself needs room: the next one makes it.
    fn evict_second(&mut self) {
        if let Some(place) = self.waiting.keys().nth(1).copied() {
            self.counters.evicted += 1;
            self.remove(place);
        }
    }

    fn remove(&mut self, place: u64) -> Option<Datagram> {
        let datagram = self.waiting.remove(&place)?;
        self.places.remove(&datagram.key);
        Some(datagram)
    }

    fn remember(&mut self, key: Key, now: Timestamp) {
        if self.completed.len() >= REMEMBERED {
            self.completed.pop_front();
        }
        self.completed.push_back((key, now));
    }
}

enum Added {
    Nothing,
    Some { overlap: bool },
}

impl Datagram {
    fn new(key: Key, since: Timestamp, budget: Budget) -> Self {
        Self { key, since, pieces: Pieces::new(budget), held: 0, end: None, protocol: None, fragments: 0 }
    }

    /// Whether a fragment agrees with the others about where the datagram ends.
    fn fits(&self, piece: &Piece<'_>, bytes: &[u8]) -> bool {
        let end = u64::from(piece.offset) + bytes.len() as u64;
        let reached = self.pieces.runs().last().map_or(0, |run| run.end());
        match self.end {
            Some(known) if piece.more => end <= known,
            Some(known) => end == known,
            None => piece.more || end >= reached,
        }
    }

    fn add(&mut self, piece: &Piece<'_>, bytes: &[u8], most_runs: usize) -> Result<Added, Full> {
        let new = self.pieces.insert(u64::from(piece.offset), bytes, most_runs)?;
        // A last fragment may be empty and still say where the end is.
        let ends = !piece.more && self.end.is_none();
        if new == 0 && !ends {
            return Ok(Added::Nothing);
        }
        if ends {
            self.end = Some(u64::from(piece.offset) + bytes.len() as u64);
        }
        if piece.offset == 0 && self.protocol.is_none() {
            self.protocol = Some(piece.protocol);
        }
        self.held += new as u64;
        self.fragments += 1;
        Ok(Added::Some { overlap: new < bytes.len() })
    }

    fn is_whole(&self) -> bool {
        self.end == Some(self.held)
    }

    fn join(mut self, payload: &mut Vec<u8>) -> Joined {
        payload.clear();
        while let Some(mut run) = self.pieces.pop() {
            if payload.is_empty() {
                // Fragments mostly come in order, and then the first run is the datagram.
                std::mem::swap(payload, &mut run.bytes);
            } else {
                payload.extend_from_slice(&run.bytes);
            }
        }
        Joined { fragments: self.fragments, protocol: self.protocol.unwrap_or_default() }
    }
}

#[cfg(test)]
mod tests;
