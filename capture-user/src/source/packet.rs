//! AF_PACKET: capture without XDP, through pnet's datalink channel. Slower, and it works everywhere.
//!
//! The socket is made here and handed to pnet, which binds it and makes the interface promiscuous; a duplicate stays
//! here for what pnet does not offer: the kernel's drop count, and waiting with a timeout that differs from call to
//! call. Closing the socket ends promiscuous mode.
//!
//! Limits: two system calls per frame. The time of a frame is when it was taken from the socket, for pnet does not ask
//! for the kernel's stamp. A VLAN tag that the driver or the kernel took off (`ethtool -K IF rxvlan off` keeps it) comes
//! in ancillary data, which pnet does not read: such frames appear untagged. Frames that this machine sends are left
//! out. What the kernel dropped before the socket, in the driver or its backlog, is not in the tally.

mod options;

use std::io;
use std::os::fd::{AsFd, IntoRawFd, OwnedFd};
use std::time::Duration;

use pnet::datalink::{self, Channel, DataLinkReceiver, DataLinkSender, NetworkInterface};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with, sockopt};

use super::buffers::Buffers;
use super::{Error, Frame, Interface, LinkType, Received, Source, Tally};
use crate::time::Timestamp;

/// The longest frame that is read whole, in bytes: what the kernel joins by GRO reaches 64 KiB and headers.
const LONGEST: usize = 128 << 10;

/// What is asked for as the socket's buffer, in bytes; the kernel may grant less.
const SOCKET_BUFFER: usize = 32 << 20;

/// Frames one call of [`Source::receive`] examines at most beyond those it was asked for.
const EXAMINED: usize = 1024;

/// Frames of one interface, from a packet socket.
///
/// `R` decides for each frame where it belongs: `Some(shard)`, or `None` when no filter asks for it.
pub struct PacketSource<R> {
    interface: Interface,
    receiver: Box<dyn DataLinkReceiver>,
    /// pnet's other half. Both share the socket; it is kept so that the channel is whole as long as the source.
    _sender: Box<dyn DataLinkSender>,
    socket: OwnedFd,
    router: R,
    buffers: Buffers,
    tally: Tally,
    /// Frames taken from the socket.
    taken: u64,
    /// An error of the socket, while the frames before it are still being delivered.
    failure: Option<Error>,
}

/// A frame copied from the socket, until it is recycled.
#[derive(Debug)]
pub struct Token {
    number: u64,
    time: Timestamp,
    link: LinkType,
    shard: u32,
    bytes: Vec<u8>,
}

/// Reads the bytes of [`Token`]s, which carry them.
#[derive(Clone, Copy, Debug)]
pub struct View;

impl<R: FnMut(&Frame<'_>) -> Option<u32>> PacketSource<R> {
    /// Starts to capture on the interface called `name`, in promiscuous mode.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if there is no such interface; [`Error::Io`] without CAP_NET_RAW, or when the socket
    /// cannot be set up.
    pub fn open(name: &str, router: R) -> Result<Self, Error> {
        let Some(device) = datalink::interfaces().into_iter().find(|device| device.name == name) else {
            let reason = "no such interface (`ip link` lists them)".to_owned();
            return Err(Error::Unsupported { name: name.to_owned(), reason });
        };
        let failed = |source: io::Error| Error::Io { name: name.to_owned(), source };
        let socket = new_socket().map_err(failed)?;
        let (sender, receiver) = channel(&device, &socket).map_err(failed)?;
        let interface = Interface { name: Some(name.to_owned()), link: link(&device), snap_length: 0 };
        let (buffers, tally) = (Buffers::default(), Tally::default());
        Ok(Self { interface, receiver, _sender: sender, socket, router, buffers, tally, taken: 0, failure: None })
    }

    /// Takes one frame from the socket, if there is one.
    fn take(&mut self, tokens: &mut Vec<Token>) -> Result<bool, Error> {
        let data = match self.receiver.next() {
            Ok(data) => data,
            Err(error) => return self.interface_error(error),
        };
        let (number, time, link) = (self.taken + 1, Timestamp::now(), self.interface.link);
        let length = data.len() as u32;
        self.taken += 1;
        self.tally.seen += 1;
        match (self.router)(&Frame { number, time, length, link, interface: 0, data }) {
            Some(shard) => {
                tokens.push(Token { number, time, link, shard, bytes: self.buffers.copy(data) });
                self.tally.redirected += 1;
                self.tally.delivered += 1;
            }
            None => self.tally.filtered += 1,
        }
        Ok(true)
    }

    fn interface_error(&self, error: io::Error) -> Result<bool, Error> {
        use io::ErrorKind::{Interrupted, NetworkDown, TimedOut, WouldBlock};
        let name = || self.interface.name.clone().unwrap_or_default();
        let kind = match error.kind() {
            // pnet has no name for an error that poll reports; the socket tells it, once.
            io::ErrorKind::Other => match sockopt::socket_error(&self.socket) {
                Ok(Err(error)) => error.kind(),
                _ => return Ok(false),
            },
            kind => kind,
        };
        match kind {
            TimedOut | WouldBlock | Interrupted => Ok(false),
            NetworkDown => {
                let reason = "the interface went down or away; bring it up (`ip link set dev IF up`) and start again";
                Err(Error::Gone { name: name(), reason: reason.to_owned() })
            }
            kind => Err(Error::Io { name: name(), source: kind.into() }),
        }
    }

    /// Waits for the first frame. Interrupted is like nothing.
    fn wait(&self, timeout: Duration) -> Result<bool, Error> {
        let failed = |source| Error::Io { name: self.interface.name.clone().unwrap_or_default(), source };
        let timeout = Timespec::try_from(timeout).map_err(|error| failed(io::Error::other(error)))?;
        match poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&timeout)) {
            Ok(ready) => Ok(ready > 0),
            Err(Errno::INTR) => Ok(false),
            Err(error) => Err(failed(error.into())),
        }
    }
}

/// A packet socket that receives nothing before it is bound: made with protocol 0.
fn new_socket() -> io::Result<OwnedFd> {
    let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    // An older kernel gives outgoing frames too; a smaller buffer drops earlier, and counts it. Neither is fatal.
    let _ = options::ignore_outgoing(socket.as_fd());
    if sockopt::set_socket_recv_buffer_size_force(&socket, SOCKET_BUFFER).is_err() {
        let _ = sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER);
    }
    Ok(socket)
}

type Halves = (Box<dyn DataLinkSender>, Box<dyn DataLinkReceiver>);

/// A pnet channel over a duplicate of the socket, which it closes when done or in error.
fn channel(device: &NetworkInterface, socket: &OwnedFd) -> io::Result<Halves> {
    let config = datalink::Config {
        read_buffer_size: LONGEST,
        // pnet only looks whether something is there: waiting is ours.
        read_timeout: Some(Duration::ZERO),
        promiscuous: true,
        socket_fd: Some(socket.try_clone()?.into_raw_fd()),
        ..datalink::Config::default()
    };
    match datalink::channel(device, config)? {
        Channel::Ethernet(sender, receiver) => Ok((sender, receiver)),
        _ => Err(io::Error::other("pnet opened a channel of an unknown kind")),
    }
}

/// Interfaces with a hardware address carry Ethernet, and so does loopback; a tunnel carries IP.
fn link(device: &NetworkInterface) -> LinkType {
    if device.mac.is_some() || device.is_loopback() { LinkType::Ethernet } else { LinkType::RawIp }
}

impl<R: FnMut(&Frame<'_>) -> Option<u32>> Source for PacketSource<R> {
    type Token = Token;
    type View = View;

    fn view(&self) -> View {
        View
    }

    fn is_live(&self) -> bool {
        true
    }

    fn now(&self) -> Option<Timestamp> {
        Some(Timestamp::now())
    }

    fn receive(&mut self, max: usize, timeout: Duration, tokens: &mut Vec<Token>) -> Result<Received, Error> {
        let before = tokens.len();
        let mut examined = 0;
        if self.failure.is_none() && !self.wait(timeout)? {
            return Ok(Received::Nothing);
        }
        while tokens.len() - before < max && examined < max.saturating_add(EXAMINED) && self.buffers.ready() {
            match self.take(tokens) {
                Ok(true) => examined += 1,
                Ok(false) => break,
                // The socket tells an error before the frames that came earlier, and tells it once.
                Err(error) if self.failure.is_none() => self.failure = Some(error),
                Err(_) => break,
            }
        }
        if tokens.len() > before {
            return Ok(Received::Frames);
        }
        match self.failure.take() {
            Some(failure) if examined == 0 && self.buffers.ready() => Err(failure),
            failure => {
                self.failure = failure;
                Ok(Received::Nothing)
            }
        }
    }

    fn recycle(&mut self, tokens: &mut Vec<Token>) {
        tokens.drain(..).for_each(|token| self.buffers.give_back(token.bytes));
    }

    fn interfaces(&self) -> Vec<Interface> {
        vec![self.interface.clone()]
    }

    /// Seen are the frames that were taken from the socket and those that it dropped (`tp_drops`); what still waits in
    /// its buffer is in neither, so that the tally balances at any time.
    fn tally(&mut self) -> Tally {
        if let Ok(statistics) = options::take_statistics(self.socket.as_fd()) {
            let drops = u64::from(statistics.drops);
            self.tally.seen += drops;
            self.tally.redirected += drops;
            self.tally.rx_dropped += drops;
        }
        self.tally
    }
}

impl super::View for View {
    type Token = Token;

    fn shard(&self, token: &Token) -> u32 {
        token.shard
    }

    fn stamped(&self, _: &Token) -> Option<u64> {
        None
    }

    fn frame<'a>(&'a self, token: &'a Token, _: &'a mut Vec<u8>) -> Frame<'a> {
        let Token { number, time, link, bytes, .. } = token;
        let length = bytes.len() as u32;
        Frame { number: *number, time: *time, length, link: *link, interface: 0, data: bytes }
    }
}

#[cfg(test)]
mod tests;
