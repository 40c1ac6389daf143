//! What becomes of a frame: the one decision that the XDP program and the readers of files share.
//!
//! [`steer`] walks the headers, asks the [`Policy`], and answers with a verdict, the class, the shard that owns the
//! frame, and what the walk found. Everything is bounded and nothing allocates, so the kernel's verifier can prove it.
//!
//! The order of the questions:
//! 1. An excluded port or address, on either side, ends it.
//! 2. Discovery traffic is captured from anybody, where that is on.
//! 3. A frame with a console on either side, by MAC or by address, is captured: unless its flow is shunted.
//! 4. Any other frame is captured where everything is, unless its flow is shunted.

mod shard;
#[cfg(test)]
mod tests;
mod walk;

use crate::config::{self, Address, Class, Config, Direction, FlowKey, mac_key, prefix};
use crate::counters::Counter;
use crate::meta::Meta;

pub use walk::{Headers, MAX_EXTENSIONS, MAX_WALK};

/// A frame, in the kernel or in a file.
pub trait Packet {
    /// Bytes on the wire, without the frame check sequence.
    fn length(&self) -> u32;

    /// `N` 16-bit words in network order from `offset` on; `None` where the captured bytes end before.
    ///
    /// Words, because every header padtap walks begins at an even distance from the first, and because a BPF program
    /// pays for each load.
    fn words<const N: usize>(&self, offset: usize) -> Option<[u16; N]>;

    /// `value`, so that the kernel's verifier forgets what it knows of it.
    ///
    /// The verifier follows every path with the values that it leads to. Where paths meet again and those values no
    /// longer matter, forgetting them makes the paths one: else their number multiplies from branch to branch.
    #[inline(always)]
    fn forget(&self, value: u64) -> u64 {
        value
    }
}

/// A frame in memory of which all bytes are there.
impl Packet for [u8] {
    fn length(&self) -> u32 {
        u32::try_from(self.len()).unwrap_or(u32::MAX)
    }

    fn words<const N: usize>(&self, offset: usize) -> Option<[u16; N]> {
        let bytes = self.get(offset..)?.get(..2 * N)?;
        let mut words = [0; N];
        for (word, pair) in words.iter_mut().zip(bytes.chunks_exact(2)) {
            *word = u16::from_be_bytes(pair.try_into().ok()?);
        }
        Some(words)
    }
}

/// What is wanted: BPF maps in the kernel, tables in user space.
pub trait Policy {
    /// The run-time configuration. Tables whose flag is not set are not asked.
    fn config(&self) -> &Config;

    /// Whether this [`mac_key`] belongs to a console.
    fn has_mac(&self, key: u64) -> bool;

    /// The [`prefix`] bits of the longest prefix that covers an IPv4 address.
    fn prefix_v4(&self, address: u32) -> u32;

    /// The [`prefix`] bits of the longest prefix that covers an IPv6 address.
    fn prefix_v6(&self, address: Address) -> u32;

    /// Whether a UDP port (`tcp` false) or TCP port (`tcp` true) is excluded.
    fn excludes_port(&self, tcp: bool, port: u16) -> bool;

    /// Whether a flow is shunted. If it is, counts one frame of it: `bytes` of the whole, `ip_bytes` from the IP
    /// header on.
    fn shunt(&self, flow: &FlowKey, direction: Direction, bytes: u32, ip_bytes: u32) -> bool;
}

/// Bits of [`Steered::flags`] and [`Meta::flags`].
pub mod flag {
    /// The frame carries IPv4.
    pub const IPV4: u16 = 1 << 0;
    /// The frame carries IPv6.
    pub const IPV6: u16 = 1 << 1;
    /// The frame has a VLAN tag, or two.
    pub const VLAN: u16 = 1 << 2;
    /// A UDP or TCP header was read.
    pub const PORTS: u16 = 1 << 3;
    /// The packet is a fragment, the first or another.
    pub const FRAGMENT: u16 = 1 << 4;
    /// The sender is a console.
    pub const FROM_CONSOLE: u16 = 1 << 5;
    /// The receiver is a console.
    pub const TO_CONSOLE: u16 = 1 << 6;
    /// The receiver is a group: broadcast or multicast.
    pub const GROUP: u16 = 1 << 7;
    /// A header was cut short, impossible, or one of too many.
    pub const MALFORMED: u16 = 1 << 8;
}

/// What to do with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send it to the socket of its queue.
    Capture(Class),
    /// Drop it; its flow's count has been raised.
    Shunt,
    /// Drop it, or leave it to the stack, as [`config::flag::PASS_UNMATCHED`] says.
    Ignore(Cause),
}

/// Why a frame is not captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Neither a console's nor discovery.
    NoConsole,
    /// To or from an excluded port.
    ExcludedPort,
    /// To or from an excluded address.
    ExcludedPrefix,
    /// Shorter than an Ethernet header.
    Runt,
}

impl Cause {
    /// The counter of this cause.
    #[inline(always)]
    pub const fn counter(self) -> Counter {
        match self {
            Self::NoConsole => Counter::NoConsole,
            Self::ExcludedPort => Counter::ExcludedPort,
            Self::ExcludedPrefix => Counter::ExcludedPrefix,
            Self::Runt => Counter::Runt,
        }
    }
}

impl Class {
    /// The counter of this class.
    #[inline(always)]
    pub const fn counter(self) -> Counter {
        match self {
            Self::Console => Counter::Console,
            Self::Discovery => Counter::Discovery,
            Self::Other => Counter::Other,
        }
    }
}

/// The answer of [`steer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steered {
    /// What to do with the frame.
    pub verdict: Verdict,
    /// Bits of [`flag`].
    pub flags: u16,
    /// The shard key: equal for all frames of one console, in both directions.
    pub shard: u32,
    /// Hash of addresses, ports and protocol, equal in both directions; of the MACs where there is no IP. Fragments
    /// hash without ports, and so otherwise than the whole packets of their flow.
    pub flow: u32,
    /// Where the IP header begins; 0 where there is none.
    pub network: u8,
    /// Where the transport header begins; 0 where none was found.
    pub transport: u16,
    /// IP protocol number of what begins at `transport`.
    pub protocol: u8,
    /// Where the last header that the walk understood ends.
    pub end: u16,
}

impl Steered {
    /// The metadata of a frame of `length` bytes, seen at `time` (CLOCK_MONOTONIC, nanoseconds).
    #[inline(always)]
    pub fn meta(&self, class: Class, time: u64, length: u32) -> Meta {
        Meta {
            magic: Meta::MAGIC,
            version: Meta::VERSION,
            class: class as u8,
            flags: self.flags,
            time,
            length,
            shard: self.shard,
            flow: self.flow,
            transport: self.transport,
            network: self.network,
            protocol: self.protocol,
        }
    }

    /// How many bytes of a frame to keep under a snap length of [`Config::snap`]; at least an Ethernet header.
    ///
    /// Of a frame without IP, whose headers the walk does not know, "headers only" keeps 60 bytes: all of an ARP frame.
    #[inline(always)]
    pub fn keep(&self, snap: u32) -> u32 {
        let keep = match snap {
            config::SNAP_HEADERS if self.network == 0 => 60,
            config::SNAP_HEADERS => self.end as u32,
            bytes => bytes,
        };
        if keep < 14 { 14 } else { keep }
    }
}

/// Decides about an Ethernet frame.
#[inline(always)]
pub fn steer<P: Packet + ?Sized>(packet: &P, policy: &impl Policy) -> Steered {
    match Headers::of_ethernet(packet) {
        Some(headers) => decide(packet, &headers, policy),
        None => runt(policy),
    }
}

/// Decides about a frame of another link layer, whose network header of type `ether_type` begins at `offset`. Such a
/// frame has no MACs, so consoles are known by their addresses only.
pub fn steer_network<P: Packet + ?Sized>(packet: &P, ether_type: u16, offset: u8, policy: &impl Policy) -> Steered {
    decide(packet, &Headers::of_network(packet, ether_type, offset), policy)
}

/// Nothing of such a frame can be asked; where everything is captured it is too.
#[inline(always)]
fn runt(policy: &impl Policy) -> Steered {
    let all = policy.config().has(config::flag::CAPTURE_ALL);
    let verdict = if all { Verdict::Capture(Class::Other) } else { Verdict::Ignore(Cause::Runt) };
    Steered { verdict, flags: flag::MALFORMED, shard: 0, flow: 0, network: 0, transport: 0, protocol: 0, end: 0 }
}

#[inline(always)]
fn decide<P: Packet + ?Sized>(packet: &P, headers: &Headers, policy: &impl Policy) -> Steered {
    let found = Consoles::find(packet, headers, policy);
    Steered {
        verdict: verdict(packet, headers, &found, policy),
        flags: headers.flags | found.flags(),
        shard: shard::shard(headers, &found),
        flow: shard::flow(headers),
        network: headers.network,
        transport: headers.transport,
        protocol: headers.protocol,
        end: headers.end,
    }
}

#[inline(always)]
fn verdict<P: Packet + ?Sized>(packet: &P, headers: &Headers, found: &Consoles, policy: &impl Policy) -> Verdict {
    let config = policy.config();
    if excludes_a_port(headers, policy) {
        return Verdict::Ignore(Cause::ExcludedPort);
    }
    if found.has(Consoles::EXCLUDED) {
        return Verdict::Ignore(Cause::ExcludedPrefix);
    }
    if config.has(config::flag::DISCOVERY) && headers.is_discovery() {
        return Verdict::Capture(Class::Discovery);
    }
    let class = if found.has(Consoles::ANY) {
        Class::Console
    } else if config.has(config::flag::CAPTURE_ALL) {
        Class::Other
    } else {
        return Verdict::Ignore(Cause::NoConsole);
    };
    if config.has(config::flag::SHUNT) && is_shunted(packet, headers, policy) {
        return Verdict::Shunt;
    }
    Verdict::Capture(class)
}

#[inline(always)]
fn excludes_a_port(headers: &Headers, policy: &impl Policy) -> bool {
    if headers.flags & flag::PORTS == 0 || !policy.config().has(config::flag::PORTS) {
        return false;
    }
    let tcp = headers.protocol == walk::TCP;
    policy.excludes_port(tcp, headers.source_port) || policy.excludes_port(tcp, headers.destination_port)
}

#[inline(always)]
fn is_shunted<P: Packet + ?Sized>(packet: &P, headers: &Headers, policy: &impl Policy) -> bool {
    if headers.flags & flag::PORTS == 0 {
        return false;
    }
    let source = (headers.source, headers.source_port);
    let destination = (headers.destination, headers.destination_port);
    let (key, direction) = FlowKey::new(source, destination, headers.protocol);
    policy.shunt(&key, direction, packet.length(), headers.ip_bytes)
}

/// Which of a frame's two sides are consoles, and by what.
struct Consoles(u64);

impl Consoles {
    const FROM_MAC: u64 = 1;
    const TO_MAC: u64 = 2;
    const FROM_ADDRESS: u64 = 4;
    const TO_ADDRESS: u64 = 8;
    const ANY: u64 = 15;
    /// An address of either side is excluded.
    const EXCLUDED: u64 = 16;

    #[inline(always)]
    fn find<P: Packet + ?Sized>(packet: &P, headers: &Headers, policy: &impl Policy) -> Self {
        let config = policy.config();
        let mut found = 0;
        if headers.has_macs && config.has(config::flag::ANY_MAC) {
            found |= is_console_mac(headers.source_mac, policy) as u64;
            found |= (is_console_mac(headers.destination_mac, policy) as u64) << 1;
        }
        let (from, to) = if headers.flags & flag::IPV4 != 0 && config.has(config::flag::PREFIXES_4) {
            (policy.prefix_v4(headers.source.low as u32), policy.prefix_v4(headers.destination.low as u32))
        } else if headers.flags & flag::IPV6 != 0 && config.has(config::flag::PREFIXES_6) {
            (policy.prefix_v6(headers.source), policy.prefix_v6(headers.destination))
        } else {
            (0, 0)
        };
        found |= ((from & prefix::CONSOLE) as u64) << 2;
        found |= ((to & prefix::CONSOLE) as u64) << 3;
        found |= (((from | to) & prefix::EXCLUDED) as u64) << 3;
        Self(packet.forget(found))
    }

    #[inline(always)]
    fn has(&self, bits: u64) -> bool {
        self.0 & bits != 0
    }

    /// The flags that tell who is a console.
    #[inline(always)]
    fn flags(&self) -> u16 {
        let from = (self.0 | self.0 >> 2) as u16 & 1;
        let to = (self.0 >> 1 | self.0 >> 3) as u16 & 1;
        (from * flag::FROM_CONSOLE) | (to * flag::TO_CONSOLE)
    }
}

#[inline(always)]
fn is_console_mac(mac: u64, policy: &impl Policy) -> bool {
    let config = policy.config();
    (config.has(config::flag::MACS) && policy.has_mac(mac_key(mac, 48)))
        || (config.has(config::flag::OUI_24) && policy.has_mac(mac_key(mac, 24)))
        || (config.has(config::flag::OUI_28) && policy.has_mac(mac_key(mac, 28)))
        || (config.has(config::flag::OUI_36) && policy.has_mac(mac_key(mac, 36)))
}
