//! Looks for signatures in the first payloads of a flow.

use super::ends::Ends;
use crate::dissect::Packet;
use crate::dissect::app::Direction;
use crate::flow::{Flow, Protocol};
use crate::knowledge::{Sighting, Signatures, Transport};

/// Remembers the signatures that a payload shows with its flow.
pub fn look(flow: &mut Flow, direction: Direction, packet: &Packet<'_>, signatures: &Signatures) {
    let Some(transport) = transport(flow.protocol()) else { return };
    let ends = Ends::of(flow);
    let sighting = Sighting {
        transport,
        up: direction == ends.up,
        ports: [ends.client.port(), ends.server.port()],
        bytes: packet.payload,
        length: packet.payload_length,
    };
    signatures.find(&sighting, &mut flow.marks.signatures);
    flow.marks.cut |= (packet.payload.len() as u64) < u64::from(packet.payload_length);
}

/// The transport of a flow that has payloads.
pub fn transport(protocol: Protocol) -> Option<Transport> {
    match protocol {
        Protocol::TCP => Some(Transport::Tcp),
        Protocol::UDP => Some(Transport::Udp),
        _ => None,
    }
}
