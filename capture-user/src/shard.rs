//! One shard: everything known of the consoles that one thread owns, from frame to records.

use crate::dissect::app::{Direction, People, Segment};
use crate::dissect::{self, Packet, Transport};
use crate::flow::{self, EndReason, Flow, Surroundings, Table};
use crate::latency::{Latency, Stage, Stopwatch};
use crate::ledger::Work;
use crate::record::{Record, Subject};
use crate::source::Frame;
use crate::time::Timestamp;

/// What a shard makes of its frames.
#[derive(Clone, Copy, Debug, Default)]
pub struct Config {
    /// Limits of the flow table.
    pub flows: flow::Config,
    /// Whether every packet becomes a record.
    pub packets: bool,
    /// How names of people are shown.
    pub people: People,
}

/// The consoles of one thread. It meets every frame of a console it owns, and no frame of any other.
pub struct Shard {
    flows: Table,
    around: Surroundings,
    packets: bool,
    /// Records made since they were last taken.
    pub records: Vec<Record>,
    /// What it has to account for.
    pub work: Work,
    swept: Timestamp,
}

/// Silence is looked for this often, in nanoseconds of traffic time.
const SWEEP: i64 = 100_000_000;

impl Shard {
    /// A shard that has seen nothing.
    pub fn new(config: Config) -> Self {
        let mut around = Surroundings::default();
        around.output.people = config.people;
        Self {
            flows: Table::new(config.flows),
            around,
            packets: config.packets,
            records: Vec::new(),
            work: Work::default(),
            swept: Timestamp::from_nanos(i64::MIN),
        }
    }

    /// Takes a frame through all stages, timing each.
    pub fn process(&mut self, frame: &Frame<'_>, watch: &mut Stopwatch, latency: &mut Latency) {
        let packet = dissect::dissect(frame);
        self.work.dissected += 1;
        latency.record(Stage::Dissect, watch.lap());
        let application = self.classify(&packet, frame);
        latency.record(Stage::Classify, watch.lap());
        if self.packets {
            self.tell_packet(&packet, frame, application);
        }
    }

    /// Time has passed without a frame (live), or with frames for others only.
    pub fn advance(&mut self, clock: Timestamp) {
        self.flows.advance(clock);
        self.sweep(clock);
    }

    /// Nothing will come after `clock`: ends every flow.
    pub fn finish(&mut self, clock: Timestamp) {
        let Self { flows, around, records, .. } = self;
        flows.finish(clock, &mut |flow, reason| report(flow, reason, around, records));
        self.work.flows_evicted += self.flows.take_evicted();
    }

    fn classify(&mut self, packet: &Packet<'_>, frame: &Frame<'_>) -> Option<&'static str> {
        let Self { flows, around, records, .. } = self;
        let (flow, direction) =
            flows.observe(packet, frame, &mut |flow, reason| report(flow, reason, around, records))?;
        if flow.application.is_open() {
            read(flow, direction, packet, frame, around);
            tell(flow, around, records);
        }
        let name = flow.application.protocol().map(|protocol| protocol.name);
        self.sweep(frame.time);
        name
    }

    fn sweep(&mut self, clock: Timestamp) {
        if clock.nanos_since(self.swept) < SWEEP {
            return;
        }
        self.swept = clock;
        let Self { flows, around, records, .. } = self;
        flows.expire(&mut |flow, reason| report(flow, reason, around, records));
        self.work.flows_evicted += self.flows.take_evicted();
    }

    fn tell_packet(&mut self, packet: &Packet<'_>, frame: &Frame<'_>, application: Option<&'static str>) {
        let info = crate::dissect::summary(packet, application);
        self.records.push(Record::packet(packet, frame, application, info));
    }
}

fn read(flow: &mut Flow, direction: Direction, packet: &Packet<'_>, frame: &Frame<'_>, around: &mut Surroundings) {
    let (source, destination) = match direction {
        Direction::Out => (flow.source(), flow.destination()),
        Direction::In => (flow.destination(), flow.source()),
    };
    if let Transport::Udp(_) = packet.transport {
        let segment = Segment {
            time: frame.time,
            direction,
            source,
            destination,
            stream: false,
            bytes: packet.payload,
            length: packet.payload_length,
        };
        flow.application.read(&segment, around);
    }
}

/// Makes records of what the flow's conversation said.
fn tell(flow: &Flow, around: &mut Surroundings, records: &mut Vec<Record>) {
    around.settle();
    for event in around.output.events.drain(..) {
        let (kind, time, facts) = (event.kind, event.time, event.facts);
        records.push(Record { kind, time, subject: Subject::flow(flow), facts });
    }
}

fn report(flow: &mut Flow, reason: EndReason, around: &mut Surroundings, records: &mut Vec<Record>) {
    if reason != EndReason::Interval {
        flow.application.end(flow.end, around);
        tell(flow, around, records);
    }
    records.push(Record::flow(flow, reason));
}
