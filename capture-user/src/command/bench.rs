//! `padtap bench`: measuring on this machine.

mod dissect;
mod live;
mod send;
mod sinks;

use super::Outcome;
use crate::cli::Bench;

/// Runs a benchmark.
///
/// # Errors
/// Whatever prevents it.
pub fn run(bench: &Bench) -> anyhow::Result<Outcome> {
    match bench {
        Bench::Dissect(options) => dissect::run(options),
        Bench::Live(options) => live::run(options),
        Bench::Send(options) => send::run(options),
        Bench::Sinks(options) => sinks::run(options),
    }
}
