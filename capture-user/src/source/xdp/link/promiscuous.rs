//! Promiscuous mode that ends with its owner.
#![allow(unsafe_code, reason = "a socket option that rustix has no call for")]

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

/// As long as this lives, the interface takes every frame, whatever its address.
///
/// It is a membership of a packet socket that receives nothing: the kernel counts memberships and drops this one with
/// the socket, also after kill -9, so that the interface is left exactly as promiscuous as it was.
#[derive(Debug)]
pub struct Promiscuous(#[expect(dead_code, reason = "held for its Drop")] OwnedFd);

impl Promiscuous {
    /// Sets the mode on the interface of an index.
    ///
    /// # Errors
    /// EPERM without CAP_NET_RAW, ENODEV without the interface.
    pub fn on(interface: u32) -> io::Result<Self> {
        // Protocol 0: the socket never sees a frame.
        let socket = socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
        let membership = libc::packet_mreq {
            mr_ifindex: interface.cast_signed(),
            mr_type: libc::PACKET_MR_PROMISC as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        // SAFETY: `membership` lives through the call and the length is its size.
        let result = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_ADD_MEMBERSHIP,
                (&raw const membership).cast(),
                size_of_val(&membership) as libc::socklen_t,
            )
        };
        if result == 0 { Ok(Self(socket)) } else { Err(io::Error::last_os_error()) }
    }
}
