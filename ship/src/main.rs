//! `padtap ship`: takes the batches of a spool to NATS JetStream.
//!
//! A program of its own, so that neither the engine nor a plain build of it has anything to do with tokio.

mod broker;
mod cli;
mod shipping;
mod stop;
mod voice;

use std::process::ExitCode;

use anyhow::Context;
use capture_user::output::spool::Depot;
use clap::Parser;

use crate::cli::Cli;
use crate::stop::Stop;
use crate::voice::Voice;

fn main() -> ExitCode {
    match ship(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("padtap-ship: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn ship(options: &Cli) -> anyhow::Result<()> {
    let mut depot = Depot::open(&options.spool).with_context(|| options.spool.display().to_string())?;
    let mut voice = Voice::new(options.quiet);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let shipped = runtime.block_on(async {
        let stop = Stop::listen()?;
        shipping::run(options, &mut depot, &stop, &mut voice).await
    })?;
    voice.sum_up(&shipped, depot.waiting()?.len());
    Ok(())
}
