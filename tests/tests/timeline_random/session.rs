//! One random session: consoles that search, join and play, and what else is on the wire.

use std::net::{IpAddr, SocketAddrV4};

use tests::talk::end;

use super::chance::Chance;
use super::noise;

/// Nanoseconds from the beginning of the session.
pub type Nanos = i64;

pub const SECOND: f64 = 1e9;
/// A match of which no more than this was captured cannot be asked for.
const SCRAP: Nanos = 8_000_000_000;

/// A packet of a flow.
#[derive(Clone, Copy)]
pub struct Packet {
    pub at: Nanos,
    pub flow: usize,
    pub up: bool,
    /// Bytes of payload.
    pub size: u16,
    /// What the payload begins with.
    pub head: [u8; 12],
    pub head_length: usize,
}

pub struct Flow {
    pub local: SocketAddrV4,
    pub remote: SocketAddrV4,
}

/// What was true of a match.
#[derive(Debug)]
pub struct Truth {
    pub console: IpAddr,
    pub start: Nanos,
    pub end: Nanos,
    /// Up, down.
    pub hz: [f64; 2],
    pub search: Option<Nanos>,
    /// Start, length, direction.
    pub stall: Option<(Nanos, Nanos, &'static str)>,
    pub voice: Option<u32>,
}

#[derive(Default)]
pub struct Session {
    pub flows: Vec<Flow>,
    pub packets: Vec<Packet>,
    pub truth: Vec<Truth>,
    /// Matches of which so little was captured that it is right to tell of them, and no mistake not to.
    pub scraps: Vec<Truth>,
}

/// One direction's ticks.
struct Ticks {
    hz: f64,
    /// Deviation of a packet from its beat, in seconds.
    jitter: f64,
    loss: f64,
    size: f64,
    spread: f64,
    /// Share of ticks that need a second packet.
    double: f64,
    stall: Option<(f64, f64)>,
}

impl Session {
    pub fn draw(chance: &mut Chance) -> Self {
        let mut session = Self::default();
        let consoles = chance.one(&[1, 1, 1, 1, 1, 1, 2, 2, 3, 4]);
        let mut length: f64 = 0.0;
        for number in 0..consoles {
            let end = session.console(chance, 0xc0a8_010a + number as u32);
            length = length.max(end);
        }
        for number in 0..chance.whole(0, 3) {
            noise::computer(&mut session, chance, 0xc0a8_0164 + number as u32, length);
        }
        session.packets.sort_by_key(|packet| (packet.at, packet.flow));
        session.cut(chance, (length * SECOND) as Nanos);
        session
    }

    pub fn flow(&mut self, local: SocketAddrV4, remote: SocketAddrV4) -> usize {
        self.flows.push(Flow { local, remote });
        self.flows.len() - 1
    }

    pub fn send(&mut self, flow: usize, seconds: f64, up: bool, size: f64) {
        self.send_with(flow, seconds, up, size, &[]);
    }

    pub fn send_with(&mut self, flow: usize, seconds: f64, up: bool, size: f64, start: &[u8]) {
        let mut head = [0; 12];
        head[..start.len()].copy_from_slice(start);
        let at = (seconds * SECOND) as Nanos;
        self.packets.push(Packet { at, flow, up, size: size as u16, head, head_length: start.len() });
    }

    /// A console's evening; when it ends, in seconds.
    fn console(&mut self, chance: &mut Chance, address: u32) -> f64 {
        let mut now = chance.between(1.0, 20.0);
        if chance.happens(0.3) {
            now = noise::party(self, chance, address, now);
        }
        for _ in 0..chance.one(&[1, 1, 1, 1, 2, 3]) {
            now = self.play(chance, address, now) + chance.between(12.0, 40.0);
        }
        if chance.happens(0.2) {
            now = noise::menu(self, chance, address, now);
        }
        now
    }

    /// A match with all that surrounds it; when it ends.
    fn play(&mut self, chance: &mut Chance, address: u32, now: f64) -> f64 {
        let search = chance.happens(0.7).then_some(now);
        if search.is_some() {
            self.probe(chance, address, now);
        }
        let joined = now + chance.between(3.0, 40.0);
        let peers = if chance.happens(0.12) { chance.whole(2, 3) } else { 1 };
        // Most matches are short, so that the test is; some last 20 minutes.
        let longest: f64 = if peers > 1 { 4.0 } else { 40.0 };
        let length = 30.0 * longest.powf(chance.unit().powi(12));
        let port = chance.whole(49_152, 65_535) as u16;
        let server_port = chance.whole(1_024, 65_535) as u16;
        let (up, down) = (ticks(chance, true), ticks(chance, false));
        let mut truth = None;
        for _ in 0..peers {
            let server = end(0xcb00_7100 | chance.whole(1, 254) as u32, server_port);
            let flow = self.flow(end(address, port), server);
            let start = self.join(chance, flow, joined);
            let from = self.packets.len();
            let lengths = if peers > 1 { length - chance.between(0.0, 2.0) } else { length };
            self.tick(chance, flow, true, start, lengths, &up);
            let answer = start + chance.between(0.0, 0.05);
            self.tick(chance, flow, false, answer, lengths, &down);
            let sent = self.packets[from..].iter().map(|packet| packet.at);
            let (first, last) = (sent.clone().min().unwrap_or(0), sent.max().unwrap_or(0));
            let truth = truth.get_or_insert(Truth {
                console: IpAddr::from(address.to_be_bytes()),
                start: first,
                end: last,
                hz: [up.hz, down.hz],
                search: search.map(|search| (search * SECOND) as Nanos),
                stall: None,
                voice: None,
            });
            (truth.start, truth.end) = (truth.start.min(first), truth.end.max(last));
            if peers == 1 {
                truth.stall = self.silence(from, &up, &down, start);
            }
            self.close(chance, flow, last as f64 / SECOND);
        }
        let Some(mut truth) = truth else { return joined };
        if chance.happens(0.5) {
            let from = truth.start as f64 / SECOND + chance.between(0.0, 5.0);
            let talk = chance.between(20.0, 50.0).min(length - 5.0);
            truth.voice = Some(noise::voice(self, chance, address, from, talk));
        }
        let over = truth.end as f64 / SECOND;
        self.truth.push(truth);
        over
    }

    /// Probes to a few servers, each answered.
    fn probe(&mut self, chance: &mut Chance, address: u32, now: f64) {
        let (port, server_port) = (chance.whole(49_152, 65_535) as u16, chance.whole(1_024, 65_535) as u16);
        let (request, reply) = (chance.between(16.0, 64.0), chance.between(16.0, 64.0));
        for number in 0..chance.whole(2, 4) {
            let server = end(0xc633_6400 | (10 + number) as u32, server_port);
            let flow = self.flow(end(address, port), server);
            let trip = chance.between(0.010, 0.120);
            let mut at = now + if number == 0 { 0.0 } else { chance.between(0.0, 0.02) };
            for _ in 0..chance.whole(5, 10) {
                self.send(flow, at, true, request);
                self.send(flow, at + trip, false, reply);
                at += chance.between(0.2, 0.4);
            }
        }
    }

    /// Requests, answers, the state of the match; when it begins.
    fn join(&mut self, chance: &mut Chance, flow: usize, mut now: f64) -> f64 {
        for _ in 0..chance.whole(0, 5) {
            self.send(flow, now, true, 34.0);
            now += chance.between(0.2, 0.4);
        }
        for _ in 0..chance.whole(0, 10) {
            self.send(flow, now, false, chance.between(200.0, 1_200.0));
            self.send(flow, now + 0.007, true, 40.0);
            now += chance.between(0.10, 0.15);
        }
        now + chance.between(0.05, 0.5)
    }

    fn tick(&mut self, chance: &mut Chance, flow: usize, up: bool, start: f64, length: f64, ticks: &Ticks) {
        let mut last = start;
        for number in 0..(length * ticks.hz) as u32 {
            let beat = start + f64::from(number) / ticks.hz;
            let silent = ticks.stall.is_some_and(|(from, until)| (start + from..start + until).contains(&beat));
            // What is late keeps its order: a queue, not another way.
            let late = ticks.jitter * chance.normal().abs().min(4.0);
            let at = (beat + late).max(last + 50e-6);
            if silent || chance.happens(ticks.loss) {
                continue;
            }
            last = at;
            self.send(flow, at, up, (ticks.size + ticks.spread * chance.normal()).clamp(20.0, 1_150.0));
            if chance.happens(ticks.double) {
                last = at + chance.between(0.0001, 0.0008);
                self.send(flow, last, up, 300.0);
            }
        }
    }

    /// The stall as it can be seen: from the packet before it to the one after it.
    fn silence(&self, from: usize, up: &Ticks, down: &Ticks, start: f64) -> Option<(Nanos, Nanos, &'static str)> {
        let (ticks, is_up) = if up.stall.is_some() { (up, true) } else { (down, false) };
        let (since, _) = ticks.stall?;
        let begun = ((start + since) * SECOND) as Nanos;
        let sent = || self.packets[from..].iter().filter(|packet| packet.up == is_up).map(|packet| packet.at);
        let (mut last, mut longest) = (None, (0, 0));
        for at in sent().filter(|at| (at - begun).abs() < 8_000_000_000) {
            if let Some(last) = last.replace(at)
                && at - last > longest.1
            {
                longest = (last, at - last);
            }
        }
        let seen = longest.1 > 500_000_000;
        seen.then_some((longest.0, longest.1, if is_up { "up" } else { "down" }))
    }

    /// What is sent after the end.
    fn close(&mut self, chance: &mut Chance, flow: usize, over: f64) {
        for number in 0..chance.whole(0, 4) {
            self.send(flow, over + 0.05 * (number + 1) as f64, true, 20.0);
        }
        if chance.happens(0.25) {
            for number in 0..chance.whole(2, 8) {
                self.send(flow, over + 1.0 + number as f64, number % 2 == 0, 24.0);
            }
        }
    }

    /// The capture begins late, or ends early.
    fn cut(&mut self, chance: &mut Chance, length: Nanos) {
        let from = if chance.happens(0.2) { (length as f64 * chance.between(0.02, 0.2)) as Nanos } else { Nanos::MIN };
        let to = if chance.happens(0.1) { (length as f64 * chance.between(0.8, 0.95)) as Nanos } else { Nanos::MAX };
        self.packets.retain(|packet| (from..to).contains(&packet.at));
        for truth in &mut self.truth {
            (truth.start, truth.end) = (truth.start.max(from), truth.end.min(to));
            truth.search = truth.search.filter(|search| *search > from);
            truth.stall = truth.stall.filter(|(start, length, _)| *start > from && start + length < to);
            // Of what is cut this short, not even the voice need be heard.
            truth.voice = truth.voice.filter(|_| from == Nanos::MIN && to == Nanos::MAX);
        }
        let (whole, scraps) =
            std::mem::take(&mut self.truth).into_iter().partition(|truth| truth.end - truth.start > SCRAP);
        (self.truth, self.scraps) = (whole, scraps);
    }
}

/// What a side of a match sends.
fn ticks(chance: &mut Chance, up: bool) -> Ticks {
    let usual = [15.0, 20.0, 20.8, 30.0, 40.0, 60.0, 62.5, 64.0, 100.0, 120.0, 128.0];
    let hz = if chance.happens(0.5) { chance.one(&usual) } else { chance.between(15.0, 128.0) };
    // A console keeps its beat; what comes from afar has queued.
    let jitter = if up { chance.between(0.0, 0.08) / hz } else { chance.between(0.0, 0.004).min(0.35 / hz) };
    let size = if up { chance.between(40.0, 250.0) } else { chance.between(60.0, 600.0) };
    let stall = chance.happens(0.1).then(|| {
        let from = chance.between(10.0, 15.0);
        (from, from + chance.between(0.6, 5.0))
    });
    let spread = size * chance.between(0.05, 0.4);
    let double = if chance.happens(0.15) { chance.between(0.05, 0.5) } else { 0.0 };
    Ticks { hz, jitter, loss: chance.between(0.0, 0.05), size, spread, double, stall }
}
