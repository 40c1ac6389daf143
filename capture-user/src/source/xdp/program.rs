//! The XDP program from user space: loading, attaching, its filter, its sockets, its counters.
//!
//! One [`Program`] belongs to the control thread. Everything that can be changed is changed in the maps, while frames
//! flow. The program stays attached through a bpf_link, which the kernel takes down when this process ends, however.

mod attach;
mod error;
mod tables;
pub mod traffic;

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use aya::maps::{MapData, PerCpuArray, XskMap};
use aya::programs::{TestRun as _, TestRunAttrs, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};
use aya_log::EbpfLogger;
use capture_common::config::{FlowCount, FlowKey};
use capture_common::counters::Counters;

pub use error::Error;

use self::attach::XdpLink;
use self::tables::{Plain, Tables};
use super::super::policy::ConsoleFilter;
use super::link::Link;

/// The compiled program, as `cargo xtask bpf` builds it from `capture-ebpf`.
pub static OBJECT: &[u8] = aya::include_bytes_aligned!("../../../bpf/padtap.bpf.o");

/// The program's name in the object.
pub const NAME: &str = "padtap";

/// A loaded program, attached to at most one interface.
pub struct Program {
    ebpf: Ebpf,
    tables: Tables,
    counters: PerCpuArray<MapData, Plain<Counters>>,
    sockets: XskMap<MapData>,
    events: Option<EbpfLogger<&'static dyn log::Log>>,
    link: Option<XdpLink>,
}

/// Which attachment to ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Request {
    /// Native, or generic where the driver has no native XDP.
    #[default]
    Best,
    /// In the driver, or not at all.
    Native,
    /// In the kernel's stack, after it made a socket buffer of the frame.
    Generic,
}

/// Which attachment was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In the driver.
    Native,
    /// In the kernel's stack.
    Generic,
}

/// What [`Program::attach`] achieved.
#[derive(Debug)]
pub struct Attached {
    /// Where the program runs.
    pub mode: Mode,
    /// Why it does not run in the driver, where that was tried.
    pub native_refused: Option<std::io::Error>,
}

/// What one test run of the program did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tested {
    /// The XDP action: 1 drop, 2 pass, 4 redirect.
    pub action: u32,
    /// Metadata, if there is any, and the frame as the program left it.
    pub data: Vec<u8>,
    /// Mean time of one run.
    pub duration: std::time::Duration,
}

/// What the kernel says of the loaded program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statistics {
    /// Instructions after the verifier removed what cannot be reached.
    pub instructions: u32,
    /// Bytes of machine code.
    pub machine_code: u32,
    /// Runs while [`Program::time_runs`] was on.
    pub runs: u64,
    /// How long those took together.
    pub run_time: std::time::Duration,
}

impl Program {
    /// Loads the program and makes its maps. With `events` it reports first frames of consoles and malformed headers;
    /// without, the kernel's verifier removes that code.
    ///
    /// # Errors
    /// Where the kernel refuses: see [`Error`].
    pub fn load(events: bool) -> Result<Self, Error> {
        let level = if events { aya_log::Level::Debug as u8 } else { 0 };
        let mut ebpf = EbpfLoader::new()
            .override_global(aya_log::LEVEL, &level, true)
            .load(OBJECT)
            .map_err(|error| Error::load(&error))?;
        let events =
            if events { Some(EbpfLogger::init(&mut ebpf).map_err(|error| Error::load(&error))?) } else { None };
        xdp(&mut ebpf)?.load().map_err(|error| Error::load(&error))?;
        Ok(Self {
            tables: Tables::take(&mut ebpf)?,
            counters: tables::take(&mut ebpf, "COUNTERS")?,
            sockets: tables::take(&mut ebpf, "XSKS")?,
            ebpf,
            events,
            link: None,
        })
    }

    /// Writes a filter into the maps: first what is new, then the switches, then away with what is old, so that no
    /// frame that both filters want is missed in between.
    ///
    /// # Errors
    /// Where a map cannot be written; the maps then hold parts of both filters.
    pub fn set_filter(&mut self, filter: &ConsoleFilter) -> Result<(), Error> {
        self.tables.set_filter(filter)
    }

    /// Attaches to an interface by its index, in place of an earlier attachment of this program.
    ///
    /// # Errors
    /// [`Error::Occupied`] where another XDP program is attached, [`Error::Attach`] for any other refusal.
    pub fn attach(&mut self, interface: u32, request: Request) -> Result<Attached, Error> {
        self.detach();
        let native_refused = match request {
            Request::Generic => None,
            Request::Best | Request::Native => match self.attach_as(interface, Mode::Native) {
                Ok(()) => return Ok(Attached { mode: Mode::Native, native_refused: None }),
                Err(Error::Attach(refusal)) if request == Request::Best => Some(refusal),
                Err(error) => return Err(error),
            },
        };
        self.attach_as(interface, Mode::Generic)?;
        Ok(Attached { mode: Mode::Generic, native_refused })
    }

    fn attach_as(&mut self, interface: u32, mode: Mode) -> Result<(), Error> {
        let program = xdp(&mut self.ebpf)?.fd().map_err(|error| Error::load(&error))?;
        let link = XdpLink::create(program.as_fd(), interface, mode);
        self.link = Some(link.map_err(|refusal| match refusal.raw_os_error() {
            // What the kernel says of an index that is no interface's.
            Some(libc::EINVAL) => Error::attach(Link::by_index(interface).err().unwrap_or(refusal)),
            _ => Error::attach(refusal),
        })?);
        Ok(())
    }

    /// Detaches; nothing happens where nothing is attached. Do this before closing the sockets.
    pub fn detach(&mut self) {
        self.link = None;
    }

    /// Sends the frames of a receive queue to an AF_XDP socket bound to that queue, from now on.
    ///
    /// # Errors
    /// Where the queue is beyond the map's size or the socket is none of AF_XDP.
    pub fn register(&mut self, queue: u32, socket: BorrowedFd<'_>) -> Result<(), Error> {
        self.sockets.set(queue, socket.as_raw_fd(), 0).map_err(|error| Error::map("XSKS", &error))
    }

    /// Sends the frames of a queue to no socket any more: they count as redirect errors.
    ///
    /// # Errors
    /// Where the queue is beyond the map's size or has no socket.
    pub fn unregister(&mut self, queue: u32) -> Result<(), Error> {
        self.sockets.unset(queue).map_err(|error| Error::map("XSKS", &error))
    }

    /// The counters, summed over all CPUs, since the program was loaded.
    ///
    /// # Errors
    /// Where the map cannot be read.
    pub fn counters(&self) -> Result<Counters, Error> {
        let of_cpus = self.counters.get(&0, 0).map_err(|error| Error::map("COUNTERS", &error))?;
        let mut sum = Counters::default();
        for counters in of_cpus.iter() {
            sum.merge(&counters.0);
        }
        Ok(sum)
    }

    /// From now on counts the frames of a flow and drops them. A flow that is shunted already keeps its count.
    ///
    /// # Errors
    /// Where the table is full.
    pub fn shunt(&mut self, flow: FlowKey) -> Result<(), Error> {
        self.tables.shunt(flow)
    }

    /// Captures a flow again. Gives what was counted of it, or `None` where it was not shunted. A frame that another
    /// CPU is counting at this very moment may be missing.
    ///
    /// # Errors
    /// Where the map cannot be read or written.
    pub fn unshunt(&mut self, flow: &FlowKey) -> Result<Option<FlowCount>, Error> {
        self.tables.unshunt(flow)
    }

    /// The shunted flows with what was counted of each.
    ///
    /// # Errors
    /// Where the map cannot be read.
    pub fn shunted(&self) -> Result<Vec<(FlowKey, FlowCount)>, Error> {
        self.tables.shunted()
    }

    /// Hands the program's events to the logger of the [`log`] crate, at debug level.
    pub fn flush_events(&mut self) {
        if let Some(events) = &mut self.events {
            events.flush();
        }
    }

    /// How large the program is and what its runs took.
    ///
    /// # Errors
    /// Where the kernel does not say.
    pub fn statistics(&self) -> Result<Statistics, Error> {
        let program = self.ebpf.program(NAME).ok_or(Error::Object("the program is missing"))?;
        let info = program.info().map_err(|error| Error::load(&error))?;
        Ok(Statistics {
            instructions: info.size_translated().unwrap_or(0) / 8,
            machine_code: info.size_jitted(),
            runs: info.run_count(),
            run_time: info.run_time(),
        })
    }

    /// Lets the kernel time all runs of BPF programs, until what this gives is dropped.
    ///
    /// # Errors
    /// Where the kernel refuses.
    pub fn time_runs() -> Result<OwnedFd, Error> {
        aya::sys::enable_stats(aya::sys::Stats::RunTime).map_err(|error| Error::load(&error))
    }

    /// Runs the program `repeat` times on one frame, without any interface (BPF_PROG_TEST_RUN).
    ///
    /// # Errors
    /// Where the kernel refuses the frame: it wants at least 14 bytes.
    pub fn test(&mut self, frame: &[u8], repeat: u32) -> Result<Tested, Error> {
        let mut data = vec![0; frame.len() + 256];
        let options =
            TestRunOptions { data_in: Some(frame), data_out: Some(&mut data), repeat, ..TestRunOptions::new() };
        let result = xdp(&mut self.ebpf)?.test_run(options).map_err(|error| Error::run(&error))?;
        data.truncate(result.data_size_out as usize);
        Ok(Tested { action: result.return_value, data, duration: result.duration })
    }

    /// Lets the kernel receive `repeat` copies of a frame through the program, as if the driver of `interface` (an
    /// index) had brought them on `queue`: what is redirected does arrive in the socket that is bound there
    /// (BPF_F_TEST_XDP_LIVE_FRAMES).
    ///
    /// # Errors
    /// Where the kernel refuses: the driver must be ready for XDP on that queue, as it is while the program is attached.
    pub fn inject(
        &mut self,
        interface: u32,
        queue: u32,
        frame: &[u8],
        repeat: u32,
    ) -> Result<std::time::Duration, Error> {
        let context = context(frame.len(), interface, queue);
        let options = TestRunOptions {
            data_in: Some(frame),
            ctx_in: Some(context.as_flattened()),
            repeat,
            attrs: TestRunAttrs::new().xdp_live_frames(64),
            ..TestRunOptions::new()
        };
        let result = xdp(&mut self.ebpf)?.test_run(options).map_err(|error| Error::run(&error))?;
        Ok(result.duration)
    }
}

/// `struct xdp_md`: data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex. A socket takes frames of
/// its own interface and queue only, and drops others without counting them.
fn context(length: usize, interface: u32, queue: u32) -> [[u8; 4]; 6] {
    [0, length as u32, 0, interface, queue, 0].map(u32::to_ne_bytes)
}

fn xdp(ebpf: &mut Ebpf) -> Result<&mut Xdp, Error> {
    let program = ebpf.program_mut(NAME).ok_or(Error::Object("the program is missing"))?;
    program.try_into().map_err(|_| Error::Object("the program is none of XDP"))
}
