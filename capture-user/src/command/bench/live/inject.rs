//! How a benchmark's frames come into being.

use std::iter::Cycle;
use std::thread;
use std::time::Instant;
use std::vec::IntoIter;

use anyhow::{Context, anyhow};
use capture_common::traffic::LARGEST;
use capture_user::source::xdp::link::Link;
use capture_user::source::xdp::program::traffic::Traffic;
use capture_user::source::xdp::{self, lab};
use pnet::datalink::{self, Channel, DataLinkSender};

use super::super::pace::Pace;
use super::frame::frame;
use crate::cli::{BenchLive, Inject};
use crate::command::Usage;

/// Frames that the kernel sends in one system call, at most: about a millisecond's, so that a rate is kept to that.
const BATCH: u64 = 1_024;

/// Injects frames at a rate, and counts them.
pub struct Injector {
    frames: u64,
    rate: Option<u64>,
    way: Way,
}

enum Way {
    /// The kernel itself: straight into the XDP program, or from the far end of the cable.
    Kernel(Traffic),
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
                Way::Kernel(Traffic::into(&mut capture.program(), near, far, &flows)?)
            }
            (Inject::Cable, true) => Way::Kernel(Traffic::from(far, &flows)?),
            (Inject::Packet | Inject::Auto, _) => Way::Packet(packet_socket()?, flows.into_iter().cycle()),
        };
        Ok(Self { frames: options.frames.get(), rate: options.rate.map(|rate| rate.get()), way })
    }

    /// Injects them all. Returns how many were injected, and when it began.
    pub fn run(mut self) -> anyhow::Result<(u64, Instant)> {
        let pace = Pace::new(self.rate);
        let mut sent = 0;
        while sent < self.frames {
            let batch = pace.due(sent).min(self.frames - sent).min(BATCH);
            self.send(batch)?;
            sent += batch;
        }
        Ok((sent, pace.begun()))
    }

    fn send(&mut self, count: u64) -> anyhow::Result<()> {
        match &mut self.way {
            Way::Kernel(traffic) => traffic.send(count as u32)?,
            Way::Packet(socket, frames) => {
                for frame in frames.take(count as usize) {
                    send_one(&mut **socket, &frame)?;
                }
            }
        }
        Ok(())
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
