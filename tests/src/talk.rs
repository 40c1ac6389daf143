//! Payloads on their way: frames of Ethernet and IPv4 around what two ends say to each other.

use std::net::SocketAddrV4;

/// A payload from one end to another.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// Who sends it.
    pub from: SocketAddrV4,
    /// To whom.
    pub to: SocketAddrV4,
    /// IPv4's identification: packets that are not copies of each other differ in it.
    pub id: u16,
    /// The payload.
    pub payload: &'a [u8],
}

/// The end at an address given as a number, and a port.
pub fn end(address: u32, port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(address.into(), port)
}

/// TCP control bits.
pub mod flags {
    /// No more comes.
    pub const FIN: u8 = 1;
    /// The beginning.
    pub const SYN: u8 = 2;
    /// The acknowledgement number counts.
    pub const ACK: u8 = 16;
}

impl Message<'_> {
    /// As a UDP datagram, in place of what was in `frame`.
    pub fn udp(&self, frame: &mut Vec<u8>) {
        self.ip(17, 0, 8 + self.payload.len(), frame);
        self.ports(frame);
        frame.extend((8 + self.payload.len() as u16).to_be_bytes());
        frame.extend([0, 0]);
        frame.extend(self.payload);
    }

    /// As a TCP segment with these sequence and acknowledgement numbers and control bits.
    pub fn tcp(&self, sequence: u32, acknowledgement: u32, flags: u8, frame: &mut Vec<u8>) {
        self.ip(6, 0, 20 + self.payload.len(), frame);
        self.ports(frame);
        frame.extend(sequence.to_be_bytes());
        frame.extend(acknowledgement.to_be_bytes());
        frame.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        frame.extend(self.payload);
    }

    /// As a fragment of IPv4: the payload begins at `offset` of the datagram, in units of eight bytes.
    pub fn fragment(&self, offset: u16, more: bool, frame: &mut Vec<u8>) {
        self.ip(17, u16::from(more) << 13 | offset, self.payload.len(), frame);
        frame.extend(self.payload);
    }

    fn ports(&self, frame: &mut Vec<u8>) {
        frame.extend(self.from.port().to_be_bytes());
        frame.extend(self.to.port().to_be_bytes());
    }

    fn ip(&self, protocol: u8, fragment: u16, length: usize, frame: &mut Vec<u8>) {
        frame.clear();
        frame.extend([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0]);
        frame.extend((20 + length as u16).to_be_bytes());
        frame.extend(self.id.to_be_bytes());
        frame.extend(fragment.to_be_bytes());
        frame.extend([64, protocol, 0, 0]);
        frame.extend(self.from.ip().octets());
        frame.extend(self.to.ip().octets());
    }
}
