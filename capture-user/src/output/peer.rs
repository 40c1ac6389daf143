//! A connection to whoever reads records from a socket. It never waits longer than it is told to.

use std::io;
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, connect, recv, send, socket_with,
};

use crate::output::destination::Destination;

/// How long a TCP port may take to answer.
const ANSWER: Duration = Duration::from_secs(1);

/// The connection.
pub(super) struct Peer(OwnedFd);

impl Peer {
    /// Connects to a socket; a file or standard output is none.
    pub(super) fn connect(destination: &Destination) -> io::Result<Self> {
        match destination {
            Destination::Unix(path) => unix(path, SocketType::STREAM),
            Destination::Unixgram(path) => unix(path, SocketType::DGRAM),
            Destination::Tcp { host, port } => tcp(host, *port),
            Destination::Stdout | Destination::File(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Sends what there is room for now: [`io::ErrorKind::WouldBlock`] where there is none.
    pub(super) fn send(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::io::retry_on_intr(|| send(&self.0, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT))?)
    }

    /// Whether a stream's other end is closed. What it says otherwise is thrown away: nothing is expected.
    pub(super) fn is_gone(&self) -> bool {
        let mut heard = [0; 512];
        loop {
            match recv(&self.0, &mut heard, RecvFlags::DONTWAIT) {
                Ok((0, _)) => return true,
                Ok(_) => {}
                Err(error) => return error != rustix::io::Errno::AGAIN && error != rustix::io::Errno::INTR,
            }
        }
    }

    /// Waits until there is room, at most so long.
    pub(super) fn wait(&self, most: Duration) {
        let timeout = rustix::time::Timespec { tv_sec: most.as_secs() as i64, tv_nsec: most.subsec_nanos().into() };
        // Whatever it says, the next attempt to send finds out.
        let _ = poll(&mut [PollFd::new(&self.0, PollFlags::OUT)], Some(&timeout));
    }
}

fn unix(path: &Path, kind: SocketType) -> io::Result<Peer> {
    // A listener that accepts nobody must not keep us: without blocking, its full queue is an error.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, kind, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(Peer(socket))
}

fn tcp(host: &str, port: u16) -> io::Result<Peer> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, ANSWER) {
            Ok(stream) => {
                // Records are sent when they are made, however few.
                stream.set_nodelay(true)?;
                return Ok(Peer(stream.into()));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
