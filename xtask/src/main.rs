//! padtap's own chores, run as `cargo xtask COMMAND`.

mod bpf;
mod fixtures;

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
    /// Write the fixtures, or check that the committed ones are what is made.
    Fixtures(fixtures::Args),
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Bpf(args) => bpf::run(&args),
        Command::Fixtures(args) => fixtures::run(&args),
    }
}
