//! Which flows are watched, for what, and where their state is kept.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use arrayvec::ArrayVec;

use super::console::Voice;
use super::early::Early;
use super::run::Run;
use super::ticks::{Sent, Ticker};
use crate::dissect::Mac;
use crate::dissect::app::{Direction, Sequence};
use crate::flow::{Flow, Protocol};
use crate::record::Subject;

/// Flows watched at most.
const MAX_SLOTS: usize = 1_024;
/// Of these, flows with a ticker or a run: with 20 kB for each, 5 MB a shard.
const MAX_FAST: usize = 256;
/// Slots that are asked for room before a fast flow has to make it.
const MAX_ASKED: usize = 256;
/// RTP sources told apart in a flow.
const MAX_SOURCES: usize = 4;

/// What the timeline keeps beside a flow.
#[derive(Clone, Copy, Debug, Default)]
pub struct Watch {
    slot: u32,
    generation: u32,
    app: Option<&'static str>,
    interest: Interest,
}

/// What a flow is watched for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Interest {
    /// Not yet decided.
    #[default]
    Unknown,
    None,
    /// Probes and ticks.
    Ticks,
    /// Sources of RTP.
    Voices,
    /// What a game's lobby is told.
    Lobby,
    /// A result at the end of a match.
    Upload,
}

impl Watch {
    pub(super) const fn ignored() -> Self {
        Self { slot: 0, generation: 0, app: None, interest: Interest::None }
    }

    pub(super) const fn upload(number: u32) -> Self {
        Self { slot: number, generation: 0, app: None, interest: Interest::Upload }
    }

    pub(super) fn interest(&self) -> Interest {
        self.interest
    }

    pub(super) fn slot(&self) -> u32 {
        self.slot
    }

    /// Whether it was decided for what this protocol is.
    pub(super) fn is_of(&self, app: Option<&'static str>) -> bool {
        self.interest != Interest::Unknown
            && match (self.app, app) {
                (None, None) => true,
                (Some(one), Some(other)) => std::ptr::eq(one, other),
                _ => false,
            }
    }

    pub(super) fn relabel(&mut self, app: Option<&'static str>, interest: Interest) {
        (self.app, self.interest) = (app, interest);
    }
}

impl Interest {
    /// What a flow that speaks `app` is watched for, and what it says of its console: whether a game is certainly up,
    /// and why.
    pub(super) fn of(
        app: Option<&'static str>,
        protocol: Protocol,
        watch: &Watch,
    ) -> (Self, Option<(bool, &'static str)>) {
        let is_udp = protocol == Protocol::UDP;
        match app {
            Some("overwatch_lobby" | "wow") => (Self::Lobby, Some((true, "a connection to the game's lobby"))),
            Some("sip") => (Self::None, Some((false, "a voice client is registered"))),
            _ if watch.interest == Self::None => (Self::None, None),
            Some("rtp" | "discord") if is_udp => (Self::Voices, None),
            // STUN and DTLS open the way for games, too; the rest are games, or what games are built on.
            None
            | Some(
                "overwatch" | "overwatch_probe" | "battlenet_probe" | "demonware" | "raknet" | "enet" | "photon"
                | "epicgames" | "pia" | "stun" | "dtls",
            ) if is_udp => (Self::Ticks, None),
            _ if watch.interest == Self::Upload => (Self::Upload, None),
            _ => (Self::None, None),
        }
    }
}

/// Who a flow's console is: the host whose flows the shard keeps together, else the pair of hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Owner {
    /// The one private address.
    Host(IpAddr),
    /// The console and its peer, where both or neither address is private.
    Pair(IpAddr, IpAddr),
}

/// The two ends of a flow, seen from the console.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sides {
    pub owner: Owner,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    /// The direction in which the console sends.
    pub up: Direction,
}

/// Ports from which on systems choose a client's port.
const EPHEMERAL: u16 = 32_768;

impl Sides {
    /// `None` where one end is a group.
    pub fn of(flow: &Flow) -> Option<Self> {
        let (source, destination) = (flow.source(), flow.destination());
        if is_group(source.ip()) || is_group(destination.ip()) {
            return None;
        }
        let (one, other) = (is_private(source.ip()), is_private(destination.ip()));
        // Where addresses do not tell, the client has the ephemeral port, or sent first.
        let client = |end: SocketAddr| end.port() >= EPHEMERAL;
        let out = match (one, other) {
            (true, false) => true,
            (false, true) => false,
            _ => client(source) || !client(destination),
        };
        let (local, remote) = if out { (source, destination) } else { (destination, source) };
        let owner = if one == other { Owner::Pair(local.ip(), remote.ip()) } else { Owner::Host(local.ip()) };
        Some(Self { owner, local, remote, up: if out { Direction::Out } else { Direction::In } })
    }

    /// The console's MAC.
    pub fn device(&self, flow: &Flow) -> Option<Mac> {
        let (source, destination) = flow.macs?;
        let mac = if self.up == Direction::Out { source } else { destination };
        Some(mac).filter(|mac| !mac.is_group() && *mac != Mac::default())
    }
}

/// As [`capture_common::steer`] has it: it keeps the flows of such a host in one shard.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || (v4.octets()[0] == 100 && v4.octets()[1] & 0xc0 == 64),
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

fn is_group(address: IpAddr) -> bool {
    let nobody = address == IpAddr::V4(Ipv4Addr::UNSPECIFIED) || address == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    nobody || broadcast || address.is_multicast()
}

/// How closely a flow is watched.
#[derive(Debug)]
pub(super) enum Stage {
    Early(Box<Early>),
    /// Since when its packets follow one another, and its ticks.
    Ticker(i64, Box<Ticker>),
    /// A match, and when it was joined.
    Run(Box<Run>, i64),
    Voices(Box<Voices>),
}

impl Stage {
    fn is_fast(&self) -> bool {
        matches!(self, Self::Ticker(..) | Self::Run(..))
    }
}

/// One watched flow.
#[derive(Debug)]
pub(super) struct Slot {
    generation: u32,
    pub sides: Sides,
    pub app: Option<&'static str>,
    pub subject: Subject,
    pub stage: Stage,
}

/// The watched flows.
#[derive(Debug, Default)]
pub(super) struct Slots {
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    generation: u32,
    /// Where the next flow to make room is looked for.
    hand: usize,
    /// Flows with a ticker or a run.
    fast: usize,
}

impl Slots {
    pub fn get_mut(&mut self, index: u32) -> Option<&mut Slot> {
        self.slots.get_mut(index as usize)?.as_mut()
    }

    /// The slot of a flow, unless another has taken its place.
    pub fn find(&mut self, watch: &Watch) -> Option<&mut Slot> {
        if !matches!(watch.interest, Interest::Ticks | Interest::Voices) {
            return None;
        }
        self.get_mut(watch.slot).filter(|slot| slot.generation == watch.generation)
    }

    pub fn run(&self, index: u32) -> Option<&Run> {
        match &self.slots.get(index as usize)?.as_ref()?.stage {
            Stage::Run(run, _) => Some(run),
            _ => None,
        }
    }

    pub fn insert(&mut self, watch: &mut Watch, sides: Sides, stage: Stage) {
        let Some(index) = self.vacant() else { return };
        self.generation = self.generation.wrapping_add(1).max(1);
        (watch.slot, watch.generation) = (index, self.generation);
        let slot = Slot { generation: self.generation, sides, app: watch.app, subject: Subject::default(), stage };
        if let Some(place) = self.slots.get_mut(index as usize) {
            let before = place.replace(slot);
            self.fast -= usize::from(before.is_some_and(|slot| slot.stage.is_fast()));
        }
    }

    /// A free place. Where there is none a slow flow makes room, else a fast one, but none that carries a match.
    fn vacant(&mut self) -> Option<u32> {
        if let Some(index) = self.free.pop() {
            return Some(index);
        }
        if self.slots.len() < MAX_SLOTS {
            self.slots.push(None);
            return u32::try_from(self.slots.len() - 1).ok();
        }
        for asked in 0..self.slots.len() {
            self.hand = (self.hand + 1) % self.slots.len();
            let gives_way = self.slots[self.hand].as_ref().is_none_or(|slot| match slot.stage {
                Stage::Early(_) | Stage::Voices(_) => true,
                Stage::Ticker(..) => asked >= MAX_ASKED,
                Stage::Run(..) => false,
            });
            if gives_way {
                return u32::try_from(self.hand).ok();
            }
        }
        None
    }

    /// Watches a flow more or less closely from now on; how it was watched before.
    pub fn restage(&mut self, index: u32, stage: Stage) -> Option<Stage> {
        let becomes_fast = stage.is_fast();
        let before = std::mem::replace(&mut self.get_mut(index)?.stage, stage);
        self.fast = self.fast + usize::from(becomes_fast) - usize::from(before.is_fast());
        Some(before)
    }

    /// Gives a flow that is fast a ticker, unless too many have one: then it is asked again some packets later.
    pub fn promote(&mut self, index: u32, now: i64) {
        let full = self.fast >= MAX_FAST;
        let Some(Stage::Early(early)) = self.get_mut(index).map(|slot| &slot.stage) else { return };
        let since = early.since;
        let stage = match full {
            true => Stage::Early(Early::resumed(since, now)),
            false => Stage::Ticker(since, early.ticker()),
        };
        self.restage(index, stage);
    }

    pub fn remove(&mut self, index: u32) -> Option<Slot> {
        let slot = self.slots.get_mut(index as usize)?.take()?;
        self.fast -= usize::from(slot.stage.is_fast());
        self.free.push(index);
        Some(slot)
    }

    /// Sources heard in the flows of a console that go on.
    pub fn voices(&self, owner: Owner) -> impl Iterator<Item = &Voice> {
        let flows = self.slots.iter().flatten().filter(move |slot| slot.sides.owner == owner);
        flows.flat_map(|slot| match &slot.stage {
            Stage::Voices(voices) => voices.sources.iter(),
            _ => [].iter(),
        })
    }
}

/// The RTP sources of a flow.
#[derive(Debug, Default)]
pub(super) struct Voices {
    sources: ArrayVec<Voice, MAX_SOURCES>,
}

impl Voices {
    /// Takes a packet, which may be RTP (RFC 3550, section 5.1).
    pub fn push(&mut self, payload: &[u8], sent: &Sent) {
        let Some(([version, kind, high, low, _, _, _, _, a, b, c, d], _)) = payload.split_first_chunk::<12>() else {
            return;
        };
        // RTCP shares the flow where both sides agreed (RFC 5761, section 4).
        if version >> 6 != 2 || (192..=223).contains(kind) {
            return;
        }
        let (ssrc, number) = (u32::from_be_bytes([*a, *b, *c, *d]), u16::from_be_bytes([*high, *low]));
        let Sent { time, up, .. } = *sent;
        if let Some(voice) = self.sources.iter_mut().find(|voice| voice.ssrc == ssrc && voice.up == up) {
            voice.last = voice.last.max(time);
            voice.sequence.place(number);
        } else {
            let sequence = Sequence::new(number);
            let _ = self.sources.try_push(Voice { ssrc, up, first: time, last: time, sequence });
        }
    }

    pub fn heard(self) -> impl Iterator<Item = Voice> {
        self.sources.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_hosts_are_those_that_the_shards_keep_together() {
        for (text, private) in [("192.168.1.1", true), ("100.64.0.1", true), ("100.128.0.1", false), ("fd00::1", true)]
        {
            assert_eq!(is_private(text.parse().expect("an address")), private, "{text}");
        }
        assert!(is_group("255.255.255.255".parse().expect("an address")));
        assert!(is_group("ff02::fb".parse().expect("an address")));
        assert!(!is_group("203.0.113.9".parse().expect("an address")));
    }

    #[test]
    fn sources_are_told_apart_and_control_packets_are_none() {
        let mut voices = Voices::default();
        let sent = |time| Sent { time, up: true, bytes: 42, payload: 14 };
        let packet = |kind: u8, ssrc: u8| [0x80, kind, 0, 1, 0, 0, 0, 0, 0, 0, 0, ssrc, 9, 9];
        for (time, payload) in
            [packet(115, 7), packet(200, 8), packet(0x80 | 115, 7), packet(115, 9)].iter().enumerate()
        {
            voices.push(payload, &sent(time as i64));
        }
        voices.push(&[0x80, 115, 0], &sent(5));
        let heard: Vec<_> = voices.heard().map(|voice| (voice.ssrc, voice.first, voice.last)).collect();
        assert_eq!(heard, [(7, 0, 2), (9, 3, 3)]);
    }

    #[test]
    fn a_slow_flow_makes_room_and_a_match_does_not() {
        let end = |port| SocketAddr::from(([192, 168, 1, 40], port));
        let sides = Sides { owner: Owner::Host(end(0).ip()), local: end(1), remote: end(2), up: Direction::Out };
        let mut slots = Slots::default();
        let watched = |slots: &mut Slots| {
            let mut watch = Watch { interest: Interest::Ticks, ..Watch::default() };
            slots.insert(&mut watch, sides, Stage::Early(Box::default()));
            watch
        };
        let first = watched(&mut slots);
        let others: Vec<_> = (1..MAX_SLOTS + 10).map(|_| watched(&mut slots)).collect();
        assert_eq!(slots.slots.len(), MAX_SLOTS);
        let lost = others.iter().filter(|watch| slots.find(watch).is_none()).count();
        assert_eq!(lost + usize::from(slots.find(&first).is_none()), 10);
        for watch in others.iter().rev().take(MAX_FAST + 5) {
            slots.promote(watch.slot(), 0);
        }
        let fast = |slots: &Slots| slots.slots.iter().flatten().filter(|slot| slot.stage.is_fast()).count();
        assert_eq!((fast(&slots), slots.fast), (MAX_FAST, MAX_FAST));
        // Slow flows make room first, then fast ones.
        for _ in 0..2 * MAX_SLOTS {
            watched(&mut slots);
        }
        assert_eq!(fast(&slots), slots.fast);
        (0..MAX_SLOTS as u32).for_each(|index| drop(slots.remove(index)));
        assert_eq!(slots.fast, 0);
    }
}
