//! `padtap read`: capture files through the engine.

use capture_user::classify::Registry;
use capture_user::source::pcap;
use capture_user::source::route::route;

use super::session::{self, Nobody, Plan};
use super::signals::Signals;
use super::{Outcome, Usage, frames, knowledge, logger};
use crate::cli::Read;

/// Reads the files one after the other.
///
/// # Errors
/// A file that cannot be opened, or is damaged; what was read before the damage has been put out.
pub fn run(options: &Read) -> anyhow::Result<Outcome> {
    logger::start(options.output.verbose, options.output.quiet);
    let signals = Signals::listen()?;
    if frames::is_auto(&options.filter) {
        let advice = "`padtap devices FILE` lists the consoles of a file";
        return Err(Usage(format!("--console auto learns while capturing: {advice}")).into());
    }
    let consoles = frames::consoles(&options.filter)?;
    let wanted = frames::expression(&options.filter)?;
    let files: Vec<_> = options.read.iter().chain(&options.files).cloned().collect();
    let source = pcap::open(&files, move |frame| {
        if wanted.as_ref().is_some_and(|wanted| !wanted(frame)) { None } else { route(frame, &consoles) }
    })?;
    let Read { run, output, .. } = options;
    let plan = Plan {
        run,
        output,
        workers: 1,
        wanted: None,
        files,
        interfaces: Vec::new(),
        signals,
        devices: Registry::default(),
        shunts: None,
        knowledge: knowledge::load(&run.knowledge)?,
        story: false,
    };
    session::run(vec![source], plan, &mut Nobody)
}
