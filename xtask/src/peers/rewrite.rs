//! A frame of one host made one of another: addresses, and the checksums that cover them.

use std::collections::HashMap;

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const VLANS: [u16; 2] = [0x8100, 0x88a8];

/// The private addresses of a capture, numbered: each round gives every one of them another.
#[derive(Default)]
pub struct Hosts {
    numbers: HashMap<[u8; 4], u32>,
    /// Addresses of the captures before this one, and of all.
    before: u32,
    all: u32,
}

impl Hosts {
    /// Notes the private addresses of a frame.
    pub fn learn(&mut self, frame: &[u8]) {
        let Some((IPV4, at)) = network(frame) else { return };
        for end in [12, 16] {
            if let Some(address) = bytes(frame, at + end).filter(|address| is_private(*address)) {
                let next = self.numbers.len() as u32;
                self.numbers.entry(address).or_insert(next);
            }
        }
    }

    /// Numbers them from `before` on; the number after the last.
    pub fn number(&mut self, before: u32) -> u32 {
        self.before = before;
        before + self.numbers.len() as u32
    }

    /// Says how many there are in all captures.
    pub fn of(&mut self, all: u32) {
        self.all = all;
    }

    /// What a private address becomes in a round.
    fn address(&self, old: [u8; 4], round: u32) -> Option<[u8; 4]> {
        let number = round.wrapping_mul(self.all).wrapping_add(self.before + self.numbers.get(&old)?);
        let [_, a, b, c] = number.to_be_bytes();
        Some([10, a, b, c])
    }
}

/// Gives a frame of round `round` addresses of its own; its checksums stay as right (or as wrong) as they were.
///
/// Private addresses become others, and stay private; those of servers stay, so that what is known of them holds. A
/// frame without a private address has both changed, IPv6 always. MAC addresses differ in 256 rounds, for a mirror
/// port has not more consoles than that. Addresses within payloads and tunnels stay.
pub fn rewrite(frame: &mut [u8], round: u32, hosts: &Hosts) {
    let Some((kind, at)) = network(frame) else { return };
    for end in [5, 11] {
        if frame[end - 5] & 1 == 0 {
            frame[end] ^= round as u8;
        }
    }
    match kind {
        IPV4 => rewrite_v4(frame, at, round, hosts),
        _ => rewrite_v6(frame, at, round),
    }
}

fn rewrite_v4(frame: &mut [u8], at: usize, round: u32, hosts: &Hosts) {
    let (Some(source), Some(destination)) = (bytes::<4>(frame, at + 12), bytes::<4>(frame, at + 16)) else { return };
    let outside = !is_private(source) && !is_private(destination);
    let header = usize::from(frame[at] & 0xf) * 4;
    let first = u16::from_be_bytes([frame[at + 6], frame[at + 7]]) & 0x1fff == 0;
    let transport = if first { checksum_of(frame[at + 9], at + header) } else { None };
    for (place, old) in [(at + 12, source), (at + 16, destination)] {
        let new = match hosts.address(old, round) {
            Some(new) => new,
            None if outside && old[0] < 224 => {
                let [.., a, b] = round.to_be_bytes();
                [old[0], old[1], old[2] ^ a, old[3] ^ b]
            }
            None => continue,
        };
        replace(frame, place, &new, &[Some(at + 10), transport]);
    }
}

fn rewrite_v6(frame: &mut [u8], at: usize, round: u32) {
    let transport = frame.get(at + 6).and_then(|next| checksum_of(*next, at + 40));
    for place in [at + 8, at + 24] {
        if let Some([.., a, b, _, _]) = bytes::<16>(frame, place).filter(|[first, ..]| *first != 0xff) {
            let [.., c, d] = round.to_be_bytes();
            replace(frame, place + 12, &[a ^ c, b ^ d], &[transport]);
        }
    }
}

/// Writes an even number of bytes at an even distance from the header's start, and mends the checksums that cover them
/// (RFC 1624, equation 3).
fn replace(frame: &mut [u8], place: usize, new: &[u8], checksums: &[Option<usize>]) {
    for (offset, pair) in new.chunks_exact(2).enumerate() {
        let at = place + offset * 2;
        let (Some(old), new) = (bytes::<2>(frame, at), [pair[0], pair[1]]) else { return };
        frame[at..at + 2].copy_from_slice(&new);
        for checksum in checksums.iter().flatten() {
            let Some(sum) = bytes::<2>(frame, *checksum).map(u16::from_be_bytes) else { continue };
            let mended = mend(sum, u16::from_be_bytes(old), u16::from_be_bytes(new));
            frame[*checksum..checksum + 2].copy_from_slice(&mended.to_be_bytes());
        }
    }
}

fn mend(checksum: u16, old: u16, new: u16) -> u16 {
    // Zero: UDP without a checksum (RFC 768); no header's sum is that.
    if checksum == 0 {
        return 0;
    }
    let mut sum = u32::from(!checksum) + u32::from(!old) + u32::from(new);
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    match !(sum as u16) {
        0 => 0xffff,
        mended => mended,
    }
}

/// Where the checksum lies that covers the addresses.
fn checksum_of(protocol: u8, header: usize) -> Option<usize> {
    match protocol {
        6 => Some(header + 16),
        17 => Some(header + 6),
        58 => Some(header + 2),
        _ => None,
    }
}

/// The EtherType of the network header behind all tags, and where that header begins.
fn network(frame: &[u8]) -> Option<(u16, usize)> {
    let mut at = 12;
    loop {
        let kind = u16::from_be_bytes(bytes(frame, at)?);
        match kind {
            _ if VLANS.contains(&kind) => at += 4,
            IPV4 if frame.len() >= at + 22 => return Some((kind, at + 2)),
            IPV6 if frame.len() >= at + 42 => return Some((kind, at + 2)),
            _ => return None,
        }
    }
}

fn is_private(address: [u8; 4]) -> bool {
    let [a, b, ..] = address;
    a == 10 || (a == 172 && b & 0xf0 == 16) || (a == 192 && b == 168) || (a == 100 && b & 0xc0 == 64)
}

fn bytes<const N: usize>(frame: &[u8], at: usize) -> Option<[u8; N]> {
    frame.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1071's sum over a header; zero where its checksum is right.
    fn sum(bytes: &[u8]) -> u16 {
        let total: u32 =
            bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum();
        let folded = (total & 0xffff) + (total >> 16);
        !(((folded & 0xffff) + (folded >> 16)) as u16)
    }

    fn datagram() -> Vec<u8> {
        let builder = etherparse::PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
            .ipv4([192, 168, 1, 40], [203, 0, 113, 9], 64)
            .udp(50_000, 3_074);
        let mut frame = Vec::new();
        builder.write(&mut frame, b"tick").expect("a short frame");
        frame
    }

    fn checks(frame: &[u8]) -> (u16, u16) {
        let pseudo = [&frame[26..34], &[0, 17, 0, (frame.len() - 34) as u8], &frame[34..]].concat();
        (sum(&frame[14..34]), sum(&pseudo))
    }

    #[test]
    fn every_round_has_addresses_of_its_own_and_right_checksums() {
        let original = datagram();
        assert_eq!(checks(&original), (0, 0));
        let mut hosts = Hosts::default();
        hosts.learn(&original);
        let all = hosts.number(0);
        hosts.of(all);
        let mut seen = std::collections::HashSet::new();
        for round in 0..1_000 {
            let mut frame = original.clone();
            rewrite(&mut frame, round, &hosts);
            assert_eq!(checks(&frame), (0, 0), "round {round}");
            assert_eq!((frame[26], &frame[30..34]), (10, &[203, 0, 113, 9][..]));
            assert!(seen.insert(frame[26..30].to_vec()));
        }
    }

    #[test]
    fn cut_frames_are_left_as_they_are_where_they_end() {
        let original = datagram();
        for length in 0..original.len() {
            let mut frame = original[..length].to_vec();
            rewrite(&mut frame, 7, &Hosts::default());
            assert_eq!(frame.len(), length);
        }
    }
}
