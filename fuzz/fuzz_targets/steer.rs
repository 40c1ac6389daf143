//! The decision that the XDP program shares with the readers of files, on frames of any bytes: it stays within the
//! frame, and the answer to a packet has the shard, the flow and the verdict of the packet.

#![no_main]

use std::net::IpAddr;

use capture_common::steer::{MAX_WALK, Steered, Verdict, flag, steer, steer_network};
use capture_user::dissect::dissect;
use capture_user::source::policy::ConsoleFilter;
use capture_user::source::{Frame, LinkType, route::route};
use capture_user::time::Timestamp;
use libfuzzer_sys::fuzz_target;
use padtap_fuzz::frames::link;

const IPV6: u16 = 0x86dd;
const IPV4: u16 = 0x0800;

fuzz_target!(|input: &[u8]| {
    let Some(([rules, kind], frame)) = input.split_first_chunk::<2>() else { return };
    let filter = filter(*rules, frame);
    let length = u32::try_from(frame.len()).expect("a short frame");
    let (number, time, interface) = (1, Timestamp::default(), 0);
    let whole = Frame { number, time, length, link: link(*kind), interface, data: frame };
    route(&whole, &filter);
    for ether_type in [IPV4, IPV6] {
        is_within(&steer_network(frame, ether_type, *kind, &filter), frame);
    }
    let steered = steer(frame, &filter);
    is_within(&steered, frame);
    if let Some(answer) = answer(frame, &steered) {
        let other = steer(&answer[..], &filter);
        assert_eq!((other.shard, other.flow), (steered.shard, steered.flow));
        let captured = |steered: &Steered| matches!(steered.verdict, Verdict::Capture(_));
        assert_eq!(captured(&other), captured(&steered));
    }
    agrees_with_dissection(&Frame { link: LinkType::Ethernet, ..whole }, &steered);
});

/// Filters of every kind, made for this frame so that they find something.
fn filter(rules: u8, frame: &[u8]) -> ConsoleFilter {
    let mut filter = if rules & 1 == 0 { ConsoleFilter::new() } else { ConsoleFilter::everything() };
    let mut add = |rule: String| filter.add_console(rule.parse().expect("a rule")).expect("room");
    if let Some([a, b, c, d, e, f]) = frame.get(6..).and_then(|rest| rest.first_chunk()) {
        let vendor = format!("{a:02x}:{b:02x}:{c:02x}");
        if rules & 2 != 0 {
            add(format!("{vendor}:{d:02x}:{e:02x}:{f:02x}"));
        }
        if rules & 4 != 0 {
            add(format!("{vendor}:{:x}/28", d >> 4));
        }
        if rules & 8 != 0 {
            add(vendor);
        }
    }
    if let Some(ip) = dissect_ethernet(frame).filter(|_| rules & 16 != 0) {
        let bits = u32::from(rules >> 5 << 2);
        add(format!("{}/{bits}", prefix(ip, bits)));
    }
    if rules & 0xe0 == 0xe0 {
        filter.exclude("tcp/8000-9000".parse().expect("a rule")).expect("room");
        filter.exclude("10.0.0.0/8".parse().expect("a rule")).expect("room");
    }
    filter
}

/// The first address of the prefix of `bits` bits, less than 32.
fn prefix(address: IpAddr, bits: u32) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & !(u32::MAX >> bits)).into()),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & !(u128::MAX >> bits)).into()),
    }
}

fn ethernet(data: &[u8]) -> Frame<'_> {
    let length = u32::try_from(data.len()).expect("a short frame");
    Frame { number: 1, time: Timestamp::default(), length, link: LinkType::Ethernet, interface: 0, data }
}

fn dissect_ethernet(data: &[u8]) -> Option<IpAddr> {
    dissect(&ethernet(data)).ip.map(|ip| ip.source)
}

fn is_within(steered: &Steered, frame: &[u8]) {
    let Steered { flags, network, transport, end, .. } = *steered;
    if flags & (flag::IPV4 | flag::IPV6) != 0 {
        assert!(usize::from(network) + 20 <= frame.len());
    }
    if flags & flag::PORTS != 0 {
        assert!(usize::from(transport) + 8 <= frame.len().min(MAX_WALK) && transport < end);
    }
}

/// The same packet with both ends exchanged, where it is one between two hosts and whole.
fn answer(frame: &[u8], steered: &Steered) -> Option<Vec<u8>> {
    if steered.flags & (flag::GROUP | flag::MALFORMED) != 0 || steered.flags & flag::PORTS == 0 {
        return None;
    }
    let (network, transport) = (usize::from(steered.network), usize::from(steered.transport));
    let mut answer = frame.to_vec();
    let mut swap = |first: usize, length: usize| {
        let (left, right) = answer.get_mut(first..first + 2 * length)?.split_at_mut(length);
        left.swap_with_slice(right);
        Some(())
    };
    swap(0, 6)?;
    if steered.flags & flag::IPV4 != 0 {
        swap(network + 12, 4)?
    } else {
        swap(network + 8, 16)?
    }
    swap(transport, 2)?;
    let is_group = steer(&answer[..], &ConsoleFilter::everything()).flags & flag::GROUP != 0;
    (!is_group && !is_discovery(frame)).then_some(answer)
}

/// Whether a filter without rules takes it: that looks at destinations too.
fn is_discovery(frame: &[u8]) -> bool {
    matches!(steer(frame, &ConsoleFilter::new()).verdict, Verdict::Capture(_))
}

/// Both read the same outermost packet.
fn agrees_with_dissection(frame: &Frame<'_>, steered: &Steered) {
    let packet = dissect(frame);
    let (Some(ip), Some((source, destination))) = (packet.ip, packet.ports()) else { return };
    if !packet.encap.is_empty() || packet.stopped.is_some() || steered.flags & flag::PORTS == 0 {
        return;
    }
    let ports = usize::from(steered.transport);
    let expected = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    assert_eq!(frame.data.get(ports..ports + 4), Some(&expected[..]), "{ip:?}");
    assert_eq!(ip.protocol, steered.protocol);
}
