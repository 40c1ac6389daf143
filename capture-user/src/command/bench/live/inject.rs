//! How a benchmark's frames come into being.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use capture_user::source::xdp::{self, lab};
use pnet::datalink::{self, Channel, DataLinkSender};

use super::frame::frame;
use crate::cli::{BenchLive, Inject};

/// Frames that the kernel makes of one at once.
const BATCH: u64 = 64;
/// The largest frame to inject: a page, less what the kernel keeps for itself, which differs from version to version
/// (Linux 6.18 takes 3,400 bytes and refuses 3,416).
const LARGEST: u32 = 3_072;

/// Injects frames at a rate, and counts them.
pub struct Injector<'a> {
    frames: u64,
    rate: Option<u64>,
    /// One frame of each flow.
    flows: Vec<Vec<u8>>,
    way: Way<'a>,
}

enum Way<'a> {
    /// Through the XDP program as if the interface had received them.
    Kernel(&'a xdp::Control),
    /// Through a packet socket on the far end of the cable.
    Packet(Box<dyn DataLinkSender>),
}

impl<'a> Injector<'a> {
    pub fn new(options: &BenchLive, capture: &'a xdp::Control) -> anyhow::Result<Self> {
        let way = match options.inject {
            Inject::Kernel if options.size > LARGEST => {
                return Err(
                    crate::command::Usage(format!("--inject kernel: frames are at most {LARGEST} bytes")).into()
                );
            }
            Inject::Auto if options.size > LARGEST => Way::Packet(packet_socket()?),
            Inject::Auto | Inject::Kernel => Way::Kernel(capture),
            Inject::Packet => Way::Packet(packet_socket()?),
        };
        Ok(Self {
            frames: options.frames.get(),
            rate: options.rate.map(|rate| rate.get()),
            flows: (0..options.flows.get()).map(|flow| frame(options.size, flow)).collect(),
            way,
        })
    }

    /// Injects them all. Returns how many were injected, and when it began.
    pub fn run(mut self) -> anyhow::Result<(u64, Instant)> {
        let begun = Instant::now();
        let mut sent = 0;
        for flow in (0..self.flows.len()).cycle() {
            let left = self.frames - sent;
            if left == 0 {
                break;
            }
            let batch = self.due(begun, sent).min(left).min(self.batch());
            self.send(flow, sent, batch)?;
            sent += batch;
        }
        Ok((sent, begun))
    }

    /// With many flows few frames of one in a row, so that they mix.
    fn batch(&self) -> u64 {
        match self.way {
            Way::Kernel(_) => BATCH,
            Way::Packet(_) => 1,
        }
    }

    /// How many frames the rate allows by now; waits until it allows one.
    fn due(&self, begun: Instant, sent: u64) -> u64 {
        let Some(rate) = self.rate else { return u64::MAX };
        loop {
            let allowed = (begun.elapsed().as_secs_f64() * rate as f64) as u64 + 1;
            if allowed > sent {
                return allowed - sent;
            }
            let wait = Duration::from_secs_f64((sent + 1 - allowed) as f64 / rate as f64);
            // A short wait is spent awake: sleeping takes longer than that.
            if wait > Duration::from_micros(200) { thread::sleep(wait) } else { std::hint::spin_loop() }
        }
    }

    fn send(&mut self, flow: usize, sent: u64, count: u64) -> anyhow::Result<()> {
        let frame = &self.flows[flow];
        match &mut self.way {
            Way::Kernel(capture) => inject(capture, frame, sent + count, count)?,
            Way::Packet(socket) => {
                for _ in 0..count {
                    send_one(&mut **socket, frame)?;
                }
            }
        }
        Ok(())
    }
}

/// Injects copies of a frame until the program has seen `until` frames in all. Mostly one run does it; the kernel ends
/// a run early when a signal waits for this thread, but the program has counted how far it came.
fn inject(capture: &xdp::Control, frame: &[u8], until: u64, mut count: u64) -> anyhow::Result<()> {
    loop {
        // The program's lock must be free again before its counters are asked for.
        let outcome = capture.program().inject(capture.link().index, 0, frame, count as u32);
        let Err(error) = outcome else { return Ok(()) };
        let left = until.saturating_sub(capture.tally()?.seen);
        match left {
            0 => return Ok(()),
            // Without any progress something else is wrong.
            left if left >= count => return Err(error.into()),
            left => count = left,
        }
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
