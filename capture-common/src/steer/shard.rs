//! Which shard owns a frame, and which flow it belongs to: two hashes that do not depend on the direction.
//!
//! The shard key of a frame is the first of these that there is:
//! 1. the console's MAC, where the filter knows a side by its MAC (of two consoles the smaller);
//! 2. the console's address, where it knows a side by its address (of two consoles the smaller);
//! 3. where the receiver is a group, the sender's address, or its MAC where it has no address yet;
//! 4. the private address, where exactly one of the two is private;
//! 5. the asker's address, where the other is a name or DHCP server: what it says is about the asker's other flows;
//! 6. both addresses in either order;
//! 7. both MACs in either order.
//!
//! All hashing is built from the finaliser of MurmurHash3 (public domain, Austin Appleby), 64 bits to 64 bits: two
//! multiplications and three shifts, a bijection in which every input bit reaches every output bit. A pair is hashed as
//! the sum of its two hashes, finalised again, so its order does not matter.

use super::{Consoles, Headers, flag};
use crate::config::Address;

/// The shard key.
#[inline(always)]
pub(super) fn shard(headers: &Headers, found: &Consoles) -> u32 {
    let (from, to) = (headers.source_mac, headers.destination_mac);
    match (found.has(Consoles::FROM_MAC), found.has(Consoles::TO_MAC)) {
        (true, true) => return fold(mix(from.min(to))),
        (true, false) => return fold(mix(from)),
        (false, true) => return fold(mix(to)),
        (false, false) => {}
    }
    fold(if headers.flags & (flag::IPV4 | flag::IPV6) != 0 {
        by_address(headers, found)
    } else if headers.flags & flag::GROUP != 0 {
        mix(from)
    } else {
        pair(mix(from), mix(to))
    })
}

#[inline(always)]
fn by_address(headers: &Headers, found: &Consoles) -> u64 {
    let (from, to) = (headers.source, headers.destination);
    match (found.has(Consoles::FROM_ADDRESS), found.has(Consoles::TO_ADDRESS)) {
        (true, true) => return hash(from.min(to)),
        (true, false) => return hash(from),
        (false, true) => return hash(to),
        (false, false) => {}
    }
    let v4 = headers.flags & flag::IPV4 != 0;
    if headers.flags & flag::GROUP != 0 {
        return if is_unspecified(from, v4) && headers.has_macs { mix(headers.source_mac) } else { hash(from) };
    }
    match (is_private(from, v4), is_private(to, v4)) {
        (true, false) => hash(from),
        (false, true) => hash(to),
        _ => match (is_server(headers, headers.source_port), is_server(headers, headers.destination_port)) {
            (true, false) => hash(to),
            (false, true) => hash(from),
            _ => pair(hash(from), hash(to)),
        },
    }
}

/// Whether a port is that of a name server or of DHCP's.
#[inline(always)]
fn is_server(headers: &Headers, port: u16) -> bool {
    headers.flags & flag::PORTS != 0 && matches!(port, 53 | 67)
}

/// The hash of a flow.
#[inline(always)]
pub(super) fn flow(headers: &Headers) -> u32 {
    if headers.flags & (flag::IPV4 | flag::IPV6) == 0 {
        return fold(pair(mix(headers.source_mac), mix(headers.destination_mac)));
    }
    // A hash is a good number already: the port need only move it.
    let from = hash(headers.source).wrapping_add((headers.source_port as u64) << 16);
    let to = hash(headers.destination).wrapping_add((headers.destination_port as u64) << 16);
    fold(mix((mix(from).wrapping_add(mix(to))) ^ headers.protocol as u64))
}

/// RFC 1918, RFC 6598 (shared address space), RFC 4193 (unique local), RFC 4291 section 2.5.6 (link-local).
#[inline(always)]
fn is_private(address: Address, v4: bool) -> bool {
    if v4 {
        let address = address.low as u32;
        return address >> 24 == 10
            || address >> 20 == 0xac1
            || address >> 16 == 0xc0a8
            || address >> 22 == 0x6440_0000 >> 22;
    }
    address.high >> 57 == 0xfc >> 1 || address.high >> 54 == 0xfe80 >> 6
}

#[inline(always)]
fn is_unspecified(address: Address, v4: bool) -> bool {
    if v4 { address.low as u32 == 0 } else { address.high | address.low == 0 }
}

#[inline(always)]
fn hash(address: Address) -> u64 {
    mix(address.low ^ mix(address.high))
}

#[inline(always)]
fn pair(a: u64, b: u64) -> u64 {
    mix(a.wrapping_add(b))
}

#[inline(always)]
fn mix(mut x: u64) -> u64 {
    x ^= x >> 33;
    x = x.wrapping_mul(0xff51_afd7_ed55_8ccd);
    x ^= x >> 33;
    x = x.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    x ^ x >> 33
}

#[inline(always)]
fn fold(x: u64) -> u32 {
    (x >> 32) as u32 ^ x as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::IpAddr;

    #[test]
    fn private_ranges_end_where_the_rfcs_say() {
        let private = |text: &str| {
            let address: IpAddr = text.parse().unwrap();
            is_private(Address::from(address), address.is_ipv4())
        };
        for yes in [
            "10.0.0.0",
            "10.255.255.255",
            "172.16.0.0",
            "172.31.255.255",
            "192.168.0.0",
            "192.168.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "fc00::",
            "fdff::1",
            "fe80::1",
            "febf::1",
        ] {
            assert!(private(yes), "{yes}");
        }
        for no in [
            "9.255.255.255",
            "11.0.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "fbff::1",
            "fe00::1",
            "fec0::1",
            "2001:db8::1",
            "::",
        ] {
            assert!(!private(no), "{no}");
        }
    }

    #[test]
    fn neighbouring_addresses_spread_over_few_shards() {
        let mut shards = [0_u32; 4];
        for host in 0..1024 {
            shards[(fold(hash(Address::v4(0x0a00_0000 + host))) % 4) as usize] += 1;
        }
        assert!(shards.iter().all(|&count| (192..=320).contains(&count)), "{shards:?}");
    }
}
