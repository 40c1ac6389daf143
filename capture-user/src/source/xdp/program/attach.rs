//! The bpf_link that holds a program to an interface.
//!
//! aya can make one too, but only lets go of it by closing its descriptor. That takes effect when the last copy is
//! closed, and a process that some thread has just forked holds copies until it executes something else. A capture
//! must be able to say "from now on no frame comes", so the link is detached by command.
#![allow(unsafe_code, reason = "two commands of bpf(2) that aya has no call for")]

use std::ffi::{c_int, c_long, c_uint};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::Mode;

/// The program is attached as long as this lives, or at most as long as the process.
pub(super) struct XdpLink(OwnedFd);

impl XdpLink {
    /// Attaches a program to the interface of an index (BPF_LINK_CREATE, Linux 5.9).
    ///
    /// # Errors
    /// What the kernel says: EOPNOTSUPP from drivers without native XDP, EBUSY where another program is.
    pub(super) fn create(program: BorrowedFd<'_>, interface: u32, mode: Mode) -> io::Result<Self> {
        const BPF_LINK_CREATE: c_int = 28;
        const BPF_XDP: u32 = 37;
        const XDP_FLAGS_SKB_MODE: u32 = 1 << 1;
        const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;
        let flags = match mode {
            Mode::Native => XDP_FLAGS_DRV_MODE,
            Mode::Generic => XDP_FLAGS_SKB_MODE,
        };
        let fd = bpf(BPF_LINK_CREATE, &[program.as_raw_fd() as u32, interface, BPF_XDP, flags])?;
        // SAFETY: the kernel just made this descriptor for us, and nobody else knows of it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }
}

impl Drop for XdpLink {
    fn drop(&mut self) {
        const BPF_LINK_DETACH: c_int = 34;
        // An interface that is gone has detached already: nothing to do about an error.
        let _ = bpf(BPF_LINK_DETACH, &[self.0.as_raw_fd() as u32]);
    }
}

/// bpf(2) with the leading words of `union bpf_attr`; the kernel takes the rest for zero.
fn bpf<const WORDS: usize>(command: c_int, attr: &[u32; WORDS]) -> io::Result<c_int> {
    #[repr(C, align(8))]
    struct Attr<const WORDS: usize>([u32; WORDS]);
    let attr = Attr(*attr);
    // SAFETY: `attr` lives through the call and the size is its own; neither command writes to it.
    let result: c_long =
        unsafe { libc::syscall(libc::SYS_bpf, command, &raw const attr, size_of_val(&attr.0) as c_uint) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as c_int) }
}
