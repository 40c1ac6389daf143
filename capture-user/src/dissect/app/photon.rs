//! Photon (Exit Games), a descendant of ENet: packets of counted commands. Its layout is known by inference alone, so it
//! takes the port, several packets that add up to the byte, and the challenge that is the same in all of them.

use super::bytes::{at, u32_at};
use super::{Conversation, Output, Over, Probe, Protocol, Segment, Step};

/// The protocol.
pub static PROTOCOL: Protocol = Protocol {
    name: "photon",
    over: Over::Udp,
    ports: &[5055, 5056, 5058, 27_000, 27_001, 27_002],
    probe,
    open: || Box::new(Photon::default()),
    kinds: &[],
    summary,
};

/// Packets that have to agree.
const NEEDED: u32 = 3;
const HEADER: usize = 12;

fn probe(segment: &Segment<'_>) -> Probe {
    if segment.on_port(PROTOCOL.ports) && Packet::of(segment.bytes).is_some() { Probe::Maybe } else { Probe::No }
}

/// A packet whose commands fill it.
struct Packet {
    challenge: u32,
    commands: u8,
}

impl Packet {
    fn of(bytes: &[u8]) -> Option<Self> {
        // Peer (2), flags, commands, time (4), challenge (4).
        let commands = *bytes.get(3)?;
        let challenge = u32_at(bytes, 8)?;
        let mut rest = bytes.get(HEADER..)?;
        for _ in 0..commands {
            rest = after_command(rest)?;
        }
        (rest.is_empty() && commands > 0).then_some(Self { challenge, commands })
    }
}

/// What follows a command: type, channel, flags, reserved, length with this header, sequence number.
fn after_command(bytes: &[u8]) -> Option<&[u8]> {
    let [kind, _, _, reserved] = at(bytes, 0)?;
    let length = usize::try_from(u32_at(bytes, 4)?).ok().filter(|length| *length >= HEADER)?;
    ((1..=15).contains(&kind) && reserved == 4).then(|| bytes.get(length..))?
}

#[derive(Default)]
struct Photon {
    challenge: Option<u32>,
    agreed: u32,
}

impl Conversation for Photon {
    fn read(&mut self, segment: &Segment<'_>, out: &mut Output) -> Step {
        let Some(packet) = Packet::of(segment.bytes) else { return Step::Reject };
        if *self.challenge.get_or_insert(packet.challenge) != packet.challenge {
            return Step::Reject;
        }
        self.agreed += 1;
        if self.agreed < NEEDED {
            return Step::Consumed(segment.bytes.len());
        }
        out.identify(PROTOCOL.name);
        Step::Done
    }
}

fn summary(bytes: &[u8], line: &mut String) {
    if let Some(packet) = Packet::of(bytes) {
        line.push_str(&format!("{} commands", packet.commands));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dissect::app::Direction::{In, Out};
    use crate::dissect::app::testing::{self, converse, mistreat};

    fn packet(challenge: u32, payloads: &[&[u8]]) -> Vec<u8> {
        let mut packet = vec![0xff, 0xff, 0, payloads.len() as u8, 0, 0, 0, 9];
        packet.extend(challenge.to_be_bytes());
        for payload in payloads {
            packet.extend([6, 0, 1, 4]);
            packet.extend((HEADER as u32 + payload.len() as u32).to_be_bytes());
            packet.extend([0, 0, 0, 1]);
            packet.extend(*payload);
        }
        packet
    }

    #[test]
    fn three_packets_that_agree_are_enough() {
        let (one, two) = (packet(77, &[b"abc"]), packet(77, &[b"", b"defg"]));
        assert_eq!(testing::probe(&PROTOCOL, &one), Probe::Maybe);
        assert_eq!(converse(&PROTOCOL, &[(Out, &one), (In, &two)]).label.app, None);
        assert_eq!(converse(&PROTOCOL, &[(Out, &one), (In, &two), (Out, &one)]).label.app, Some("photon"));
    }

    #[test]
    fn contradictions_end_it() {
        let (one, other) = (packet(77, &[b"abc"]), packet(78, &[b"abc"]));
        assert_eq!(converse(&PROTOCOL, &[(Out, &one), (In, &other), (Out, &one), (Out, &one)]).label.app, None);
        assert_eq!(converse(&PROTOCOL, &[(Out, &one), (In, b"x"), (Out, &one), (Out, &one)]).label.app, None);
    }

    #[test]
    fn commands_have_to_fill_the_packet() {
        let whole = packet(77, &[b"abc"]);
        let longer = [&whole[..], &[0]].concat();
        for other in [&whole[..whole.len() - 1], &longer, &packet(77, &[]), &[0; 24], &[0xff; 40]] {
            assert_eq!(testing::probe(&PROTOCOL, other), Probe::No, "{other:?}");
        }
        let mut elsewhere = testing::segment(&PROTOCOL, 0, Out, &whole);
        elsewhere.destination.set_port(4000);
        assert_eq!(probe(&elsewhere), Probe::No);
    }

    #[test]
    fn survives_damage() {
        mistreat(&PROTOCOL, &[(Out, &packet(1, &[b"ab"])), (In, &packet(1, &[b"", b"c"])), (Out, &packet(1, &[b"d"]))]);
    }
}
