//! Which end of a flow is the console's.

use std::net::{IpAddr, SocketAddr};

use crate::dissect::Mac;
use crate::dissect::app::Direction;
use crate::flow::Flow;

/// A flow's ends, whoever sent first: a capture may begin in the middle.
pub struct Ends {
    /// The end on the local network; of two the source.
    pub client: SocketAddr,
    /// The other one.
    pub server: SocketAddr,
    /// The way from client to server.
    pub up: Direction,
}

impl Ends {
    /// Of this flow.
    pub fn of(flow: &Flow) -> Self {
        let (source, destination) = (flow.source(), flow.destination());
        if !super::is_up(source.ip(), destination.ip()) {
            Self { client: destination, server: source, up: Direction::In }
        } else {
            Self { client: source, server: destination, up: Direction::Out }
        }
    }
}

/// Address and MAC of a flow's source and destination.
pub fn hosts(flow: &Flow) -> Option<[(IpAddr, Mac); 2]> {
    let (source, destination) = flow.macs?;
    Some([(flow.source().ip(), source), (flow.destination().ip(), destination)])
}

/// Whether an address is of the local network: RFC 1918, RFC 6598, RFC 3927, RFC 4193, RFC 4291 section 2.5.6; groups
/// and hosts without an address, too.
pub fn is_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let shared = address.octets()[0] == 100 && address.octets()[1] & 0xc0 == 64;
            shared
                || address.is_private()
                || address.is_link_local()
                || address.is_loopback()
                || address.is_unspecified()
                || address.is_multicast()
                || address.is_broadcast()
        }
        IpAddr::V6(address) => {
            address.is_unique_local()
                || address.is_unicast_link_local()
                || address.is_loopback()
                || address.is_unspecified()
                || address.is_multicast()
        }
    }
}

/// Whether an address is one host's, on the local network.
pub fn is_local_host(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    is_local(address) && !address.is_multicast() && !address.is_unspecified() && !broadcast
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_addresses() {
        for (text, local, host) in [
            ("192.168.1.40", true, true),
            ("100.64.0.1", true, true),
            ("100.128.0.1", false, false),
            ("fe80::1", true, true),
            ("fd00::1", true, true),
            ("2001:db8::1", false, false),
            ("203.0.113.1", false, false),
            ("255.255.255.255", true, false),
            ("224.0.0.251", true, false),
            ("0.0.0.0", true, false),
            ("ff02::fb", true, false),
        ] {
            let address = text.parse().expect("an address");
            assert_eq!((is_local(address), is_local_host(address)), (local, host), "{text}");
        }
    }
}
