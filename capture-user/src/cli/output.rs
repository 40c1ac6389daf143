//! Options about what comes out, and where it goes.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

/// What comes out.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// Write records to standard output as NDJSON: one JSON object a line.
    #[arg(long)]
    pub json: bool,
    /// Write records to a file as NDJSON.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write frames to a pcapng file; `-` is standard output.
    #[arg(short, long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// Begin another file after this, and keep so many: `filesize:KB`, `duration:S`, `packets:N`, `files:N`, as
    /// dumpcap has it. May be given often.
    #[arg(short = 'b', long, value_name = "CONDITION", requires = "write")]
    pub ring_buffer: Vec<String>,
    /// A record (or line) for every packet, too.
    #[arg(long)]
    pub packets: bool,
    /// Report flows that go on, this often.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub flow_interval: Option<Duration>,
    /// A `stats` record this often.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub stats_interval: Option<Duration>,
    /// Log latency histograms every second, in HdrHistogram's interval log format (V2, deflated).
    #[arg(long, value_name = "FILE")]
    pub latency_log: Option<PathBuf>,
    /// The name of this sensor in records [default: the host's name].
    #[arg(long, value_name = "NAME")]
    pub sensor: Option<String>,
    /// Show the names of people (SIP users, player names) instead of keyed hashes.
    #[arg(long)]
    pub show_names: bool,
    /// Say nothing on standard error but errors.
    #[arg(short, long)]
    pub quiet: bool,
    /// Say more on standard error; twice: also what the XDP program notices.
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time in seconds above 0");
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(seconds).ok().filter(|span| !span.is_zero()).ok_or_else(wrong)
}
