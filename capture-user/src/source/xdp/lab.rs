//! A private network: a namespace of this process's own with two ends of a cable, where a demonstration or a benchmark
//! may send what it likes. It goes when the process goes.
#![allow(unsafe_code, reason = "unshare, whose rustix wrapper is unsafe for the sake of one flag")]

use std::io;

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use super::link::Link;
use super::link::netlink::{CREATE, Request, command};

/// The end that is captured on.
pub const NEAR: &str = "padtap0";
/// The end that sends.
pub const FAR: &str = "padtap1";

/// Values of <linux/veth.h> and <linux/if_link.h> that libc does not have.
const VETH_INFO_PEER: u16 = 1;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;

/// Moves the calling thread, and all that it starts from here on, into a namespace of its own, and lays a cable (a
/// pair of veth interfaces) from [`NEAR`] to [`FAR`] there, both up. The kernel sends nothing of its own on it.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN and CAP_NET_ADMIN; what the kernel says where it has no veth.
pub fn enter(mtu: u32) -> io::Result<()> {
    // SAFETY: the call is unsafe for UnshareFlags::FILES alone, which is not among the flags.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWNS)? };
    // sysfs shows the interfaces of whoever mounted it. Without it a benchmark cannot move NAPI to a thread.
    let private = mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC);
    let _ = private.and_then(|()| mount("sysfs", "/sys", "sysfs", MountFlags::empty(), None));
    for scope in ["default", "all"] {
        // Where there is no IPv6, it sends nothing either.
        let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6"), "1");
    }
    lay(mtu)?;
    set_up(NEAR)?;
    set_up(FAR)
}

fn lay(mtu: u32) -> io::Result<()> {
    let end = |name: &str| {
        [attribute(libc::IFLA_IFNAME, name.as_bytes()), attribute(libc::IFLA_MTU, &mtu.to_ne_bytes())].concat()
    };
    let peer = attribute(VETH_INFO_PEER, &[vec![0; 16], end(FAR)].concat());
    let kind = [attribute(IFLA_INFO_KIND, b"veth"), attribute(IFLA_INFO_DATA, &peer)].concat();
    let fixed = [vec![0; 16], end(NEAR)].concat();
    command(&Request::new(libc::RTM_NEWLINK, &fixed).flags(CREATE).attribute(libc::IFLA_LINKINFO, &kind))
}

fn set_up(name: &str) -> io::Result<()> {
    let mut info = [0; 16];
    info[4..8].copy_from_slice(&Link::find(name)?.index.to_ne_bytes());
    // The flags, and which of them are meant.
    info[8..12].copy_from_slice(&libc::IFF_UP.to_ne_bytes());
    info[12..16].copy_from_slice(&libc::IFF_UP.to_ne_bytes());
    command(&Request::new(libc::RTM_NEWLINK, &info))
}

/// One attribute as it lies in a message, padding included.
fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    Request::new(0, &[]).attribute(kind, value).into_body()
}
