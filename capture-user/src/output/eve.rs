//! EVE: what Suricata writes, for pipelines that read it (the events of Suricata 7 and 8, those of DNS in version 2).
//!
//! Records that have no event of Suricata's are not taken: interim reports of flows, multicast DNS, DHCP for IPv6,
//! everything that Suricata does not know. What padtap does not know is absent; nothing has another meaning than
//! Suricata gives it, but for `bytes_toserver` and `bytes_toclient`, which count IP without the link layer.

mod dhcp;
mod dns;
mod flow;
mod tls;

use std::io;
use std::sync::Arc;
use std::time::Instant;

use serde::{Serialize, Serializer};
use serde_json::json;

use super::lines::Encode;
use super::ndjson::append_fields;
use crate::dissect::app::{DhcpFacts, DnsFacts, SipFacts, tls::Facts as TlsFacts};
use crate::flow::{CommunityId, Protocol};
use crate::record::{FlowFacts, Record, StatsFacts, Subject};
use crate::time::Timestamp;

/// The bits of a flow's number: what every reader of JSON can hold exactly.
const FLOW_ID_BITS: u32 = 51;

/// Shows records as events.
pub struct Eve {
    sensor: Arc<str>,
    begun: Instant,
}

/// What every event has.
#[derive(Serialize)]
struct Head<'a> {
    timestamp: Time,
    #[serde(skip_serializing_if = "Option::is_none")]
    flow_id: Option<u64>,
    event_type: &'static str,
    host: &'a str,
    #[serde(skip_serializing_if = "<[u16]>::is_empty")]
    vlan: &'a [u16],
    #[serde(skip_serializing_if = "Option::is_none")]
    src_ip: Option<std::net::IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    src_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dest_ip: Option<std::net::IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dest_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proto: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    community_id: Option<CommunityId>,
}

/// What becomes of a record.
enum Event<'a> {
    Flow(&'a FlowFacts),
    Dns(&'a DnsFacts),
    Tls(&'a TlsFacts),
    Sip(&'a SipFacts),
    Dhcp(&'a DhcpFacts),
    Stats(&'a StatsFacts),
}

impl<'a> Event<'a> {
    fn of(record: &'a Record) -> Option<Self> {
        let facts = (*record.facts).as_any();
        match record.kind {
            "flow" => facts.downcast_ref().filter(|facts| flow::has_ended(facts)).map(Self::Flow),
            "dns" => facts.downcast_ref().filter(|facts| dns::is_unicast(facts)).map(Self::Dns),
            "tls" => facts.downcast_ref().map(Self::Tls),
            "sip" => facts.downcast_ref().map(Self::Sip),
            "dhcp" => facts.downcast_ref().map(Self::Dhcp),
            "stats" => facts.downcast_ref().map(Self::Stats),
            _ => None,
        }
    }
}

impl Eve {
    /// Every event names `sensor` as its host.
    pub fn new(sensor: Arc<str>) -> Self {
        Self { sensor, begun: Instant::now() }
    }

    fn head<'a>(&'a self, record: &'a Record) -> Head<'a> {
        let Subject { community_id, protocol, src_ip, src_port, dst_ip, dst_port, ref vlan, .. } = record.subject;
        Head {
            timestamp: Time(record.time),
            flow_id: community_id.map(|id| id.number() >> (u64::BITS - FLOW_ID_BITS)),
            event_type: record.kind,
            host: &self.sensor,
            vlan,
            src_ip,
            src_port,
            dest_ip: dst_ip,
            dest_port: dst_port,
            proto: protocol.map(protocol_name),
            community_id,
        }
    }
}

impl Encode for Eve {
    fn takes(&self) -> fn(&Record) -> bool {
        |record| Event::of(record).is_some()
    }

    fn encode(&mut self, record: &Record, line: &mut Vec<u8>) -> io::Result<()> {
        let Some(event) = Event::of(record) else { return Ok(()) };
        serde_json::to_writer(&mut *line, &self.head(record))?;
        // The object goes on.
        line.truncate(line.len() - 1);
        match event {
            Event::Flow(facts) => append_fields(line, &flow::event(facts))?,
            Event::Dns(facts) => append_fields(line, &json!({ "dns": dns::event(facts) }))?,
            Event::Tls(facts) => append_fields(line, &json!({ "tls": tls::event(facts) }))?,
            Event::Sip(facts) => append_fields(line, &json!({ "sip": sip(facts) }))?,
            Event::Dhcp(facts) => append_fields(line, &json!({ "dhcp": dhcp::event(facts) }))?,
            Event::Stats(facts) => append_fields(line, &json!({ "stats": self.stats(facts) }))?,
        }
        line.extend_from_slice(b"}\n");
        Ok(())
    }
}

/// A message: a request or a response.
fn sip(facts: &SipFacts) -> serde_json::Value {
    const VERSION: &str = "SIP/2.0";
    let uri = facts.request_uri.as_deref().unwrap_or("*");
    match (&facts.method, facts.status) {
        (Some(method), _) => json!({
            "method": method,
            "uri": uri,
            "version": VERSION,
            "request_line": format!("{method} {uri} {VERSION}"),
        }),
        (None, status) => {
            let (code, reason) = (status.unwrap_or(0).to_string(), facts.reason.as_deref().unwrap_or(""));
            let line = format!("{VERSION} {code} {reason}");
            json!({ "version": VERSION, "code": code, "reason": reason, "response_line": line })
        }
    }
}

impl Eve {
    /// The counters that mean the same in both programs.
    fn stats(&self, facts: &StatsFacts) -> serde_json::Value {
        let ledger = &facts.ledger;
        json!({
            "uptime": self.begun.elapsed().as_secs(),
            "capture": { "kernel_packets": ledger.source.seen, "kernel_drops": ledger.lost() },
            "decoder": { "pkts": ledger.dissected },
        })
    }
}

/// The names that Suricata prints: those of `/etc/protocols`.
fn protocol_name(protocol: Protocol) -> String {
    match protocol {
        Protocol::ICMPV6 => "IPv6-ICMP".into(),
        other => other.name().map_or_else(|| format!("{:03}", other.0), str::to_uppercase),
    }
}

/// A time as Suricata prints it: microseconds, and the offset from UTC without a colon.
struct Time(Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let time = jiff::Timestamp::from_nanosecond(i128::from(self.0.as_nanos())).unwrap_or_default();
        serializer.collect_str(&time.strftime("%Y-%m-%dT%H:%M:%S%.6f+0000"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_protocols_are_spelled_as_suricata_spells_them() {
        let time = |time: Timestamp| serde_json::to_value(Time(time)).expect("text");
        assert_eq!(time(Timestamp::new(1_473_534_000, 12_345_678)), "2016-09-10T19:00:00.012345+0000");
        assert_eq!(time(Timestamp::from_nanos(-1)), "1969-12-31T23:59:59.999999+0000");
        let spelled = [Protocol::TCP, Protocol::ICMP, Protocol::ICMPV6, Protocol(99)].map(protocol_name);
        assert_eq!(spelled, ["TCP", "ICMP", "IPv6-ICMP", "099"]);
    }
}
