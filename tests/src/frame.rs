//! Frames put together layer by layer, with lengths and next-header fields filled in.

use std::net::{Ipv4Addr, Ipv6Addr};

/// A frame in the making: layers in the order in which they lie in it.
#[derive(Clone, Debug, Default)]
pub struct Frame {
    ethernet: Vec<u8>,
    /// The type that the link layer announces, if not that of what follows.
    ether_type: Option<u16>,
    ip: Ip,
    /// Kind and bytes; the first byte is filled in.
    extensions: Vec<(u8, Vec<u8>)>,
    protocol: u8,
    transport: Vec<u8>,
    payload: usize,
    padding: usize,
}

#[derive(Clone, Debug, Default)]
enum Ip {
    #[default]
    None,
    V4(Vec<u8>),
    V6(Vec<u8>),
}

/// A MAC from text.
///
/// # Panics
/// When it is none.
pub fn mac(text: &str) -> [u8; 6] {
    let bytes: Vec<u8> = text.split(':').map(|byte| u8::from_str_radix(byte, 16).expect("a MAC")).collect();
    bytes.try_into().expect("six bytes")
}

impl Frame {
    /// From one MAC to another.
    pub fn ethernet(from: &str, to: &str) -> Self {
        Self { ethernet: [mac(to), mac(from)].concat(), ..Self::default() }
    }

    /// A VLAN tag; 0x8100, 0x88a8 or 0x9100 announces it.
    #[must_use]
    pub fn tag(mut self, ether_type: u16, vlan: u16) -> Self {
        self.ethernet.extend(ether_type.to_be_bytes());
        self.ethernet.extend(vlan.to_be_bytes());
        self
    }

    /// Announces another type than that of what follows.
    #[must_use]
    pub fn ether_type(mut self, ether_type: u16) -> Self {
        self.ether_type = Some(ether_type);
        self
    }

    /// IPv4 without options.
    #[must_use]
    pub fn ipv4(self, from: &str, to: &str) -> Self {
        self.ipv4_with(from, to, 0, 0)
    }

    /// IPv4 with so many 32-bit words of options, and the flags and offset of fragments.
    ///
    /// # Panics
    /// When the addresses are none.
    #[must_use]
    pub fn ipv4_with(mut self, from: &str, to: &str, options: u8, fragment: u16) -> Self {
        let mut header = vec![0x45 + options, 0, 0, 0, 0x12, 0x34];
        header.extend(fragment.to_be_bytes());
        header.extend([64, 0, 0, 0]);
        header.extend(from.parse::<Ipv4Addr>().expect("an IPv4 address").octets());
        header.extend(to.parse::<Ipv4Addr>().expect("an IPv4 address").octets());
        header.resize(20 + 4 * usize::from(options), 1);
        self.ip = Ip::V4(header);
        self
    }

    /// IPv6.
    ///
    /// # Panics
    /// When the addresses are none.
    #[must_use]
    pub fn ipv6(mut self, from: &str, to: &str) -> Self {
        let mut header = vec![0x60, 0, 0, 0, 0, 0, 0, 64];
        header.extend(from.parse::<Ipv6Addr>().expect("an IPv6 address").octets());
        header.extend(to.parse::<Ipv6Addr>().expect("an IPv6 address").octets());
        self.ip = Ip::V6(header);
        self
    }

    /// An extension header of IPv6 of so many units beyond its first (4 bytes each for kind 51, else 8).
    #[must_use]
    pub fn extension(mut self, kind: u8, units: u8) -> Self {
        let length = if kind == 51 { (usize::from(units) + 2) * 4 } else { (usize::from(units) + 1) * 8 };
        let mut header = vec![0; length];
        header[1] = units;
        self.extensions.push((kind, header));
        self
    }

    /// The fragment header of IPv6: offset in units of 8 bytes, and whether more follow.
    #[must_use]
    pub fn fragment(mut self, offset: u16, more: bool) -> Self {
        let [a, b] = (offset << 3 | u16::from(more)).to_be_bytes();
        self.extensions.push((44, vec![0, 0, a, b, 0, 0, 0, 1]));
        self
    }

    /// UDP.
    #[must_use]
    pub fn udp(mut self, from: u16, to: u16) -> Self {
        self.protocol = 17;
        self.transport = [from.to_be_bytes(), to.to_be_bytes(), [0, 0], [0, 0]].concat();
        self
    }

    /// TCP, with so many 32-bit words of options.
    #[must_use]
    pub fn tcp(mut self, from: u16, to: u16, options: u8) -> Self {
        self.protocol = 6;
        self.transport = [from.to_be_bytes(), to.to_be_bytes()].concat();
        self.transport.extend([0, 0, 0, 1, 0, 0, 0, 0, (5 + options) << 4, 0x10, 1, 0, 0, 0, 0, 0]);
        self.transport.resize(20 + 4 * usize::from(options), 1);
        self
    }

    /// Another transport, without a header of its own.
    #[must_use]
    pub fn protocol(mut self, number: u8) -> Self {
        self.protocol = number;
        self
    }

    /// Bytes after the last header.
    #[must_use]
    pub fn payload(mut self, bytes: usize) -> Self {
        self.payload = bytes;
        self
    }

    /// Bytes after the packet, which its IP header does not count.
    #[must_use]
    pub fn padding(mut self, bytes: usize) -> Self {
        self.padding = bytes;
        self
    }

    /// The bytes.
    pub fn build(&self) -> Vec<u8> {
        let mut rest = Vec::new();
        for (index, (_, header)) in self.extensions.iter().enumerate() {
            let next = self.extensions.get(index + 1).map_or(self.protocol, |(kind, _)| *kind);
            rest.push(next);
            rest.extend(&header[1..]);
        }
        rest.extend(&self.transport);
        rest.extend((0..self.payload).map(|byte| byte as u8));

        let (ether_type, ip) = match &self.ip {
            Ip::None => (0x88b5, Vec::new()),
            Ip::V4(header) => {
                let mut header = header.clone();
                let total = (header.len() + rest.len()) as u16;
                header[2..4].copy_from_slice(&total.to_be_bytes());
                header[9] = self.protocol;
                (0x0800, header)
            }
            Ip::V6(header) => {
                let mut header = header.clone();
                header[4..6].copy_from_slice(&(rest.len() as u16).to_be_bytes());
                header[6] = self.extensions.first().map_or(self.protocol, |(kind, _)| *kind);
                (0x86dd, header)
            }
        };
        let mut bytes = self.ethernet.clone();
        bytes.extend(self.ether_type.unwrap_or(ether_type).to_be_bytes());
        bytes.extend(ip);
        bytes.extend(rest);
        bytes.resize(bytes.len() + self.padding, 0);
        bytes
    }
}
