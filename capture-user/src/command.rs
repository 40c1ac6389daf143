//! The commands, each from its options to its exit code.

mod bench;
mod capture;
mod demo;
mod devices;
mod doctor;
mod frames;
mod knowledge;
mod logger;
mod read;
mod session;
mod signals;
mod summary;

use std::process::ExitCode;

use crate::cli::{Bench, Cli, Command};

/// How a command ended, short of an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Frames were lost, and the user asked for that to count.
    pub lost: bool,
    /// An output was full.
    pub full: bool,
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
        Ok(Outcome { full: true, .. }) => ExitCode::from(4),
        Ok(Outcome { lost: true, .. }) => ExitCode::from(3),
        Ok(_) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("padtap: {error:#}");
            ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<Outcome> {
    match command {
        Command::Capture(options) => capture::run(&options),
        Command::Read(options) => read::run(&options),
        Command::Bench(Bench::Live(options)) => bench::live(&options),
        Command::Doctor(options) => doctor::run(&options),
        Command::Demo(options) => demo::run(&options),
        Command::Devices(options) => devices::run(&options),
        Command::Knowledge(options) => knowledge::run(&options),
        Command::Completions { shell } => {
            Cli::print_completions(shell);
            Ok(Outcome::default())
        }
        Command::Man => {
            Cli::print_manual()?;
            Ok(Outcome::default())
        }
    }
}

/// Whoever read our output has seen enough: that is no failure.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}
