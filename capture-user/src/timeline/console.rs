//! What is known of one console: what it searched, joined, played and sent.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arrayvec::ArrayVec;

use super::early::{MAX_TRIPS, median_ms};
use super::facts::ProbeFacts;
use super::run::Run;
use crate::dissect::Mac;
use crate::dissect::app::Sequence;
use crate::record::Subject;

/// Nanoseconds in a second.
pub(super) const SECOND: i64 = 1_000_000_000;
/// After the end of a match, results, media and signalling of it are waited for so long.
pub(super) const SETTLE: i64 = 20 * SECOND;
/// Probes to two addresses within this time are a search.
const TOGETHER: i64 = 3 * SECOND;
/// A search that found nothing for so long is over.
pub(super) const SEARCH_MEMORY: i64 = 15 * 60 * SECOND;
/// A search may begin so long before a match ends and still be for the next.
const OVERLAP: i64 = 60 * SECOND;
/// The other flow must have gone on for so long after the beginning of this one for both to be one match.
const SHARED: i64 = 3 * SECOND / 2;
/// What the lobby is told so long before the first probe belongs to the search.
const LOBBY_LEAD: i64 = 3 * SECOND / 2;

const MAX_PROBES: usize = 32;
const MAX_LEGS: usize = 16;
const MAX_CLOSED: usize = 4;
const MAX_VOICES: usize = 16;
const MAX_UPLOADS: usize = 16;
const MAX_NOTES: usize = 8;

/// One console.
#[derive(Debug, Default)]
pub(super) struct Console {
    /// The MAC that it was first seen with.
    pub device: Option<Mac>,
    /// When its first packet was seen.
    pub first: i64,
    /// Its latest packet, as far as flows that began or ended tell.
    pub last: i64,
    /// Whether its first connection had begun before the capture.
    pub begun_before: bool,
    pub online: Option<Online>,
    pub search: Option<Search>,
    probes: Vec<Probe>,
    pub current: Option<Current>,
    pub closed: Vec<Match>,
    /// When the last match and what followed it were over.
    pub free: Option<i64>,
    pub voices: Vec<Voice>,
    uploads: Vec<Upload>,
    next_upload: u32,
    signalling: Notes,
    told_lobby: Notes,
}

/// Evidence that a game is up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Online {
    pub start: i64,
    /// Whether it is certain without a search or a match to follow.
    pub certain: bool,
    pub why: &'static str,
}

/// A search.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    pub start: i64,
    pub last: i64,
}

/// A server that is being probed.
#[derive(Debug)]
struct Probe {
    local: u16,
    remote: SocketAddr,
    first: i64,
    trips: ArrayVec<i64, MAX_TRIPS>,
}

/// A source of RTP.
#[derive(Clone, Debug)]
pub(super) struct Voice {
    pub ssrc: u32,
    /// Whether the console is the source.
    pub up: bool,
    pub first: i64,
    pub last: i64,
    pub sequence: Sequence,
}

/// A connection that may carry a result.
#[derive(Clone, Debug)]
pub(super) struct Upload {
    pub number: u32,
    pub start: i64,
    pub last: i64,
    /// Bytes of IP up and down.
    pub bytes: [u64; 2],
    pub host: Option<Arc<str>>,
    pub server: IpAddr,
}

/// The times of the latest few events of a kind.
#[derive(Debug, Default)]
struct Notes {
    times: [i64; MAX_NOTES],
    next: usize,
}

impl Notes {
    fn push(&mut self, time: i64) {
        self.times[self.next % MAX_NOTES] = time;
        self.next += 1;
    }

    fn within(&self, from: i64, to: i64) -> impl Iterator<Item = i64> {
        let known = self.next.min(MAX_NOTES);
        self.times[..known].iter().copied().filter(move |time| (from..=to).contains(time))
    }
}

/// A match that runs.
#[derive(Debug)]
pub(super) struct Current {
    pub start: i64,
    pub joined: i64,
    pub search: Option<Search>,
    pub probed: Vec<ProbeFacts>,
    /// Slots of flows that still carry it.
    pub live: Vec<u32>,
    pub legs: Vec<Leg>,
}

/// A flow that carried a match.
#[derive(Debug)]
pub(super) struct Leg {
    pub run: Box<Run>,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub app: Option<&'static str>,
    pub subject: Subject,
}

/// A match that is over.
#[derive(Debug)]
pub(super) struct Match {
    pub start: i64,
    pub end: i64,
    pub search: Option<Search>,
    pub probed: Vec<ProbeFacts>,
    pub legs: Vec<Leg>,
}

impl Console {
    pub fn new(first: i64) -> Self {
        Self { first, last: first, ..Self::default() }
    }

    /// The game is up; the earliest evidence counts.
    pub fn online(&mut self, online: Online) {
        let known = self.online.get_or_insert(online);
        if online.start < known.start {
            (known.start, known.why) = (online.start, online.why);
        }
        known.certain |= online.certain;
    }

    /// A probe was answered. Two servers probed together are a search.
    pub fn probed(&mut self, local: u16, remote: SocketAddr, first: i64, trip: i64, now: i64) {
        let known = self.probes.iter().position(|probe| (probe.local, probe.remote) == (local, remote));
        let place = known.unwrap_or_else(|| {
            if self.probes.len() >= MAX_PROBES {
                self.probes.remove(0);
            }
            self.probes.push(Probe { local, remote, first, trips: ArrayVec::new() });
            self.probes.len() - 1
        });
        let probe = &mut self.probes[place];
        let _ = probe.trips.try_push(trip);
        if probe.trips.len() < 2 {
            return;
        }
        let together = self.probes.iter().filter(|other| {
            other.remote.ip() != remote.ip() && (other.first - first).abs() <= TOGETHER && other.trips.len() >= 2
        });
        if let Some(earliest) = together.map(|other| other.first.min(first)).min() {
            self.searching(earliest, now);
        }
    }

    fn searching(&mut self, first: i64, now: i64) {
        let lobby: ArrayVec<i64, MAX_NOTES> = self.told_lobby.within(first - LOBBY_LEAD, first).collect();
        let start = if lobby.len() >= 2 { lobby.iter().copied().min().unwrap_or(first) } else { first };
        match &mut self.search {
            Some(search) if now - search.last <= SEARCH_MEMORY => search.last = now,
            search => *search = Some(Search { start, last: now }),
        }
    }

    /// The console told the lobby something.
    pub fn told_lobby(&mut self, time: i64) {
        self.told_lobby.push(time);
    }

    /// A call is being set up or ended.
    pub fn signalled(&mut self, time: i64) {
        self.signalling.push(time);
    }

    /// Times of signalling within a span.
    pub fn signalling(&self, from: i64, to: i64) -> impl Iterator<Item = i64> {
        self.signalling.within(from, to)
    }

    /// Whether a match may want to know of a new connection.
    pub fn awaits_result(&self) -> bool {
        self.current.is_some() || !self.closed.is_empty()
    }

    /// A connection began; the number it goes by.
    pub fn upload(&mut self, start: i64, server: IpAddr) -> u32 {
        if self.uploads.len() >= MAX_UPLOADS {
            self.uploads.remove(0);
        }
        self.next_upload = self.next_upload.wrapping_add(1);
        let number = self.next_upload;
        self.uploads.push(Upload { number, start, last: start, bytes: [0; 2], host: None, server });
        number
    }

    pub fn upload_mut(&mut self, number: u32) -> Option<&mut Upload> {
        self.uploads.iter_mut().find(|upload| upload.number == number)
    }

    /// The first connection begun around the end of a match that carried more up than down.
    pub fn result(&self, end: i64) -> Option<&Upload> {
        let around = end - 3 * SECOND..=end + 8 * SECOND;
        self.uploads.iter().find(|upload| around.contains(&upload.start) && upload.bytes[0] > upload.bytes[1])
    }

    /// Whether a flow that began to tick at `start` belongs to the match that runs, given when that match's flows
    /// last ticked.
    pub fn is_shared(&self, start: i64, live_end: Option<i64>) -> bool {
        self.current.as_ref().is_some_and(|current| current.live.len() + current.legs.len() < MAX_LEGS)
            && live_end.is_some_and(|end| end > start + SHARED)
    }

    /// A match begins: the search so far led to it.
    pub fn begin(&mut self, start: i64, joined: i64, slot: u32) -> &Current {
        let search = self.search.filter(|search| search.start <= start && start - search.last <= SEARCH_MEMORY);
        let joined = search.map_or(joined, |search| joined.max(search.start));
        let mut probed = Vec::new();
        if let Some(search) = search {
            self.search = None;
            probed = self.take_probes(search.start - LOBBY_LEAD, start);
        }
        self.current.insert(Current { start, joined, search, probed, live: vec![slot], legs: Vec::new() })
    }

    /// The probes of a span, an address once.
    fn take_probes(&mut self, from: i64, to: i64) -> Vec<ProbeFacts> {
        let mut found: Vec<(IpAddr, ArrayVec<i64, MAX_TRIPS>)> = Vec::new();
        self.probes.retain(|probe| {
            if !(from..=to).contains(&probe.first) || probe.trips.len() < 2 {
                return true;
            }
            let ip = probe.remote.ip();
            match found.iter_mut().find(|(known, _)| *known == ip) {
                Some((_, trips)) => trips.extend(probe.trips.iter().copied().take(trips.remaining_capacity())),
                None => found.push((ip, probe.trips.clone())),
            }
            false
        });
        found.sort_unstable_by_key(|(ip, _)| *ip);
        found.iter().map(|(ip, trips)| ProbeFacts { ip: *ip, rtt_ms: median_ms(trips) }).collect()
    }

    /// The match that runs is over, now that no flow carries it. Whether there is one more to tell of.
    pub fn close(&mut self) -> Option<i64> {
        let mut current = self.current.take()?;
        if !is_match(&current.legs) {
            return None;
        }
        current.legs.sort_by_key(|leg| (std::cmp::Reverse(leg.run.length()), leg.remote));
        let start = current.legs.iter().map(|leg| leg.run.start).min()?;
        let end = current.legs.iter().map(|leg| leg.run.end()).max()?;
        if self.search.is_some_and(|search| search.start < end - OVERLAP) {
            self.search = None;
        }
        if self.closed.len() >= MAX_CLOSED {
            self.closed.remove(0);
        }
        let Current { search, probed, legs, .. } = current;
        self.closed.push(Match { start, end, search, probed, legs });
        Some(end + SETTLE)
    }

    /// Notes a source of media.
    pub fn heard(&mut self, voice: Voice) {
        if self.voices.len() >= MAX_VOICES {
            self.voices.remove(0);
        }
        self.voices.push(voice);
    }
}

/// Pia carries a Nintendo game's lobby, chat and synchronisation alike, tick and all: with one peer it says nothing of
/// a match.
fn is_match(legs: &[Leg]) -> bool {
    !legs.is_empty() && (legs.len() > 1 || legs.iter().any(|leg| leg.app != Some("pia")))
}
