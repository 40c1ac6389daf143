//! `dhcp` events, with what Suricata calls extended logging.

use std::net::Ipv4Addr;

use serde::Serialize;

use crate::dissect::Mac;
use crate::dissect::app::DhcpFacts;

#[derive(Serialize)]
pub(super) struct Event<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_mac: Option<Mac>,
    assigned_ip: Ipv4Addr,
    client_ip: Ipv4Addr,
    #[serde(skip_serializing_if = "Option::is_none")]
    relay_ip: Option<Ipv4Addr>,
    dhcp_type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    requested_ip: Option<Ipv4Addr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease_time: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hostname: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    params: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vendor_class_identifier: Option<&'a str>,
    #[serde(skip_serializing_if = "<[Ipv4Addr]>::is_empty")]
    routers: &'a [Ipv4Addr],
    #[serde(skip_serializing_if = "<[Ipv4Addr]>::is_empty")]
    dns_servers: &'a [Ipv4Addr],
}

pub(super) fn event(facts: &DhcpFacts) -> Event<'_> {
    let reply = matches!(facts.kind.as_str(), "offer" | "ack" | "nak") || facts.your_ip.is_some();
    Event {
        kind: if reply { "reply" } else { "request" },
        id: u32::from_str_radix(&facts.transaction, 16).ok(),
        client_mac: facts.client_mac,
        assigned_ip: facts.your_ip.unwrap_or(Ipv4Addr::UNSPECIFIED),
        client_ip: facts.client_ip.unwrap_or(Ipv4Addr::UNSPECIFIED),
        relay_ip: facts.relay_ip,
        dhcp_type: &facts.kind,
        requested_ip: facts.requested_ip,
        lease_time: facts.lease_s,
        hostname: facts.hostname.as_deref(),
        params: facts.parameter_list.iter().filter_map(|&code| parameter(code)).collect(),
        client_id: facts.client_id.as_deref().map(client_id),
        vendor_class_identifier: facts.vendor_class.as_deref(),
        routers: &facts.routers,
        dns_servers: &facts.dns_servers,
    }
}

/// The parameters that Suricata has names for; it leaves out the others.
fn parameter(code: u8) -> Option<&'static str> {
    Some(match code {
        1 => "subnet_mask",
        3 => "router",
        6 => "dns_server",
        15 => "domain",
        35 => "arp_timeout",
        42 => "ntp_server",
        66 => "tftp_server_name",
        150 => "tftp_server_ip",
        _ => return None,
    })
}

/// Octets with colons between; a hardware address without its type.
fn client_id(hexadecimal: &str) -> String {
    let octets = match hexadecimal.len() {
        14 => hexadecimal.strip_prefix("01").unwrap_or(hexadecimal),
        _ => hexadecimal,
    };
    let pairs: Vec<_> = octets.as_bytes().chunks(2).map(String::from_utf8_lossy).collect();
    pairs.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_identifiers_are_octets() {
        assert_eq!(client_id("01bc60a7000040"), "bc:60:a7:00:00:40");
        assert_eq!(client_id("ff0001"), "ff:00:01");
    }
}
