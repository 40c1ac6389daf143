//! `padtap read`: capture files through the engine.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use capture_user::classify::Registry;
use capture_user::source::route::route;
use capture_user::source::{Error, Frame, Received, Source, View, pcap};

use super::session::{self, Nobody, Plan, Replay, metrics_endpoint};
use super::signals::Signals;
use super::{Outcome, Usage, frames, knowledge, logger};
use crate::cli::Read;

/// Frames that are taken at once when files are read again.
const BURST: usize = 256;

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
    let metrics = metrics_endpoint(&options.output)?;
    let consoles = frames::consoles(&options.filter)?;
    let wanted = frames::expression(&options.filter)?;
    let files: Vec<_> = options.read.iter().chain(&options.files).cloned().collect();
    // Where all frames go the same way, nobody need ask which.
    let workers = options.run.workers.unwrap_or(1);
    let one_way = consoles.wants_everything() && workers <= 1;
    let router = move |frame: &Frame<'_>| match &wanted {
        Some(wanted) if !wanted(frame) => None,
        _ if one_way => Some(0),
        _ => route(frame, &consoles),
    };
    let source = pcap::open(&files, router.clone())?;
    // So many frames are the first in the files, and those of -w in their order, where one thread reads.
    let in_order = options.run.count.is_some() || !options.run.autostop.is_empty() || options.output.write.is_some();
    let sources = if in_order { vec![source] } else { source.split(workers) };
    let replay = files.iter().all(|file| can_be_read_again(file)).then(|| again(files.clone(), router));
    let Read { run, output, .. } = options;
    let plan = Plan {
        run,
        output,
        workers: if sources.len() > 1 { 0 } else { workers },
        wanted: None,
        files,
        interfaces: Vec::new(),
        replay,
        metrics,
        signals,
        devices: Registry::default(),
        shunts: None,
        knowledge: knowledge::load(&run.knowledge)?,
        load: knowledge::load,
        story: false,
    };
    session::run(sources, plan, &mut Nobody)
}

fn can_be_read_again(file: &Path) -> bool {
    file.as_os_str() != "-" && file.is_file()
}

/// Reads the files once more. Where the first reading came to a damage, so does this.
fn again<'a, R>(files: Vec<PathBuf>, router: R) -> Replay<'a>
where
    R: FnMut(&Frame<'_>) -> Option<u32> + Clone + 'a,
{
    Box::new(move |each| {
        let mut source = pcap::open(&files, router.clone())?;
        let (view, mut tokens, mut scratch) = (source.view(), Vec::new(), Vec::new());
        loop {
            let received = source.receive(BURST, Duration::ZERO, &mut tokens);
            for token in &tokens {
                if each(&view.frame(token, &mut scratch), &|| source.interfaces()) == ControlFlow::Break(()) {
                    return Ok(());
                }
            }
            source.recycle(&mut tokens);
            match received {
                Ok(Received::End) | Err(Error::Damaged { .. } | Error::Unsupported { .. }) => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
        }
    })
}
