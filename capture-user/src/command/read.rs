//! `padtap read`: capture files through the engine.

use capture_user::source::pcap;
use capture_user::source::route::route;

use super::session::{self, Nobody, Plan};
use super::{Outcome, frames};
use crate::cli;

/// Reads the files one after the other.
///
/// # Errors
/// A file that cannot be opened, or is damaged; what was read before the damage has been put out.
pub fn run(options: &cli::Read) -> anyhow::Result<Outcome> {
    let consoles = frames::consoles(&options.filter)?;
    let wanted = frames::expression(&options.filter)?;
    let files = options.read.iter().chain(&options.files);
    let source = pcap::open(files, move |frame| {
        if wanted.as_ref().is_some_and(|wanted| !wanted(frame)) { None } else { route(frame, &consoles) }
    })?;
    let plan = Plan { run: &options.run, output: &options.output, workers: 1, wanted: None, interfaces: Vec::new() };
    session::run(vec![source], plan, &mut Nobody)
}
