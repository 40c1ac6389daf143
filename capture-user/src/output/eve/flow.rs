//! `flow` events.

use serde::{Serialize, Serializer};

use super::Time;
use crate::flow::EndReason;
use crate::record::{FlowFacts, TcpFlagLetters};

/// What follows the head.
#[derive(Serialize)]
pub(super) struct Event {
    app_proto: &'static str,
    flow: Flow,
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp: Option<Tcp>,
}

#[derive(Serialize)]
struct Flow {
    pkts_toserver: u64,
    pkts_toclient: u64,
    bytes_toserver: u64,
    bytes_toclient: u64,
    start: Time,
    end: Time,
    age: u64,
    state: &'static str,
    reason: &'static str,
    alerted: bool,
}

#[derive(Serialize)]
struct Tcp {
    tcp_flags: Flags,
    tcp_flags_ts: Flags,
    tcp_flags_tc: Flags,
    #[serde(flatten)]
    seen: Seen,
    state: &'static str,
}

/// Control bits as in the header's octet; shown in hexadecimal.
#[derive(Clone, Copy)]
struct Flags(u8);

impl Serialize for Flags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:02x}", self.0))
    }
}

/// The letters of padtap's records, the names of Suricata's, in the order of the bits.
const BITS: [(char, &str); 8] =
    [('F', "fin"), ('S', "syn"), ('R', "rst"), ('P', "psh"), ('A', "ack"), ('U', "urg"), ('E', "ecn"), ('C', "cwr")];

impl Flags {
    fn of(letters: &str) -> Self {
        let bits = BITS.iter().enumerate().filter(|(_, (letter, _))| letters.contains(*letter));
        Self(bits.fold(0, |flags, (bit, _)| flags | 1 << bit))
    }
}

/// A field for each bit that was seen.
struct Seen(Flags);

impl Serialize for Seen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bits = BITS.iter().enumerate().filter(|(bit, _)| self.0.0 & 1 << bit != 0);
        serializer.collect_map(bits.map(|(_, (_, name))| (name, true)))
    }
}

/// Suricata tells of a flow once, when it is over.
pub(super) fn has_ended(facts: &FlowFacts) -> bool {
    facts.end_reason != EndReason::Interval
}

pub(super) fn event(facts: &FlowFacts) -> Event {
    let closed = matches!(facts.end_reason, EndReason::Closed | EndReason::Reset);
    let flow = Flow {
        pkts_toserver: facts.packets_out,
        pkts_toclient: facts.packets_in,
        bytes_toserver: facts.bytes_out,
        bytes_toclient: facts.bytes_in,
        start: Time(facts.start),
        end: Time(facts.end),
        age: u64::try_from(facts.end.nanos_since(facts.start) / 1_000_000_000).unwrap_or(0),
        state: match facts.packets_in {
            _ if closed => "closed",
            0 => "new",
            _ => "established",
        },
        reason: match facts.end_reason {
            EndReason::Evicted => "forced",
            EndReason::CaptureEnd => "shutdown",
            _ => "timeout",
        },
        alerted: false,
    };
    // Suricata's word for a protocol that it looked for and did not find.
    Event { app_proto: facts.app.unwrap_or("failed"), flow, tcp: facts.flags.as_ref().map(|flags| tcp(flags, closed)) }
}

fn tcp(letters: &TcpFlagLetters, closed: bool) -> Tcp {
    let (out, inward) = (Flags::of(&letters.out), Flags::of(&letters.inward));
    let both = Flags(out.0 | inward.0);
    let state = match (closed, inward.0) {
        (true, _) => "closed",
        (false, 0) if letters.out == "S" => "syn_sent",
        _ => "established",
    };
    Tcp { tcp_flags: both, tcp_flags_ts: out, tcp_flags_tc: inward, seen: Seen(both), state }
}
