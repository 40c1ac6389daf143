//! `padtap bench send`: a capture file's frames from an interface, sent by the kernel.

use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use capture_common::traffic::{LARGEST, SMALLEST};
use capture_user::source::xdp::link::Link;
use capture_user::source::xdp::program::traffic::Traffic;
use capture_user::source::{Received, Source as _, View as _, pcap};
use serde::Serialize;

use crate::cli::BenchSend;
use crate::command::Outcome;

/// Frames of a file taken at once.
const TAKEN: usize = 64;

/// What was sent.
#[derive(Serialize)]
struct Report {
    /// Frames sent; the interface may have dropped some of them.
    sent: u64,
    seconds: f64,
    /// Frames in each second.
    rate: f64,
    /// Frames of the file that are too short or too long to be sent, each time round.
    left_out: u64,
}

/// Sends.
///
/// # Errors
/// A file that cannot be read or has no frame to send; an interface that does not exist; what the kernel refuses. It does
/// not refuse to send where nobody receives.
pub fn run(options: &BenchSend) -> anyhow::Result<Outcome> {
    let interface = Link::find(&options.interface).with_context(|| options.interface.clone())?;
    let (frames, left_out) = load(&options.file)?;
    let mut traffic = Traffic::from_interface(interface.index, &frames)?;
    let sent = options.frames.map_or(frames.len() as u64, |frames| frames.get());
    drop(frames);
    let begun = Instant::now();
    traffic.send(sent, options.rate)?;
    let seconds = begun.elapsed().as_secs_f64();
    let report = Report { sent, seconds, rate: sent as f64 / seconds, left_out };
    print(&report, options.json)?;
    Ok(Outcome::default())
}

/// The frames of a file that can be sent, and how many cannot.
fn load(file: &Path) -> anyhow::Result<(Vec<Vec<u8>>, u64)> {
    let mut source = pcap::open([file], |_| Some(0))?;
    let (view, mut scratch) = (source.view(), Vec::new());
    let (mut frames, mut left_out, mut tokens) = (Vec::new(), 0, Vec::with_capacity(TAKEN));
    loop {
        let received = source.receive(TAKEN, Duration::ZERO, &mut tokens)?;
        for token in &tokens {
            let data = view.frame(token, &mut scratch).data;
            if (SMALLEST..=LARGEST).contains(&data.len()) { frames.push(data.to_vec()) } else { left_out += 1 }
        }
        source.recycle(&mut tokens);
        if matches!(received, Received::End) {
            break;
        }
    }
    if frames.is_empty() {
        bail!("{}: there is no frame of {SMALLEST} to {LARGEST} bytes to send", file.display());
    }
    Ok((frames, left_out))
}

fn print(report: &Report, json: bool) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    if json {
        serde_json::to_writer(&mut stdout, report)?;
        return stdout.write_all(b"\n");
    }
    let Report { sent, seconds, rate, left_out } = report;
    writeln!(stdout, "sent     {sent} frames in {seconds:.3} s, {rate:.0} a second")?;
    if *left_out > 0 {
        writeln!(stdout, "left out {left_out} of the file: they have not {SMALLEST} to {LARGEST} bytes")?;
    }
    Ok(())
}
