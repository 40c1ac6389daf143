//! The commands, each from its options to its exit code.

mod bench;
mod capture;
mod demo;
mod devices;
mod doctor;
mod extcap;
mod frames;
mod knowledge;
mod learn;
mod logger;
mod pipe;
mod read;
mod session;
mod ship;
mod signals;
mod summary;

use std::io::{self, Write};
use std::process::ExitCode;

use capture_user::output::{is_full, pcapng};

use crate::cli::{Cli, Command};

/// How a command ended, short of an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Frames were lost, and the user asked for that to count.
    pub lost: bool,
    /// An output was full.
    pub full: bool,
    /// An output failed otherwise, which has been said.
    pub failed: bool,
}

/// What the user asked for cannot be: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

impl Usage {
    /// Wraps an error of the command line's texts.
    pub fn new(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// Runs a command. Errors are one line on standard error.
pub fn run(cli: Cli) -> ExitCode {
    match dispatch(cli.command) {
        Ok(Outcome { failed: true, .. }) => ExitCode::FAILURE,
        Ok(Outcome { full: true, .. }) => ExitCode::from(4),
        Ok(Outcome { lost: true, .. }) => ExitCode::from(3),
        Ok(_) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("padtap: {}", describe(&error));
            ExitCode::from(match () {
                () if is_usage(&error) => 2,
                () if io_error(&error).is_some_and(is_full) => 4,
                () => 1,
            })
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<Outcome> {
    match command {
        Command::Capture(options) => capture::run(&options),
        Command::Read(options) => read::run(&options),
        Command::Bench(bench) => bench::run(&bench),
        Command::Doctor(options) => doctor::run(&options),
        Command::Demo(options) => demo::run(&options),
        Command::Devices(options) => devices::run(&options),
        Command::Learn(options) => learn::run(&options),
        Command::Knowledge(options) => knowledge::run(&options),
        Command::Schema => {
            let schema = serde_json::to_string_pretty(&capture_user::record::schema::records())?;
            writeln!(io::stdout(), "{schema}")?;
            Ok(Outcome::default())
        }
        Command::Extcap(command) => extcap::run(&command),
        Command::Ship { options } => Err(ship::run(&options)),
        Command::Completions { shell } => {
            Cli::print_completions(shell)?;
            Ok(Outcome::default())
        }
        Command::Man => {
            Cli::print_manual()?;
            Ok(Outcome::default())
        }
    }
}

/// An error and its causes in one line, without those that an error before them has quoted already.
fn describe(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |line, cause| match cause.to_string() {
        cause if line.is_empty() => cause,
        cause if line.contains(&cause) => line,
        cause => format!("{line}: {cause}"),
    })
}

/// Whoever read our output has seen enough: that is no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let closed = matches!(error.downcast_ref(), Some(pcapng::Error::Closed { .. }));
    closed || io_error(error).is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn is_usage(error: &anyhow::Error) -> bool {
    error.is::<Usage>() || matches!(error.downcast_ref(), Some(pcapng::Error::Config(_)))
}

fn io_error(error: &anyhow::Error) -> Option<&io::Error> {
    error.chain().find_map(|cause| cause.downcast_ref())
}
