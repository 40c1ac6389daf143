//! What is exported: the templates, and the records that follow them.

use std::net::IpAddr;
use std::sync::Arc;

use super::element::{Element, text};
use super::message::Message;
use super::parts::Part;
use crate::dissect::Mac;
use crate::flow::{CommunityId, EndReason, Protocol};
use crate::knowledge::Role;
use crate::record::{FlowFacts, Subject};
use crate::time::Timestamp;

/// The private enterprise number of padtap's own elements: the one for examples (RFC 5612), registered by nobody.
pub const ENTERPRISE: u32 = 32_473;

const TEMPLATE_SET: u16 = 2;
const OPTIONS_TEMPLATE_SET: u16 = 3;
const FLOW_V4: u16 = 256;
const FLOW_V6: u16 = 257;
const EXPORTER: u16 = 258;

/// A flow, or the part of it that is exported now.
#[derive(Debug)]
pub(super) struct Flow {
    source: IpAddr,
    destination: IpAddr,
    ports: [u16; 2],
    protocol: u8,
    vlan: u16,
    part: Part,
    reason: u8,
    /// Control bits: out, in.
    flags: [u16; 2],
    community_id: Option<CommunityId>,
    device: Option<Mac>,
    app: Option<&'static str>,
    host: Option<Arc<str>>,
    service: Option<Arc<str>>,
    role: Option<Role>,
    /// In hundredths.
    confidence: u8,
}

/// The exporter, and how it fares.
#[derive(Debug)]
pub(super) struct Exporter {
    pub(super) domain: u32,
    pub(super) sensor: Box<str>,
    /// Data records sent.
    pub(super) records: u64,
    /// Data records that could not be sent.
    pub(super) lost_records: u64,
    /// Frames that were wanted and lost before they could be metered.
    pub(super) lost_frames: u64,
}

static ADDRESSES_V4: [Element<Flow>; 2] = [
    Element::iana(8, 4, |flow, to| address(to, flow.source)),
    Element::iana(12, 4, |flow, to| address(to, flow.destination)),
];

static ADDRESSES_V6: [Element<Flow>; 2] = [
    Element::iana(27, 16, |flow, to| address(to, flow.source)),
    Element::iana(28, 16, |flow, to| address(to, flow.destination)),
];

static REST: [Element<Flow>; 21] = [
    // Ports, protocol, VLAN.
    Element::iana(7, 2, |flow, to| to.extend(flow.ports[0].to_be_bytes())),
    Element::iana(11, 2, |flow, to| to.extend(flow.ports[1].to_be_bytes())),
    Element::iana(4, 1, |flow, to| to.push(flow.protocol)),
    Element::iana(58, 2, |flow, to| to.extend(flow.vlan.to_be_bytes())),
    // flowStartMilliseconds, flowEndMilliseconds, flowEndReason; the source began: biflowDirection 1 (RFC 5103, 6.3).
    Element::iana(152, 8, |flow, to| milliseconds(to, flow.part.start)),
    Element::iana(153, 8, |flow, to| milliseconds(to, flow.part.end)),
    Element::iana(136, 1, |flow, to| to.push(flow.reason)),
    Element::iana(239, 1, |_, to| to.push(1)),
    // octetDeltaCount, packetDeltaCount, tcpControlBits.
    Element::iana(1, 8, |flow, to| to.extend(flow.part.bytes[0].to_be_bytes())),
    Element::iana(2, 8, |flow, to| to.extend(flow.part.packets[0].to_be_bytes())),
    Element::iana(6, 2, |flow, to| to.extend(flow.flags[0].to_be_bytes())),
    Element::reverse(1, 8, |flow, to| to.extend(flow.part.bytes[1].to_be_bytes())),
    Element::reverse(2, 8, |flow, to| to.extend(flow.part.packets[1].to_be_bytes())),
    Element::reverse(6, 2, |flow, to| to.extend(flow.flags[1].to_be_bytes())),
    // Our own: facts first, then conclusions and how sure they are.
    Element::own_text(ENTERPRISE, 1, |flow, to| text(to, shown(flow.community_id.as_ref()).as_deref())),
    Element::own_text(ENTERPRISE, 2, |flow, to| text(to, shown(flow.device.as_ref()).as_deref())),
    Element::own_text(ENTERPRISE, 3, |flow, to| text(to, flow.app)),
    Element::own_text(ENTERPRISE, 4, |flow, to| text(to, flow.host.as_deref())),
    Element::own_text(ENTERPRISE, 5, |flow, to| text(to, flow.service.as_deref())),
    Element::own_text(ENTERPRISE, 6, |flow, to| text(to, shown(flow.role.as_ref()).as_deref())),
    Element::own(ENTERPRISE, 7, 1, |flow, to| to.push(flow.confidence)),
];

/// The scope comes first: observationDomainId. Then its name, exportedFlowRecordTotalCount, notSentFlowTotalCount,
/// ignoredPacketTotalCount (RFC 7011, sections 4.1 to 4.3).
static OPTIONS: [Element<Exporter>; 5] = [
    Element::iana(149, 4, |exporter, to| to.extend(exporter.domain.to_be_bytes())),
    Element::iana_text(300, |exporter, to| text(to, Some(&exporter.sensor))),
    Element::iana(42, 8, |exporter, to| to.extend(exporter.records.to_be_bytes())),
    Element::iana(166, 8, |exporter, to| to.extend(exporter.lost_records.to_be_bytes())),
    Element::iana(164, 8, |exporter, to| to.extend(exporter.lost_frames.to_be_bytes())),
];

/// Adds all templates to a message.
pub(super) fn templates(message: &mut Message) {
    for (number, addresses) in [(FLOW_V4, &ADDRESSES_V4), (FLOW_V6, &ADDRESSES_V6)] {
        message.put(TEMPLATE_SET, &template(number, &[], addresses.iter().chain(&REST)));
    }
    // One field of scope.
    message.put(OPTIONS_TEMPLATE_SET, &template(EXPORTER, &[0, 1], OPTIONS.iter()));
}

/// A template record, or one of options, whose `scope` says how many of its fields are scope.
fn template<'a, T: 'a>(number: u16, scope: &[u8], elements: impl Iterator<Item = &'a Element<T>> + Clone) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.extend((elements.clone().count() as u16).to_be_bytes());
    bytes.extend_from_slice(scope);
    elements.for_each(|element| element.describe(&mut bytes));
    bytes
}

impl Flow {
    /// What there is to export of a flow; `None` where it has no addresses.
    pub(super) fn of(subject: &Subject, facts: &FlowFacts, part: Part) -> Option<Self> {
        let flags = facts.flags.as_ref();
        Some(Self {
            source: subject.src_ip?,
            destination: subject.dst_ip?,
            ports: [subject.src_port, subject.dst_port].map(Option::unwrap_or_default),
            protocol: subject.protocol.map_or(0, |Protocol(number)| number),
            vlan: subject.vlan.first().copied().unwrap_or_default(),
            part,
            reason: reason(facts.end_reason),
            flags: flags.map_or([0; 2], |flags| [control_bits(&flags.out), control_bits(&flags.inward)]),
            community_id: subject.community_id,
            device: subject.device,
            app: facts.app,
            host: facts.host.clone(),
            service: facts.service.clone(),
            role: facts.role,
            confidence: facts.confidence.map_or(0, |confidence| (confidence * 100.0).round() as u8),
        })
    }

    /// Appends the record; the number of its template.
    pub(super) fn encode(&self, bytes: &mut Vec<u8>) -> u16 {
        let (number, addresses) =
            if self.source.is_ipv4() { (FLOW_V4, &ADDRESSES_V4) } else { (FLOW_V6, &ADDRESSES_V6) };
        addresses.iter().chain(&REST).for_each(|element| element.put(self, bytes));
        number
    }
}

impl Exporter {
    /// One that has sent nothing yet.
    pub(super) fn new(domain: u32, sensor: &str) -> Self {
        Self { domain, sensor: sensor.into(), records: 0, lost_records: 0, lost_frames: 0 }
    }

    /// Appends the record; the number of its template.
    pub(super) fn encode(&self, bytes: &mut Vec<u8>) -> u16 {
        OPTIONS.iter().for_each(|element| element.put(self, bytes));
        EXPORTER
    }
}

fn address(bytes: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => bytes.extend(address.octets()),
        IpAddr::V6(address) => bytes.extend(address.octets()),
    }
}

/// There is nothing before 1970.
fn milliseconds(bytes: &mut Vec<u8>, time: Timestamp) {
    bytes.extend(u64::try_from(time.as_nanos() / 1_000_000).unwrap_or(0).to_be_bytes());
}

fn shown(value: Option<&impl ToString>) -> Option<String> {
    value.map(ToString::to_string)
}

/// flowEndReason (RFC 5102, section 5.11.3).
fn reason(reason: EndReason) -> u8 {
    match reason {
        EndReason::Idle => 1,
        EndReason::Interval => 2,
        EndReason::Closed | EndReason::Reset => 3,
        EndReason::CaptureEnd => 4,
        EndReason::Evicted => 5,
    }
}

/// Control bits from their letters, FIN first.
fn control_bits(letters: &str) -> u16 {
    letters.chars().filter_map(|letter| "FSRPAUEC".find(letter)).fold(0, |bits, place| bits | 1 << place)
}
