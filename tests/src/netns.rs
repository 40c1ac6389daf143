//! A private network: a namespace of its own with two ends of a cable, where tests may send what they like.

use std::process::Command;
use std::thread;

use pnet::datalink::{self, Channel, DataLinkSender, NetworkInterface};

use crate::tool::skip;

/// The end that is captured on.
pub const NEAR: &str = "padtap0";
/// The end that sends.
pub const FAR: &str = "padtap1";

/// How to make the cable.
#[derive(Clone, Copy, Debug)]
pub struct Cable {
    /// The MTU of both ends.
    pub mtu: u32,
    /// Queues of each end, for either direction.
    pub queues: u32,
}

impl Default for Cable {
    fn default() -> Self {
        Self { mtu: 1500, queues: 1 }
    }
}

/// Runs `body` in a namespace of its own with a cable from [`NEAR`] to [`FAR`], both up.
///
/// The namespace has no name: it is the thread's and of whom the thread starts, and it goes with the last of them, also
/// when a test is killed. Threads and processes that `body` starts are in it too.
///
/// Without root nothing runs and that is said on stderr; with PADTAP_REQUIRE_LIVE=1 it is a failure.
///
/// # Panics
/// When `body` does, or the namespace cannot be made.
pub fn with_cable(cable: Cable, body: impl FnOnce() + Send) {
    if !may_run_live() {
        return;
    }
    let inside = || {
        enter_new_namespace();
        lay(cable);
        body();
    };
    thread::scope(|scope| {
        if let Err(panic) = scope.spawn(inside).join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// Whether tests of the real kernel can run here.
///
/// # Panics
/// When they cannot, and PADTAP_REQUIRE_LIVE=1.
pub fn may_run_live() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip("live tests need root");
    }
    root
}

#[allow(
    deprecated,
    reason = "the form that is not deprecated is unsafe because of CLONE_FILES, which this does not use"
)]
fn enter_new_namespace() {
    rustix::thread::unshare(rustix::thread::UnshareFlags::NEWNET).expect("a network namespace");
    for scope in ["default", "all"] {
        // The kernel must not send anything of its own. Where there is no IPv6, it does not.
        let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{scope}/disable_ipv6"), "1");
    }
}

fn lay(Cable { mtu, queues }: Cable) {
    let end = format!("mtu {mtu} numrxqueues {queues} numtxqueues {queues}");
    ip(&format!("link add {NEAR} {end} type veth peer name {FAR} {end}"));
    ip(&format!("link set {NEAR} up"));
    ip(&format!("link set {FAR} up"));
}

/// Runs `ip` with these arguments.
///
/// # Panics
/// When it fails.
pub fn ip(arguments: &str) {
    let output = Command::new("ip").args(arguments.split_whitespace()).output().expect("ip is installed (iproute2)");
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Sends frames from one end of the cable, as they are.
pub struct Sender(Box<dyn DataLinkSender>);

impl Sender {
    /// A sender on [`FAR`].
    ///
    /// # Panics
    /// Without root, or outside of [`with_cable`].
    pub fn new() -> Self {
        let is_far = |interface: &NetworkInterface| interface.name == FAR;
        let interface = datalink::interfaces().into_iter().find(is_far).expect("the far end");
        let config = datalink::Config { write_buffer_size: 65_536, ..datalink::Config::default() };
        match datalink::channel(&interface, config).expect("a packet socket") {
            Channel::Ethernet(sender, _) => Self(sender),
            _ => panic!("the cable is Ethernet"),
        }
    }

    /// Sends one frame.
    ///
    /// # Panics
    /// When the kernel does not take it.
    pub fn send(&mut self, frame: &[u8]) {
        self.0.send_to(frame, None).expect("room for a frame").expect("the far end takes it");
    }
}

/// Sends frames from [`FAR`], as they are.
///
/// # Panics
/// When the kernel does not take one.
pub fn send(frames: &[Vec<u8>]) {
    let mut sender = Sender::new();
    frames.iter().for_each(|frame| sender.send(frame));
}

impl Default for Sender {
    fn default() -> Self {
        Self::new()
    }
}
