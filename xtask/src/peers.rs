//! padtap beside the tools of its trade, on the same frames, in one run.

pub mod established;
mod frames;
mod live;
mod offline;
mod page;
mod rewrite;
mod tool;
pub mod work;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::ValueEnum;

use self::offline::{Job, Peer};
pub use self::page::machine;
use self::tool::{TOOLS, TUNED};
use self::work::{Captures, Order, Share};
use crate::{debian, run};

/// Where the page and the charts go.
const PAGES: &str = "docs/benchmarks";
/// The work of slow tools, in MB.
const BEGINNING: u64 = 40;

/// Arguments of `cargo xtask peers`.
#[derive(clap::Args)]
pub struct Args {
    /// Only write the work file.
    #[arg(long, value_name = "FILE")]
    make: Option<PathBuf>,
    /// Size of the work file, in MB.
    #[arg(long, value_name = "MB", default_value = "400")]
    size: u64,
    /// What is repeated.
    #[arg(long, value_enum, default_value = "all")]
    work: Share,
    /// How the captures follow one another in the file of --make.
    #[arg(long, value_enum, default_value = "interleaved")]
    order: Order,
    /// How often each tool is measured; the medians count.
    #[arg(long, value_name = "N", default_value = "3")]
    runs: usize,
    /// Time for all of it, in seconds; when it is over, nothing is measured once more.
    #[arg(long, value_name = "S", default_value = "840")]
    seconds: u64,
    /// The processor that works; live, another one sends.
    #[arg(long, value_name = "CPU", default_value = "1")]
    cpu: usize,
    /// Leave out what is measured live, which needs root.
    #[arg(long)]
    offline: bool,
    /// Measure this binary instead of building one.
    #[arg(long, value_name = "FILE")]
    padtap: Option<PathBuf>,
    /// Offline, measure this binary besides: the one that `cargo xtask pgo` built.
    #[arg(long, value_name = "FILE")]
    tuned: Option<PathBuf>,
}

/// Measures, and writes a page and charts.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let padtap = args.padtap.clone().map_or_else(run::padtap, Ok)?;
    let captures = Captures::load(&padtap, args.work)?;
    if let Some(path) = &args.make {
        let work = captures.write(path, args.size * 1_000_000, args.order)?;
        println!("{} frames, {} bytes", work.frames, work.bytes);
        return Ok(());
    }
    let mut peers = peers(&padtap);
    peers.extend(args.tuned.clone().map(|program| Peer { tool: TUNED, program }));
    let begun = Instant::now();
    let until = |share: f64| begun + Duration::from_secs_f64(args.seconds as f64 * share);
    let directory = tempfile::tempdir()?;
    let date = date()?;
    let mut page = heading(&date, &peers, args);
    for (order, title, share) in
        [(Order::Interleaved, "All captures at once", 0.3), (Order::Sequential, "One capture after the other", 0.6)]
    {
        let (file, beginning) = (directory.path().join("work.pcap"), directory.path().join("beginning.pcap"));
        let work = captures.write(&file, args.size * 1_000_000, order)?;
        let beginning_work = captures.write(&beginning, BEGINNING * 1_000_000, order)?;
        let job = Job { file: &file, work, beginning: &beginning, beginning_work };
        let measured = offline::measure(&peers, &job, args.cpu, args.runs, until(share))?;
        let about = format!(
            "{title}: {} frames, {:.0} bytes on the average",
            work.frames,
            work.bytes as f64 / work.frames as f64
        );
        page::offline(&mut page, &about, &measured);
        if order == Order::Interleaved {
            page::commands(&mut page, measured.iter().map(|tool| (tool.name, tool.command.clone())));
            std::fs::create_dir_all(PAGES)?;
            let chart = page::chart(&format!("{title}: nanoseconds a packet, logarithmic"), &measured);
            std::fs::write(format!("{PAGES}/{date}.svg"), chart)?;
            let _ = write!(page, "\n![Nanoseconds a packet]({date}.svg)\n");
        }
    }
    if !args.offline {
        let file = directory.path().join("work.pcap");
        captures.write(&file, live::SIZE, Order::Interleaved)?;
        page.push_str(live::HEADING);
        let held = live::measure(&peers, &file, args.cpu, until(1.0))?;
        page::live(&mut page, &held);
        page::commands(&mut page, held.iter().map(|tool| (tool.name, tool.command.clone())));
    }
    let path = format!("{PAGES}/{date}.md");
    std::fs::write(&path, &page).context(path)?;
    print!("{page}");
    Ok(())
}

/// The tools that are there, or can be installed.
fn peers(padtap: &Path) -> Vec<Peer<'static>> {
    let missing = TOOLS.iter().filter(|tool| !debian::has(tool.program)).filter_map(|tool| tool.package);
    let mut packages: Vec<_> = missing.collect();
    for (program, package) in [("time", "time"), ("dumpcap", "wireshark-common"), ("ethtool", "ethtool")] {
        packages.extend((!debian::has(program)).then_some(package));
    }
    if let Err(error) = debian::install(&packages) {
        eprintln!("xtask: {error:#}; what is missing is left out");
    }
    let program = |tool: &tool::Tool| match tool.package {
        None => Some(padtap.to_owned()),
        Some(_) => debian::has(tool.program).then(|| tool.program.into()),
    };
    TOOLS.iter().filter_map(|tool| Some(Peer { tool, program: program(tool)? })).collect()
}

fn heading(date: &str, peers: &[Peer<'_>], args: &Args) -> String {
    let share = args.work.to_possible_value().map(|share| share.get_name().to_owned()).unwrap_or_default();
    let real = match args.work {
        Share::Captures => "captures of `PADTAP_PCAPS`",
        Share::All if std::env::var_os("PADTAP_PCAPS").is_some() => "fixtures and the captures of `PADTAP_PCAPS`",
        Share::All | Share::Fixtures => "fixtures",
    };
    let tuned = if args.tuned.is_some() { " Tuned is what `cargo xtask pgo` builds." } else { "" };
    let mut page = format!(
        "# {date}: padtap beside Debian's tools\n\n`cargo xtask peers --work {share} --size {} --runs {}` on {}. The work is the {real}, \
         repeated, each time with other hosts, so that flows are fresh. Offline each tool runs alone, pinned to one \
         processor, in turn with the others; figures are medians.{tuned}\n\n| | version |\n|---|---|\n",
        args.size,
        args.runs,
        machine()
    );
    for peer in peers {
        let _ = writeln!(page, "| {} | {} |", peer.tool.name, peer.tool.version(&peer.program));
    }
    page
}

fn date() -> anyhow::Result<String> {
    Ok(jiff::Timestamp::from_second(std::time::UNIX_EPOCH.elapsed()?.as_secs() as i64)?
        .strftime("%Y-%m-%d")
        .to_string())
}
