//! The two options of packet sockets that no safe library offers.

#![allow(unsafe_code, reason = "getsockopt and setsockopt at level SOL_PACKET have no safe wrapper in rustix or pnet")]

use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};

/// What the kernel counted at a packet socket: `struct tpacket_stats` of linux/if_packet.h.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Statistics {
    /// Frames that came to the socket, those dropped included.
    pub(super) packets: u32,
    /// Frames dropped because the socket's buffer was full.
    pub(super) drops: u32,
}

/// Reads the statistics, which sets them back to zero (packet(7), PACKET_STATISTICS).
///
/// # Errors
/// What the system says.
pub(super) fn take_statistics(socket: BorrowedFd<'_>) -> io::Result<Statistics> {
    let mut statistics = Statistics::default();
    let mut length = size_of::<Statistics>() as libc::socklen_t;
    // SAFETY: `statistics` is a live, aligned, writable place of `length` bytes, plain integers of which every value
    // is valid; `length` is one too. The kernel keeps neither pointer.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut statistics).cast(),
            &raw mut length,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(statistics) }
}

/// Leaves out the frames that this machine sends (PACKET_IGNORE_OUTGOING, since Linux 4.20), as XDP does.
///
/// # Errors
/// What the system says.
pub(super) fn ignore_outgoing(socket: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: `on` is live and as long as said. The kernel copies it.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_IGNORE_OUTGOING,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
