//! The way to a collector. It never waits for one.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};

use super::collector::{Collector, Transport};

/// An open way.
#[derive(Debug)]
pub(super) enum Wire {
    Udp(UdpSocket),
}

impl Wire {
    pub(super) fn open(collector: &Collector) -> io::Result<Self> {
        let address = resolve(collector)?;
        match collector.transport {
            Transport::Udp => udp(address).map(Self::Udp),
            Transport::Tcp => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Whether what is sent arrives, as long as the way is open.
    pub(super) fn is_reliable(&self) -> bool {
        false
    }

    /// Sends a message.
    ///
    /// # Errors
    /// When a message is lost: this one, or the one before it, which a host without a collector has refused. That is
    /// heard of when the next is sent, which then goes out all the same.
    pub(super) fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.send(message).map(drop).inspect_err(|error| {
                if error.kind() == io::ErrorKind::ConnectionRefused {
                    let _ = socket.send(message);
                }
            }),
        }
    }
}

fn resolve(collector: &Collector) -> io::Result<SocketAddr> {
    let mut addresses = (collector.host.as_str(), collector.port).to_socket_addrs()?;
    addresses.next().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
}

fn udp(to: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(to)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}
