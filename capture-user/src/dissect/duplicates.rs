//! Frames that a mirror delivers twice.
//!
//! A switch that mirrors two ports, or both directions of one, sends a copy of a frame for each place where the frame
//! passes: the same packet arrives twice within microseconds, a few milliseconds when the mirror port is busy. The
//! copies may differ in VLAN tags, MAC addresses, TTL and header checksum where they were routed between those places,
//! and in padding. What they share is the IP packet behind that, and a digest of it is what is remembered here.
//!
//! The danger is in the other mistake: to take for a copy what was sent, or delivered by the network, twice. Games
//! send the same bytes again, though not within 7 ms; RTP statistics must see the duplicates that a network makes. So
//! equal bytes alone are no evidence:
//!
//! - A mirror doubles *everything* between two hosts. A match counts only while at least a quarter of the packets from
//!   that host to that host were matched. Networks duplicate far less; a host's first packets settle it early.
//! - A match must be the same packet, not an equal one: it has an IPv4 identification other than zero, or is a TCP
//!   segment with a sequence number used up, or the copies differ as only forwarding makes them differ (TTL, MAC
//!   addresses, VLAN). Without any of that (most UDP in IPv6, and in IPv4 with the identification left at zero) it
//!   counts where other packets have shown that everything is doubled, or nearly all of at least eight were.
//!
//! What this costs: the first copies of a pair that sends in bursts of more than four, or only packets that are hard
//! to tell apart, pass as packets; of a network that duplicates more than a quarter, the duplicates are not seen.
//! Tools that compare nothing but bytes use windows of up to 50 ms. Three suffice for a mirror and stay under half of
//! what separates a game's equal packets.
//!
//! Most packets have no copies, and need not be looked at closely to know it: one match among the dozens of packets of a
//! pair that never had one decides nothing. Such a pair is looked at for a small part of the time, until a match is found.

use std::net::IpAddr;
use std::time::Duration;

use super::digest::Digest;
use super::recent::{Recent, Seen};
use super::{Fragment, Ip, Mac, Packet, Transport};
use crate::source::Frame;
use crate::time::Timestamp;

/// How far apart copies may be, unless told otherwise.
pub(super) const WINDOW: Duration = Duration::from_millis(3);

/// Pairs of hosts whose share of copies is known at a time, in sets: 32 KiB.
const PAIRS: usize = 4096;
const WAYS: usize = 4;
/// Packets without a copy after which a pair is looked at for a part of the time only: while it has had that many, a copy
/// decides nothing.
const QUIET: u8 = AGED / 2;
/// Packets, or copies, of a pair at which both numbers are halved.
const AGED: u8 = 128;
/// Quiet pairs are looked at for one in 64 slices of 2^25 ns (33 ms, ten times the window): every two seconds.
const SLICE_BITS: u32 = 25;
const SLICES: i64 = 64;
/// Bytes of payload that the digest covers, from its start and from its end.
const HEAD: usize = 64;
const TAIL: usize = 16;
/// The lower bits of a mark tell how the packet came, the others are its digest.
const ROUTE_BITS: u64 = 0xffff;

/// The packets of the last few milliseconds, by digest. At most 96 KiB.
#[derive(Debug)]
pub struct Duplicates {
    /// Nanoseconds.
    window: u64,
    recent: Recent,
    pairs: Box<[[Pair; WAYS]; PAIRS / WAYS]>,
    generation: u32,
    /// The empty digest, which nobody can guess.
    empty: Digest,
}

/// What is known of the packets from one host to another.
#[derive(Clone, Copy, Debug, Default)]
struct Pair {
    hash: u32,
    originals: u8,
    copies: u8,
    /// Whether everything was seen to be doubled.
    doubled: bool,
}

impl Duplicates {
    /// Looks for copies at most `window` apart; a window of zero finds none.
    pub fn new(window: Duration) -> Self {
        Self {
            window: u64::try_from(window.as_nanos()).unwrap_or(u64::MAX),
            recent: Recent::default(),
            pairs: Box::new([[Pair::default(); WAYS]; PAIRS / WAYS]),
            generation: 1,
            empty: Digest::new(),
        }
    }

    /// Notes whether `packet`, dissected from `frame` but not yet defragmented, was here a moment ago, and whether its
    /// hosts are quiet. Only IP packets are looked at.
    #[inline]
    pub fn look(&mut self, packet: &mut Packet<'_>, frame: &Frame<'_>) {
        let (duplicate, quiet) = match &packet.ip {
            Some(ip) if self.window > 0 => self.is_known(ip, packet, frame.time),
            Some(_) => (false, true),
            None => (false, false),
        };
        packet.duplicate = duplicate;
        packet.quiet = if quiet { self.generation } else { 0 };
    }

    /// Which generation of quiet pairs this is: another begins when one of them is quiet no more. Never 0.
    #[inline(always)]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Whether packets of this moment are compared, those of quiet pairs, too.
    #[inline(always)]
    pub fn compares(&self, time: Timestamp) -> bool {
        (time.as_nanos() >> SLICE_BITS) % SLICES == 0 && self.window > 0
    }

    /// Whether a packet is a copy, and whether its pair is quiet.
    fn is_known(&mut self, ip: &Ip, packet: &Packet<'_>, time: Timestamp) -> (bool, bool) {
        let mut digest = self.empty;
        add_addresses(&mut digest, ip);
        let (place, hash) = digest.halves();
        let compares = self.compares(time);
        let time = time.as_nanos();
        let pair = claim(&mut self.pairs[place as usize % (PAIRS / WAYS)], hash);
        let was_quiet = pair.is_quiet();
        if was_quiet && !compares {
            return (false, true);
        }
        add_packet(&mut digest, ip, packet);
        let mark = digest.value() & !ROUTE_BITS | route(packet, ip);
        // Digests are alike where no bit above those of the route differs.
        let is_copied = |seen: &&Seen| seen.mark ^ mark <= ROUTE_BITS && seen.is_near(time, self.window);
        if let Some(seen) = self.recent.like(mark).iter().find(is_copied) {
            self.generation = self.generation.wrapping_add(u32::from(was_quiet)).max(1);
            return (pair.copy(seen.mark != mark || is_unique(packet, ip)), false);
        }
        pair.original();
        self.recent.add(Seen { mark, time }, self.window);
        (false, pair.is_quiet())
    }
}

/// The place of a pair in its set; one that was not there takes that of the pair which came first.
#[inline]
fn claim(set: &mut [Pair; WAYS], hash: u32) -> &mut Pair {
    let way = set.iter().position(|pair| pair.hash == hash).unwrap_or_else(|| {
        set.rotate_right(1);
        set[0] = Pair { hash, ..Pair::default() };
        0
    });
    &mut set[way]
}

impl Pair {
    /// Whether it has sent many packets of late and no copy was among them.
    #[inline]
    fn is_quiet(&self) -> bool {
        self.originals >= QUIET && self.copies == 0
    }

    #[inline]
    fn original(&mut self) {
        self.originals += 1;
        self.age();
    }

    /// Counts a match, and says whether it is a mirror's copy. `certain`: it is the same packet beyond doubt.
    fn copy(&mut self, certain: bool) -> bool {
        self.copies += 1;
        let (copies, originals) = (u32::from(self.copies), u32::from(self.originals));
        let frequent = copies * 4 >= originals;
        self.doubled = frequent && (self.doubled || certain || copies >= 8 && copies * 4 >= originals * 3);
        self.age();
        frequent && self.doubled
    }

    /// What is long past counts less and less.
    fn age(&mut self) {
        if self.originals.max(self.copies) >= AGED {
            self.originals /= 2;
            self.copies /= 2;
        }
    }
}

/// Whether no second packet like this one is sent within a window.
fn is_unique(packet: &Packet<'_>, ip: &Ip) -> bool {
    match &packet.transport {
        _ if ip.id != 0 => true,
        Transport::Tcp(tcp) => packet.payload_length > 0 || tcp.flags.syn() || tcp.flags.fin(),
        _ => ip.fragment.is_some(),
    }
}

#[inline]
fn add_addresses(digest: &mut Digest, ip: &Ip) {
    match (ip.source, ip.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            digest.add(u64::from(source.to_bits()), u64::from(destination.to_bits()));
        }
        (source, destination) => [source, destination].into_iter().for_each(|address| match address {
            IpAddr::V4(address) => digest.add(u64::from(address.to_bits()), 0),
            IpAddr::V6(address) => digest.add((address.to_bits() >> 64) as u64, address.to_bits() as u64),
        }),
    }
}

/// All that forwarding leaves alone.
#[inline]
fn add_packet(digest: &mut Digest, ip: &Ip, packet: &Packet<'_>) {
    let header = u64::from(ip.length) << 32 | u64::from(ip.id) << 16 | u64::from(ip.protocol);
    match &packet.transport {
        Transport::Udp(udp) => digest.add(header, u64::from(udp.source) << 16 | u64::from(udp.destination)),
        Transport::Tcp(tcp) => {
            let ports = u64::from(tcp.source) << 16 | u64::from(tcp.destination);
            let rest = u64::from(tcp.window) << 8 | u64::from(tcp.flags.0);
            digest.add(header, u64::from(tcp.sequence) << 32 | ports);
            digest.add(u64::from(tcp.acknowledgement) << 32 | rest, 0);
            digest.add_bytes(tcp.options);
        }
        Transport::Icmp(icmp) => {
            let rest = u64::from(u32::from_be_bytes(icmp.rest));
            digest.add(header, rest << 32 | u64::from(icmp.kind) << 8 | u64::from(icmp.code));
        }
        Transport::None => digest.add(header, 0),
    }
    if let Some(Fragment { id, offset, more }) = ip.fragment {
        digest.add(u64::from(id) << 32 | u64::from(offset) << 1 | u64::from(more), 0);
    }
    let payload = packet.payload;
    match (payload.first_chunk::<HEAD>(), payload.last_chunk::<TAIL>()) {
        (Some(head), Some(tail)) => {
            digest.add_bytes(head);
            digest.add_bytes(tail);
        }
        _ => digest.add_bytes(payload),
    }
}

/// What forwarding changes, in a few bits: copies from different places differ here.
#[inline]
fn route(packet: &Packet<'_>, ip: &Ip) -> u64 {
    /// 2^64 divided by the golden ratio: spreads what it is multiplied with.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

    let mut sum = u64::from(ip.ttl);
    if let Some((source, destination)) = packet.macs {
        sum ^= number(source) << 16 ^ number(destination).rotate_left(40);
    }
    for vlan in &packet.vlan {
        sum = sum.rotate_left(12) ^ u64::from(*vlan);
    }
    sum.wrapping_mul(SPREAD) >> 48 & ROUTE_BITS
}

#[inline]
fn number(mac: Mac) -> u64 {
    let [a, b, c, d, e, f] = mac.0;
    u64::from(u32::from_be_bytes([a, b, c, d])) << 16 | u64::from(u16::from_be_bytes([e, f]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dissect::dissect;
    use crate::dissect::samples::*;

    const MICROSECOND: i64 = 1_000;

    /// A shard's memory, and which of the frames it was shown it took for copies.
    struct Mirror(Duplicates);

    impl Mirror {
        fn new() -> Self {
            Self(Duplicates::new(WINDOW))
        }

        fn sees(&mut self, microseconds: i64, bytes: &[u8]) -> bool {
            let frame = frame_at(microseconds * MICROSECOND, bytes);
            let mut packet = dissect(&frame);
            self.0.look(&mut packet, &frame);
            packet.duplicate
        }
    }

    fn packet(id: u16, payload: &[u8]) -> Vec<u8> {
        ethernet(0x0800, &ipv4_piece(17, id, 0x4000, &udp(50_000, 26_503, payload)))
    }

    #[test]
    fn a_copy_within_the_window_is_known_from_the_first() {
        let mut mirror = Mirror::new();
        assert!(!mirror.sees(0, &packet(1, b"tick")));
        assert!(mirror.sees(3_000, &packet(1, b"tick")));
        assert!(mirror.sees(1, &packet(1, b"tick")), "a third copy, out of order");
        assert!(!mirror.sees(3_001, &packet(1, b"tick")), "outside the window");
    }

    #[test]
    fn any_difference_in_the_packet_makes_it_another() {
        let mut other_end = packet(1, &[7; 300]);
        *other_end.last_mut().expect("a byte") = 8;
        let others = [packet(2, &[7; 300]), packet(1, &[8; 300]), packet(1, &[7; 299]), other_end];
        for other in others {
            let mut mirror = Mirror::new();
            mirror.sees(0, &packet(1, &[7; 300]));
            assert!(!mirror.sees(10, &other));
        }
    }

    #[test]
    fn a_routed_copy_has_other_macs_tags_ttl_and_padding() {
        let bytes = packet(0, b"tick");
        let mut routed = bytes.clone();
        routed[0] ^= 2;
        routed[22] -= 1;
        routed[24] ^= 1;
        routed.extend([0; 8]);
        let tagged = outer_ethernet(0x8100, &vlan(5, 0x0800, &bytes[14..]));
        for copy in [routed, tagged] {
            let mut mirror = Mirror::new();
            assert!(!mirror.sees(0, &bytes));
            assert!(mirror.sees(20, &copy));
        }
    }

    #[test]
    fn equal_packets_without_identification_are_not_copies_at_once() {
        let mut mirror = Mirror::new();
        let keep_alive = packet(0, b"jaK\0");
        for time in 0..3 {
            assert!(!mirror.sees(time, &keep_alive));
        }
    }

    #[test]
    fn where_all_is_doubled_packets_without_identification_are_too() {
        let mut mirror = Mirror::new();
        let copies = (0..100_u8).filter(|number| {
            let bytes = packet(0, &[*number; 40]);
            let time = i64::from(*number) * 16_000;
            assert!(!mirror.sees(time, &bytes));
            mirror.sees(time + 30, &bytes)
        });
        assert_eq!(copies.count(), 93, "all but the first seven");
        let mut mirror = Mirror::new();
        mirror.sees(0, &packet(1, b"one packet with an identification"));
        mirror.sees(1, &packet(1, b"one packet with an identification"));
        mirror.sees(2, &packet(0, b"settles it"));
        assert!(mirror.sees(3, &packet(0, b"settles it")));
    }

    #[test]
    fn a_mirror_that_begins_to_double_is_noticed() {
        let mut mirror = Mirror::new();
        let mut sees = |number: u16, offset: i64| {
            let bytes = packet(number, &number.to_be_bytes());
            mirror.sees(i64::from(number) * 16_000 + offset, &bytes)
        };
        (1..=1_000).for_each(|number| assert!(!sees(number, 0)));
        let passed = (1_001..=2_000).filter(|number| {
            assert!(!sees(*number, 0));
            !sees(*number, 30)
        });
        let passed = passed.count();
        assert!((1..200).contains(&passed), "{passed} copies went unnoticed");
    }

    #[test]
    fn what_a_network_duplicates_stays_to_be_counted() {
        let mut mirror = Mirror::new();
        let taken = (1..=2_000_u16).filter(|number| {
            let bytes = packet(*number, &number.to_be_bytes());
            let time = i64::from(*number) * 20_000;
            assert!(!mirror.sees(time, &bytes));
            number % 20 == 0 && mirror.sees(time + 5, &bytes)
        });
        assert_eq!(taken.count(), 0);
    }

    #[test]
    fn tcp_segments_are_unique_but_bare_acknowledgements_are_not() {
        let segment = |flags, payload: &[u8]| ethernet(0x86dd, &ipv6(6, &tcp(50_000, 443, 7, flags, payload)));
        for (bytes, copy) in [(segment(0x18, b"data"), true), (segment(2, b""), true), (segment(0x10, b""), false)] {
            let mut mirror = Mirror::new();
            assert!(!mirror.sees(0, &bytes));
            assert_eq!(mirror.sees(1, &bytes), copy);
        }
    }

    #[test]
    fn the_inner_packet_is_what_is_compared() {
        let mut mirror = Mirror::new();
        let session = |id| {
            let inner = join(&[&[0x10, 0, 0x88, 0xbe, 0, 0, 0, id], &[0x10, 0, 0, 1, 0, 0, 0, 0], &packet(1, b"tick")]);
            outer_ethernet(0x0800, &ipv4_between([10, 200, 0, 3], [10, 200, 0, 4], 47, u16::from(id), 0, &inner))
        };
        assert!(!mirror.sees(0, &session(1)));
        assert!(mirror.sees(40, &session(2)));
    }

    #[test]
    fn a_window_of_zero_finds_nothing() {
        let mut mirror = Mirror(Duplicates::new(Duration::ZERO));
        assert!(!mirror.sees(0, &packet(1, b"tick")));
        assert!(!mirror.sees(0, &packet(1, b"tick")));
    }

    #[test]
    fn frames_without_ip_are_never_copies() {
        let mut mirror = Mirror::new();
        for _ in 0..20 {
            assert!(!mirror.sees(0, &ethernet(0x88cc, &[0; 46])));
        }
    }
}
