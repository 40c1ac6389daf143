//! padtap's own chores, run as `cargo xtask COMMAND`.

mod bench;
mod bpf;
mod debian;
mod fixtures;
mod fuzz;
mod licences;
mod live;
mod peers;
mod pgo;
mod pypi;
mod rates;
mod run;
mod schema;
mod suricata;
mod test;

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
    /// Count instructions a packet with callgrind, and compare them with the committed baseline.
    Bench(bench::Args),
    /// Build the XDP program, or check that the committed object is what the source builds.
    Bpf(bpf::Args),
    /// Write the fixtures, or check that the committed ones are what is made.
    Fixtures(fixtures::Args),
    /// Fuzz every target from its committed seeds.
    Fuzz(fuzz::Args),
    /// Check that every dependency has a permissive licence.
    Licences,
    /// Measure padtap beside the Debian tools of its trade, and write a page and a chart into docs/benchmarks/.
    Peers(peers::Args),
    /// Build padtap with profile-guided optimisation, trained on the fixtures and on the captures of PADTAP_PCAPS.
    Pgo,
    /// Measure what live capture can do here: dissecting beside only taking frames. Needs root.
    Rates(rates::Args),
    /// Write the JSON Schema of records, or check that the committed one is what the types say.
    Schema(schema::Args),
    /// Run all tests, after installing from Debian the peers that they are compared with.
    Test,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Bench(args) => bench::run(&args),
        Command::Bpf(args) => bpf::run(&args),
        Command::Fixtures(args) => fixtures::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Licences => licences::check(),
        Command::Peers(args) => peers::run(&args),
        Command::Pgo => pgo::build(),
        Command::Rates(args) => rates::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Test => test::all(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
