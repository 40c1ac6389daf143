//! What the flows of one shard say, and the records that come of it.

use crate::classify::{self, Classifier};
use crate::dissect::app::{Direction, Segment};
use crate::dissect::{Load, Packet, Tcp};
use crate::flow::{Application, EndReason, Ends, Flow, Surroundings};
use crate::reassembly::stream::{Delivery, Streams, Take};
use crate::record::{FlowFacts, Record, Subject};
use crate::time::Timestamp;
use crate::timeline::Timeline;

/// What conversations share, and the records that come of them.
pub(super) struct Talk {
    pub(super) around: Surroundings,
    pub(super) streams: Streams,
    pub(super) timeline: Timeline,
    pub(super) classifier: Classifier,
    pub(super) records: Vec<Record>,
    /// Whether flows are told of as they begin.
    pub(super) beginnings: bool,
    /// What is known of the flow that the latest frame began.
    pub(super) begun: Option<FlowFacts>,
}

impl Talk {
    /// Names the server of a new flow, and looks who is at its ends. Who sent first is not always the client: a capture
    /// may begin in the middle.
    pub(super) fn begin(&mut self, flow: &mut Flow, packet: &Packet<'_>, now: Timestamp) {
        let (one, other) = (flow.source().ip(), flow.destination().ip());
        let names = &self.around.names;
        if let Some((client, server)) = classify::client_and_server(one, other) {
            // Of hosts beyond the local network multicast tells nothing.
            flow.application.name_by_dns(names.told(client, server, now));
        } else {
            flow.application.name_by_dns(names.lookup(other, one, now));
            flow.application.name_by_dns(names.lookup(one, other, now));
        }
        self.classifier.begin(flow, packet, now);
    }

    /// Hears what a datagram says, and of the rhythm that it keeps.
    pub(super) fn hear_datagram(&mut self, flow: &mut Flow, direction: Direction, load: &Load<'_>, time: Timestamp) {
        if flow.application.is_open() {
            self.datagram(flow, direction, load, time);
        }
        self.timeline.packet(flow, direction, load, time, &mut self.records);
    }

    /// Hears what a segment brings of its stream.
    pub(super) fn hear_segment(
        &mut self,
        flow: &mut Flow,
        direction: Direction,
        header: &Tcp<'_>,
        load: &Load<'_>,
        time: Timestamp,
    ) {
        self.segment(flow, direction, header, load, time);
        self.timeline.segment(flow, direction, load, time);
    }

    fn datagram(&mut self, flow: &mut Flow, direction: Direction, load: &Load<'_>, time: Timestamp) {
        let segment = segment(&flow.ends(), direction, time, false, load.payload, load.payload_length);
        flow.application.read(&segment, &mut self.around);
        self.tell(flow, time);
    }

    fn segment(&mut self, flow: &mut Flow, direction: Direction, header: &Tcp<'_>, load: &Load<'_>, time: Timestamp) {
        let ends = flow.ends();
        let Flow { tcp: Some(connection), application, .. } = flow else { return };
        let around = &mut self.around;
        connection.push(direction, header, load, &mut self.streams, |direction, delivery| {
            deliver(&ends, application, direction, time, delivery, around)
        });
        self.tell(flow, time);
    }

    /// A flow has ended, or is due for a report.
    pub(super) fn report(&mut self, flow: &mut Flow, reason: EndReason) {
        if reason != EndReason::Interval {
            let (ends, time) = (flow.ends(), flow.end);
            let Flow { tcp, application, .. } = flow;
            if let Some(connection) = tcp {
                let around = &mut self.around;
                connection.finish(&mut self.streams, |direction, delivery| {
                    deliver(&ends, application, direction, time, delivery, around)
                });
            }
            application.end(time, &mut self.around);
            self.tell(flow, time);
            self.timeline.flow_ended(flow);
        }
        let mut record = Record::flow(flow, reason, self.classifier.classify(flow));
        record.subject.device = self.classifier.device(flow);
        self.records.push(record);
    }

    /// Makes records of what a flow's conversation said.
    fn tell(&mut self, flow: &Flow, now: Timestamp) {
        if self.around.settle(now) {
            for event in self.around.output.events.drain(..) {
                self.classifier.hear(flow, &event);
                let subject = Subject { device: self.classifier.device(flow), ..Subject::flow(flow) };
                let (kind, time, facts) = (event.kind, event.time, event.facts);
                self.timeline.event(flow, kind, time);
                self.records.push(Record { kind, time, subject, facts });
            }
        }
    }
}

/// A payload as the flow's application is given it.
fn segment<'a>(
    ends: &Ends,
    direction: Direction,
    time: Timestamp,
    stream: bool,
    bytes: &'a [u8],
    length: u32,
) -> Segment<'a> {
    let (source, destination) = ends.towards(direction);
    Segment { time, direction, source, destination, stream, bytes, length }
}

/// Gives a stream's bytes to the flow's application.
fn deliver(
    ends: &Ends,
    application: &mut Application,
    direction: Direction,
    time: Timestamp,
    delivery: Delivery<'_>,
    around: &mut Surroundings,
) -> Take {
    let consumed = match delivery {
        Delivery::Bytes(bytes) => {
            let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            application.read(&segment(ends, direction, time, true, bytes, length), around)
        }
        Delivery::Gap(length) => {
            application.gap(direction, length, around);
            0
        }
    };
    if application.is_open() { Take::Consumed(consumed) } else { Take::Done }
}
