//! Promiscuous mode that ends with its owner.
#![allow(unsafe_code, reason = "a socket option that rustix has no call for")]

use std::ffi::c_int;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

/// As long as this lives, the interface takes every frame, whatever its address.
///
/// It is a membership of a packet socket that receives nothing: the kernel counts memberships and drops this one with
/// the socket, also after kill -9, so that the interface is left exactly as promiscuous as it was.
#[derive(Debug)]
pub struct Promiscuous {
    socket: OwnedFd,
    interface: u32,
}

impl Promiscuous {
    /// Sets the mode on the interface of an index.
    ///
    /// # Errors
    /// EPERM without CAP_NET_RAW, ENODEV without the interface.
    pub fn on(interface: u32) -> io::Result<Self> {
        // Protocol 0: the socket never sees a frame.
        let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        let this = Self { socket, interface };
        this.set(libc::PACKET_ADD_MEMBERSHIP)?;
        Ok(this)
    }

    fn set(&self, option: c_int) -> io::Result<()> {
        let membership = libc::packet_mreq {
            mr_ifindex: self.interface.cast_signed(),
            mr_type: libc::PACKET_MR_PROMISC as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        let len = size_of_val(&membership) as libc::socklen_t;
        // SAFETY: `membership` lives through the call and the length is its size.
        let result = unsafe {
            libc::setsockopt(self.socket.as_raw_fd(), libc::SOL_PACKET, option, (&raw const membership).cast(), len)
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl Drop for Promiscuous {
    fn drop(&mut self) {
        // Closing would do, but not before a process that was just forked has closed its copy. An interface that is
        // gone has no membership any more.
        let _ = self.set(libc::PACKET_DROP_MEMBERSHIP);
    }
}
