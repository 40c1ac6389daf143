//! Dissection with a memory: fragments become datagrams, and frames that a mirror delivers twice are known again.

use std::net::IpAddr;
use std::time::Duration;

use super::{Cursor, Duplicates, Next, Packet, Plain, begin, duplicates, walk};
use crate::limits::Reached;
use crate::reassembly::fragments::{Counters, Fragments, Key, Limits, Piece};
use crate::source::Frame;
use crate::time::Timestamp;

/// Fragments within the datagrams that fragments make: a tunnel's packets can be cut, and so can those within.
const NESTING: usize = 2;

/// How a shard dissects.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How much may wait for fragments.
    pub fragments: Limits,
    /// How far apart the copies of one frame may be; zero looks for none.
    pub duplicate_window: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { fragments: Limits::default(), duplicate_window: duplicates::WINDOW }
    }
}

/// Dissects the frames of one shard.
#[derive(Debug)]
pub struct Dissector {
    fragments: Fragments,
    duplicates: Duplicates,
    /// The datagram made whole last, one for each level of nesting; a packet's payload may lie here.
    joined: [Vec<u8>; NESTING],
}

impl Default for Dissector {
    fn default() -> Self {
        Self::new(&Settings::default())
    }
}

impl Dissector {
    /// A dissector that has seen nothing.
    pub fn new(settings: &Settings) -> Self {
        Self {
            fragments: Fragments::new(settings.fragments),
            duplicates: Duplicates::new(settings.duplicate_window),
            joined: Default::default(),
        }
    }

    /// Adds which fragments were given up.
    pub fn account(&self, reached: &mut Reached) {
        let counters = self.fragments.counters();
        reached.fragments_timed_out = counters.timed_out;
        reached.fragments_evicted = counters.evicted;
        reached.fragments_overflowed = counters.overflowed;
    }

    /// What became of fragments so far.
    pub fn fragments(&self) -> Counters {
        self.fragments.counters()
    }

    /// Walks the headers of `frame`. Where it makes a fragmented datagram whole, the walk goes on through that:
    /// the packet is then the datagram, with [`Packet::reassembled`] set.
    ///
    /// A copy of an earlier frame is marked ([`Packet::duplicate`]) and its fragment, if it is one, not used.
    #[inline]
    pub fn dissect<'a>(&'a mut self, frame: &Frame<'a>) -> Packet<'a> {
        let mut packet = Packet::default();
        self.read(frame, &mut packet);
        packet
    }

    /// As [`Dissector::dissect`], into a packet that is empty: it is large, and so need not be moved.
    #[inline]
    pub fn read<'a>(&'a mut self, frame: &Frame<'a>, packet: &mut Packet<'a>) {
        self.read_on(frame, Plain::read(frame).as_ref(), packet);
    }

    /// As [`Dissector::read`], where it is known what the frame shows at a glance.
    #[inline]
    pub fn read_on<'a>(&'a mut self, frame: &Frame<'a>, plain: Option<&Plain<'a>>, packet: &mut Packet<'a>) {
        begin(packet, frame, plain);
        self.duplicates.look(packet, frame);
        if packet.ip.as_ref().is_some_and(|ip| ip.fragment.is_some()) {
            self.defragment(frame, packet);
        }
    }

    /// Whether every packet of this moment is to be compared with others, those between hosts that are
    /// [`quiet`](Packet::quiet), too.
    #[inline]
    pub fn compares(&self, time: Timestamp) -> bool {
        self.duplicates.compares(time)
    }

    /// Which generation of hosts that are quiet this is: another begins when a copy comes where none was expected. Never 0.
    #[inline]
    pub fn generation(&self) -> u32 {
        self.duplicates.generation()
    }

    #[cold]
    fn defragment<'a>(&'a mut self, frame: &Frame<'a>, packet: &mut Packet<'a>) {
        for buffer in &mut self.joined {
            if packet.duplicate || packet.stopped.is_some() {
                return;
            }
            let Some(next) = complete(&mut self.fragments, frame, packet, buffer) else { return };
            let length = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
            walk(packet, Cursor::new(buffer, length), next);
            self.duplicates.look(packet, frame);
        }
    }
}

/// Adds the fragment that `packet` is; if it makes the datagram whole, says with what that begins.
fn complete(
    fragments: &mut Fragments,
    frame: &Frame<'_>,
    packet: &mut Packet<'_>,
    payload: &mut Vec<u8>,
) -> Option<Next> {
    let ip = packet.ip.as_mut()?;
    let fragment = ip.fragment?;
    let is_v4 = matches!(ip.source, IpAddr::V4(_));
    let piece = Piece {
        key: Key {
            source: ip.source,
            destination: ip.destination,
            id: fragment.id,
            protocol: is_v4.then_some(ip.protocol),
        },
        protocol: ip.protocol,
        offset: fragment.offset,
        more: fragment.more,
        bytes: packet.payload,
        length: packet.payload_length,
    };
    let joined = fragments.insert(&piece, frame.time, payload)?;
    // The datagram that was cut had no fragment header.
    let header = ip.length.saturating_sub(packet.payload_length).saturating_sub(if is_v4 { 0 } else { 8 });
    ip.length = header.saturating_add(u32::try_from(payload.len()).unwrap_or(u32::MAX));
    ip.fragment = None;
    ip.protocol = joined.protocol;
    packet.reassembled = Some(joined.fragments);
    Some(if is_v4 { Next::IpProtocol(joined.protocol) } else { Next::Ipv6Header(joined.protocol) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dissect::dissect;
    use crate::dissect::samples::*;

    /// An IPv4 packet of the console, cut into fragments of `size` bytes of payload, each in an Ethernet frame.
    fn cut(protocol: u8, id: u16, payload: &[u8], size: usize) -> Vec<Vec<u8>> {
        let pieces: Vec<&[u8]> = payload.chunks(size).collect();
        let last = pieces.len() - 1;
        let frame = |(index, piece): (usize, &&[u8])| {
            let offset = u16::try_from(index * size / 8).expect("a short datagram");
            let more = if index < last { 0x2000 } else { 0 };
            ethernet(0x0800, &ipv4_piece(protocol, id, more | offset, piece))
        };
        pieces.iter().enumerate().map(frame).collect()
    }

    #[test]
    fn the_last_fragment_is_the_datagram() {
        let datagram = udp(50_000, 26_503, &[7; 40]);
        let frames = cut(17, 9, &datagram, 16);
        let mut dissector = Dissector::default();
        let first = dissector.dissect(&frame(&frames[0]));
        assert_eq!((first.reassembled, first.ports()), (None, None));
        dissector.dissect(&frame(&frames[2]));
        let whole = dissector.dissect(&frame(&frames[1]));
        assert_eq!(layers(&whole), "eth:ip:udp");
        assert_eq!(whole.reassembled, Some(3));
        assert_eq!(whole.ports(), Some((50_000, 26_503)));
        assert_eq!((whole.payload, whole.payload_length), (&[7; 40][..], 40));
        let ip = whole.ip.expect("an IP header");
        assert_eq!((ip.length, ip.fragment), (20 + 48, None));
    }

    #[test]
    fn padding_of_a_short_fragment_is_no_part_of_it() {
        let mut frames = cut(17, 9, &udp(1, 2, &[7; 9]), 16);
        frames[1].extend([0xee; 25]);
        let mut dissector = Dissector::default();
        dissector.dissect(&frame(&frames[0]));
        assert_eq!(dissector.dissect(&frame(&frames[1])).payload, [7; 9]);
    }

    /// One fragment of the IPv6 packet whose first header is `next`.
    fn piece6(next: u8, offset: u16, more: bool, bytes: &[u8]) -> Vec<u8> {
        let field = (offset | u16::from(more)).to_be_bytes();
        ethernet(0x86dd, &ipv6(44, &join(&[&[next, 0, field[0], field[1], 0, 0, 0, 5], bytes])))
    }

    #[test]
    fn extension_headers_in_the_fragmented_part() {
        let options = [17, 0, 1, 4, 0, 0, 0, 0];
        let datagram = join(&[&options, &udp(50_000, 26_503, b"0123456789")]);
        let mut dissector = Dissector::default();
        // The second fragment claims another protocol: the first one's counts.
        dissector.dissect(&frame(&piece6(6, 16, false, &datagram[16..])));
        let bytes = piece6(60, 0, true, &datagram[..16]);
        let whole = dissector.dissect(&frame(&bytes));
        assert_eq!(layers(&whole), "eth:ipv6:ipv6.fraghdr:ipv6.dstopts:udp");
        assert_eq!((whole.payload, whole.reassembled), (&b"0123456789"[..], Some(2)));
        assert_eq!(whole.ip.map(|ip| (ip.length, ip.protocol)), Some((40 + 26, 17)));
    }

    #[test]
    fn a_cut_tunnel_that_carries_cut_packets() {
        let inner = cut(17, 77, &udp(50_000, 26_503, &[5; 100]), 56);
        let outer = |id, inner: &[u8]| cut(47, id, &join(&[&[0, 0, 0x65, 0x58], inner]), 32);
        let mut dissector = Dissector::default();
        for (id, inner) in [(1, &inner[0]), (2, &inner[1])] {
            let frames = outer(id, inner);
            let (last, before) = frames.split_last().expect("fragments");
            for bytes in before {
                assert_eq!(dissector.dissect(&frame(bytes)).reassembled, None);
            }
            let packet = dissector.dissect(&frame(last));
            assert_eq!(packet.encap.as_slice(), ["gre"]);
            if id == 2 {
                assert_eq!(layers(&packet), "eth:ip:gre:eth:ip:udp");
                assert_eq!((packet.payload, packet.reassembled), (&[5; 100][..], Some(2)));
            } else {
                let fragment = packet.ip.and_then(|ip| ip.fragment).expect("a fragment");
                assert_eq!((fragment.offset, fragment.more), (0, true));
            }
        }
        assert_eq!(dissector.fragments().completed, 3);
    }

    #[test]
    fn copies_of_fragments_are_marked_and_not_used() {
        let frames = cut(17, 9, &udp(1, 2, &[7; 40]), 16);
        let mut dissector = Dissector::default();
        let mut seen = Vec::new();
        for bytes in &frames {
            for _ in 0..2 {
                let packet = dissector.dissect(&frame(bytes));
                seen.push((packet.duplicate, packet.reassembled));
            }
        }
        let expected = [(false, None), (true, None), (false, None), (true, None), (false, Some(3)), (true, None)];
        assert_eq!(seen, expected);
        assert_eq!(dissector.fragments().fragments, 3);
    }

    #[test]
    fn what_is_whole_goes_through_as_without_a_memory() {
        let bytes = ethernet(0x0800, &game());
        assert_eq!(Dissector::default().dissect(&frame(&bytes)), dissect(&frame(&bytes)));
    }
}
