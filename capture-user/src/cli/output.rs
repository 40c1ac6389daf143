//! Options about what comes out, and where it goes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use capture_user::output::destination::{Format, Target};
use capture_user::output::ipfix::Collector;
use capture_user::output::pcapng::Only;
use capture_user::output::spool;
use capture_user::record::Kinds;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};

/// What comes out.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Output")]
pub struct Output {
    /// Write records to standard output, a line each: `-o -`.
    #[arg(long)]
    pub json: bool,
    /// Write records to DEST: a file (`.gz` and `.zst` are compressed), `-`, `unix:PATH`, `unixgram:PATH` or
    /// `tcp:HOST:PORT`. May be given often.
    ///
    /// FORMAT is one of --format. Somebody has to listen on a socket; padtap connects, and connects again when that one
    /// is gone. A file whose name looks like something else is `./NAME`.
    #[arg(short, long, value_name = "[FORMAT=]DEST")]
    pub output: Vec<Target>,
    /// The format of --json, and of -o where it names none: `ndjson` is one JSON object a line, `eve` is Suricata's
    /// EVE (flow, dns, tls, sip, dhcp and stats alone).
    #[arg(long, value_name = "FORMAT", default_value = Format::default().name(), value_parser = formats())]
    pub format: Format,
    /// Begin another file of records after this, and keep so many: `filesize:KB`, `duration:S`, `files:N`. The names
    /// are as those of -b. May be given often.
    #[arg(long, value_name = "CONDITION", requires = "output")]
    pub rotate: Vec<String>,
    /// What to do when there is no more room for records.
    #[arg(long, value_name = "ACTION", default_value = "stop", requires = "output")]
    pub on_full: OnFull,
    /// Write records as Parquet files, a table a kind: `DIR/kind=flow/date=2016-09-10/part-….parquet`.
    ///
    /// Files get their names when they are whole. Those of capture files are named after them: reading a file again
    /// replaces what was read from it before. Needs a padtap that was built with `--features parquet`.
    #[arg(long, value_name = "DIR")]
    pub parquet: Option<PathBuf>,
    /// Write records as Arrow IPC streams, one a kind: `DIR/flow.arrows`. Needs `--features parquet`, too.
    #[arg(long, value_name = "DIR")]
    pub arrow: Option<PathBuf>,
    /// Write frames to a pcapng file; `-` is standard output.
    #[arg(short, long, value_name = "FILE")]
    pub write: Option<PathBuf>,
    /// Begin another file after this, and keep so many: `filesize:KB`, `duration:S`, `packets:N`, `files:N`, as
    /// dumpcap has it. May be given often.
    #[arg(short = 'b', long, value_name = "CONDITION", requires = "write")]
    pub ring_buffer: Vec<String>,
    /// Write only these frames of capture files: `console=MAC`, `match=N` (the N-th that was played) or `match=TIME` (as
    /// its record's start), `flow=COMMUNITY_ID`.
    #[arg(long, value_name = "WHAT", requires = "write")]
    pub only: Option<Only>,
    /// Export flows as IPFIX to a collector: `udp:HOST:PORT` or `tcp:HOST:PORT`; without a port to 4739. May be given
    /// often.
    #[arg(long, value_name = "COLLECTOR")]
    pub ipfix: Vec<Collector>,
    /// A record (or line) for every packet, too.
    #[arg(long)]
    pub packets: bool,
    /// Make records of these kinds alone: `flow,match`.
    ///
    /// The others are not made at all, whoever might want them: nothing of them costs time, and no output, metric or
    /// comment knows of them. [default: every kind]
    #[arg(long, value_name = "KIND,…", conflicts_with = "only")]
    pub kinds: Option<Kinds>,
    /// Report flows that go on, this often.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub flow_interval: Option<Duration>,
    /// A `stats` record this often.
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    pub stats_interval: Option<Duration>,
    /// Log latency histograms every second, in HdrHistogram's interval log format (V2, deflated).
    #[arg(long, value_name = "FILE")]
    pub latency_log: Option<PathBuf>,
    /// Serve metrics for Prometheus at http://ADDRESS/metrics: `127.0.0.1:9469`. Port 0 takes a free one and says which.
    #[arg(long, value_name = "ADDRESS")]
    pub metrics: Option<SocketAddr>,
    /// Leave records in a folder as numbered batches, for `padtap ship`: see docs/ship.md.
    #[arg(long, value_name = "DIR")]
    pub spool: Option<PathBuf>,
    /// Bytes that the batches may take (`K`, `M` and `G` mean powers of 1024), 1M at least; beyond it the oldest go and
    /// are counted.
    #[arg(long, value_name = "BYTES", default_value = "1G", requires = "spool", value_parser = spool_limit)]
    pub spool_limit: u64,
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

impl Output {
    /// Whether any option says where records go.
    pub fn takes_records(&self) -> bool {
        let folders = [&self.parquet, &self.arrow, &self.spool];
        let named = self.json || !self.output.is_empty() || !self.ipfix.is_empty();
        named || folders.into_iter().any(Option::is_some)
    }
}

/// What to do when there is no more room.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum OnFull {
    /// End that output; the others go on, and the exit code is 4.
    #[default]
    Stop,
    /// Lose and count records until there is room again; the exit code is 4.
    Drop,
    /// Delete the output's own oldest file (with --rotate).
    Ring,
}

fn formats() -> impl TypedValueParser<Value = Format> {
    PossibleValuesParser::new(Format::ALL.map(Format::name))
        .map(|name| Format::ALL.into_iter().find(|format| format.name() == name).unwrap_or_default())
}

fn spool_limit(text: &str) -> Result<u64, String> {
    let head = text.get(..text.len().saturating_sub(1)).unwrap_or_default();
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (head, 10),
        Some(b'M') => (head, 20),
        Some(b'G') => (head, 30),
        _ => (text, 0),
    };
    let bytes = digits.parse().ok().and_then(|number: u64| number.checked_mul(1 << shift));
    let enough = bytes.filter(|bytes| *bytes >= spool::LEAST_LIMIT);
    enough.ok_or_else(|| format!("`{text}` is not a number of bytes from 1M on"))
}

fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time in seconds above 0");
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(seconds).ok().filter(|span| !span.is_zero()).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_spools() {
        assert_eq!(
            (spool_limit("1M"), spool_limit("3G"), spool_limit("2048k")),
            (Ok(1 << 20), Ok(3 << 30), Ok(2 << 20))
        );
        for wrong in ["", "1", "M", "-1G", "1023K", "1MM", "99999999999999G"] {
            assert!(spool_limit(wrong).is_err(), "{wrong}");
        }
    }
}
