//! Application protocols: an open set behind one table.
//!
//! A protocol is one file in `dissect/app/`: a [`Protocol`] constant that says how to recognise it and how to open a
//! [`Conversation`], the state of one flow that speaks it. To add one, write the file, declare its `mod` and list it
//! in [`PROTOCOLS`]; nothing else changes, because what it finds leaves as [`Facts`], which every output prints.

mod blizzard;
mod bytes;
#[cfg(test)]
mod captures;
mod ddp;
mod dhcp;
mod dhcpv6;
mod discord;
mod dns;
mod dtls;
mod echo;
mod enet;
mod epic;
mod exchange;
mod http;
mod kind;
mod memory;
mod natcheck;
mod nbns;
mod ntp;
mod output;
mod overwatch;
mod people;
mod photon;
mod pia;
mod portmap;
mod quic;
mod raknet;
mod remoteplay;
mod rtcp;
mod rtp;
mod sdp;
mod sip;
mod smartglass;
mod source_query;
mod ssdp;
mod steam;
mod stun;
#[cfg(test)]
pub(crate) mod testing;
pub mod tls;
mod unfinished;
mod wire;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

pub use ddp::Facts as DdpFacts;
pub use dhcp::Message as DhcpFacts;
pub use dhcpv6::Message as Dhcpv6Facts;
pub use dns::{Exchange as DnsFacts, Transport as DnsTransport};
pub use dtls::is_record as is_dtls;
pub use http::Exchange as HttpFacts;
pub use kind::RecordKind;
pub use output::{Event, Expectation, Facts, HostFrom, Label, Output};
pub use people::People;
pub(crate) use rtp::Sequence;
pub use sip::Facts as SipFacts;
pub use smartglass::Facts as SmartGlassFacts;
pub use ssdp::Message as SsdpFacts;
pub use stun::is_message as is_stun;

use crate::time::Timestamp;

/// Every protocol padtap reads above UDP and TCP; the first that is sure of a payload has it.
pub static PROTOCOLS: &[&Protocol] = &[
    &tls::PROTOCOL,
    &dtls::PROTOCOL,
    &quic::PROTOCOL,
    &dns::DNS,
    &dns::DNS_TCP,
    &dns::MDNS,
    &dns::LLMNR,
    &nbns::PROTOCOL,
    &dhcp::PROTOCOL,
    &dhcpv6::PROTOCOL,
    &ntp::PROTOCOL,
    &portmap::PROTOCOL,
    &ssdp::PROTOCOL,
    &remoteplay::PROTOCOL,
    &http::PROTOCOL,
    &stun::STUN,
    &stun::STUN_TCP,
    &ddp::PROTOCOL,
    &smartglass::PROTOCOL,
    &steam::DISCOVERY,
    &steam::RELAY,
    &blizzard::PROTOCOL,
    &pia::PROTOCOL,
    &natcheck::PROTOCOL,
    &discord::PROTOCOL,
    &source_query::PROTOCOL,
    &raknet::PROTOCOL,
    &enet::PROTOCOL,
    &echo::BATTLENET,
    &echo::DEMONWARE,
    &overwatch::PROTOCOL,
    &photon::PROTOCOL,
    &epic::PROTOCOL,
    &sip::PROTOCOL,
    &rtcp::PROTOCOL,
    &rtp::PROTOCOL,
];

/// How one application protocol is recognised and read.
pub struct Protocol {
    /// Its name in records and layer lists: Wireshark's display filter name where it has one.
    pub name: &'static str,
    /// What carries it.
    pub over: Over,
    /// Ports it usually uses: there it is tried first. A probe may demand more evidence elsewhere.
    pub ports: &'static [u16],
    /// Whether the first payload of a flow looks like it. Called for unknown flows only, so it may take its time.
    pub probe: fn(&Segment<'_>) -> Probe,
    /// State for a flow that begins to speak it.
    pub open: fn() -> Box<dyn Conversation>,
    /// The kinds of records that its conversations make, and of what facts.
    pub kinds: &'static [RecordKind],
    /// Appends one line about one payload, as a packet list shows it; appends nothing to what it cannot read.
    pub summary: fn(&[u8], &mut String),
}

impl fmt::Debug for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// What carries a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Over {
    /// Datagrams.
    Udp,
    /// A byte stream.
    Tcp,
    /// Either.
    Both,
}

/// What a probe thinks of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// It is something else.
    No,
    /// It may be: the flow tries it unless another protocol is sure. The conversation can still
    /// [reject](Step::Reject) the flow.
    Maybe,
    /// It is, beyond reasonable doubt.
    Yes,
}

/// The way a payload went, seen from the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the side that sent the flow's first packet.
    Out,
    /// Towards that side.
    In,
}

impl Direction {
    /// The other way.
    pub const fn reversed(self) -> Self {
        match self {
            Self::Out => Self::In,
            Self::In => Self::Out,
        }
    }

    /// 0 for out, 1 for in: the place of this direction in a pair.
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// A datagram's payload, or the next bytes of one direction of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    /// When its (last) packet was on the wire.
    pub time: Timestamp,
    /// Which way it went.
    pub direction: Direction,
    /// Who sent it.
    pub source: SocketAddr,
    /// To whom.
    pub destination: SocketAddr,
    /// Whether a stream carries it (TCP), so that `bytes` may end in the middle of a message.
    pub stream: bool,
    /// The bytes, without padding; of a stream all bytes not yet consumed.
    pub bytes: &'a [u8],
    /// Length of the payload on the wire; more than `bytes` holds where the frame was snapped.
    pub length: u32,
}

impl Segment<'_> {
    /// Whether either port is one of `ports`.
    pub fn on_port(&self, ports: &[u16]) -> bool {
        ports.contains(&self.source.port()) || ports.contains(&self.destination.port())
    }

    /// The address of the side that opened the flow.
    pub fn client(&self) -> SocketAddr {
        match self.direction {
            Direction::Out => self.source,
            Direction::In => self.destination,
        }
    }

    /// The address of the side that did not.
    pub fn server(&self) -> SocketAddr {
        match self.direction {
            Direction::Out => self.destination,
            Direction::In => self.source,
        }
    }
}

/// What a conversation did with a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It read this many bytes. Of a stream, the rest is offered again with more behind it, up to a limit; of a
    /// datagram, the rest is of no interest.
    Consumed(usize),
    /// It has seen all it wants: the flow's later payloads go by unread, and streams are no longer reassembled.
    Done,
    /// The flow speaks something else after all: it is unknown again, and this protocol is not asked twice.
    Reject,
}

/// One flow that speaks one protocol: the state that its messages need.
///
/// Implementations keep bounded state whatever the peers send, and do not allocate for a packet that tells nothing new.
pub trait Conversation: Send {
    /// Reads a segment, and says through `out` what it learned.
    fn read(&mut self, segment: &Segment<'_>, out: &mut Output) -> Step;

    /// Bytes of a stream were lost for good (`length` of them, where known), so the next segment does not follow on.
    fn gap(&mut self, _direction: Direction, _length: u32, _out: &mut Output) -> Step {
        Step::Done
    }

    /// The flow ended, at the time of its last packet: the moment to tell of what is only known then.
    fn end(&mut self, _time: Timestamp, _out: &mut Output) {}

    /// Bytes of heap that it holds beyond its own size, at most a little less than they are: what flows hold together
    /// is limited by it. Asked after every payload.
    fn memory(&self) -> usize {
        0
    }
}

/// Makes a conversation for a flow that was announced elsewhere: media that a signalling protocol negotiated.
pub type Opener = Arc<dyn Fn() -> Box<dyn Conversation> + Send + Sync>;

/// The address a name stands for, as one host heard it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// Who asked.
    pub client: IpAddr,
    /// What the name stands for.
    pub address: IpAddr,
    /// The name that was asked for, before any aliases.
    pub name: Arc<str>,
    /// How long the answer may be kept, in seconds.
    pub ttl: u32,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// The protocols that the files beside this one define, as the table would list them: `dns::MDNS`.
    fn defined() -> BTreeSet<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dissect/app");
        let mut defined = BTreeSet::new();
        for file in std::fs::read_dir(folder).expect("the folder is there") {
            let path = file.expect("a readable folder").path();
            let (Some("rs"), Some(module)) =
                (path.extension().and_then(|end| end.to_str()), path.file_stem().and_then(|stem| stem.to_str()))
            else {
                continue;
            };
            let source = std::fs::read_to_string(&path).expect("a source file is text");
            let names = source.lines().filter_map(|line| line.strip_prefix("pub static ")?.split_once(": Protocol "));
            defined.extend(names.map(|(name, _)| format!("{module}::{name}")));
        }
        defined
    }

    #[test]
    fn every_protocol_that_is_defined_is_in_the_table() {
        let source = include_str!("app.rs");
        let table = source.split("PROTOCOLS: &[&Protocol] = &[").nth(1).and_then(|rest| rest.split("];").next());
        let entries = table.expect("the table").split(',').filter_map(|entry| entry.trim().strip_prefix('&'));
        let listed: BTreeSet<String> = entries.map(str::to_owned).collect();
        assert_eq!(defined(), listed);
        assert_eq!(PROTOCOLS.len(), listed.len(), "none is listed twice");
    }

    #[test]
    fn names_and_ports_are_sane() {
        let mut seen = BTreeSet::new();
        for protocol in PROTOCOLS {
            let word = |character: char| {
                character.is_ascii_lowercase() || character.is_ascii_digit() || "_-".contains(character)
            };
            assert!(!protocol.name.is_empty() && protocol.name.chars().all(word), "{protocol:?}");
            assert!(!protocol.ports.contains(&0), "{protocol:?}");
            let ports: BTreeSet<u16> = protocol.ports.iter().copied().collect();
            assert_eq!(ports.len(), protocol.ports.len(), "{protocol:?} has a port twice");
            // One name over UDP and TCP is one protocol; twice over the same is a slip.
            let carriers: &[Over] =
                if protocol.over == Over::Both { &[Over::Udp, Over::Tcp] } else { &[protocol.over] };
            for carrier in carriers {
                assert!(seen.insert((protocol.name, format!("{carrier:?}"))), "{protocol:?} twice over {carrier:?}");
            }
        }
    }

    #[test]
    fn nothing_is_recognised_in_no_bytes() {
        for protocol in PROTOCOLS {
            assert_eq!(testing::probe(protocol, b""), Probe::No, "{protocol:?}");
            let mut line = String::new();
            (protocol.summary)(b"", &mut line);
            assert_eq!(line, "", "{protocol:?}");
        }
    }
}
