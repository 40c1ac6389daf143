//! The command line: nothing else knows clap. Its doc comments are the help.

mod bench;
mod capture;
mod config;
mod extcap;
mod knowledge;
mod output;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::Styles;
use clap::builder::styling::Style;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

pub use bench::{Bench, BenchDissect, BenchLive, BenchMode, BenchSend, BenchSinks, BenchStage, Inject};
pub use capture::{Attach, Backend, Capture, Copying, CpuList, Filter, Read, Run, Snap};
pub use extcap::{Call, Extcap, Folder};
pub use knowledge::{Devices, Knowledge, Learn, Table, Tables};
pub use output::{OnFull, Output};

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
  padtap capture -i eth1 --console auto --json  consoles, as they show themselves
  padtap read --packets session.pcapng          one line a packet
  padtap devices session.pcapng                 which consoles it shows
  padtap doctor -i eth1                         what keeps this machine from line rate

Exit codes:
  0  done      1  failed while running      2  wrong usage
  3  frames were lost (with --fail-on-drop)      4  an output is full

Signals:
  SIGINT, SIGTERM  take what is waiting, summarise, end; a second one ends at once
  SIGUSR1  print statistics, as of the last tenth of a second
  SIGHUP   read filter, configuration file and tables again";

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
    /// Propose signatures for a game of one's own, from a capture and the time in which it was played.
    ///
    /// Prints a table for --knowledge, with comments that say what each signature rests on. The more sessions it learns
    /// from, the better: bytes that only one session had are left out.
    Learn(Learn),
    /// Look after the tables that devices, services and networks are known by.
    #[command(subcommand)]
    Knowledge(Knowledge),
    /// Print the JSON Schema of records: every kind, its fields, what they mean and their units.
    Schema,
    /// Appear in Wireshark as interfaces, captured through XDP.
    #[command(subcommand)]
    Extcap(Extcap),
    /// Ship a spool's batches to NATS JetStream: runs `padtap-ship`, which is beside padtap or on the PATH.
    ///
    /// It is a program of its own, built by `cargo build --release --package padtap-ship`; its --help has its options.
    #[command(disable_help_flag = true)]
    Ship {
        /// What padtap-ship is told.
        #[arg(value_name = "OPTIONS", trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<OsString>,
    },
    /// Print a completion script for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page (roff).
    Man,
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
        extended.extend(
            config::options_of(path).map_err(|message| Self::command().error(clap::error::ErrorKind::Io, message))?,
        );
        extended.extend(arguments.iter().skip(2).cloned());
        Self::parse_last_wins(&extended)
    }

    fn parse_last_wins(arguments: &[std::ffi::OsString]) -> Result<Self, clap::Error> {
        use clap::FromArgMatches;
        let command = Self::command().args_override_self(true);
        Self::from_arg_matches(&command.try_get_matches_from(arguments)?)
    }

    /// The options of `padtap capture` with these arguments.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn capture(arguments: Vec<String>) -> Result<Box<Capture>, clap::Error> {
        let command = ["padtap", "capture"].map(str::to_owned);
        match Self::parse_last_wins(&command.into_iter().chain(arguments).map(Into::into).collect::<Vec<_>>())?.command
        {
            Command::Capture(options) => Ok(options),
            _ => Err(Self::command().error(clap::error::ErrorKind::InvalidSubcommand, "not a capture")),
        }
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

/// How an option's value is written.
pub fn name_of(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
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
    fn what_the_shipper_is_told_is_not_looked_at() {
        let cli = parse(&["padtap", "ship", "--help", "--spool", "a", "--spool", "b"]).expect("valid");
        let Command::Ship { options } = cli.command else { panic!("another command") };
        assert_eq!(options, ["--help", "--spool", "a", "--spool", "b"]);
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
}
