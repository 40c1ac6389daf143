//! padtap's own chores, run as `cargo xtask COMMAND`.

mod bpf;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// padtap's own chores.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the XDP program, or check that the committed object is what the source builds.
    Bpf(bpf::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Bpf(args) => bpf::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
