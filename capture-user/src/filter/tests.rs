use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::dissect::Mac;
use crate::source::LinkType;
use crate::time::Timestamp;

fn frame(link: LinkType, data: &[u8]) -> Frame<'_> {
    let length = u32::try_from(data.len()).expect("a short frame");
    Frame { number: 1, time: Timestamp::default(), length, link, interface: 0, data }
}

/// UDP from 192.168.1.40:5000 to 203.0.113.9:3074.
fn udp() -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 32, 0, 1, 0, 0, 64, 17, 0, 0, 192, 168, 1, 40, 203, 0, 113, 9];
    packet.extend([0x13, 0x88, 0x0c, 0x02, 0, 12, 0, 0]);
    packet.extend(*b"game");
    packet
}

fn ethernet(tags: &[u16], packet: &[u8]) -> Vec<u8> {
    let mut frame = vec![0, 0x1b, 0x21, 0, 0, 1, 0, 0xd9, 0xd1, 0x12, 0x34, 0x56];
    for tag in tags {
        frame.extend([0x81, 0]);
        frame.extend(tag.to_be_bytes());
    }
    frame.extend([8, 0]);
    frame.extend(packet);
    frame
}

fn check(link: LinkType, data: &[u8], expression: &str, expected: bool) {
    let filter = Filter::parse(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
    assert_eq!(filter.matches(&frame(link, data)), expected, "{expression} on {link:?}");
}

#[test]
fn matches_a_frame() {
    let frame = ethernet(&[], &udp());
    for (expression, expected) in [
        ("", true),
        ("udp", true),
        ("tcp or udp and ip6", false),
        ("tcp or (udp and ip6)", false),
        ("ip6 and tcp or udp", true),
        ("ip6 and (tcp or udp)", false),
        ("not tcp", true),
        ("not not tcp", false),
        ("host 192.168.1.40", true),
        ("src 192.168.1.40 and dst 203.0.113.9", true),
        ("dst 192.168.1.40", false),
        ("src and dst net 192.168.0.0/16", false),
        ("src or dst net 192.168.0.0/16", true),
        ("arp host 192.168.1.40", false),
        ("net 192.168", true),
        ("net 192.168.1.0 mask 255.255.255.0", true),
        ("port 80 or 3074", true),
        ("src port 3074", false),
        ("udp dst port 3074 and src port 5000", true),
        ("tcp port 3074", false),
        ("portrange 3000-4000", true),
        ("not port (80 or 443)", true),
        ("proto 17", true),
        ("ip proto udp", true),
        ("ip6 proto 17", false),
        ("ether host 00:d9:d1:12:34:56", true),
        ("ether dst 00:d9:d1:12:34:56", false),
        ("ether proto 0x800", true),
        ("multicast or broadcast", false),
        ("vlan", false),
        ("less 46", true),
        ("greater 47", false),
        ("len = 46 && len != 45 && len < 47 && len > 45", true),
        ("len < 0 or len > 4294967295", false),
    ] {
        check(LinkType::Ethernet, &frame, expression, expected);
    }
}

#[test]
fn a_vlan_moves_what_follows_it() {
    let tagged = ethernet(&[5], &udp());
    for (expression, expected) in [
        ("udp", false),
        ("vlan", true),
        ("vlan 5 and udp port 3074", true),
        ("vlan 6", false),
        ("vlan and vlan", false),
        ("vlan 6 or udp", true),
        ("not vlan or udp", true),
        ("ether src 00:d9:d1:12:34:56 and vlan and ip", true),
    ] {
        check(LinkType::Ethernet, &tagged, expression, expected);
    }
    check(LinkType::Ethernet, &ethernet(&[7, 5], &udp()), "vlan 7 and vlan 5 and udp", true);
}

#[test]
fn other_link_layers() {
    let loopback = [&[2, 0, 0, 0][..], &udp()].concat();
    let cooked = [&[0, 0, 0, 1, 0, 6, 0, 1, 2, 3, 4, 5, 0, 0, 8, 0][..], &udp()].concat();
    let cooked2 = [&[8, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 0, 1, 2, 3, 4, 5, 0, 0][..], &udp()].concat();
    for (link, data) in [
        (LinkType::RawIp, udp()),
        (LinkType::Null, loopback.clone()),
        (LinkType::Loop, loopback),
        (LinkType::LinuxSll, cooked),
        (LinkType::LinuxSll2, cooked2),
    ] {
        check(link, &data, "ip and udp dst port 3074 and src 192.168.1.40", true);
        check(link, &data, "ip6 or arp or vlan or ether multicast", false);
    }
    check(LinkType::Other(147), &udp(), "ip or udp or host 192.168.1.40", false);
    check(LinkType::Other(147), &udp(), "greater 32", true);
}

#[test]
fn what_was_not_captured_does_not_match() {
    let whole = ethernet(&[], &udp());
    for expression in ["port 3074", "not port 80", "not tcp port 80 and not udp port 80"] {
        check(LinkType::Ethernet, &whole, expression, true);
        check(LinkType::Ethernet, &whole[..36], expression, false);
    }
}

#[test]
fn refuses_by_token_and_place() {
    for (expression, token, position) in [
        ("ip and", "", 7),
        ("()", ")", 2),
        ("(ip", "", 4),
        ("ip)", ")", 3),
        ("ip tcp", "tcp", 4),
        ("foo", "foo", 1),
        ("IP", "IP", 1),
        ("10.0.0.1", "10.0.0.1", 1),
        ("ip & tcp", "&", 4),
        ("tcp and 80", "80", 9),
        ("port 80 or tcp or 443", "443", 19),
        ("port", "", 5),
        ("port http", "http", 6),
        ("udp port domain", "domain", 10),
        ("port 65536", "65536", 6),
        ("port 080", "080", 6),
        ("port 5-10", "5-10", 6),
        ("port host", "host", 6),
        ("ip port 80", "ip", 1),
        ("host example.org", "example.org", 6),
        ("host 10.1", "10.1", 6),
        ("host 1.2.3.400", "1.2.3.400", 6),
        ("host 10.0.0.0/8", "/", 14),
        ("host 00:d9:d1:12:34:56", "00:d9:d1:12:34:56", 6),
        ("ether host 10.0.0.1", "10.0.0.1", 12),
        ("ether net 00:d9:d1:12:34:56", "00:d9:d1:12:34:56", 11),
        ("ether", "ether", 1),
        ("tcp host 10.0.0.1", "tcp", 1),
        ("ip host ::1", "ip", 1),
        ("ip6 net 10.0.0.0/8", "ip6", 1),
        ("net 0", "0", 5),
        ("net 10.0.0.1/8", "10.0.0.1", 5),
        ("net 10.0.0.0/33", "33", 14),
        ("net ::/129", "129", 8),
        ("net 10.0.0.0 mask 255.0.0.x", "255.0.0.x", 19),
        ("src proto 6", "proto", 5),
        ("proto 256", "256", 7),
        ("proto ospf", "ospf", 7),
        ("arp proto 1", "arp", 1),
        ("ether proto 100", "100", 13),
        ("ether proto 0x809b", "0x809b", 13),
        ("vlan 4096", "4096", 6),
        ("vlan 5 or 6", "6", 11),
        ("ip6 broadcast", "broadcast", 5),
        ("less", "", 5),
        ("len 5", "5", 5),
        ("len > x", "x", 7),
        ("tcp[13] & 2 != 0", "tcp[13]", 1),
        ("inbound", "inbound", 1),
        ("é foo", "é", 1),
    ] {
        let error = Filter::parse(expression).expect_err(expression);
        assert_eq!((error.token.as_str(), error.position), (token, position), "{expression}: {error}");
    }
}

#[test]
fn errors_read_as_one_line() {
    let error = Filter::parse("udp port domain").expect_err("a name");
    let expected = "filter: `domain` at character 10: not a port, 0 to 65535, in digits; names of services are not \
                    looked up";
    assert_eq!(error.to_string(), expected);
    let error = Filter::parse("(ip").expect_err("an open parenthesis");
    assert_eq!(error.to_string(), "filter ends at character 4: the `(` at character 1 is not closed");
}

#[test]
fn nesting_is_bounded() {
    let nested = |depth: usize| format!("{}ip{}", "(".repeat(depth), ")".repeat(depth));
    assert!(Filter::parse(&nested(100)).is_ok());
    assert_eq!(Filter::parse(&nested(101)).expect_err("too deep").position, 101);
    assert!(Filter::parse(&format!("{}ip{}", "not ".repeat(100_001), " or udp".repeat(100_000))).is_ok());
}

#[test]
fn the_kernel_selects_by_addresses_alone() {
    let cover = |macs: &[[u8; 6]], prefixes: &[(&str, u8)], arp| {
        let prefixes = prefixes.iter().map(|(address, bits)| (address.parse::<IpAddr>().expect("an address"), *bits));
        Some(Cover { macs: macs.iter().map(|mac| Mac(*mac)).collect(), prefixes: prefixes.collect(), arp })
    };
    let console = [0, 0xd9, 0xd1, 0x12, 0x34, 0x56];
    for (expression, expected) in [
        ("", None),
        ("udp", None),
        ("ether host 00:d9:d1:12:34:56", cover(&[console], &[], false)),
        ("ip host 10.0.0.1", cover(&[], &[("10.0.0.1", 32)], false)),
        ("host 10.0.0.1", cover(&[], &[("10.0.0.1", 32)], true)),
        ("src net 10.0.0.0/8 and udp", cover(&[], &[("10.0.0.0", 8)], true)),
        ("udp and port 80 and ip net 10", cover(&[], &[("10.0.0.0", 8)], false)),
        ("host 10.0.0.1 and ether src 00:d9:d1:12:34:56", cover(&[console], &[], false)),
        ("net 2001:db8::/32 or ip src 10.0.0.1", cover(&[], &[("2001:db8::", 32), ("10.0.0.1", 32)], false)),
        ("host 10.0.0.1 or udp", None),
        ("not host 10.0.0.1", None),
        ("not port 80", None),
        ("ip net 10.0.0.0 mask 255.0.255.0", None),
        ("vlan and host 10.0.0.1", None),
    ] {
        let filter = Filter::parse(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
        assert_eq!(filter.console_rules().cloned(), expected, "{expression}");
    }
}

/// Words and symbols in any order: most are nonsense, many are expressions.
fn expressions() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "and",
        "or",
        "not",
        "!",
        "&&",
        "||",
        "(",
        ")",
        "src",
        "dst",
        "host",
        "net",
        "port",
        "portrange",
        "proto",
        "ip",
        "ip6",
        "arp",
        "tcp",
        "udp",
        "icmp6",
        "ether",
        "vlan",
        "len",
        "less",
        "greater",
        "<",
        "!=",
        "/",
        "mask",
        "broadcast",
        "multicast",
        "10.0.0.0",
        "10",
        "255.0.0.0",
        "80",
        "5-10",
        "::1",
        "2001:db8::",
        "32",
        "0x800",
        "00:d9:d1:12:34:56",
        "\\tcp",
        "4096",
        "tcp[0]",
    ]);
    prop::collection::vec(words, 0..12).prop_map(|words| words.join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4096) })]

    #[test]
    fn any_text_is_a_filter_or_an_error(text in "\\PC*") {
        if let Err(error) = Filter::parse(&text) {
            prop_assert!(error.position >= 1 && error.position <= text.chars().count() + 1);
        }
    }

    #[test]
    fn any_filter_takes_any_frame(
        expression in expressions(),
        data in prop::collection::vec(any::<u8>(), 0..80),
        link in prop::sample::select(vec![LinkType::Ethernet, LinkType::RawIp, LinkType::LinuxSll2, LinkType::Null]),
    ) {
        if let Ok(filter) = Filter::parse(&expression) {
            filter.matches(&frame(link, &data));
        }
    }
}
