//! padtap beside the tools of its trade, on the same frames, in one run.

pub mod rewrite;
pub mod work;

use std::path::PathBuf;

use self::work::{Captures, Order};

/// Arguments of `cargo xtask peers`.
#[derive(clap::Args)]
pub struct Args {
    /// Only write the work file.
    #[arg(long, value_name = "FILE")]
    make: Option<PathBuf>,
    /// Size of the work file, in MB.
    #[arg(long, value_name = "MB", default_value = "400")]
    size: u64,
    /// How the captures in it follow one another.
    #[arg(long, value_enum, default_value = "interleaved")]
    order: Order,
}

/// Measures, and writes a page and a chart.
pub fn run(args: &Args) -> anyhow::Result<()> {
    let captures = Captures::load()?;
    if let Some(path) = &args.make {
        let work = captures.write(path, args.size * 1_000_000, args.order)?;
        println!("{} frames, {} bytes", work.frames, work.bytes);
    }
    Ok(())
}
