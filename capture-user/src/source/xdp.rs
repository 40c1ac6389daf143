//! AF_XDP: the program in the driver that picks frames, and the rings that bring them here.
//!
//! ```text
//!   open: interface -> program, filter -> per queue: chunks, rings, fill, bind -> sockets into the map
//!         -> promiscuous -> attach
//!   stop: detach -> what is in the rings is received -> sockets close, promiscuous mode ends
//! ```
//! The order matters: an attached program drops or redirects every frame, so it comes last, and goes first.

use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use capture_common::config::MAX_QUEUES;
use capture_common::counters::Counter;

mod clock;
pub mod lab;
pub mod link;
pub mod program;
mod queue;
mod receive;
mod ring;
mod socket;
mod umem;

pub use queue::XdpSource;
pub use receive::{FrameToken, XdpView};
pub use socket::Copying;

use self::link::{Link, Promiscuous};
use self::program::{Mode, Program, Request};
use self::queue::Queue;
use super::policy::ConsoleFilter;
use super::{Error, Tally};

/// What to capture, and how.
#[derive(Clone, Debug)]
pub struct Config {
    /// The interface: its name, or an alternative name.
    pub interface: String,
    /// The frames that are wanted.
    pub filter: ConsoleFilter,
    /// Where the program shall run.
    pub attach: Request,
    /// Who copies frames.
    pub copying: Copying,
    /// Whether to take frames for other addresses: on a mirror port, all are.
    pub promiscuous: bool,
    /// Whether the receiving threads poll the NIC instead of leaving that to interrupts, where they can.
    pub busy_poll: bool,
    /// Whether to use huge pages, where there are enough.
    pub huge_pages: bool,
    /// Whether the program reports events to the log.
    pub events: bool,
    /// Sizes of rings and memory.
    pub sizes: Sizes,
}

impl Config {
    /// Everything that arrives at an interface, as fast as it allows.
    pub fn new(interface: &str) -> Self {
        Self {
            interface: interface.to_owned(),
            filter: ConsoleFilter::everything(),
            attach: Request::Best,
            copying: Copying::Auto,
            promiscuous: true,
            busy_poll: false,
            huge_pages: true,
            events: false,
            sizes: Sizes::default(),
        }
    }
}

/// Sizes of one queue's rings and memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Entries of the RX ring, a power of two.
    pub rx: u32,
    /// Entries of the fill ring, a power of two. The kernel fills buffers in the order in which it gets them, so that all
    /// of them go through the caches: as many as the RX ring has are of use, more make every frame slower.
    pub fill: u32,
    /// Frames, in chunks, that the pipeline may hold before the fill ring gets fewer than it has room for.
    pub held: u32,
    /// Bytes of a chunk, 2048 or 4096, of which 256 are not for data; `None`: whichever holds a frame of the interface's
    /// MTU, the smaller if both do, for less memory then goes through the caches.
    pub chunk_size: Option<u32>,
}

impl Default for Sizes {
    fn default() -> Self {
        Self { rx: 8192, fill: 8192, held: 4096, chunk_size: None }
    }
}

impl Sizes {
    /// Chunks enough for full rings and what the pipeline holds.
    fn chunks(&self) -> u32 {
        self.rx.saturating_add(self.fill).saturating_add(self.held)
    }

    /// Bytes of a chunk, at an interface of this MTU.
    fn chunk_size(&self, mtu: u32) -> u32 {
        /// An Ethernet header and two tags.
        const HEADERS: u32 = 14 + 2 * 4;
        const NOT_DATA: u32 = 256;
        let whole = mtu.saturating_add(HEADERS + NOT_DATA);
        self.chunk_size.unwrap_or(if whole <= 2048 { 2048 } else { 4096 })
    }

    fn check(&self) -> Result<(), String> {
        for (what, size) in [("RX ring", self.rx), ("fill ring", self.fill)] {
            if !size.is_power_of_two() {
                return Err(format!("the {what} has {size} entries: it must be a power of two"));
            }
        }
        match self.chunk_size {
            None | Some(2048 | 4096) => Ok(()),
            Some(other) => Err(format!("chunks of {other} bytes: the kernel takes 2048 or 4096")),
        }
    }
}

/// What kernel and driver granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Where the program runs.
    pub mode: Mode,
    /// Why it does not run in the driver, where that was tried.
    pub native_refused: Option<String>,
    /// Receive queues, each with its socket.
    pub queues: u32,
    /// On every queue the NIC itself writes frames into our memory.
    pub zero_copy: bool,
    /// On every queue frames larger than a chunk arrive, in pieces.
    pub scatter_gather: bool,
    /// On every queue the memory is on huge pages.
    pub huge_pages: bool,
}

/// Starts a capture: one source for each receive queue, for one thread each, and the handle for the control thread.
///
/// # Errors
/// Whatever prevents it, with what to do; then nothing is left attached or set.
pub fn open(config: &Config) -> Result<(Vec<XdpSource>, Control), Error> {
    let refuse = |reason| Error::Unsupported { name: config.interface.clone(), reason };
    config.sizes.check().map_err(refuse)?;
    let link = find(&config.interface)?;
    let explain = |error: program::Error| refuse(error.to_string());
    let mut program = Program::load(config.events).map_err(explain)?;
    program.set_filter(&config.filter).map_err(explain)?;
    let queues =
        (0..link.queues().rx).map(|number| Queue::open(number, &link, config)).collect::<Result<Vec<_>, _>>()?;
    for queue in &queues {
        program.register(queue.number, queue.socket.as_fd()).map_err(explain)?;
    }
    let promiscuous = config.promiscuous.then(|| Promiscuous::on(link.index)).transpose();
    let promiscuous = promiscuous.map_err(|source| Error::Io { name: link.name.clone(), source })?;
    let attached = program.attach(link.index, config.attach).map_err(explain)?;
    let granted = grant(&queues, &attached);
    let attachment = Arc::new(Attachment { program: Mutex::new(program), _promiscuous: promiscuous });
    let control = Control { attachment: Arc::clone(&attachment), link, granted };
    let source = |queue| XdpSource::new(queue, Arc::clone(&attachment), &control.link, config.busy_poll);
    let sources = queues.into_iter().map(source).collect();
    if control.granted.mode == Mode::Generic && control.granted.zero_copy {
        // The driver would write into chunks that the program, in the stack, never sees.
        drop((sources, control));
        return open(&Config { attach: Request::Generic, copying: Copying::Copy, ..config.clone() });
    }
    Ok((sources, control))
}

/// The interface, if a capture can start on it.
fn find(name: &str) -> Result<Link, Error> {
    let link = Link::find(name).map_err(|source| Error::Io { name: name.to_owned(), source })?;
    let refuse = |reason| Err(Error::Unsupported { name: name.to_owned(), reason });
    if !link.up {
        return refuse(format!("the interface is down: `ip link set dev {} up`", link.name));
    }
    let queues = link.queues().rx;
    if queues > MAX_QUEUES {
        let advice = format!("`ethtool -L {} combined {MAX_QUEUES}`", link.name);
        return refuse(format!("{queues} receive queues, of which at most {MAX_QUEUES} can be bound: {advice}"));
    }
    if let Some(other) = link.xdp {
        let kind = if other.generic { "xdpgeneric" } else { "xdp" };
        return refuse(format!(
            "another XDP program (id {}) is attached: stop what attached it, or remove it with \
             `ip link set dev {} {kind} off`",
            other.program, link.name
        ));
    }
    Ok(link)
}

fn grant(queues: &[Queue], attached: &program::Attached) -> Granted {
    Granted {
        mode: attached.mode,
        native_refused: attached.native_refused.as_ref().map(io::Error::to_string),
        queues: queues.len() as u32,
        zero_copy: queues.iter().all(|queue| queue.binding.zero_copy),
        scatter_gather: queues.iter().all(|queue| queue.binding.scatter_gather),
        huge_pages: queues.iter().all(|queue| queue.huge_pages),
    }
}

fn name_queue(interface: &str, queue: u32) -> String {
    format!("{interface} queue {queue}")
}

/// What is set on the interface while a capture lasts.
struct Attachment {
    program: Mutex<Program>,
    _promiscuous: Option<Promiscuous>,
}

impl Attachment {
    fn program(&self) -> MutexGuard<'_, Program> {
        self.program.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn detach(&self) {
        self.program().detach();
    }
}

/// The capture as a whole, for the thread that controls it. The capture stops when this is dropped.
pub struct Control {
    attachment: Arc<Attachment>,
    link: Link,
    granted: Granted,
}

impl Control {
    /// What kernel and driver granted.
    pub fn granted(&self) -> &Granted {
        &self.granted
    }

    /// The interface, as it was before the capture.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// The program, to change what it does: filter, shunted flows, events. No receiving thread waits for this lock.
    pub fn program(&self) -> MutexGuard<'_, Program> {
        self.attachment.program()
    }

    /// Takes the program off the interface: no frame comes any more. What had come is in the rings, and each source
    /// still hands it out until it has [`Received::Nothing`](super::Received); then the tallies are final.
    pub fn stop(&self) {
        self.attachment.detach();
    }

    /// What the program did with the frames of all queues. The sum of this and of every source's tally
    /// ([`Tally::add`](std::ops::Add)) is the capture's.
    ///
    /// # Errors
    /// When the program's counters cannot be read.
    pub fn tally(&self) -> Result<Tally, Error> {
        let counters = self.program().counters();
        let counters =
            counters.map_err(|error| Error::Unsupported { name: self.link.name.clone(), reason: error.to_string() })?;
        let packets = |counter| counters.of(counter).packets;
        Ok(Tally {
            seen: packets(Counter::Seen),
            passed: packets(Counter::Passed),
            filtered: packets(Counter::Filtered),
            shunted: packets(Counter::Shunted),
            redirected: packets(Counter::Redirected),
            redirect_errors: packets(Counter::RedirectErrors),
            ..Tally::default()
        })
    }

    /// Frames that the interface lost before any program saw them, since the capture began, as far as its driver
    /// counts them.
    ///
    /// # Errors
    /// When the interface is gone.
    pub fn lost_below(&self) -> io::Result<u64> {
        Ok(Link::by_index(self.link.index)?.counters.lost_since(&self.link.counters))
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.stop();
    }
}
