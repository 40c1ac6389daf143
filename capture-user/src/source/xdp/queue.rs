//! One receive queue of an interface, as a [`Source`].

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::net::xdp::XdpStatistics;

use super::clock::Clock;
use super::link::Link;
use super::receive::{FrameToken, Receiver, XdpView};
use super::socket::{Binding, Socket};
use super::umem::Umem;
use super::{Attachment, Config, name_queue};
use crate::source::{Error, Interface, LinkType, Received, Source, Tally};
use crate::time::Timestamp;

/// A queue's socket, bound and with its fill ring full.
pub(super) struct Queue {
    pub(super) number: u32,
    pub(super) socket: Socket,
    pub(super) binding: Binding,
    pub(super) huge_pages: bool,
    receiver: Receiver,
}

impl Queue {
    pub(super) fn open(number: u32, link: &Link, config: &Config) -> Result<Self, Error> {
        let failed = |doing: &str, source: io::Error| {
            let reason = io::Error::new(source.kind(), format!("cannot {doing}: {source}"));
            Error::Io { name: name_queue(&link.name, number), source: reason }
        };
        let sizes = &config.sizes;
        let (umem, pool) = Umem::map(sizes.chunks(), sizes.chunk_size(link.mtu), config.huge_pages)
            .map_err(|error| failed("get memory for its frames", error))?;
        let (socket, rings) =
            Socket::open(&umem, sizes.rx, sizes.fill).map_err(|error| failed("open an AF_XDP socket", error))?;
        let mut receiver = Receiver::new(rings, pool, Clock::new());
        receiver.refill();
        let binding = socket
            .bind(link.index, number, config.copying)
            .map_err(|error| failed(&format!("bind an AF_XDP socket ({:?})", config.copying), error))?;
        Ok(Self { number, socket, binding, huge_pages: umem.is_huge(), receiver })
    }
}

/// The frames of one receive queue. It belongs to the thread that polls it.
///
/// When one of a capture's sources goes, so does the program: a socket must not be closed while frames are sent to it.
pub struct XdpSource {
    queue: Queue,
    attachment: Arc<Attachment>,
    link: u32,
    name: String,
    polling: Polling,
    /// The last that the kernel said.
    statistics: Option<XdpStatistics>,
}

/// Who drives the NIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Polling {
    /// Interrupts.
    Off,
    /// We shall, if that is possible; the first frame shows.
    Wanted,
    /// We, whenever we look for frames.
    On,
}

impl XdpSource {
    pub(super) fn new(queue: Queue, attachment: Arc<Attachment>, link: &Link, busy_poll: bool) -> Self {
        let polling = if busy_poll { Polling::Wanted } else { Polling::Off };
        Self { queue, attachment, link: link.index, name: link.name.clone(), polling, statistics: None }
    }

    /// The number of its queue.
    pub fn queue(&self) -> u32 {
        self.queue.number
    }

    /// Chunks that tokens own which have not been recycled, and those of a frame that has arrived in part. A capture
    /// that has given everything back has none.
    pub fn outstanding(&self) -> u32 {
        self.queue.receiver.outstanding()
    }

    /// Whether this thread polls the NIC itself. That can begin only after the first frame.
    pub fn is_busy_polling(&self) -> bool {
        self.polling == Polling::On
    }

    fn start_busy_polling(&mut self) -> io::Result<()> {
        self.polling = if self.queue.socket.busy_poll()? { Polling::On } else { Polling::Off };
        Ok(())
    }

    /// Waits for frames: looks again for a moment, then sleeps.
    fn idle(&mut self, timeout: Duration) -> Result<(), Error> {
        /// About a microsecond: shorter than falling asleep takes. A thread that spins longer on the core that NAPI
        /// runs on loses frames.
        const SPINS: u32 = 32;
        // Without frames is the time to see whether there still is an interface, and this call wakes the driver too.
        self.queue.socket.kick().map_err(|error| self.stopped(error))?;
        if self.polling == Polling::On {
            return self.poll_nic(timeout);
        }
        for _ in 0..SPINS {
            if !self.queue.receiver.is_empty() {
                return Ok(());
            }
            std::hint::spin_loop();
        }
        if timeout.is_zero() {
            return Ok(());
        }
        self.queue.socket.wait(timeout).map_err(|error| self.stopped(error))
    }

    fn poll_nic(&mut self, timeout: Duration) -> Result<(), Error> {
        let begin = Instant::now();
        while self.queue.receiver.is_empty() && begin.elapsed() < timeout {
            self.queue.socket.kick().map_err(|error| self.stopped(error))?;
        }
        Ok(())
    }

    /// What an error of the socket means.
    fn stopped(&self, error: io::Error) -> Error {
        let gone = |reason: &str| Error::Gone { name: self.name.clone(), reason: reason.to_owned() };
        match error.raw_os_error() {
            Some(libc::ENETDOWN | libc::ENXIO | libc::ENODEV) => match Link::by_index(self.link) {
                Ok(_) => gone("the interface was set down; set it up and start the capture again"),
                Err(_) => gone("the interface was removed"),
            },
            _ => Error::Io { name: name_queue(&self.name, self.queue.number), source: error },
        }
    }
}

impl Source for XdpSource {
    type Token = FrameToken;
    type View = XdpView;

    fn view(&self) -> XdpView {
        self.queue.receiver.view()
    }

    fn is_live(&self) -> bool {
        true
    }

    fn now(&self) -> Option<Timestamp> {
        Some(Timestamp::now())
    }

    fn receive(&mut self, max: usize, timeout: Duration, tokens: &mut Vec<FrameToken>) -> Result<Received, Error> {
        const BATCH: u32 = 64;
        let max = u32::try_from(max).unwrap_or(BATCH).min(BATCH);
        self.queue.receiver.refill();
        if self.queue.receiver.take(max, tokens) > 0 {
            if self.polling == Polling::Wanted {
                self.start_busy_polling().map_err(|error| self.stopped(error))?;
            }
            if self.polling == Polling::On || self.queue.receiver.needs_wakeup() {
                self.queue.socket.kick().map_err(|error| self.stopped(error))?;
            }
            return Ok(Received::Frames);
        }
        let waited = self.idle(timeout);
        // Frames that came before the interface went are handed out before that is told.
        if self.queue.receiver.take(max, tokens) > 0 {
            return Ok(Received::Frames);
        }
        waited.map(|()| Received::Nothing)
    }

    fn recycle(&mut self, tokens: &mut Vec<FrameToken>) {
        self.queue.receiver.recycle(tokens);
    }

    fn interfaces(&self) -> Vec<Interface> {
        vec![Interface { name: Some(self.name.clone()), link: LinkType::Ethernet, snap_length: 0 }]
    }

    /// This queue's part: what was lost at its socket and what was delivered. What the program did with the frames is
    /// known for all queues together: [`Control::tally`](super::Control::tally).
    fn tally(&mut self) -> Tally {
        if let Ok(statistics) = self.queue.socket.statistics() {
            self.statistics = Some(statistics);
        }
        let statistics = self.statistics.as_ref();
        Tally {
            // `rx_fill_ring_empty_descs` says why frames were dropped; those frames are in `rx_dropped` already.
            rx_dropped: statistics.map_or(0, |statistics| statistics.rx_dropped),
            rx_ring_full: statistics.and_then(|statistics| statistics.rx_ring_full).unwrap_or(0),
            delivered: self.queue.receiver.delivered(),
            bad_descriptors: self.queue.receiver.bad(),
            ..Tally::default()
        }
    }
}

impl Drop for XdpSource {
    fn drop(&mut self) {
        self.attachment.detach();
    }
}
