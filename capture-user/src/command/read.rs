//! `padtap read`: capture files through the engine.

use capture_user::source::pcap;

use super::Outcome;
use super::session::{self, Nobody, Plan};
use crate::cli;

/// Reads the files one after the other.
///
/// # Errors
/// A file that cannot be opened, or is damaged; what was read before the damage has been put out.
pub fn run(options: &cli::Read) -> anyhow::Result<Outcome> {
    let files = options.read.iter().chain(&options.files);
    let source = pcap::open(files, |_| Some(0))?;
    let plan = Plan { run: &options.run, output: &options.output, workers: 1, wanted: None, interfaces: Vec::new() };
    session::run(vec![source], plan, &mut Nobody)
}
