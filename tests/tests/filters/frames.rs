//! Frames that differ in what filters ask about.

use capture_user::source::LinkType;

/// A frame as it was captured.
#[derive(Clone)]
pub struct Raw {
    /// The bytes captured.
    pub data: Vec<u8>,
    /// The length on the wire.
    pub length: u32,
}

impl Raw {
    fn whole(data: Vec<u8>) -> Self {
        let length = u32::try_from(data.len()).expect("a short frame");
        Self { data, length }
    }
}

const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const RARP: u16 = 0x8035;
const IPV6: u16 = 0x86dd;

/// One of each packet, in this link layer; on Ethernet also behind tags and to groups.
pub fn made(link: LinkType) -> Vec<Raw> {
    let mut frames = Vec::new();
    for (kind, packet) in packets() {
        let header = match link {
            LinkType::Ethernet => {
                for tags in [&[(0x8100, 5)][..], &[(0x88a8, 7), (0x8100, 5)], &[(0x9100, 0xe005)], &[(0x8100, 6); 3]] {
                    frames.push(Raw::whole([ethernet([0, 0x1b, 0x21, 0, 0, 1], tags, kind), packet.clone()].concat()));
                }
                for group in [[0xff; 6], [1, 0, 0x5e, 0, 0, 0xfb]] {
                    frames.push(Raw::whole([ethernet(group, &[], kind), packet.clone()].concat()));
                }
                ethernet([0, 0x1b, 0x21, 0, 0, 1], &[], kind)
            }
            LinkType::LinuxSll => {
                [&[0, 0, 0, 1, 0, 6, 0, 0xd9, 0xd1, 0x12, 0x34, 0x56, 0, 0][..], &kind.to_be_bytes()].concat()
            }
            LinkType::LinuxSll2 => {
                [&kind.to_be_bytes()[..], &[0, 0, 0, 0, 0, 2, 0, 1, 0, 6, 0, 0xd9, 0xd1, 0x12, 0x34, 0x56, 0, 0]]
                    .concat()
            }
            _ if kind != IPV4 && kind != IPV6 => continue,
            LinkType::Null => (if kind == IPV4 { 2_u32 } else { 30 }).to_le_bytes().to_vec(),
            LinkType::Loop => (if kind == IPV4 { 2_u32 } else { 24 }).to_be_bytes().to_vec(),
            _ => Vec::new(),
        };
        frames.push(Raw::whole([header, packet].concat()));
    }
    frames
}

/// Every third frame, cut at every length up to 80 bytes.
pub fn cut(frames: &[Raw]) -> Vec<Raw> {
    let cuts = |raw: &Raw| {
        let raw = raw.clone();
        (0..raw.data.len().min(80)).map(move |end| Raw { data: raw.data[..end].to_vec(), length: raw.length })
    };
    frames.iter().step_by(3).flat_map(cuts).collect()
}

fn ethernet(destination: [u8; 6], tags: &[(u16, u16)], kind: u16) -> Vec<u8> {
    let mut header = destination.to_vec();
    header.extend([0, 0xd9, 0xd1, 0x12, 0x34, 0x56]);
    for (tag, id) in tags {
        header.extend(tag.to_be_bytes());
        header.extend(id.to_be_bytes());
    }
    header.extend(kind.to_be_bytes());
    header
}

fn packets() -> Vec<(u16, Vec<u8>)> {
    let console = [192, 168, 1, 40];
    let server = [203, 0, 113, 9];
    let (local, remote) = (v6([0xfe80, 0, 0, 0, 0, 0, 0, 0x40]), v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 9]));
    let mut packets = Vec::new();
    for protocol in [1, 2, 6, 17, 47, 50, 51, 58, 103, 112, 132] {
        packets.push((IPV4, ipv4(protocol, 0, &[], console, server, &ports(5000, 3074))));
        packets.push((IPV4, ipv4(protocol, 0, &[1, 1, 1, 0], server, console, &ports(80, 443))));
        packets.push((IPV6, ipv6(protocol, local, remote, &ports(5000, 3074))));
        packets
            .push((IPV6, ipv6(44, remote, local, &[&[protocol, 0, 0, 1, 0, 0, 0, 1][..], &ports(80, 443)].concat())));
        packets
            .push((IPV6, ipv6(0, remote, local, &[&[protocol, 0, 1, 4, 0, 0, 0, 0][..], &ports(443, 5000)].concat())));
    }
    for fragment in [0x2000, 0x2001, 0x0005, 0x4000] {
        packets.push((IPV4, ipv4(17, fragment, &[], console, server, &ports(5000, 3074))));
    }
    for group in [[224, 0, 0, 251], [255, 255, 255, 255], [0, 0, 0, 0], [192, 168, 1, 255]] {
        packets.push((IPV4, ipv4(17, 0, &[], console, group, &ports(5353, 5353))));
    }
    packets.push((IPV6, ipv6(17, local, v6([0xff02, 0, 0, 0, 0, 0, 0, 0xfb]), &ports(5353, 5353))));
    packets.push((ARP, address_resolution(console, [192, 168, 1, 1])));
    packets.push((RARP, address_resolution([192, 168, 1, 1], console)));
    packets.push((0x88cc, vec![2, 7, 4, 0, 1, 2, 3, 4, 5]));
    packets.push((60, vec![0x42, 0x42, 3, 0, 0, 0]));
    packets
}

fn v6(groups: [u16; 8]) -> [u8; 16] {
    std::net::Ipv6Addr::from(groups).octets()
}

fn ports(source: u16, destination: u16) -> Vec<u8> {
    [&source.to_be_bytes()[..], &destination.to_be_bytes(), &[0, 24, 0, 0], &[0x50; 16]].concat()
}

fn ipv4(protocol: u8, fragment: u16, options: &[u8], source: [u8; 4], destination: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let header = u8::try_from(20 + options.len()).expect("few options");
    let total = u16::try_from(usize::from(header) + payload.len()).expect("a short packet");
    let mut packet = vec![0x40 | (header / 4), 0];
    packet.extend(total.to_be_bytes());
    packet.extend([0, 1]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    packet.extend(source);
    packet.extend(destination);
    packet.extend(options);
    packet.extend(payload);
    packet
}

fn ipv6(next: u8, source: [u8; 16], destination: [u8; 16], payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(u16::try_from(payload.len()).expect("a short packet").to_be_bytes());
    packet.extend([next, 64]);
    packet.extend(source);
    packet.extend(destination);
    packet.extend(payload);
    packet
}

fn address_resolution(sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    let mut packet = vec![0, 1, 8, 0, 6, 4, 0, 1];
    packet.extend([0, 0xd9, 0xd1, 0x12, 0x34, 0x56]);
    packet.extend(sender);
    packet.extend([0; 6]);
    packet.extend(target);
    packet.extend([0; 18]);
    packet
}
