//! Options of capturing and reading: from where, which frames, on which threads.

use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::{Output, Tables};

/// Capture from an interface.
#[derive(Debug, Args)]
pub struct Capture {
    /// The interface: its name, or an alternative name.
    #[arg(short, long, value_name = "IF")]
    pub interface: String,
    /// How frames are taken from it.
    #[arg(long, value_enum, default_value_t)]
    pub backend: Backend,
    /// Where the XDP program runs: in the driver, or in the kernel's stack for drivers that cannot.
    #[arg(long, value_enum, default_value_t, value_name = "MODE")]
    pub attach: Attach,
    /// Whether the card writes straight into padtap's memory.
    #[arg(long, value_enum, default_value_t, value_name = "MODE")]
    pub copy: Copying,
    /// Let the receive threads poll the card instead of waiting for interrupts, where it can be polled.
    #[arg(long)]
    pub busy_poll: bool,
    /// Give frames that no filter asked for to the kernel's own stack, instead of dropping them as a mirror port wants.
    #[arg(long)]
    pub pass: bool,
    /// Count what consoles download in the driver, once it is known as that, instead of capturing it: packets and bytes
    /// of such flows stay exact, but their frames are in no file.
    #[arg(long)]
    pub shunt: bool,
    /// Keep at most this many bytes of a frame, or only its `headers`; 0 keeps all.
    #[arg(short, long, value_name = "BYTES|headers", default_value = "0")]
    pub snaplen: Snap,
    /// Slots of the receive ring of each queue; a power of two.
    #[arg(long, value_name = "N", default_value = "8192")]
    pub ring: NonZero<u32>,
    /// Whom to capture.
    #[command(flatten)]
    pub filter: Filter,
    /// What to do with it.
    #[command(flatten)]
    pub run: Run,
    /// Where it goes.
    #[command(flatten)]
    pub output: Output,
    /// Options from a TOML file: its keys are the long options of this command (`workers = 2`, `console = ["bc:60:a7"]`).
    /// Options on the command line win.
    #[arg(long, value_name = "FILE.toml")]
    pub config: Option<PathBuf>,
}

/// Read capture files.
#[derive(Debug, Args)]
pub struct Read {
    /// The files, read one after the other.
    #[arg(value_name = "FILE", required_unless_present = "read")]
    pub files: Vec<PathBuf>,
    /// The same, as tcpdump and tshark have it.
    #[arg(short, long, value_name = "FILE")]
    pub read: Vec<PathBuf>,
    /// What to read of them.
    #[command(flatten)]
    pub filter: Filter,
    /// What to do with it.
    #[command(flatten)]
    pub run: Run,
    /// Where it goes.
    #[command(flatten)]
    pub output: Output,
    /// Options from a TOML file: its keys are the long options of this command.
    #[arg(long, value_name = "FILE.toml")]
    pub config: Option<PathBuf>,
}

/// Which frames.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Filter")]
pub struct Filter {
    /// A console: MAC, OUI (`bc:60:a7`, `bc:60:a7:1/28`), address or prefix. May be given often. Without any,
    /// everything is captured. `auto` captures discovery traffic, and every console from when it shows itself on.
    #[arg(long, value_name = "WHO")]
    pub console: Vec<String>,
    /// Leave out a port (`443`, `udp/53`, `tcp/9000-9010`) or a prefix, on either side. May be given often.
    #[arg(long, value_name = "WHAT")]
    pub exclude: Vec<String>,
    /// Leave out what is not the consoles' own but helps to find them: DHCP, ARP, mDNS, SSDP, console discovery.
    #[arg(long)]
    pub no_discovery: bool,
    /// Only frames that match this expression, in a subset of pcap-filter syntax: see docs/filters.md.
    #[arg(short = 'f', long = "filter", value_name = "EXPRESSION")]
    pub expression: Option<String>,
}

/// How to run.
#[derive(Debug, Args)]
#[command(next_help_heading = "Run")]
pub struct Run {
    /// Worker threads; 0 dissects on the receive threads. Default: the processors that receive threads leave, at
    /// least 1; for files 1. With several, each reads the files itself and takes its share of the frames, unless they are
    /// compressed, come through a pipe, or have to stay in order (-w, -c, -a).
    #[arg(long, value_name = "N")]
    pub workers: Option<usize>,
    /// Processors for the threads, receive threads first, then workers: `2,4-7`.
    #[arg(long, value_name = "CPUS")]
    pub pin: Option<CpuList>,
    /// Stop after this many frames.
    #[arg(short = 'c', long, value_name = "N")]
    pub count: Option<NonZero<u64>>,
    /// Stop after this: `duration:S`, `filesize:KB`, `files:N`, `packets:N`, as dumpcap has it. May be given often.
    #[arg(short = 'a', long, value_name = "CONDITION")]
    pub autostop: Vec<String>,
    /// End with exit code 3 if any frame was lost.
    #[arg(long)]
    pub fail_on_drop: bool,
    /// Flows kept by each shard at most; beyond it the one longest idle ends.
    #[arg(long, value_name = "N", default_value = "262144")]
    pub max_flows: NonZero<usize>,
    /// Tables of one's own.
    #[command(flatten)]
    pub knowledge: Tables,
    /// How far apart the copies may be that a mirror makes of one frame, in milliseconds; the second is not counted.
    /// 0 looks for none.
    #[arg(long, value_name = "MS", default_value = "3", value_parser = milliseconds)]
    pub mirror_window: Duration,
    /// Pause of a worker after each batch, in microseconds: makes it too slow, to test what overload does.
    #[arg(long, value_name = "US", hide = true)]
    pub stall_worker_us: Option<u64>,
}

/// How frames are taken from an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Backend {
    /// XDP and AF_XDP.
    #[default]
    Xdp,
    /// A packet socket: slower, works everywhere.
    AfPacket,
}

/// Where the XDP program runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Attach {
    /// In the driver if it can, else in the stack.
    #[default]
    Auto,
    /// In the driver or not at all.
    Native,
    /// In the stack.
    Generic,
}

/// Whether the card writes into padtap's memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Copying {
    /// If driver and kernel can, else the kernel copies.
    #[default]
    Auto,
    /// Or not at all.
    ZeroCopy,
    /// The kernel copies.
    Copy,
}

/// How much of a frame to keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Snap {
    /// All of it.
    Full,
    /// Its headers.
    Headers,
    /// At most this many bytes.
    Bytes(u32),
}

impl std::str::FromStr for Snap {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "0" => Ok(Self::Full),
            "headers" => Ok(Self::Headers),
            _ => text.parse().map(Self::Bytes).map_err(|_| "a number of bytes, or `headers`".to_owned()),
        }
    }
}

/// A list of processors such as `0,2-3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuList(pub Vec<usize>);

impl std::str::FromStr for CpuList {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut cpus = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| text.trim().parse::<u16>().map_err(|_| format!("`{text}` is not a processor"));
            let (first, last) = (number(first)?, number(last)?);
            if first > last || last >= 1024 {
                return Err(format!("`{part}` is not a range of processors under 1024"));
            }
            cpus.extend((first..=last).map(usize::from));
        }
        Ok(Self(cpus))
    }
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    let span = text.parse().ok().and_then(|milliseconds: f64| Duration::try_from_secs_f64(milliseconds / 1e3).ok());
    span.ok_or_else(|| format!("`{text}` is not a time in milliseconds"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_processors() {
        assert_eq!("0,2-4".parse(), Ok(CpuList(vec![0, 2, 3, 4])));
        for wrong in ["", "x", "3-1", "0-5000", "1,"] {
            assert!(wrong.parse::<CpuList>().is_err(), "{wrong}");
        }
    }
}
