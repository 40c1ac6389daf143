//! What the live path can do on this machine: dissecting beside only taking frames, alternating, in one run.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::peers::machine;
use crate::run;

/// Arguments of `cargo xtask rates`.
#[derive(clap::Args)]
pub struct Args {
    /// Frames of each measurement.
    #[arg(long, default_value = "3000000")]
    frames: u64,
    /// Measurements of each kind, of which the median counts.
    #[arg(long, default_value = "5")]
    runs: usize,
    /// Bytes of a frame.
    #[arg(long, default_value = "64")]
    size: u32,
    /// Flows among which the frames are spread.
    #[arg(long, default_value = "100")]
    flows: u32,
}

#[derive(Clone, Copy, Deserialize)]
struct Report {
    offered: u64,
    lost: u64,
    mpps: f64,
    balanced: bool,
}

#[derive(Clone, Copy)]
enum Mode {
    Discard,
    Dissect,
}

impl Mode {
    const fn name(self) -> &'static str {
        match self {
            Self::Discard => "discard",
            Self::Dissect => "dissect",
        }
    }
}

/// Where the page goes.
const PAGE: &str = "docs/benchmarks/rates.md";

/// Measures, prints and writes a page. Needs root.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let padtap = run::padtap()?;
    let mut page = format!(
        "# Live rates\n\n`cargo xtask rates --frames {} --runs {} --size {} --flows {}` on {}.\n\n\
         | mode | peak, Mpps | of discard |\n|---|---|---|\n",
        args.frames,
        args.runs,
        args.size,
        args.flows,
        machine()
    );
    let peaks = peaks(&padtap, args)?;
    for (mode, peak) in [(Mode::Discard, peaks.0), (Mode::Dissect, peaks.1)] {
        page += &format!("| {} | {peak:.3} | {:.2} |\n", mode.name(), peak / peaks.0);
    }
    page += "\n| offered, Mpps | lost discarding | lost dissecting |\n|---|---|---|\n";
    for share in [0.2, 0.4, 0.5, 0.6, 0.7, 0.8] {
        let rate = peaks.0 * share * 1e6;
        let lost = [Mode::Discard, Mode::Dissect].map(|mode| measure(&padtap, args, mode, Some(rate as u64)));
        let [discard, dissect] = lost;
        page += &format!("| {:.3} | {} | {} |\n", rate / 1e6, discard?.lost, dissect?.lost);
    }
    std::fs::write(PAGE, &page).context(PAGE)?;
    print!("{page}");
    Ok(())
}

/// The median peaks of discarding and dissecting, measured in turn.
fn peaks(padtap: &PathBuf, args: &Args) -> anyhow::Result<(f64, f64)> {
    let (mut discard, mut dissect) = (Vec::new(), Vec::new());
    for _ in 0..args.runs {
        discard.push(measure(padtap, args, Mode::Discard, None)?.mpps);
        dissect.push(measure(padtap, args, Mode::Dissect, None)?.mpps);
    }
    Ok((run::median(discard), run::median(dissect)))
}

fn measure(padtap: &PathBuf, args: &Args, mode: Mode, rate: Option<u64>) -> anyhow::Result<Report> {
    let mut command = Command::new(padtap);
    command.args(["bench", "live", "--json", "--workers", "0", "--mode", mode.name()]);
    command.args(["--frames", &args.frames.to_string(), "--size", &args.size.to_string()]);
    command.args(["--flows", &args.flows.to_string()]);
    if let Some(rate) = rate {
        command.args(["--rate", &rate.to_string()]);
    }
    let output = command.output().context("padtap bench live")?;
    ensure!(output.status.success(), "padtap bench live: {}", String::from_utf8_lossy(&output.stderr));
    let report: Report = serde_json::from_slice(&output.stdout)?;
    ensure!(report.balanced && report.offered == args.frames, "the account of padtap bench live does not balance");
    Ok(report)
}
