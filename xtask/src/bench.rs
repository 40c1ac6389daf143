//! Instructions a packet, stage by stage, as callgrind counts them, against a committed baseline.
//!
//! Instructions do not depend on what else the machine does, so they tell of changes that a clock cannot.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};

use crate::peers::established::{self, Kind};
use crate::peers::work::{Captures, Order, Share};
use crate::run;

/// Where the baseline is kept: instructions a packet by name.
const BASELINE: &str = "xtask/baseline.json";
/// How much more is a regression.
const TOLERANCE: f64 = 0.03;
/// The stages of `padtap bench dissect` on one thread, in order.
const STAGES: [&str; 4] = ["read", "dissect", "flow", "classify"];
/// Packets of each established flow in the shorter file; twice as many in the longer.
const LENGTH: u32 = 200;

/// Arguments of `cargo xtask bench`.
#[derive(clap::Args)]
pub struct Args {
    /// Fail if anything takes over 3 % more than the baseline.
    #[arg(long)]
    check: bool,
    /// Make what is measured the baseline.
    #[arg(long, conflicts_with = "check")]
    write: bool,
    /// Measure this binary instead of building one.
    #[arg(long, value_name = "FILE")]
    padtap: Option<PathBuf>,
}

/// Counts, and prints a Markdown table.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let padtap = args.padtap.clone().map_or_else(run::padtap, Ok)?;
    let counted = count(&padtap)?;
    let baseline: BTreeMap<String, f64> = match std::fs::read(BASELINE) {
        Ok(text) => serde_json::from_slice(&text).context(BASELINE)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
        Err(error) => return Err(error).context(BASELINE),
    };
    println!("| what | instructions a packet | baseline | change |");
    println!("|---|---|---|---|");
    let mut worse = Vec::new();
    for (name, instructions) in &counted {
        let Some(before) = baseline.get(name) else {
            println!("| {name} | {instructions:.0} | | |");
            worse.push(name.as_str());
            continue;
        };
        let change = instructions / before - 1.0;
        println!("| {name} | {instructions:.0} | {before:.0} | {:+.1} % |", change * 100.0);
        worse.extend((change > TOLERANCE).then_some(name.as_str()));
    }
    if args.write {
        let rounded: BTreeMap<_, _> = counted.iter().map(|(name, count)| (name, count.round())).collect();
        std::fs::write(BASELINE, serde_json::to_string_pretty(&rounded)? + "\n").context(BASELINE)?;
    }
    if args.check && !worse.is_empty() {
        bail!("more than {:.0} % over {BASELINE}, or not in it: {}", TOLERANCE * 100.0, worse.join(", "));
    }
    Ok(())
}

fn count(padtap: &Path) -> anyhow::Result<BTreeMap<String, f64>> {
    let directory = tempfile::tempdir()?;
    let file = |name: &str| directory.path().join(name);
    let mut counted = BTreeMap::new();
    let mixed = file("mixed.pcap");
    let work = Captures::load(padtap, Share::Fixtures)?.write(&mixed, 1, Order::Interleaved)?;
    for stage in STAGES {
        let all = instructions(padtap, stage, &mixed)? / work.frames as f64;
        counted.insert(format!("mixed: up to {stage}"), all);
    }
    let emit = collected(padtap, "emit", "*Ndjson*Encode*encode*", &mixed)?;
    counted.insert("mixed: records as NDJSON".into(), emit / work.frames as f64);
    for (name, kind) in [("UDP", Kind::Udp), ("TCP", Kind::Tcp)] {
        let (short, long) = (file("short.pcap"), file("long.pcap"));
        let fewer = established::write(&short, kind, LENGTH)?;
        let more = established::write(&long, kind, 2 * LENGTH)?;
        // What the flows cost when they begin is the same in both.
        let added =
            |stage| Ok::<_, anyhow::Error>(instructions(padtap, stage, &long)? - instructions(padtap, stage, &short)?);
        let read = added("read")?;
        for (stage, what) in [("flow", "to its flow's counters"), ("classify", "through all stages")] {
            counted.insert(format!("established {name}: {what}"), (added(stage)? - read) / (more - fewer) as f64);
        }
    }
    Ok(counted)
}

/// Instructions of one pass through a file up to a stage.
fn instructions(padtap: &Path, stage: &str, file: &Path) -> anyhow::Result<f64> {
    // Every run begins with a pass that only reads.
    let collect = |stage| collected(padtap, stage, "*passes*Passes*each*", file);
    let reading = collect("read")? / 2.0;
    Ok(if stage == "read" { reading } else { collect(stage)? - reading })
}

/// Instructions in functions of this name and what they call.
fn collected(padtap: &Path, stage: &str, function: &str, file: &Path) -> anyhow::Result<f64> {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(format!("--toggle-collect={function}"));
    command.arg(padtap).args(["bench", "dissect", "--json", "--repeat", "1", "--stage", stage]).arg(file);
    command.args(if stage == "emit" { &["--output", "/dev/null"][..] } else { &[] });
    let (_, said) = run::output(&mut command).context("valgrind (Debian: valgrind)")?;
    let line = said.lines().find_map(|line| line.split_once("Collected : "));
    let count = line.and_then(|(_, count)| count.trim().parse().ok()).context("callgrind said no count")?;
    ensure!(count > 0.0, "callgrind found no function {function}");
    Ok(count)
}
