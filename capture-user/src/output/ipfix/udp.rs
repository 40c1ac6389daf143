//! Messages as datagrams: some may be lost, and none waits.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

use super::message::{Message, stamp};
use crate::output::Backlog;

/// Nothing says that templates have arrived, so they are sent again this often (RFC 7011, section 8.4),
const REFRESH: Duration = Duration::from_secs(60);
/// and before so many messages have passed without them.
const REFRESH_MESSAGES: u32 = 256;

/// The way to a collector.
#[derive(Debug)]
pub(super) struct Datagrams {
    socket: UdpSocket,
    /// Data records before the next message.
    sequence: u32,
    /// When templates were last sent, and messages since.
    templates: Option<(Instant, u32)>,
    lost: u64,
}

impl Datagrams {
    pub(super) fn to(host: &str, port: u16) -> io::Result<Self> {
        let address = (host, port).to_socket_addrs()?.next();
        let address = address.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))?;
        let any: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any)?;
        socket.connect(address)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, sequence: 0, templates: None, lost: 0 })
    }

    /// Whether the next message must begin with templates.
    pub(super) fn wants_templates(&self) -> bool {
        self.templates.is_none_or(|(sent, messages)| sent.elapsed() >= REFRESH || messages >= REFRESH_MESSAGES)
    }

    /// Templates are in the next message.
    pub(super) fn has_templates(&mut self) {
        self.templates = Some((Instant::now(), 0));
    }

    /// Sends a message. Where that fails its records are lost; they were numbered all the same, and the collector sees
    /// the gap. A host without a collector refuses a message, which is heard of when the next is sent: that goes out all
    /// the same, and one message is counted.
    pub(super) fn send(&mut self, message: &mut Message) {
        let records = message.records();
        let bytes = message.bytes();
        stamp(bytes, self.sequence);
        self.sequence = self.sequence.wrapping_add(records);
        if let Some((_, messages)) = &mut self.templates {
            *messages += 1;
        }
        if let Err(error) = self.socket.send(bytes) {
            self.lost += u64::from(records);
            if error.kind() == io::ErrorKind::ConnectionRefused {
                let _ = self.socket.send(bytes);
            }
        }
    }

    pub(super) fn backlog(&self) -> Backlog {
        Backlog { waiting: 0, lost: self.lost }
    }
}
