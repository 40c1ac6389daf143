//! The table: a frame, a filter, and what must become of it.

use capture_common::config::Class;
use capture_common::steer::flag::{
    FRAGMENT, FROM_CONSOLE as FROM, GROUP, IPV4, IPV6, MALFORMED, PORTS, TO_CONSOLE as TO, VLAN,
};
use capture_common::steer::{Cause, Verdict};
use capture_user::source::policy::{ConsoleFilter, Snap};
use tests::frame::Frame;

pub struct Case {
    pub name: &'static str,
    pub filter: &'static str,
    frame: fn() -> Vec<u8>,
    pub verdict: Verdict,
    pub flags: u16,
    /// Bytes that are kept, where the case is about that.
    pub keep: Option<u32>,
}

impl Case {
    pub fn frame(&self) -> Vec<u8> {
        (self.frame)()
    }
}

/// The names that [`filter`] knows.
pub const FILTERS: &[&str] = &[
    "mac",
    "oui24",
    "oui28",
    "oui36",
    "v4",
    "v6",
    "all",
    "nothing",
    "no discovery",
    "pass",
    "port",
    "udp port",
    "prefix",
    "prefix6",
    "headers",
    "snap 96",
    "mixed",
];

/// A filter by its name.
pub fn filter(name: &str) -> ConsoleFilter {
    let mut filter = ConsoleFilter::new();
    let mut consoles = |texts: &[&str]| {
        for text in texts {
            filter.add_console(text.parse().unwrap()).unwrap();
        }
    };
    match name {
        "mac" | "no discovery" | "pass" | "port" | "udp port" | "prefix" | "prefix6" => consoles(&[CONSOLE]),
        "oui24" => consoles(&["bc:60:a7"]),
        "oui28" => consoles(&["bc:60:a7:0/28"]),
        "oui36" => consoles(&["bc:60:a7:00:0/36"]),
        "v4" => consoles(&["192.168.1.40", "10.9.0.0/16"]),
        "v6" => consoles(&["2001:db8:c::/48"]),
        "mixed" => consoles(&[CONSOLE, "bc:60:a7", "98:b6:e9:1/28", "70:b3:d5:12:3/36", "10.0.0.0/8", "fd00::/8"]),
        _ => {}
    }
    match name {
        "all" | "headers" | "snap 96" => filter.set_capture_all(true),
        "no discovery" => filter.set_discovery(false),
        "pass" => filter.set_pass_unmatched(true),
        "port" => filter.exclude("443".parse().unwrap()).unwrap(),
        "udp port" => filter.exclude("udp/3000-3100".parse().unwrap()).unwrap(),
        "prefix" => filter.exclude("203.0.113.0/24".parse().unwrap()).unwrap(),
        "prefix6" => filter.exclude("2606:4700::/32".parse().unwrap()).unwrap(),
        "mixed" => {
            filter.exclude("10.1.0.0/16".parse().unwrap()).unwrap();
            filter.exclude("tcp/80".parse().unwrap()).unwrap();
            filter.set_snap(Class::Console, Snap::Bytes(128));
        }
        _ => {}
    }
    match name {
        "headers" => filter.set_snap(Class::Other, Snap::Headers),
        "snap 96" => filter.set_snap(Class::Other, Snap::Bytes(96)),
        _ => {}
    }
    filter
}

const CONSOLE: &str = "bc:60:a7:00:00:40";
const CONSOLE_2: &str = "bc:60:a7:00:00:41";
const ROUTER: &str = "00:00:5e:00:53:01";
const PC: &str = "00:00:5e:00:53:77";
const IP: &str = "192.168.1.40";
const PC_IP: &str = "192.168.1.77";
const SERVER: &str = "203.0.113.9";
const IP6: &str = "2001:db8:c::40";
const SERVER6: &str = "2606:4700::1";

fn out() -> Frame {
    Frame::ethernet(CONSOLE, ROUTER)
}

fn back() -> Frame {
    Frame::ethernet(ROUTER, CONSOLE)
}

fn pc() -> Frame {
    Frame::ethernet(PC, ROUTER)
}

fn udp_out() -> Frame {
    out().ipv4(IP, SERVER).udp(3074, 40_000).payload(50)
}

fn udp_back() -> Frame {
    back().ipv4(SERVER, IP).udp(40_000, 3074).payload(50)
}

fn pc_udp() -> Frame {
    pc().ipv4(PC_IP, SERVER).udp(3074, 40_000).payload(50)
}

fn six() -> Frame {
    out().ipv6(IP6, SERVER6)
}

/// A frame of a download with a VLAN tag, the console's or (`back`) the server's.
pub fn download(six: bool, back: bool) -> Vec<u8> {
    let (from, to) = if back { (ROUTER, CONSOLE) } else { (CONSOLE, ROUTER) };
    let frame = Frame::ethernet(from, to).tag(0x8100, 7);
    let frame = match (six, back) {
        (false, false) => frame.ipv4(IP, SERVER),
        (false, true) => frame.ipv4(SERVER, IP),
        (true, false) => frame.ipv6(IP6, SERVER6),
        (true, true) => frame.ipv6(SERVER6, IP6),
    };
    if back { frame.tcp(443, 50_000, 3).payload(1000).build() } else { frame.tcp(50_000, 443, 0).build() }
}

/// Frames that are near to the download, but no part of it.
pub fn not_the_download(six: bool) -> Vec<Vec<u8>> {
    let frame = if six { out().ipv6(IP6, SERVER6) } else { out().ipv4(IP, SERVER) };
    vec![
        frame.clone().tcp(50_001, 443, 0).build(),
        frame.clone().tcp(443, 50_000, 0).build(),
        frame.clone().udp(50_000, 443).payload(9).build(),
        if six { out().ipv6(IP6, "2606:4700::2") } else { out().ipv4(IP, "203.0.113.10") }.tcp(50_000, 443, 0).build(),
    ]
}

const CAPTURE: Verdict = Verdict::Capture(Class::Console);
const DISCOVERY: Verdict = Verdict::Capture(Class::Discovery);
const OTHER: Verdict = Verdict::Capture(Class::Other);
const NO_CONSOLE: Verdict = Verdict::Ignore(Cause::NoConsole);
const BAD_PORT: Verdict = Verdict::Ignore(Cause::ExcludedPort);
const BAD_PREFIX: Verdict = Verdict::Ignore(Cause::ExcludedPrefix);
const RUNT: Verdict = Verdict::Ignore(Cause::Runt);
const P4: u16 = IPV4 | PORTS;
const P6: u16 = IPV6 | PORTS;

/// `name, filter, frame => verdict, flags`, and `, bytes kept` where that matters.
macro_rules! cases {
    ($($name:literal, $filter:literal, $frame:expr => $verdict:expr, $flags:expr $(, $keep:expr)?;)+) => {
        pub const CASES: &[Case] = &[$(Case {
            name: $name,
            filter: $filter,
            frame: || $frame.build(),
            verdict: $verdict,
            flags: $flags,
            keep: [$(Some($keep),)? None][0],
        },)+];
    };
}

/// A frame that ends early: `Frame` has no such thing, the wire has.
struct Cut(Frame, usize);

impl Cut {
    fn build(&self) -> Vec<u8> {
        let mut bytes = self.0.build();
        bytes.truncate(self.1);
        bytes
    }
}

/// A frame with some bytes overwritten.
struct Patched(Frame, usize, &'static [u8]);

impl Patched {
    fn build(&self) -> Vec<u8> {
        let mut bytes = self.0.build();
        bytes[self.1..self.1 + self.2.len()].copy_from_slice(self.2);
        bytes
    }
}

cases! {
    // Every kind of filter, hit and missed, both ways.
    "mac, out", "mac", udp_out() => CAPTURE, P4 | FROM, 92;
    "mac, back", "mac", udp_back() => CAPTURE, P4 | TO;
    "mac, missed", "mac", pc_udp() => NO_CONSOLE, P4;
    "mac, neighbour", "mac", Frame::ethernet(CONSOLE_2, ROUTER).ipv4(IP, SERVER).udp(1, 2) => NO_CONSOLE, P4;
    "mac, two consoles", "oui24", Frame::ethernet(CONSOLE, CONSOLE_2).ipv4(IP, PC_IP).udp(1, 2) => CAPTURE, P4 | FROM | TO;
    "mac, not IP", "mac", out().payload(40) => CAPTURE, FROM;
    "oui 24, out", "oui24", udp_out() => CAPTURE, P4 | FROM;
    "oui 24, back", "oui24", udp_back() => CAPTURE, P4 | TO;
    "oui 24, missed", "oui24", pc_udp() => NO_CONSOLE, P4;
    "oui 28, out", "oui28", udp_out() => CAPTURE, P4 | FROM;
    "oui 28, back", "oui28", udp_back() => CAPTURE, P4 | TO;
    "oui 28, next block", "oui28", Frame::ethernet("bc:60:a7:10:00:40", ROUTER).ipv4(IP, SERVER).udp(1, 2) => NO_CONSOLE, P4;
    "oui 36, out", "oui36", udp_out() => CAPTURE, P4 | FROM;
    "oui 36, back", "oui36", udp_back() => CAPTURE, P4 | TO;
    "oui 36, next block", "oui36", Frame::ethernet("bc:60:a7:00:10:40", ROUTER).ipv4(IP, SERVER).udp(1, 2) => NO_CONSOLE, P4;
    "host, out", "v4", udp_out() => CAPTURE, P4 | FROM;
    "host, back", "v4", udp_back() => CAPTURE, P4 | TO;
    "host, missed", "v4", pc_udp() => NO_CONSOLE, P4;
    "prefix, out", "v4", pc().ipv4("10.9.255.1", SERVER).tcp(5, 6, 0) => CAPTURE, P4 | FROM;
    "prefix, back", "v4", pc().ipv4(SERVER, "10.9.0.1").tcp(5, 6, 0) => CAPTURE, P4 | TO;
    "prefix, within", "v4", pc().ipv4("10.9.0.1", "10.9.0.2").tcp(5, 6, 0) => CAPTURE, P4 | FROM | TO;
    "prefix, beyond", "v4", pc().ipv4("10.10.0.1", SERVER).tcp(5, 6, 0) => NO_CONSOLE, P4;
    "prefix, not for IPv6", "v4", six().udp(1, 2) => NO_CONSOLE, P6;
    "IPv6 prefix, out", "v6", six().udp(1, 2) => CAPTURE, P6 | FROM;
    "IPv6 prefix, back", "v6", back().ipv6(SERVER6, IP6).udp(1, 2) => CAPTURE, P6 | TO;
    "IPv6 prefix, beyond", "v6", out().ipv6("2001:db8:d::40", SERVER6).udp(1, 2) => NO_CONSOLE, P6;
    "IPv6 prefix, not for IPv4", "v6", udp_out() => NO_CONSOLE, P4;
    "everything", "all", pc_udp() => OTHER, P4;
    "everything, not IP", "all", pc().payload(46) => OTHER, 0;
    "everything, LLC", "all", pc().ether_type(38).payload(38) => OTHER, 0;
    "nothing", "nothing", udp_out() => NO_CONSOLE, P4;
    "passed on", "pass", pc_udp() => NO_CONSOLE, P4;
    "mixed, by longest block", "mixed", Frame::ethernet("70:b3:d5:12:3f:ff", ROUTER).ipv4("172.16.0.9", SERVER).udp(1, 2) => CAPTURE, P4 | FROM;
    "mixed, by MAC and address", "mixed", out().ipv4("10.2.0.1", SERVER).udp(1, 2).payload(300) => CAPTURE, P4 | FROM, 128;
    "mixed, other ends", "mixed", back().ipv4("10.2.0.1", SERVER).udp(1, 2) => CAPTURE, P4 | FROM | TO;
    "mixed, excluded within", "mixed", pc().ipv4("10.1.0.1", SERVER).udp(1, 2) => BAD_PREFIX, P4 | FROM;
    "mixed, TCP port only", "mixed", out().ipv4(IP, SERVER).udp(5, 80) => CAPTURE, P4 | FROM;

    // Exclusions win.
    "port, out", "port", out().ipv4(IP, SERVER).tcp(50_000, 443, 0) => BAD_PORT, P4 | FROM;
    "port, back", "port", back().ipv4(SERVER, IP).udp(443, 50_000) => BAD_PORT, P4 | TO;
    "port, neighbour", "port", out().ipv4(IP, SERVER).tcp(50_000, 444, 0) => CAPTURE, P4 | FROM;
    "port, IPv6", "port", six().tcp(443, 50_000, 2) => BAD_PORT, P6 | FROM;
    "port, in a later fragment", "port", out().ipv4_with(IP, SERVER, 0, 100).tcp(50_000, 443, 0) => CAPTURE, IPV4 | FRAGMENT | FROM;
    "UDP ports, first", "udp port", out().ipv4(IP, SERVER).udp(9, 3000) => BAD_PORT, P4 | FROM;
    "UDP ports, last", "udp port", out().ipv4(IP, SERVER).udp(3100, 9) => BAD_PORT, P4 | FROM;
    "UDP ports, over TCP", "udp port", out().ipv4(IP, SERVER).tcp(3050, 9, 0) => CAPTURE, P4 | FROM;
    "excluded address, out", "prefix", udp_out() => BAD_PREFIX, P4 | FROM;
    "excluded address, back", "prefix", udp_back() => BAD_PREFIX, P4 | TO;
    "excluded address, neighbour", "prefix", out().ipv4(IP, "203.0.114.9").udp(1, 2) => CAPTURE, P4 | FROM;
    "excluded IPv6 address", "prefix6", six().udp(1, 2) => BAD_PREFIX, P6 | FROM;

    // Discovery, from anybody.
    "ARP", "mac", Frame::ethernet(PC, "ff:ff:ff:ff:ff:ff").ether_type(0x0806).payload(46) => DISCOVERY, GROUP;
    "ARP of a console", "mac", out().ether_type(0x0806).payload(28) => DISCOVERY, FROM, 42;
    "DHCP", "mac", Frame::ethernet(PC, "ff:ff:ff:ff:ff:ff").ipv4("0.0.0.0", "255.255.255.255").udp(68, 67) => DISCOVERY, P4 | GROUP;
    "DHCPv6", "v4", pc().ipv6("fe80::7", "ff02::1:2").udp(546, 547) => DISCOVERY, P6 | GROUP;
    "mDNS", "mac", Frame::ethernet(PC, "01:00:5e:00:00:fb").ipv4(PC_IP, "224.0.0.251").udp(5353, 5353) => DISCOVERY, P4 | GROUP;
    "SSDP answer", "mac", pc().ipv4(PC_IP, "192.168.1.1").udp(1900, 50_000) => DISCOVERY, P4;
    "LLMNR", "mac", pc().ipv4(PC_IP, "224.0.0.252").udp(50_000, 5355) => DISCOVERY, P4 | GROUP;
    "PlayStation 4", "mac", pc().ipv4(PC_IP, IP).udp(1987, 987) => DISCOVERY, P4;
    "PlayStation 5", "mac", pc().ipv4(PC_IP, IP).udp(9303, 9302) => DISCOVERY, P4;
    "SmartGlass", "mac", pc().ipv4(PC_IP, "239.255.255.250").udp(50_000, 5050) => DISCOVERY, P4 | GROUP;
    "Steam", "mac", pc().ipv4(PC_IP, "255.255.255.255").udp(27036, 27036) => DISCOVERY, P4 | GROUP;
    "a discovery port of TCP", "mac", pc().ipv4(PC_IP, SERVER).tcp(5353, 80, 0) => NO_CONSOLE, P4;
    "discovery off", "no discovery", pc().ipv4(PC_IP, "224.0.0.251").udp(5353, 5353) => NO_CONSOLE, P4 | GROUP;
    "discovery off, a console's", "no discovery", out().ipv4(IP, "224.0.0.251").udp(5353, 5353) => CAPTURE, P4 | GROUP | FROM;

    // VLAN and QinQ.
    "802.1Q", "mac", out().tag(0x8100, 10).ipv4(IP, SERVER).udp(1, 2) => CAPTURE, P4 | VLAN | FROM;
    "802.1ad", "v4", pc().tag(0x88a8, 10).tag(0x8100, 20).ipv4(IP, SERVER).udp(1, 2) => CAPTURE, P4 | VLAN | FROM;
    "before 802.1ad", "v4", pc().tag(0x9100, 10).tag(0x9100, 20).ipv4(IP, SERVER).udp(1, 2) => CAPTURE, P4 | VLAN | FROM;
    "IPv6 in QinQ", "v6", pc().tag(0x88a8, 1).tag(0x8100, 2).ipv6(IP6, SERVER6).tcp(1, 2, 0) => CAPTURE, P6 | VLAN | FROM;
    "a third tag is not looked through", "v4", pc().tag(0x88a8, 1).tag(0x8100, 2).tag(0x8100, 3).ipv4(IP, SERVER).udp(1, 2) => NO_CONSOLE, VLAN;

    // IPv4 options and fragments.
    "IPv4 options", "mac", out().ipv4_with(IP, SERVER, 10, 0).udp(1, 2) => CAPTURE, P4 | FROM;
    "do not fragment", "mac", out().ipv4_with(IP, SERVER, 0, 0x4000).udp(1, 2) => CAPTURE, P4 | FROM;
    "first fragment", "mac", out().ipv4_with(IP, SERVER, 0, 0x2000).udp(1, 2).payload(64) => CAPTURE, P4 | FRAGMENT | FROM;
    "later fragment", "v4", pc().ipv4_with(SERVER, IP, 0, 0x2040).payload(64).protocol(17) => CAPTURE, IPV4 | FRAGMENT | TO;
    "last fragment", "v4", pc().ipv4_with(SERVER, IP, 0, 0x0040).payload(64).protocol(6) => CAPTURE, IPV4 | FRAGMENT | TO;
    "ICMP", "mac", out().ipv4(IP, SERVER).protocol(1).payload(64) => CAPTURE, IPV4 | FROM;

    // IPv6 extension headers.
    "hop-by-hop", "v6", six().extension(0, 0).udp(1, 2) => CAPTURE, P6 | FROM;
    "routing", "v6", six().extension(43, 2).tcp(1, 2, 0) => CAPTURE, P6 | FROM;
    "destination options", "v6", six().extension(60, 5).udp(1, 2) => CAPTURE, P6 | FROM;
    "authentication", "v6", six().extension(51, 4).udp(1, 2) => CAPTURE, P6 | FROM;
    "all kinds in a row", "v6", six().extension(0, 0).extension(60, 1).extension(43, 2).fragment(0, false).extension(51, 4).extension(60, 0).udp(1, 2) => CAPTURE, P6 | FROM;
    "eight extension headers", "mac", six().extension(0, 0).extension(60, 0).extension(60, 0).extension(60, 0).extension(60, 0).extension(60, 0).extension(60, 0).extension(60, 0).udp(1, 2) => CAPTURE, P6 | FROM;
    "nine extension headers", "mac", six().extension(0, 0).extension(60, 0).extension(60, 0).extension(60, 0).extension(60, 0).extension(60, 0).extension(60, 0).extension(60, 0).extension(60, 0).udp(1, 2) => CAPTURE, IPV6 | MALFORMED | FROM;
    "extension headers beyond the walk", "v6", six().extension(60, 255).udp(1, 2).payload(9) => CAPTURE, IPV6 | MALFORMED | FROM;
    "IPv6 atomic fragment", "v6", six().fragment(0, false).udp(1, 2) => CAPTURE, P6 | FROM;
    "IPv6 first fragment", "v6", six().fragment(0, true).udp(1, 2).payload(64) => CAPTURE, P6 | FRAGMENT | FROM;
    "IPv6 later fragment", "v6", six().fragment(20, false).protocol(17).payload(64) => CAPTURE, IPV6 | FRAGMENT | FROM;
    "no next header", "v6", six().protocol(59) => CAPTURE, IPV6 | FROM;
    "ICMPv6", "v6", six().protocol(58).payload(32) => CAPTURE, IPV6 | FROM;

    // Cut short at each header, and impossible headers.
    "runt", "mac", Cut(udp_out(), 13) => RUNT, MALFORMED;
    "runt, everything", "all", Cut(udp_out(), 5) => OTHER, MALFORMED;
    "Ethernet only", "mac", Cut(udp_out(), 14) => CAPTURE, MALFORMED | FROM;
    "in the VLAN tag", "mac", Cut(out().tag(0x8100, 5).ipv4(IP, SERVER), 17) => CAPTURE, MALFORMED | FROM;
    "after the VLAN tag", "mac", Cut(out().tag(0x8100, 5).ipv4(IP, SERVER), 18) => CAPTURE, VLAN | MALFORMED | FROM;
    "in the second tag", "mac", Cut(out().tag(0x88a8, 5).tag(0x8100, 6).ipv4(IP, SERVER), 21) => CAPTURE, VLAN | MALFORMED | FROM;
    "in IPv4", "v4", Cut(udp_out(), 33) => NO_CONSOLE, MALFORMED;
    "after IPv4", "v4", Cut(udp_out(), 34) => CAPTURE, IPV4 | MALFORMED | FROM;
    "in IPv4 options", "v4", Cut(out().ipv4_with(IP, SERVER, 3, 0).udp(1, 2), 40) => CAPTURE, IPV4 | MALFORMED | FROM;
    "in UDP", "port", Cut(out().ipv4(IP, SERVER).udp(1, 443), 41) => CAPTURE, IPV4 | MALFORMED | FROM;
    "after UDP", "port", Cut(out().ipv4(IP, SERVER).udp(1, 443).payload(20), 42) => BAD_PORT, P4 | FROM;
    "in TCP", "port", Cut(out().ipv4(IP, SERVER).tcp(1, 443, 0), 53) => CAPTURE, IPV4 | MALFORMED | FROM;
    "in TCP options", "port", Cut(out().ipv4(IP, SERVER).tcp(1, 443, 5), 60) => BAD_PORT, P4 | FROM;
    "in IPv6", "v6", Cut(six().udp(1, 2), 53) => NO_CONSOLE, MALFORMED;
    "after IPv6", "v6", Cut(six().udp(1, 2), 54) => CAPTURE, IPV6 | MALFORMED | FROM;
    "in an extension header", "v6", Cut(six().extension(0, 1).udp(1, 2), 57) => CAPTURE, IPV6 | MALFORMED | FROM;
    "after an extension header", "v6", Cut(six().extension(0, 1).udp(1, 2), 70) => CAPTURE, IPV6 | MALFORMED | FROM;
    "IPv4 of version 5", "v4", Patched(udp_out(), 14, &[0x55]) => NO_CONSOLE, MALFORMED;
    "IPv4 header of 16 bytes", "v4", Patched(udp_out(), 14, &[0x44]) => NO_CONSOLE, MALFORMED;
    "IPv6 of version 4", "v6", Patched(six().udp(1, 2), 14, &[0x40]) => NO_CONSOLE, MALFORMED;
    "IPv4 shorter than its header", "v4", Patched(udp_out(), 16, &[0, 19]) => CAPTURE, IPV4 | MALFORMED | FROM;
    "UDP in the Ethernet padding", "port", out().ipv4(IP, SERVER).protocol(17).padding(26) => CAPTURE, IPV4 | MALFORMED | FROM;
    "total length 0, as offloading leaves it", "port", Patched(out().ipv4(IP, SERVER).udp(1, 443), 16, &[0, 0]) => BAD_PORT, P4 | FROM;
    "TCP header of 16 bytes", "port", Patched(out().ipv4(IP, SERVER).tcp(1, 443, 0), 46, &[0x40]) => CAPTURE, IPV4 | MALFORMED | FROM;

    // Lengths.
    "jumbo, whole", "mac", out().ipv4(IP, SERVER).udp(1, 2).payload(8972) => CAPTURE, P4 | FROM, 9014;
    "jumbo, snapped", "snap 96", out().ipv4(IP, SERVER).udp(1, 2).payload(8972) => OTHER, P4, 96;
    "jumbo, headers", "headers", out().ipv6(IP6, SERVER6).tcp(1, 2, 3).payload(8900) => OTHER, P6, 86;
    "short of the snap length", "snap 96", pc_udp() => OTHER, P4, 92;
    "headers, UDP", "headers", pc_udp() => OTHER, P4, 42;
    "headers, TCP with options", "headers", pc().ipv4(PC_IP, SERVER).tcp(1, 2, 4).payload(500) => OTHER, P4, 70;
    "headers, VLAN and IPv6", "headers", pc().tag(0x8100, 1).ipv6(IP6, SERVER6).extension(0, 0).udp(1, 2).payload(500) => OTHER, P6 | VLAN, 74;
    "headers, ICMP", "headers", pc().ipv4(PC_IP, SERVER).protocol(1).payload(500) => OTHER, IPV4, 34;
    "headers, fragment", "headers", pc().ipv4_with(PC_IP, SERVER, 0, 9).protocol(17).payload(500) => OTHER, IPV4 | FRAGMENT, 34;
    "headers, not IP", "headers", pc().payload(500) => OTHER, 0, 60;
}
