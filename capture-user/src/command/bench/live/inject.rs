//! How a benchmark's frames come into being.

use std::iter::Cycle;
use std::num::NonZero;
use std::thread;
use std::time::{Duration, Instant};
use std::vec::IntoIter;

use anyhow::{Context, anyhow};
use capture_common::traffic::LARGEST;
use capture_user::source::xdp::link::Link;
use capture_user::source::xdp::program::traffic::Traffic;
use capture_user::source::xdp::{self, lab};
use pnet::datalink::{self, Channel, DataLinkSender};

use super::frame::frame;
use crate::cli::{BenchLive, Inject};
use crate::command::Usage;

/// Injects frames at a rate, and counts them.
pub struct Injector {
    frames: u64,
    rate: Option<NonZero<u64>>,
    way: Way,
}

enum Way {
    /// The kernel itself: straight into the XDP program, or from the far end of the cable.
    Kernel(Box<Traffic>),
    /// A packet socket on the far end, and one frame of each flow in turn.
    Packet(Box<dyn DataLinkSender>, Cycle<IntoIter<Vec<u8>>>),
}

impl Injector {
    pub fn new(options: &BenchLive, capture: &xdp::Control) -> anyhow::Result<Self> {
        let flows: Vec<_> = (0..options.flows.get()).map(|flow| frame(options.size, flow)).collect();
        let (near, far) = (capture.link().index, Link::find(lab::FAR)?.index);
        let way = match (options.inject, options.size as usize <= LARGEST) {
            (Inject::Kernel | Inject::Cable, false) => {
                return Err(Usage(format!("--inject kernel and cable: frames are at most {LARGEST} bytes")).into());
            }
            (Inject::Kernel | Inject::Auto, true) => {
                Way::Kernel(Box::new(Traffic::into_program(&mut capture.program(), near, far, &flows)?))
            }
            (Inject::Cable, true) => Way::Kernel(Box::new(Traffic::from_interface(far, &flows)?)),
            (Inject::Packet | Inject::Auto, _) => Way::Packet(packet_socket()?, flows.into_iter().cycle()),
        };
        Ok(Self { frames: options.frames.get(), rate: options.rate, way })
    }

    /// Injects them all. Returns how many were injected, and when it began.
    pub fn run(self) -> anyhow::Result<(u64, Instant)> {
        let begun = Instant::now();
        match self.way {
            Way::Kernel(mut traffic) => traffic.send(self.frames, self.rate)?,
            Way::Packet(mut socket, frames) => {
                for (sent, frame) in (0..self.frames).zip(frames) {
                    await_turn(begun, sent, self.rate);
                    send_one(&mut *socket, &frame)?;
                }
            }
        }
        Ok((self.frames, begun))
    }
}

/// Waits until the rate allows another frame after the `sent` that were sent since it `begun`.
fn await_turn(begun: Instant, sent: u64, rate: Option<NonZero<u64>>) {
    let Some(rate) = rate else { return };
    let due = begun + Duration::from_secs_f64(sent as f64 / rate.get() as f64);
    while let wait = due.saturating_duration_since(Instant::now())
        && !wait.is_zero()
    {
        // A short wait is spent awake: sleeping takes longer than that.
        if wait > Duration::from_micros(200) { thread::sleep(wait) } else { std::hint::spin_loop() }
    }
}

/// A full device queue refuses a frame; it is offered again, for it was not sent.
fn send_one(socket: &mut dyn DataLinkSender, frame: &[u8]) -> anyhow::Result<()> {
    loop {
        match socket.send_to(frame, None).ok_or_else(|| anyhow!("the frame does not fit the socket"))? {
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => thread::yield_now(),
            other => return other.context("the far end of the cable"),
        }
    }
}

fn packet_socket() -> anyhow::Result<Box<dyn DataLinkSender>> {
    let far = datalink::interfaces().into_iter().find(|interface| interface.name == lab::FAR);
    let config = datalink::Config { write_buffer_size: 65_536, ..datalink::Config::default() };
    match datalink::channel(&far.context("the far end of the cable")?, config)? {
        Channel::Ethernet(sender, _) => Ok(sender),
        _ => Err(anyhow!("the cable is not Ethernet")),
    }
}
