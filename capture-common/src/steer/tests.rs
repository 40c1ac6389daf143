//! What holds for every frame: the answer does not depend on the direction, and no bytes make the walk panic.

use core::net::IpAddr;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::config::{SNAP_FULL, SNAP_HEADERS};

/// A policy small enough to write down.
#[derive(Default)]
struct Table {
    config: Config,
    macs: Vec<u64>,
    consoles: Vec<Address>,
    shunted: Vec<FlowKey>,
}

impl Policy for Table {
    fn config(&self) -> &Config {
        &self.config
    }

    fn has_mac(&self, key: u64) -> bool {
        self.macs.contains(&key)
    }

    fn prefix_v4(&self, address: u32) -> u32 {
        self.consoles.contains(&Address::v4(address)) as u32 * prefix::CONSOLE
    }

    fn prefix_v6(&self, address: Address) -> u32 {
        self.consoles.contains(&address) as u32 * prefix::CONSOLE
    }

    fn excludes_port(&self, _: bool, _: u16) -> bool {
        false
    }

    fn shunt(&self, flow: &FlowKey, _: Direction, _: u32, _: u32) -> bool {
        self.shunted.contains(flow)
    }
}

fn everything() -> Table {
    Table { config: Config { flags: config::flag::CAPTURE_ALL, ..Config::default() }, ..Table::default() }
}

fn knowing_mac(mac: u64) -> Table {
    let flags = config::flag::CAPTURE_ALL | config::flag::MACS;
    Table { config: Config { flags, ..Config::default() }, macs: [mac_key(mac, 48)].into(), ..Table::default() }
}

fn knowing_address(address: &str) -> Table {
    let flags = config::flag::CAPTURE_ALL | config::flag::PREFIXES_4 | config::flag::PREFIXES_6;
    let console = Address::from(address.parse::<IpAddr>().unwrap());
    Table { config: Config { flags, ..Config::default() }, consoles: [console].into(), ..Table::default() }
}

const CONSOLE: u64 = 0xbc60_a700_0040;
const ROUTER: u64 = 0x0000_5e00_5301;
const ALL: u64 = 0xffff_ffff_ffff;

/// A UDP packet between two MACs, addresses and ports.
fn udp(macs: (u64, u64), ips: (&str, &str), ports: (u16, u16)) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend(&macs.1.to_be_bytes()[2..]);
    frame.extend(&macs.0.to_be_bytes()[2..]);
    match (ips.0.parse().unwrap(), ips.1.parse().unwrap()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            frame.extend([0x08, 0x00, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0]);
            frame.extend(from.octets());
            frame.extend(to.octets());
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, 8, 17, 64]);
            frame.extend(from.octets());
            frame.extend(to.octets());
        }
        _ => unreachable!("one version a packet"),
    }
    frame.extend(ports.0.to_be_bytes());
    frame.extend(ports.1.to_be_bytes());
    frame.extend([0, 8, 0, 0]);
    frame
}

fn both_ways(policy: &Table, macs: (u64, u64), ips: (&str, &str), ports: (u16, u16)) -> Steered {
    let there = steer(&udp(macs, ips, ports)[..], policy);
    let back = steer(&udp((macs.1, macs.0), (ips.1, ips.0), (ports.1, ports.0))[..], policy);
    assert_eq!((there.shard, there.flow), (back.shard, back.flow), "{ips:?}");
    there
}

const LOCAL: &str = "192.168.1.40";
const SERVERS: [&str; 3] = ["203.0.113.9", "198.51.100.1", "192.168.1.1"];

#[test]
fn all_traffic_of_a_known_mac_is_in_one_shard() {
    let policy = knowing_mac(CONSOLE);
    let shard = both_ways(&policy, (CONSOLE, ROUTER), (LOCAL, SERVERS[0]), (1, 2)).shard;
    for server in SERVERS {
        assert_eq!(both_ways(&policy, (CONSOLE, ROUTER), (LOCAL, server), (5, 6)).shard, shard);
    }
    assert_eq!(both_ways(&policy, (CONSOLE, ROUTER), ("fd00::1", "2001:db8::1"), (5, 6)).shard, shard);
    let arp = [&udp((CONSOLE, ALL), (LOCAL, LOCAL), (0, 0))[..12], &[0x08, 0x06], &[0; 28]].concat();
    assert_eq!(steer(&arp[..], &policy).shard, shard);
}

#[test]
fn all_traffic_of_a_known_address_is_in_one_shard() {
    let policy = knowing_address("203.0.113.9");
    let shard = both_ways(&policy, (1, 2), ("203.0.113.9", "198.51.100.1"), (1, 2)).shard;
    assert_eq!(both_ways(&policy, (7, 8), ("10.0.0.1", "203.0.113.9"), (3, 4)).shard, shard);
}

#[test]
fn without_a_console_the_private_side_is_the_key() {
    let policy = everything();
    let shard = both_ways(&policy, (CONSOLE, ROUTER), (LOCAL, SERVERS[0]), (1, 2)).shard;
    assert_eq!(both_ways(&policy, (CONSOLE, ROUTER), (LOCAL, SERVERS[1]), (3, 4)).shard, shard);
    let to_a_group = udp((CONSOLE, 0x0100_5e00_00fb), (LOCAL, "224.0.0.251"), (5353, 5353));
    assert_eq!(steer(&to_a_group[..], &policy).shard, shard);
    let to_the_subnet = udp((CONSOLE, ALL), (LOCAL, "192.168.1.255"), (9, 9));
    assert_eq!(steer(&to_the_subnet[..], &policy).shard, shard);
    // Two private hosts, or two public ones: the pair.
    let pair = both_ways(&policy, (CONSOLE, ROUTER), (LOCAL, SERVERS[2]), (1, 2)).shard;
    assert_ne!(pair, shard);
    both_ways(&policy, (CONSOLE, ROUTER), (SERVERS[0], SERVERS[1]), (1, 2));
    // The router may be the name server, and gives leases.
    for port in [53, 67] {
        assert_eq!(both_ways(&policy, (CONSOLE, ROUTER), (LOCAL, SERVERS[2]), (50_000, port)).shard, shard);
    }
    // A cluster is sent to by the MAC of a group, and answers from the router's.
    let to_a_cluster = udp((ROUTER, 0x0100_5e7f_0001), (SERVERS[0], SERVERS[1]), (1, 2));
    let answer = udp((CONSOLE, ROUTER), (SERVERS[1], SERVERS[0]), (2, 1));
    assert_eq!(steer(&to_a_cluster[..], &policy).shard, steer(&answer[..], &policy).shard);
}

#[test]
fn without_an_address_the_sender_of_a_broadcast_is_the_key() {
    let policy = everything();
    let discover = |mac| steer(&udp((mac, ALL), ("0.0.0.0", "255.255.255.255"), (68, 67))[..], &policy).shard;
    assert_eq!(discover(CONSOLE), discover(CONSOLE));
    assert_ne!(discover(CONSOLE), discover(ROUTER));
}

#[test]
fn the_flow_hash_tells_flows_apart() {
    let policy = everything();
    let flow = |ips, ports| both_ways(&policy, (CONSOLE, ROUTER), ips, ports).flow;
    let base = flow((LOCAL, SERVERS[0]), (1, 2));
    for other in [
        flow((LOCAL, SERVERS[0]), (2, 1)),
        flow((LOCAL, SERVERS[0]), (1, 3)),
        flow((LOCAL, SERVERS[1]), (1, 2)),
        flow(("192.168.1.41", SERVERS[0]), (1, 2)),
    ] {
        assert_ne!(base, other);
    }
    let mut tcp = udp((CONSOLE, ROUTER), (LOCAL, SERVERS[0]), (1, 2));
    tcp[23] = 6;
    assert_ne!(steer(&tcp[..], &policy).flow, base);
}

#[test]
fn only_captured_flows_are_shunted() {
    let mut policy = knowing_mac(CONSOLE);
    let ends = [LOCAL, SERVERS[0]].map(|text| Address::from(text.parse::<IpAddr>().unwrap()));
    policy.shunted.push(FlowKey::new((ends[0], 1), (ends[1], 2), 17).0);
    let frame = udp((CONSOLE, ROUTER), (LOCAL, SERVERS[0]), (1, 2));
    assert_eq!(steer(&frame[..], &policy).verdict, Verdict::Capture(Class::Console), "the switch is off");
    policy.config.flags |= config::flag::SHUNT;
    assert_eq!(steer(&frame[..], &policy).verdict, Verdict::Shunt);
    policy.config.flags = config::flag::SHUNT;
    assert_eq!(steer(&frame[..], &policy).verdict, Verdict::Ignore(Cause::NoConsole));
}

#[test]
fn a_network_layer_without_ethernet_is_walked_alike() {
    let policy = knowing_address(LOCAL);
    let frame = udp((CONSOLE, ROUTER), (LOCAL, SERVERS[0]), (1, 2));
    let (whole, bare) = (steer(&frame[..], &policy), steer_network(&frame[14..], 0x0800, 0, &policy));
    assert_eq!((bare.verdict, bare.shard, bare.flow), (whole.verdict, whole.shard, whole.flow));
    assert_eq!((bare.network, bare.transport, bare.end), (0, 20, 28));
}

#[test]
fn snap_lengths() {
    let policy = everything();
    let ip = steer(&udp((CONSOLE, ROUTER), (LOCAL, SERVERS[0]), (1, 2))[..], &policy);
    let other = steer(&[0; 60][..], &policy);
    for (steered, snap, keep) in
        [(&ip, SNAP_HEADERS, 42), (&ip, SNAP_FULL, u32::MAX), (&ip, 96, 96), (&ip, 5, 14), (&other, SNAP_HEADERS, 60)]
    {
        assert_eq!(steered.keep(snap), keep);
    }
}

proptest! {
    /// Bytes that begin like frames, and bytes that do not.
    #[test]
    fn no_bytes_lead_the_walk_astray(
        head in prop_oneof![Just(&[0x08, 0x00, 0x45][..]), Just(&[0x86, 0xdd, 0x60][..]), Just(&[0x81, 0x00][..]), Just(&[][..])],
        rest in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let frame = [&[2; 12], head, &rest[..]].concat();
        for policy in [&everything(), &knowing_mac(CONSOLE), &knowing_address("::")] {
            let steered = steer(&frame[..], policy);
            prop_assert!((steered.network as usize) < frame.len());
            prop_assert!(steered.transport as usize <= frame.len() + 2048);
            if steered.flags & flag::PORTS != 0 {
                prop_assert!(steered.transport as usize + 8 <= frame.len());
            }
            // What follows the last header has no influence.
            let mut longer = frame.clone();
            longer.extend([0xaa; 40]);
            if steered.flags & flag::MALFORMED == 0 {
                let again = steer(&longer[..], policy);
                prop_assert_eq!((steered.shard, steered.flow, steered.end), (again.shard, again.flow, again.end));
            }
        }
    }

    /// Swapping the two sides of any UDP packet changes neither shard nor flow.
    #[test]
    fn direction_does_not_matter(
        macs in (any::<u64>(), any::<u64>()), ips in (any::<[u8; 4]>(), any::<[u8; 4]>()), ports in any::<(u16, u16)>(),
    ) {
        // Groups receive only.
        let mac = |mac: u64| mac & 0xfeff_ffff_ffff;
        let ip = |[a, b, c, d]: [u8; 4]| std::format!("{}.{b}.{c}.{d}", a % 224);
        let (macs, ips) = ((mac(macs.0), mac(macs.1)), (ip(ips.0), ip(ips.1)));
        for policy in [everything(), knowing_mac(macs.1), knowing_address(&ips.0)] {
            both_ways(&policy, macs, (&ips.0, &ips.1), ports);
        }
    }
}
