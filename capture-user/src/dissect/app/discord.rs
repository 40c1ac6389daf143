//! Discord voice: pings that choose a region, and IP discovery, by which a client learns the address that its voice server
//! sees. The RTP that follows on the same flow is left to those who read RTP.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Serialize;

use super::bytes::{at, has, milliseconds, u16_at, u32_at};
use super::{Conversation, Direction, Output, Over, Probe, Protocol, RecordKind, Segment, Step};
use crate::time::Timestamp;

/// The protocol.
pub static PROTOCOL: Protocol = Protocol {
    name: "discord",
    over: Over::Udp,
    ports: &[50_004],
    probe,
    open: || Box::new(Discord::default()),
    kinds: &[RecordKind::of::<Facts>("discord")],
    summary,
};

fn probe(segment: &Segment<'_>) -> Probe {
    if Message::of(segment.bytes).is_some() { Probe::Yes } else { Probe::No }
}

/// What Discord itself sends on a voice flow.
enum Message {
    Ping([u8; 8]),
    Request { ssrc: u32 },
    Reply { ssrc: u32, mapped: Option<(IpAddr, u16)> },
}

impl Message {
    fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.len() == 8 && has(bytes, 0, &[0x13, 0x37, 0xca, 0xfe]) {
            return at(bytes, 0).map(Self::Ping);
        }
        if bytes.len() != 74 {
            return None;
        }
        // Type, 70 bytes that follow, SSRC, address as text, port.
        let ssrc = u32_at(bytes, 4)?;
        match at(bytes, 0)? {
            [0, 1, 0, 70] => Some(Self::Request { ssrc }),
            [0, 2, 0, 70] => Some(Self::Reply { ssrc, mapped: mapped(bytes) }),
            _ => None,
        }
    }
}

fn mapped(bytes: &[u8]) -> Option<(IpAddr, u16)> {
    let text = bytes.get(8..72)?.split(|byte| *byte == 0).next()?;
    let address = std::str::from_utf8(text).ok()?.parse().ok()?;
    Some((address, u16_at(bytes, 72)?))
}

/// A client's first exchange of a kind with a voice server.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
enum Facts {
    /// IP discovery: a client asks how the server sees it.
    Discovery {
        /// The source of the client's RTP.
        ssrc: u32,
        /// The address that the server saw.
        #[serde(skip_serializing_if = "Option::is_none")]
        mapped_ip: Option<IpAddr>,
        /// The port that the server saw.
        #[serde(skip_serializing_if = "Option::is_none")]
        mapped_port: Option<u16>,
        /// From the request to the answer, in milliseconds.
        #[serde(skip_serializing_if = "Option::is_none")]
        rtt_ms: Option<f64>,
    },
    /// The first ping that was answered.
    Ping {
        /// From the ping to its answer, in milliseconds.
        rtt_ms: f64,
    },
}

/// The question that waits for its answer.
#[derive(Default)]
struct Discord {
    pinged: Option<(Timestamp, Direction, [u8; 8])>,
    asked: Option<(Timestamp, u32)>,
    ping_told: bool,
}

impl Conversation for Discord {
    fn read(&mut self, segment: &Segment<'_>, out: &mut Output) -> Step {
        match Message::of(segment.bytes) {
            Some(Message::Ping(bytes)) => self.ping(bytes, segment, out),
            Some(Message::Request { ssrc }) => self.asked = Some((segment.time, ssrc)),
            Some(Message::Reply { ssrc, mapped }) => {
                let asked = self.asked.take().filter(|(_, asked)| *asked == ssrc);
                out.emit(
                    segment.time,
                    "discord",
                    Facts::Discovery {
                        ssrc,
                        mapped_ip: mapped.map(|(address, _)| address),
                        mapped_port: mapped.map(|(_, port)| port),
                        rtt_ms: asked.map(|(sent, _)| milliseconds(sent, segment.time)),
                    },
                );
            }
            // Media: the label stays.
            None => return Step::Reject,
        }
        out.identify(PROTOCOL.name);
        Step::Consumed(segment.bytes.len())
    }
}

impl Discord {
    /// A ping comes back as it was sent.
    fn ping(&mut self, bytes: [u8; 8], segment: &Segment<'_>, out: &mut Output) {
        match self.pinged {
            Some((sent, direction, pinged)) if direction != segment.direction && pinged == bytes => {
                if !self.ping_told {
                    out.emit(segment.time, "discord", Facts::Ping { rtt_ms: milliseconds(sent, segment.time) });
                }
                self.ping_told = true;
                self.pinged = None;
            }
            _ => self.pinged = Some((segment.time, segment.direction, bytes)),
        }
    }
}

fn summary(bytes: &[u8], line: &mut String) {
    match Message::of(bytes) {
        Some(Message::Ping(_)) => line.push_str("Ping"),
        Some(Message::Request { ssrc }) => line.push_str(&format!("IP discovery request, SSRC {ssrc}")),
        Some(Message::Reply { ssrc, mapped }) => {
            line.push_str(&format!("IP discovery reply, SSRC {ssrc}"));
            if let Some((address, port)) = mapped {
                line.push_str(&format!(", {address} port {port}"));
            }
        }
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dissect::app::Direction::{In, Out};
    use crate::dissect::app::testing::{self, converse, mistreat};

    const PING: &[u8] = &[0x13, 0x37, 0xca, 0xfe, 9, 0, 0, 0];

    fn discovery(kind: u8, address: &[u8], port: u16) -> Vec<u8> {
        let mut packet = vec![0, kind, 0, 70, 0, 0, 0x12, 0x34];
        packet.extend(address);
        packet.resize(72, 0);
        packet.extend(port.to_be_bytes());
        packet
    }

    #[test]
    fn discovery_tells_the_mapped_address_and_rtp_is_left_alone() {
        let (request, reply) = (discovery(1, b"", 0), discovery(2, b"198.51.100.7", 57_955));
        let mut out = Output::default();
        let mut conversation = (PROTOCOL.open)();
        let rtp = [&[0x90, 0x78, 0, 1][..], &[1; 60]].concat();
        let steps = [(Out, &request), (In, &reply), (Out, &rtp)]
            .into_iter()
            .enumerate()
            .map(|(index, (way, bytes))| conversation.read(&testing::segment(&PROTOCOL, index, way, bytes), &mut out));
        assert_eq!(steps.collect::<Vec<_>>(), [Step::Consumed(74), Step::Consumed(74), Step::Reject]);
        let expected = json!({"ssrc": 0x1234, "mapped_ip": "198.51.100.7", "mapped_port": 57_955, "rtt_ms": 20.0});
        assert_eq!(out.events.iter().map(testing::json).collect::<Vec<_>>(), [expected]);
        assert_eq!(out.label.app, Some("discord"));
    }

    #[test]
    fn one_round_trip_of_pings_is_told() {
        let out = converse(&PROTOCOL, &[(Out, PING), (In, PING), (Out, PING), (In, PING)]);
        let [event] = &out.events[..] else { panic!("{out:?}") };
        assert_eq!(testing::json(event), json!({"rtt_ms": 20.0}));
    }

    #[test]
    fn an_address_that_is_none_is_left_out() {
        let out = converse(&PROTOCOL, &[(In, &discovery(2, b"\xff\xfe", 5))]);
        assert_eq!(testing::json(&out.events[0]), json!({"ssrc": 0x1234}));
    }

    #[test]
    fn other_datagrams_are_not_it() {
        for other in [&PING[..7], &[0; 74], &[0, 1, 0, 70, 0, 0], &[0x80, 0x78, 0, 1, 0, 0, 0, 0]] {
            assert_eq!(testing::probe(&PROTOCOL, other), Probe::No, "{other:?}");
        }
        assert_eq!(testing::probe(&PROTOCOL, PING), Probe::Yes);
    }

    #[test]
    fn survives_damage() {
        mistreat(&PROTOCOL, &[(Out, PING), (Out, &discovery(1, b"", 0)), (In, &discovery(2, b"::1", 1)), (In, PING)]);
    }
}
