//! The command line: the only file that knows clap. Its doc comments are the help.

use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::Styles;
use clap::builder::styling::Style;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

/// See what game consoles say: capture at line rate, dissect, and tell what they are doing.
///
/// padtap watches consoles from a switch's mirror port. An XDP program picks their frames in the driver and AF_XDP
/// brings them to pinned worker threads; capture files are read by the same engine. Records go to standard output,
/// everything else to standard error.
#[derive(Debug, Parser)]
#[command(name = "padtap", version, max_term_width = 100, styles = STYLES, after_long_help = AFTER)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const STYLES: Styles =
    Styles::styled().header(Style::new().bold()).usage(Style::new().bold()).literal(Style::new().bold());

const AFTER: &str = "\
Examples:
  padtap demo                                   see it work, without a network card
  padtap capture -i eth1 --json                 records of all that the mirror port brings
  padtap capture -i eth1 --console bc:60:a7 -w ps4.pcapng
                                                frames of consoles with that OUI, to a file
  padtap read --packets session.pcapng          one line a packet
  padtap devices session.pcapng                 which consoles it shows
  padtap doctor -i eth1                         what keeps this machine from line rate

Exit codes:
  0  done      1  failed while running      2  wrong usage
  3  frames were lost (with --fail-on-drop)      4  an output is full

Signals:
  SIGINT, SIGTERM  take what is waiting, summarise, end; a second one ends at once
  SIGUSR1  print statistics      SIGHUP  reload filter and configuration file";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Capture from an interface.
    #[command(visible_alias = "live")]
    Capture(Box<Capture>),
    /// Read capture files: pcap, pcapng, also gzipped; `-` is standard input.
    Read(Box<Read>),
    /// Measure on this machine.
    #[command(subcommand)]
    Bench(Bench),
    /// Check what this machine and an interface can do, and say what to change.
    Doctor(Doctor),
    /// Capture a bundled session, live where allowed: the whole engine in one command.
    ///
    /// As root it makes a network namespace of its own with a pair of virtual interfaces, replays the session through
    /// it and captures it with XDP and AF_XDP. Otherwise it reads the same capture from the file and says so.
    Demo(Box<Demo>),
    /// List the devices that capture files show.
    Devices(Devices),
    /// Look after the tables that devices, services and networks are known by.
    #[command(subcommand)]
    Knowledge(Knowledge),
    /// Print a completion script for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page (roff).
    Man,
}

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
    /// Keep at most this many bytes of a frame, or only its `headers`; 0 keeps all.
    #[arg(short, long, value_name = "BYTES|headers", default_value = "0")]
    pub snaplen: Snap,
    /// Slots of the receive ring of each queue; a power of two.
    #[arg(long, value_name = "N", default_value = "4096")]
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
    /// everything is captured.
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
    /// least 1; for files 1.
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

/// Which tables to know consoles, services and networks by.
#[derive(Clone, Debug, Default, Args)]
pub struct Tables {
    /// A folder with tables of one's own, on top of those built in: see docs/knowledge.md.
    #[arg(long = "knowledge", value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// Use the tables of that folder alone.
    #[arg(long, requires = "folder")]
    pub knowledge_only: bool,
}

/// List devices.
#[derive(Debug, Args)]
pub struct Devices {
    /// The capture files; `-` is standard input.
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Tables of one's own.
    #[command(flatten)]
    pub knowledge: Tables,
    /// Print one JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// Tables.
#[derive(Debug, Subcommand)]
pub enum Knowledge {
    /// Check the tables of a folder, as --knowledge would read them.
    Check {
        /// The folder.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// List what is known: by default the tables' sizes, or one table's entries.
    List {
        /// Tables of one's own.
        #[command(flatten)]
        knowledge: Tables,
        /// Which table to list.
        #[arg(value_enum)]
        table: Option<Table>,
    },
    /// Write a table of networks from what a cloud publishes, for --knowledge.
    Refresh {
        /// Amazon's ip-ranges.json, as downloaded from Amazon.
        #[arg(long, value_name = "FILE")]
        aws: PathBuf,
        /// The folder to write networks.toml into.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

/// A table of what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Table {
    /// Servers by name.
    Hosts,
    /// Owners of addresses.
    Networks,
    /// What ports are used for.
    Ports,
    /// What payloads mean.
    Signatures,
}

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

/// Measure on this machine.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Capture frames that padtap injects itself, in a network namespace of its own; needs root.
    ///
    /// The kernel runs frames through the XDP program as if they had just come in (BPF_PROG_TEST_RUN with live
    /// frames), or, for frames over a page and with --inject packet, they are sent from the other end of the pair.
    Live(BenchLive),
}

/// Measure a live capture.
#[derive(Debug, Args)]
pub struct BenchLive {
    /// Frames to inject.
    #[arg(long, value_name = "N", default_value = "1000000")]
    pub frames: NonZero<u64>,
    /// Bytes of a frame, without its check sequence: 60 to 9014.
    #[arg(long, value_name = "BYTES", default_value = "64", value_parser = clap::value_parser!(u32).range(60..=9014))]
    pub size: u32,
    /// Flows among which the frames are spread.
    #[arg(long, value_name = "N", default_value = "1")]
    pub flows: NonZero<u32>,
    /// Frames offered per second; without it, as many as can be.
    #[arg(long, value_name = "PPS")]
    pub rate: Option<NonZero<u64>>,
    /// Worker threads; 0 dissects on the receive thread.
    #[arg(long, value_name = "N", default_value = "0")]
    pub workers: usize,
    /// What to do with the frames.
    #[arg(long, value_enum, default_value_t)]
    pub mode: BenchMode,
    /// How frames are injected.
    #[arg(long, value_enum, default_value_t)]
    pub inject: Inject,
    /// Processors: the first injects, the others receive and work.
    #[arg(long, value_name = "CPUS")]
    pub pin: Option<CpuList>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Pause of a worker after each batch, in microseconds: makes it too slow, to test what overload does.
    #[arg(long, value_name = "US", hide = true)]
    pub stall_worker_us: Option<u64>,
}

/// What a live benchmark does with frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum BenchMode {
    /// Take them from the ring and give them back.
    Discard,
    /// The whole engine.
    #[default]
    Dissect,
}

/// How a live benchmark injects frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Inject {
    /// In the kernel, straight into the XDP program, where the frame's size allows.
    #[default]
    Auto,
    /// In the kernel, straight into the XDP program.
    Kernel,
    /// Through a packet socket on the other end of the pair.
    Packet,
}

/// Check machine and interface.
#[derive(Debug, Args)]
pub struct Doctor {
    /// The interface to check.
    #[arg(short, long, value_name = "IF")]
    pub interface: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Show the engine.
#[derive(Debug, Args)]
pub struct Demo {
    /// Read the bundled capture from the file even where it could be captured live.
    #[arg(long)]
    pub offline: bool,
    /// How to run.
    #[command(flatten)]
    pub run: Run,
    /// Where it goes.
    #[command(flatten)]
    pub output: Output,
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

fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a time in seconds above 0");
    let seconds: f64 = text.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(seconds).ok().filter(|span| !span.is_zero()).ok_or_else(wrong)
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    let span = text.parse().ok().and_then(|milliseconds: f64| Duration::try_from_secs_f64(milliseconds / 1e3).ok());
    span.ok_or_else(|| format!("`{text}` is not a time in milliseconds"))
}

impl Cli {
    /// Reads the command line, and the configuration file it names: that file's options come first, so that those on
    /// the command line win.
    ///
    /// # Errors
    /// What is wrong with either; `--help` and `--version` are such "errors", too.
    pub fn from_environment() -> Result<Self, clap::Error> {
        let arguments: Vec<_> = std::env::args_os().collect();
        Self::from_arguments(&arguments)
    }

    fn from_arguments(arguments: &[std::ffi::OsString]) -> Result<Self, clap::Error> {
        let cli = Self::parse_last_wins(arguments)?;
        let (Command::Capture(_) | Command::Read(_)) = &cli.command else { return Ok(cli) };
        let Some(path) = cli.config() else { return Ok(cli) };
        let mut extended = arguments.get(..2).unwrap_or_default().to_vec();
        extended
            .extend(options_of(path).map_err(|message| Self::command().error(clap::error::ErrorKind::Io, message))?);
        extended.extend(arguments.iter().skip(2).cloned());
        Self::parse_last_wins(&extended)
    }

    fn parse_last_wins(arguments: &[std::ffi::OsString]) -> Result<Self, clap::Error> {
        use clap::FromArgMatches;
        let command = Self::command().args_override_self(true);
        Self::from_arg_matches(&command.try_get_matches_from(arguments)?)
    }

    fn config(&self) -> Option<&PathBuf> {
        match &self.command {
            Command::Capture(capture) => capture.config.as_ref(),
            Command::Read(read) => read.config.as_ref(),
            _ => None,
        }
    }

    /// The completion script of a shell, to standard output.
    ///
    /// # Errors
    /// What writing said.
    pub fn print_completions(shell: clap_complete::Shell) -> std::io::Result<()> {
        // clap_complete panics where it cannot write; memory can always be written.
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Self::command(), "padtap", &mut script);
        std::io::Write::write_all(&mut std::io::stdout(), &script)
    }

    /// The manual page, to standard output.
    ///
    /// # Errors
    /// What writing said.
    pub fn print_manual() -> std::io::Result<()> {
        clap_mangen::Man::new(Self::command()).render(&mut std::io::stdout())
    }
}

/// The options in a configuration file, as they would stand on the command line.
fn options_of(path: &PathBuf) -> Result<Vec<std::ffi::OsString>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let table: toml::Table = text.parse().map_err(|error| format!("{}: {error}", path.display()))?;
    let mut options = Vec::new();
    for (key, value) in table {
        let values = match value {
            toml::Value::Array(values) => values,
            single => vec![single],
        };
        for value in values {
            let option = match value {
                toml::Value::Boolean(true) => format!("--{key}"),
                toml::Value::Boolean(false) => continue,
                toml::Value::String(text) => format!("--{key}={text}"),
                toml::Value::Integer(number) => format!("--{key}={number}"),
                toml::Value::Float(number) => format!("--{key}={number}"),
                other => return Err(format!("{}: {key}: {other} is no option's value", path.display())),
            };
            options.push(option.into());
        }
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Cli, clap::Error> {
        let arguments: Vec<_> = arguments.iter().map(Into::into).collect();
        Cli::from_arguments(&arguments)
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_configuration_file_comes_before_the_command_line() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("padtap.toml");
        std::fs::write(&path, "workers = 3\njson = true\nconsole = [\"bc:60:a7\", \"10.0.0.0/8\"]\n").expect("a file");
        let file = path.to_str().expect("a plain path");
        let cli = parse(&["padtap", "capture", "-i", "lo", "--workers", "1", "--config", file]).expect("valid");
        let Command::Capture(capture) = cli.command else { panic!("another command") };
        assert_eq!(capture.run.workers, Some(1));
        assert!(capture.output.json);
        assert_eq!(capture.filter.console, ["bc:60:a7", "10.0.0.0/8"]);

        std::fs::write(&path, "wrokers = 3\n").expect("a file");
        let error = parse(&["padtap", "capture", "-i", "lo", "--config", file]).expect_err("an unknown option");
        assert!(error.to_string().contains("--wrokers"), "{error}");
    }

    #[test]
    fn lists_of_processors() {
        assert_eq!("0,2-4".parse(), Ok(CpuList(vec![0, 2, 3, 4])));
        for wrong in ["", "x", "3-1", "0-5000", "1,"] {
            assert!(wrong.parse::<CpuList>().is_err(), "{wrong}");
        }
    }
}
