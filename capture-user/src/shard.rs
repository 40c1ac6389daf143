//! One shard: everything known of the consoles that one thread owns, from frame to records.

mod talk;

use std::sync::Arc;

use self::talk::Talk;
use crate::classify::{self, Classifier, Registry};
use crate::dissect::app::{Direction, People};
use crate::dissect::{Dissector, Layer, Packet, Plain, Settings, Transport, summary};
use crate::flow::{self, EndReason, Flow, Holder, Surroundings, Table};
use crate::knowledge::{Knowledge, Role};
use crate::latency::{Latency, Stage, Stopwatch};
use crate::ledger::Work;
use crate::limits::Reached;
use crate::names::Names;
use crate::reassembly::stream::Streams;
use crate::record::{FlowFacts, Kinds, Record};
use crate::shunt::{Shunted, Shunts};
use crate::source::Frame;
use crate::time::Timestamp;
use crate::timeline::{self, Timeline};

/// What a shard makes of its frames.
#[derive(Clone, Debug)]
pub struct Config {
    /// Limits of dissection.
    pub dissect: Settings,
    /// Limits of the flow table.
    pub flows: flow::Config,
    /// Whether every packet becomes a record.
    pub packets: bool,
    /// Which kinds of records are of interest: others may be made, but need not.
    pub kinds: Kinds,
    /// Whether flows are told of as they begin, too: see [`Shard::take_begun`].
    pub beginnings: bool,
    /// How names of people are shown.
    pub people: People,
    /// What is known of consoles, services and networks.
    pub knowledge: Arc<Knowledge>,
    /// The devices known: shards that are made with clones of a configuration know them together.
    pub devices: Registry,
    /// Where to ask that downloads be counted in the driver and no longer taken; `None`: they are taken.
    pub shunts: Option<Shunts>,
}

impl Default for Config {
    /// The limits of each part, and the knowledge built in.
    fn default() -> Self {
        Self {
            dissect: Settings::default(),
            flows: flow::Config::default(),
            packets: false,
            kinds: Kinds::default(),
            beginnings: false,
            people: People::default(),
            knowledge: Knowledge::embedded(),
            devices: Registry::default(),
            shunts: None,
        }
    }
}

/// The consoles of one thread. It meets every frame of a console it owns, and no frame of any other.
pub struct Shard {
    dissector: Dissector,
    traffic: Traffic,
    packets: bool,
    /// What it has to account for.
    pub work: Work,
    /// What was given up so far, as last accounted for.
    reached: Reached,
    swept: Timestamp,
    /// Whether there are more flows to end than have been.
    sweeping: bool,
}

/// Silence is looked for this often, in nanoseconds of traffic time.
const SWEEP: i64 = 100_000_000;
/// Flows that are ended between two packets: telling of one takes longer than a packet, and the next packets are waiting.
const AT_ONCE: usize = 16;

impl Shard {
    /// A shard that has seen nothing.
    pub fn new(config: &Config) -> Self {
        let mut around = Surroundings::default();
        around.output.people = config.people;
        around.output.kinds = config.kinds.and(classify::HEARD).and(timeline::HEARD);
        Self {
            dissector: Dissector::new(&config.dissect),
            traffic: Traffic {
                flows: Table::new(config.flows),
                shunted: config.shunts.clone().map(Shunted::new),
                talk: Talk {
                    around,
                    streams: Streams::default(),
                    timeline: Timeline::new(config.knowledge.clone()),
                    classifier: Classifier::new(config.knowledge.clone(), config.devices.clone()),
                    records: Vec::new(),
                    beginnings: config.beginnings,
                    begun: None,
                },
            },
            packets: config.packets,
            work: Work::default(),
            reached: Reached::default(),
            swept: Timestamp::from_nanos(i64::MIN),
            sweeping: false,
        }
    }

    /// Records made since they were last taken.
    pub fn records(&mut self) -> &mut Vec<Record> {
        &mut self.traffic.talk.records
    }

    /// What is known of the flow that the latest frame began, if it began one.
    pub fn take_begun(&mut self) -> Option<FlowFacts> {
        self.traffic.talk.begun.take()
    }

    /// The names that servers were called by.
    pub fn names(&self) -> &Names {
        &self.traffic.talk.around.names
    }

    /// From now on knows consoles, services and networks by these tables. What payloads showed so far is forgotten: it
    /// was written down as places in the old ones.
    pub fn set_knowledge(&mut self, knowledge: Arc<Knowledge>) {
        for flow in self.traffic.flows.iter_mut() {
            flow.marks.signatures.clear();
        }
        self.traffic.talk.timeline.set_knowledge(knowledge.clone());
        self.traffic.talk.classifier.set_knowledge(knowledge);
    }

    /// Takes a frame through all stages, timing each.
    #[inline]
    pub fn process(&mut self, frame: &Frame<'_>, watch: &mut Stopwatch, latency: &mut Latency) {
        self.work.dissected += 1;
        self.work.dissected_bytes += u64::from(frame.length);
        let plain = Plain::read(frame);
        let goes_on = !self.packets
            && !self.dissector.compares(frame.time)
            && plain.as_ref().is_some_and(|plain| {
                let dissected = || latency.record(Stage::Dissect, watch.lap());
                self.traffic.go_on(plain, frame.time, self.dissector.generation(), dissected)
            });
        if !goes_on {
            self.take(frame, plain.as_ref(), watch, latency);
        }
        if self.is_due(frame.time) {
            self.sweep(frame.time);
        }
        latency.record(Stage::Classify, watch.lap());
    }

    /// Takes a frame through all stages that does more than go on with a flow.
    fn take<'a>(
        &'a mut self,
        frame: &Frame<'a>,
        plain: Option<&Plain<'a>>,
        watch: &mut Stopwatch,
        latency: &mut Latency,
    ) {
        let mut packet = Packet::default();
        self.dissector.read_on(frame, plain, &mut packet);
        self.work.duplicates += u64::from(packet.duplicate);
        latency.record(Stage::Dissect, watch.lap());
        let application = if packet.duplicate { None } else { self.traffic.follow(&packet, frame) };
        if self.packets {
            let info = summary(&packet, application);
            self.traffic.talk.records.push(Record::packet(&packet, frame, application, info));
        }
    }

    /// Time has passed without a frame (live), or with frames for others only.
    pub fn advance(&mut self, clock: Timestamp) {
        while self.is_due(clock) {
            self.sweep(clock);
        }
    }

    /// Nothing will come after `clock`: ends every flow.
    pub fn finish(&mut self, clock: Timestamp) {
        while !self.finish_some(clock) {}
    }

    /// The same for some flows, for records to be taken in between; whether that was all.
    pub fn finish_some(&mut self, clock: Timestamp) -> bool {
        self.settle_shunted(clock);
        let Traffic { flows, talk, .. } = &mut self.traffic;
        self.sweeping = !flows.finish(clock, AT_ONCE, &mut |flow, reason| talk.report(flow, reason));
        if !self.sweeping {
            talk.timeline.finish(&mut talk.records);
            self.account();
        }
        !self.sweeping
    }

    #[inline]
    fn is_due(&self, clock: Timestamp) -> bool {
        clock.nanos_since(self.swept) >= SWEEP
    }

    /// Looks for silence for a while; it is no longer due when that is done.
    #[cold]
    fn sweep(&mut self, clock: Timestamp) {
        self.settle_shunted(clock);
        let Traffic { flows, talk, .. } = &mut self.traffic;
        flows.advance(clock);
        self.sweeping = !flows.expire(AT_ONCE, &mut |flow, reason| talk.report(flow, reason));
        if !self.sweeping {
            self.swept = clock;
            talk.timeline.advance(clock, &mut talk.records);
            self.account();
        }
    }

    /// Takes into account what the driver counted, before flows are looked at.
    fn settle_shunted(&mut self, clock: Timestamp) {
        let Traffic { flows, shunted, .. } = &mut self.traffic;
        if let Some(shunted) = shunted
            && !self.sweeping
        {
            shunted.settle(flows, clock);
        }
    }

    /// Takes what was given up since the last time into the account.
    fn account(&mut self) {
        let mut reached = Reached::default();
        self.dissector.account(&mut reached);
        self.traffic.flows.account(&mut reached);
        self.traffic.talk.streams.account(&mut reached);
        self.traffic.talk.around.account(&mut reached);
        self.work.limits += reached - self.reached;
        self.reached = reached;
    }
}

/// The flows, and what is said on them.
struct Traffic {
    flows: Table,
    shunted: Option<Shunted>,
    talk: Talk,
}

impl Traffic {
    /// Counts a packet in its flow and reads its payload; the name of the protocol that the flow speaks. A fragment has
    /// no ports and so no flow: the datagram has, once it is whole.
    fn follow(&mut self, packet: &Packet<'_>, frame: &Frame<'_>) -> Option<&'static str> {
        if packet.ip.is_some_and(|ip| ip.fragment.is_some()) {
            return None;
        }
        let Self { flows, shunted, talk } = self;
        if packet.layers.last() == Some(&Layer::Arp) {
            talk.classifier.hear_arp(packet, frame.time);
            return None;
        }
        let (flow, direction) = flows.observe(packet, frame, &mut |flow, reason| talk.report(flow, reason))?;
        let new = flow.is_new();
        if new {
            talk.begin(flow, packet, frame.time);
            talk.timeline.opened(flow, frame.time);
        }
        let was_open = flow.application.is_open();
        match &packet.transport {
            Transport::Udp(_) => talk.hear_datagram(flow, direction, &packet.load(), frame.time),
            Transport::Tcp(header) => talk.hear_segment(flow, direction, header, &packet.load(), frame.time),
            Transport::Icmp(_) | Transport::None => {}
        }
        if flow.marks.wanted(direction, flow.protocol()) && !packet.payload.is_empty() {
            talk.classifier.look(flow, direction, packet, frame.time);
        }
        shunt(shunted, flow, &talk.classifier);
        if new && talk.beginnings {
            talk.begun = Some(FlowFacts::of(flow, EndReason::Interval, talk.classifier.classify(flow)));
        }
        let protocol = flow.application.protocol().map(|protocol| protocol.name);
        let held = Held::by(flow, direction, was_open);
        self.charge(held);
        protocol
    }

    /// Counts a packet that only goes on with its flow and hears its payload; whether it is such a one. `dissected` is called
    /// between the two.
    #[inline(always)]
    fn go_on(&mut self, plain: &Plain<'_>, time: Timestamp, generation: u32, dissected: impl FnOnce()) -> bool {
        let Self { flows, shunted, talk } = self;
        let Some((flow, direction)) = flows.settled(plain, time, generation) else { return false };
        let was_open = flow.application.is_open();
        if let Some(load) = plain.datagram() {
            dissected();
            flow.go_on(direction, None, &load, time);
            talk.hear_datagram(flow, direction, &load, time);
        } else if let Some((segment, load)) = plain.segment_within() {
            dissected();
            flow.go_on(direction, Some(&segment), &load, time);
            talk.hear_segment(flow, direction, &segment, &load, time);
        } else {
            return false;
        }
        shunt(shunted, flow, &talk.classifier);
        let held = Held::by(flow, direction, was_open);
        self.charge(held);
        true
    }

    /// Takes account of what a flow holds after a packet.
    #[inline]
    fn charge(&mut self, Held { change, holder }: Held) {
        let Self { flows, talk, .. } = self;
        if let Some(holder) = holder {
            flows.relieve(holder, &mut talk.streams);
        }
        if change != 0 {
            flows.charge(change, &mut |flow, reason| talk.report(flow, reason));
        }
    }
}

/// Asks that a download be counted in the driver.
#[inline]
fn shunt(shunted: &mut Option<Shunted>, flow: &Flow, classifier: &Classifier) {
    if let Some(shunted) = shunted
        && Shunted::is_due(flow)
        && matches!(classifier.classify(flow).role, Some(Role::Download | Role::Update))
    {
        shunted.ask(flow);
    }
}

/// By how many bytes a flow has grown with a packet, and itself if its streams hold bytes.
struct Held {
    change: isize,
    holder: Option<Holder>,
}

impl Held {
    #[inline]
    fn by(flow: &mut Flow, direction: Direction, was_open: bool) -> Self {
        let may_have_grown = was_open || flow.may_have_grown(direction);
        Self { change: if may_have_grown { flow.weigh() } else { 0 }, holder: flow.holder() }
    }
}

#[cfg(test)]
mod tests;
