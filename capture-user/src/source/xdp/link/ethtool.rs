//! What only the ethtool ioctl tells (`include/uapi/linux/ethtool.h`).
#![allow(unsafe_code, reason = "an ioctl that takes pointers")]

use std::ffi::c_char;
use std::io;
use std::os::fd::AsRawFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::netlink::text;

/// Queues of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queues {
    /// That receive.
    pub rx: u32,
    /// That send.
    pub tx: u32,
}

/// Offloads that change what a capture sees; `None` where the driver does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    /// The kernel joins packets of a flow before sockets see them. XDP in the driver sees them before that.
    pub gro: Option<bool>,
    /// The NIC joins packets of a flow: they cannot be told apart again.
    pub lro: Option<bool>,
    /// The NIC takes VLAN tags off: XDP does not see them.
    pub rx_vlan: Option<bool>,
}

/// Queues in use now.
pub(super) fn channels(name: &str) -> io::Result<Queues> {
    let mut channels = Channels { command: ETHTOOL_GCHANNELS, ..Channels::default() };
    ask(name, &mut channels)?;
    let count = |own: u32| own.saturating_add(channels.combined).max(1);
    Ok(Queues { rx: count(channels.rx), tx: count(channels.tx) })
}

/// The driver's name.
pub(super) fn driver(name: &str) -> io::Result<String> {
    let mut info = DriverInfo { command: ETHTOOL_GDRVINFO, driver: [0; 32], rest: [0; 160] };
    ask(name, &mut info)?;
    Ok(text(&info.driver))
}

/// The offloads, each asked for in the form every driver has answered since long ago.
pub(super) fn offloads(name: &str) -> Offloads {
    const ETH_FLAG_RXVLAN: u32 = 1 << 8;
    const ETH_FLAG_LRO: u32 = 1 << 15;
    let flags = value(name, ETHTOOL_GFLAGS).ok();
    Offloads {
        gro: value(name, ETHTOOL_GGRO).ok().map(|on| on != 0),
        lro: flags.map(|flags| flags & ETH_FLAG_LRO != 0),
        rx_vlan: flags.map(|flags| flags & ETH_FLAG_RXVLAN != 0),
    }
}

fn value(name: &str, command: u32) -> io::Result<u32> {
    let mut value = Value { command, data: 0 };
    ask(name, &mut value)?;
    Ok(value.data)
}

const SIOCETHTOOL: libc::Ioctl = 0x8946;
const ETHTOOL_GDRVINFO: u32 = 0x03;
const ETHTOOL_GFLAGS: u32 = 0x25;
const ETHTOOL_GGRO: u32 = 0x2b;
const ETHTOOL_GCHANNELS: u32 = 0x3c;

/// A structure that begins with its command.
///
/// # Safety
/// It is `repr(C)`, of plain numbers, and at least as large as what the kernel writes for its command.
unsafe trait Command {}

/// `struct ethtool_value`.
#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

// SAFETY: laid out as the kernel's structure.
unsafe impl Command for Value {}

/// `struct ethtool_channels`.
#[repr(C)]
#[derive(Default)]
struct Channels {
    command: u32,
    max: [u32; 4],
    rx: u32,
    tx: u32,
    other: u32,
    combined: u32,
}

// SAFETY: laid out as the kernel's structure.
unsafe impl Command for Channels {}

/// `struct ethtool_drvinfo`, 196 bytes.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    rest: [u8; 160],
}

// SAFETY: as large as the kernel's structure, of which the parts in use are where the kernel has them.
unsafe impl Command for DriverInfo {}

fn ask<T: Command>(name: &str, command: &mut T) -> io::Result<()> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let mut request = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_data: (&raw mut *command).cast() },
    };
    if name.len() >= libc::IFNAMSIZ {
        return Err(io::Error::from_raw_os_error(libc::ENODEV));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as c_char;
    }
    // SAFETY: `request` and the `command` it points to live through the call, the name ends with a zero, and `Command`
    // says that the structure has the size the kernel expects.
    match unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut request) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
