//! One AF_XDP socket: its rings, its binding to a queue, and what the kernel says about it.
#![allow(unsafe_code, reason = "mapped rings, and socket options that rustix has no call for")]

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use memmap2::{MmapOptions, MmapRaw};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::xdp::{
    SocketAddrXdp, SocketAddrXdpFlags, XDP_PGOFF_RX_RING, XDP_UMEM_PGOFF_FILL_RING, XdpDesc, XdpOptionsFlags,
    XdpRingOffset, XdpStatistics, XdpUmemReg, XdpUmemRegFlags,
};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with, sockopt};

use super::ring::{Consumer, Entry, Memory, Offsets, Producer};
use super::umem::Umem;

/// Who copies a frame into its chunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Copying {
    /// The NIC if its driver can, else the kernel.
    #[default]
    Auto,
    /// The NIC, or the capture does not start.
    ZeroCopy,
    /// The kernel, even if the NIC could.
    Copy,
}

/// What a socket got when it was bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The NIC writes into our chunks (XDP_OPTIONS_ZEROCOPY).
    pub zero_copy: bool,
    /// Frames larger than a chunk arrive in pieces (XDP_USE_SG); otherwise they are dropped and counted.
    pub scatter_gather: bool,
}

/// An AF_XDP socket, with the memory its frames arrive in.
pub struct Socket {
    fd: OwnedFd,
    /// The kernel has its own hold on the pages; this keeps their place in our address space from being used again.
    _umem: Arc<Umem>,
}

/// Our ends of the two rings a receiver needs.
pub struct Rings {
    /// Chunks for the kernel to fill.
    pub fill: Producer<u64>,
    /// Pieces of frames, in order.
    pub rx: Consumer<XdpDesc>,
}

impl Socket {
    /// A socket with `umem` registered and rings of `rx` and `fill` entries (powers of two), not bound yet.
    ///
    /// # Errors
    /// No AF_XDP in this kernel, no CAP_NET_RAW, or no memory that may be locked.
    pub fn open(umem: &Arc<Umem>, rx: u32, fill: u32) -> io::Result<(Self, Rings)> {
        /// Nothing is sent, but a UMEM without a completion ring cannot be bound (`xsk_bind` in `net/xdp/xsk.c`).
        const COMPLETION: u32 = 64;
        let fd = socket_with(AddressFamily::XDP, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        sockopt::set_xdp_umem_reg(&fd, registration(umem))?;
        sockopt::set_xdp_umem_fill_ring_size(&fd, fill)?;
        sockopt::set_xdp_umem_completion_ring_size(&fd, COMPLETION)?;
        sockopt::set_xdp_rx_ring_size(&fd, rx)?;
        let offsets = sockopt::xdp_mmap_offsets(&fd)?;
        let (fill_memory, fill_offsets) = map_ring::<u64>(&fd, XDP_UMEM_PGOFF_FILL_RING, &offsets.fr, fill)?;
        let (rx_memory, rx_offsets) = map_ring::<XdpDesc>(&fd, XDP_PGOFF_RX_RING, &offsets.rx, rx)?;
        // SAFETY: a new socket's rings, mapped here and nowhere else; the other side of each is the kernel.
        let rings = unsafe {
            Rings { fill: Producer::new(fill_memory, fill_offsets, fill), rx: Consumer::new(rx_memory, rx_offsets, rx) }
        };
        Ok((Self { fd, _umem: Arc::clone(umem) }, rings))
    }

    /// Binds to a queue of an interface. The fill ring should hold chunks by now: some drivers look only once.
    ///
    /// # Errors
    /// What bind says; EBUSY only after a second of trying, because sockets of a capture that has just ended go away
    /// asynchronously.
    pub fn bind(&self, interface: u32, queue: u32, copying: Copying) -> io::Result<Binding> {
        let mut flags = SocketAddrXdpFlags::XDP_USE_NEED_WAKEUP | SocketAddrXdpFlags::XDP_USE_SG;
        match copying {
            // Without either flag the kernel itself tries zero-copy first (`xp_assign_dev`).
            Copying::Auto => {}
            Copying::ZeroCopy => flags |= SocketAddrXdpFlags::XDP_ZEROCOPY,
            Copying::Copy => flags |= SocketAddrXdpFlags::XDP_COPY,
        }
        if let Err(error) = self.bind_patiently(interface, queue, flags) {
            // Kernels before 6.6 do not know XDP_USE_SG.
            flags.remove(SocketAddrXdpFlags::XDP_USE_SG);
            if error != Errno::INVAL || self.bind_patiently(interface, queue, flags).is_err() {
                return Err(error.into());
            }
        }
        Ok(Binding {
            zero_copy: sockopt::xdp_options(&self.fd)?.contains(XdpOptionsFlags::XDP_OPTIONS_ZEROCOPY),
            scatter_gather: flags.contains(SocketAddrXdpFlags::XDP_USE_SG),
        })
    }

    fn bind_patiently(&self, interface: u32, queue: u32, flags: SocketAddrXdpFlags) -> Result<(), Errno> {
        const FIRST_PAUSE: Duration = Duration::from_millis(5);
        const TRIES: u32 = 9;
        let address = SocketAddrXdp::new(flags, interface, queue);
        let mut pause = FIRST_PAUSE;
        for _ in 1..TRIES {
            match bind(&self.fd, &address) {
                Err(Errno::BUSY) => std::thread::sleep(pause),
                done => return done,
            }
            pause *= 2;
        }
        bind(&self.fd, &address)
    }

    /// Waits until there is something to read, at most `timeout`; a signal ends the wait as well.
    ///
    /// # Errors
    /// What poll says.
    pub fn wait(&self, timeout: Duration) -> io::Result<()> {
        let timeout = Timespec::try_from(timeout).ok();
        match poll(&mut [PollFd::new(&self.fd, PollFlags::IN)], timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Lets the kernel go on: wakes a driver that waits for chunks, and polls the NIC where busy polling is on.
    ///
    /// # Errors
    /// `NetworkDown` or ENXIO when the interface is down or gone; a kernel with nothing to do now is not an error.
    pub fn kick(&self) -> io::Result<()> {
        match recv(&self.fd, &mut [0_u8; 0], RecvFlags::DONTWAIT) {
            Ok(_) | Err(Errno::AGAIN | Errno::BUSY | Errno::INTR | Errno::NOBUFS) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What the kernel counted for this socket (XDP_STATISTICS); older kernels count less.
    ///
    /// # Errors
    /// What getsockopt says.
    pub fn statistics(&self) -> io::Result<XdpStatistics> {
        Ok(sockopt::xdp_statistics(&self.fd)?)
    }

    /// Turns busy polling on if the kernel knows which NAPI instance serves the socket, and says whether it does.
    /// It learns that from the first frame; on devices without NAPI (veth) never, and polling would poll nothing.
    ///
    /// # Errors
    /// What setsockopt says: without CAP_NET_ADMIN that is EPERM.
    pub fn busy_poll(&self) -> io::Result<bool> {
        const MICROSECONDS: c_int = 20;
        const BUDGET: c_int = 64;
        if option(self.fd.as_fd(), libc::SO_INCOMING_NAPI_ID)? == 0 {
            return Ok(false);
        }
        set_option(self.fd.as_fd(), libc::SO_PREFER_BUSY_POLL, 1)?;
        set_option(self.fd.as_fd(), libc::SO_BUSY_POLL, MICROSECONDS)?;
        set_option(self.fd.as_fd(), libc::SO_BUSY_POLL_BUDGET, BUDGET)?;
        Ok(true)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn registration(umem: &Umem) -> XdpUmemReg {
    XdpUmemReg {
        addr: umem.base() as u64,
        len: umem.size(),
        chunk_size: umem.chunk_size(),
        headroom: 0,
        flags: XdpUmemRegFlags::empty(),
        tx_metadata_len: 0,
    }
}

/// Maps the ring at `place` of the socket.
fn map_ring<T: Entry>(
    fd: &OwnedFd,
    place: u64,
    offsets: &XdpRingOffset,
    size: u32,
) -> io::Result<(Arc<dyn Memory>, Offsets)> {
    let too_old = || io::Error::new(io::ErrorKind::Unsupported, "the kernel is older than 5.4: no need_wakeup flag");
    let offsets = Offsets {
        producer: offsets.producer as usize,
        consumer: offsets.consumer as usize,
        flags: offsets.flags.ok_or_else(too_old)? as usize,
        entries: offsets.desc as usize,
    };
    let len = offsets.entries + size as usize * size_of::<T>();
    let memory: MmapRaw = MmapOptions::new().offset(place).len(len).populate().map_raw(fd)?;
    Ok((Arc::new(memory), offsets))
}

/// An integer option of level SOL_SOCKET.
fn option(fd: BorrowedFd<'_>, name: c_int) -> io::Result<c_int> {
    let mut value: c_int = 0;
    let mut len = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: `value` and `len` live through the call and `len` is the size of `value`.
    let result =
        unsafe { libc::getsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, name, (&raw mut value).cast(), &raw mut len) };
    if result == 0 { Ok(value) } else { Err(io::Error::last_os_error()) }
}

/// Sets an integer option of level SOL_SOCKET.
fn set_option(fd: BorrowedFd<'_>, name: c_int, value: c_int) -> io::Result<()> {
    let len = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: `value` lives through the call and `len` is its size.
    let result = unsafe { libc::setsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, name, (&raw const value).cast(), len) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
