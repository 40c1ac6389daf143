//! What each console is doing: searching, joining, playing, and one `match` record per match.
//!
//! A match is recognised by how it behaves, on any port: a UDP flow on which at least one side sends at a steady tick
//! of 10 to 128 Hz for seconds while the other side answers, with packets too small for pictures and downloads, and
//! not as people who talk do. `docs/timeline.md` gives the thresholds and their reasons.
//!
//! A flow is watched in stages that cost more as it looks more like a match: its first packets (`early`), its latest
//! ticks once it is fast (`ticks`), a full account while it carries a match (`run`). All decisions follow from the
//! packets' own times, never from when they are looked at, so one worker or eight say the same.

mod console;
mod consoles;
mod early;
mod facts;
mod gaps;
mod run;
mod tell;
mod ticks;
mod watch;

use std::net::IpAddr;
use std::sync::Arc;

pub use facts::{MatchFacts, PeerFacts, Phase, PhaseFacts, ProbeFacts, StallFacts, VoiceFacts, WayFacts};
pub use watch::Watch;

use crate::dissect::Load;
use crate::dissect::app::Direction;
use crate::flow::{Flow, Protocol};
use crate::knowledge::Knowledge;
use crate::record::{Record, Subject};
use crate::time::Timestamp;
use console::{Leg, Online, SECOND, SETTLE, Voice};
use consoles::Consoles;
use early::{Early, Shown};
use gaps::Gaps;
use run::{Run, Verdict};
use tell::Teller;
use ticks::{Look, Sent, Steady};
use watch::{Interest, Owner, Sides, Slot, Slots, Stage};

/// The kinds of records that tell what consoles do.
pub const HEARD: &[&str] = &["sip"];

/// A connection that has received so much carries no result.
const NO_RESULT: u64 = 1 << 20;
/// How often runs that may be over are looked for.
const SWEEP: i64 = 1_000_000_000;

/// All consoles of a shard.
#[derive(Debug)]
pub struct Timeline {
    consoles: Consoles,
    slots: Slots,
    /// Slots of flows that carry a match.
    running: Vec<u32>,
    /// When the next match can be told of.
    due: i64,
    swept: i64,
    scratch: Gaps,
    knowledge: Arc<Knowledge>,
}

impl Timeline {
    /// Knows whose the servers are by this knowledge.
    pub fn new(knowledge: Arc<Knowledge>) -> Self {
        Self {
            consoles: Consoles::default(),
            slots: Slots::default(),
            running: Vec::new(),
            due: i64::MAX,
            swept: i64::MIN,
            scratch: Gaps::default(),
            knowledge,
        }
    }

    /// Knows whose the servers are by this knowledge from now on.
    pub fn set_knowledge(&mut self, knowledge: Arc<Knowledge>) {
        self.knowledge = knowledge;
    }

    /// A flow has begun, with its first packet.
    pub fn opened(&mut self, flow: &mut Flow, time: Timestamp) {
        let Some(sides) = Sides::of(flow) else {
            flow.watch = Watch::ignored();
            return;
        };
        let now = nanos(time);
        let console = self.consoles.known(sides.owner, now);
        console.last = now;
        console.device = console.device.or_else(|| sides.device(flow));
        if flow.protocol() != Protocol::TCP {
            return;
        }
        let syn = flow.tcp_flags().is_some_and(|[out, back]| out.syn() || back.syn());
        console.begun_before |= !syn && now - console.first < SECOND;
        if console.awaits_result() {
            flow.watch = Watch::upload(console.upload(now, sides.remote.ip()));
        }
    }

    /// A datagram of a flow, after its payload was read.
    pub fn packet(
        &mut self,
        flow: &mut Flow,
        direction: Direction,
        load: &Load<'_>,
        time: Timestamp,
        records: &mut Vec<Record>,
    ) {
        let app = flow.application.label.app;
        if !flow.watch.is_of(app) {
            self.relabel(flow, app);
        }
        let interest = flow.watch.interest();
        if interest == Interest::None {
            return;
        }
        if self.slots.find(&flow.watch).is_none() {
            self.enlist(flow, interest);
        }
        let Some(slot) = self.slots.find(&flow.watch) else { return };
        let up = direction == slot.sides.up;
        let sent = Sent { time: nanos(time), up, bytes: load.bytes, payload: load.payload_length };
        match &mut slot.stage {
            Stage::Early(early) => match early.push(&sent) {
                Shown::Nothing => {}
                Shown::Answer(trip) => {
                    let (sides, first) = (slot.sides, early.since);
                    let console = self.consoles.known(sides.owner, first);
                    console.probed(sides.local.port(), sides.remote, first, trip, sent.time);
                }
                Shown::Fast => self.slots.promote(flow.watch.slot(), sent.time),
            },
            Stage::Ticker(since, ticker) => {
                if !ticker.push(&sent) {
                    return;
                }
                let since = *since;
                match ticker.look(sent.time, &mut self.scratch) {
                    Look::Slow => {
                        self.slots.restage(flow.watch.slot(), Stage::Early(Early::resumed(since, sent.time)));
                    }
                    Look::Maybe => {}
                    Look::Match(steady) => {
                        let run = Box::new(Run::new(&steady, ticker));
                        self.begin(flow, &steady, since, run, records);
                    }
                }
            }
            Stage::Run(run, _) => {
                if run.is_over(sent.time) {
                    self.stop(flow.watch.slot());
                    return self.packet(flow, direction, load, time, records);
                }
                match run.push(&sent) {
                    Verdict::GoesOn => {}
                    Verdict::Believed => self.join(flow.watch.slot(), records),
                    Verdict::Call => {
                        self.slots.restage(flow.watch.slot(), Stage::Early(Box::default()));
                    }
                }
            }
            Stage::Voices(voices) => voices.push(load.payload, &sent),
        }
    }

    /// A segment of a stream, after its payload was read.
    pub fn segment(&mut self, flow: &mut Flow, direction: Direction, load: &Load<'_>, time: Timestamp) {
        let app = flow.application.label.app;
        if !flow.watch.is_of(app) {
            self.relabel(flow, app);
        }
        match flow.watch.interest() {
            Interest::Lobby if load.payload_length > 0 => {
                let Some(sides) = Sides::of(flow).filter(|sides| sides.up == direction) else { return };
                self.consoles.known(sides.owner, nanos(time)).told_lobby(nanos(time));
            }
            Interest::Upload => self.count_upload(flow, time),
            _ => {}
        }
    }

    fn count_upload(&mut self, flow: &mut Flow, time: Timestamp) {
        let Some(sides) = Sides::of(flow) else { return };
        let [up, down] = [sides.up, sides.up.reversed()].map(|way| flow.traffic[way.index()].bytes);
        let upload = self.consoles.get_mut(&sides.owner).and_then(|console| console.upload_mut(flow.watch.slot()));
        let Some(upload) = upload.filter(|_| down < NO_RESULT) else {
            flow.watch = Watch::ignored();
            return;
        };
        let now = nanos(time);
        if now - upload.start > SETTLE / 2 {
            return;
        }
        upload.last = upload.last.max(now);
        upload.bytes = [up, down];
        if upload.host.is_none() {
            upload.host = flow.application.label.host.clone();
        }
    }

    /// A conversation told of something that becomes a record of this kind.
    pub fn event(&mut self, flow: &Flow, kind: &'static str, time: Timestamp) {
        if !HEARD.contains(&kind) {
            return;
        }
        if let Some(sides) = Sides::of(flow) {
            self.consoles.known(sides.owner, nanos(time)).signalled(nanos(time));
        }
    }

    /// A flow has ended.
    pub fn flow_ended(&mut self, flow: &Flow) {
        let Some(sides) = Sides::of(flow) else { return };
        if let Some(console) = self.consoles.get_mut(&sides.owner) {
            console.last = console.last.max(nanos(flow.end));
        }
        if self.slots.find(&flow.watch).is_none() {
            return;
        }
        self.stop(flow.watch.slot());
        self.release(flow.watch.slot());
    }

    /// Time has passed.
    pub fn advance(&mut self, now: Timestamp, records: &mut Vec<Record>) {
        let now = nanos(now);
        if now.saturating_sub(self.swept).unsigned_abs() >= SWEEP as u64 {
            self.swept = now;
            let mut place = 0;
            while let Some(slot) = self.running.get(place).copied() {
                match self.slots.run(slot) {
                    Some(run) if !run.is_over(now) => place += 1,
                    _ => self.stop(slot),
                }
            }
        }
        if now >= self.due {
            self.tell(now, records);
        }
    }

    /// Nothing will come any more, and every flow has ended.
    pub fn finish(&mut self, records: &mut Vec<Record>) {
        while let Some(slot) = self.running.last().copied() {
            self.stop(slot);
        }
        self.tell(i64::MAX, records);
        for (owner, console) in self.consoles.iter() {
            Teller::new(owner.ip(), console, &self.knowledge, records).rest(console);
        }
        self.consoles.clear();
    }

    /// The flow's protocol became known, or another.
    fn relabel(&mut self, flow: &mut Flow, app: Option<&'static str>) {
        let (interest, online) = Interest::of(app, flow.protocol(), &flow.watch);
        if self.slots.find(&flow.watch).is_some() && interest != flow.watch.interest() {
            self.discard(flow.watch.slot());
        }
        flow.watch.relabel(app, interest);
        if let Some((certain, why)) = online
            && let Some(sides) = Sides::of(flow)
        {
            let start = nanos(flow.start);
            self.consoles.known(sides.owner, start).online(Online { start, certain, why });
        }
    }

    fn enlist(&mut self, flow: &mut Flow, interest: Interest) {
        let Some(sides) = Sides::of(flow) else {
            flow.watch = Watch::ignored();
            return;
        };
        let stage = match interest {
            Interest::Ticks => Stage::Early(Box::default()),
            Interest::Voices => Stage::Voices(Box::default()),
            _ => return,
        };
        self.slots.insert(&mut flow.watch, sides, stage);
    }

    /// A flow ticks like a match.
    fn begin(&mut self, flow: &Flow, steady: &Steady, since: i64, run: Box<Run>, records: &mut Vec<Record>) {
        let index = flow.watch.slot();
        let Some(slot) = self.slots.get_mut(index) else { return };
        let doubtful = run.is_doubtful();
        slot.subject = Subject::flow(flow);
        self.slots.restage(index, Stage::Run(run, since.min(steady.start)));
        if !doubtful {
            self.join(index, records);
        }
    }

    /// A run is believed: it begins a match, or joins the one that runs.
    fn join(&mut self, index: u32, records: &mut Vec<Record>) {
        let Some((owner, Stage::Run(run, joined))) =
            self.slots.get_mut(index).map(|slot| (slot.sides.owner, &slot.stage))
        else {
            return;
        };
        let (start, joined) = (run.start, *joined);
        let live = self.consoles.get(&owner).and_then(|console| console.current.as_ref());
        let live = live.map(|current| current.live.clone()).unwrap_or_default();
        let live_end = live.iter().filter_map(|slot| self.slots.run(*slot)).map(Run::end).max();
        let shared = self.consoles.known(owner, start).is_shared(start, live_end);
        self.running.push(index);
        if shared {
            if let Some(current) = self.consoles.get_mut(&owner).and_then(|console| console.current.as_mut()) {
                current.live.push(index);
                current.start = current.start.min(start);
            }
            return;
        }
        for slot in live {
            self.stop(slot);
        }
        let console = self.consoles.known(owner, start);
        console.begin(start, joined, index);
        Teller::new(owner.ip(), console, &self.knowledge, records).before(console);
    }

    /// A flow carries no match any more, if it did.
    fn stop(&mut self, index: u32) {
        self.running.retain(|running| *running != index);
        if self.slots.run(index).is_none() {
            return;
        }
        let Some(Stage::Run(run, _)) = self.slots.restage(index, Stage::Early(Box::default())) else { return };
        let Some(slot) = self.slots.get_mut(index) else { return };
        let Slot { sides, app, .. } = *slot;
        let subject = std::mem::take(&mut slot.subject);
        let Some(console) = self.consoles.get_mut(&sides.owner) else { return };
        let Some(current) = &mut console.current else { return };
        let before = current.live.len();
        current.live.retain(|live| *live != index);
        if before == current.live.len() {
            return;
        }
        if run.is_worth() {
            let leg = Leg { run, local: sides.local, remote: sides.remote, app, subject };
            current.legs.push(leg);
        }
        if current.live.is_empty()
            && let Some(due) = console.close()
        {
            self.due = self.due.min(due);
        }
    }

    /// Forgets what a slot was for, for its flow turned out to be something else.
    fn discard(&mut self, index: u32) {
        if let Some(slot) = self.slots.get_mut(index)
            && let Stage::Run(run, _) = &mut slot.stage
        {
            run.refute();
        }
        self.stop(index);
        self.release(index);
    }

    fn release(&mut self, index: u32) {
        let Some(slot) = self.slots.remove(index) else { return };
        if let Stage::Voices(voices) = slot.stage
            && let Some(console) = self.consoles.get_mut(&slot.sides.owner)
        {
            voices.heard().for_each(|voice| console.heard(voice));
        }
    }

    /// Tells of the matches that have been over for long enough.
    fn tell(&mut self, now: i64, records: &mut Vec<Record>) {
        self.due = i64::MAX;
        for (owner, console) in self.consoles.iter_mut() {
            while let Some(over) = console.closed.first() {
                let due = over.end.saturating_add(SETTLE);
                if due > now {
                    self.due = self.due.min(due);
                    break;
                }
                let over = console.closed.remove(0);
                let mut voices: Vec<Voice> = console.voices.clone();
                voices.extend(self.slots.voices(*owner).cloned());
                Teller::new(owner.ip(), console, &self.knowledge, records).after(console, over, &voices);
            }
        }
    }
}

/// A packet's time in nanoseconds, whatever a file says it is: from 1970 to 2116, so that no sum or difference of two
/// leaves the range.
fn nanos(time: Timestamp) -> i64 {
    time.as_nanos().clamp(0, i64::MAX / 2)
}

impl Owner {
    fn ip(&self) -> IpAddr {
        match self {
            Self::Host(ip) | Self::Pair(ip, _) => *ip,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dissect::samples::{ethernet, frame_at, ipv4, ipv4_between, tcp, udp};
    use crate::latency::{Latency, Stopwatch};
    use crate::shard::{Config, Shard};

    /// A minute of a game's ticks from `start` on, with answers, and a connection that opens before each tenth.
    fn play(shard: &mut Shard, start: i64) {
        let (mut watch, mut latency) = (Stopwatch::default(), Latency::default());
        for tick in 0..3_000_u16 {
            let time = start.saturating_add(i64::from(tick) * 20_000_000);
            let answer = ipv4_between([203, 0, 113, 10], [192, 168, 1, 40], 17, 1, 0, &udp(26_503, 50_000, &[1; 60]));
            for packet in [ipv4(17, &udp(50_000, 26_503, &[2; 40])), answer, ipv4(6, &tcp(tick, 443, 1, 2, b""))] {
                if packet[9] == 17 || tick % 10 == 0 {
                    shard.process(&frame_at(time, &ethernet(0x0800, &packet)), &mut watch, &mut latency);
                }
            }
        }
    }

    /// A file may say any time of a packet, and of the next one any other.
    #[test]
    fn time_may_leap_to_either_end() {
        const MINUTE: i64 = 60_000_000_000;
        let moments = [i64::MIN, i64::MIN + MINUTE, 0, i64::MAX / 2, i64::MAX - MINUTE, i64::MAX];
        for first in moments {
            for second in moments {
                let mut shard = Shard::new(&Config::default());
                play(&mut shard, first);
                play(&mut shard, second);
                shard.finish(Timestamp::from_nanos(first.max(second)));
            }
        }
    }
}
