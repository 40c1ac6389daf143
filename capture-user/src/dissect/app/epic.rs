//! Epic's game servers (Fortnite): Unreal's stateless handshake behind a prefix of the session. The first packet is
//! mostly zeros; the reply repeats the prefix with one bit set.

use super::bytes::{at, has};
use super::{Conversation, Direction, Output, Over, Probe, Protocol, Segment, Step};

/// The protocol.
pub static PROTOCOL: Protocol = Protocol {
    name: "epicgames",
    over: Over::Udp,
    ports: &[15_011, 9_011],
    probe,
    open: || Box::new(Epic::default()),
    kinds: &[],
    summary,
};

/// The bit of the prefix that a server sets.
const FROM_SERVER: u8 = 0x08;
/// Hellos without an answer before the flow is taken for something else.
const PATIENCE: u8 = 16;

/// Many protocols have zeros; the answer decides.
fn probe(segment: &Segment<'_>) -> Probe {
    if hello(segment.bytes).is_some() { Probe::Maybe } else { Probe::No }
}

/// The prefix of a client's first packet.
fn hello(bytes: &[u8]) -> Option<[u8; 4]> {
    let prefix: [u8; 4] = at(bytes, 0)?;
    let [.., flags] = prefix;
    (has(bytes, 10, &[0; 24]) && flags & FROM_SERVER == 0 && prefix != [0; 4]).then_some(prefix)
}

#[derive(Default)]
struct Epic {
    hello: Option<([u8; 4], Direction)>,
    asked: u8,
}

impl Conversation for Epic {
    fn read(&mut self, segment: &Segment<'_>, out: &mut Output) -> Step {
        let Some((prefix, direction)) = self.hello else {
            self.hello = hello(segment.bytes).map(|prefix| (prefix, segment.direction));
            return if self.hello.is_some() { Step::Consumed(segment.bytes.len()) } else { Step::Reject };
        };
        if direction == segment.direction {
            self.asked += 1;
            let again = has(segment.bytes, 0, &prefix) && self.asked < PATIENCE;
            return if again { Step::Consumed(segment.bytes.len()) } else { Step::Reject };
        }
        let [a, b, c, flags] = prefix;
        if !has(segment.bytes, 0, &[a, b, c, flags | FROM_SERVER]) {
            return Step::Reject;
        }
        out.identify(PROTOCOL.name);
        Step::Done
    }
}

fn summary(bytes: &[u8], line: &mut String) {
    if hello(bytes).is_some() {
        line.push_str("Hello to a game server");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dissect::app::Direction::{In, Out};
    use crate::dissect::app::testing::{self, converse, mistreat};

    fn first(prefix: [u8; 4]) -> Vec<u8> {
        [&prefix[..], &[8, 1, 2, 3, 4, 5], &[0; 29], &[7; 12]].concat()
    }

    const HELLO: [u8; 4] = [0x21, 0x43, 0x20, 0x00];
    const REPLY: [u8; 4] = [0x21, 0x43, 0x20, 0x08];

    #[test]
    fn the_answer_decides() {
        let (hello, reply) = (first(HELLO), [&REPLY[..], &[9; 40]].concat());
        assert_eq!(testing::probe(&PROTOCOL, &hello), Probe::Maybe);
        assert_eq!(converse(&PROTOCOL, &[(Out, &hello), (Out, &hello)]).label.app, None);
        assert_eq!(converse(&PROTOCOL, &[(Out, &hello), (Out, &hello), (In, &reply)]).label.app, Some("epicgames"));
        assert_eq!(converse(&PROTOCOL, &[(Out, &hello), (In, &hello)]).label.app, None);
    }

    #[test]
    fn zeros_alone_are_not_it() {
        let mut time_request = [0; 48];
        time_request[0] = 0x1b;
        let time_reply = [&[0x1c][..], &[1; 47]].concat();
        assert_eq!(converse(&PROTOCOL, &[(Out, &time_request), (In, &time_reply)]).label.app, None);
        for other in [&[0; 40][..], &first(REPLY), &first(HELLO)[..33]] {
            assert_eq!(testing::probe(&PROTOCOL, other), Probe::No);
        }
    }

    #[test]
    fn survives_damage() {
        mistreat(&PROTOCOL, &[(Out, &first(HELLO)), (In, &first(REPLY))]);
    }
}
