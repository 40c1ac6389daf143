//! `padtap demo`: the whole engine on a bundled session, live where that is allowed.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use capture_user::classify::Registry;
use capture_user::knowledge::{Knowledge, Mode};
use capture_user::output::prometheus::Endpoint;
use capture_user::source::pcap;
use capture_user::source::replayed::{Original, Replayed};
use capture_user::source::route::route;
use capture_user::source::xdp::{self, Control, lab};
use capture_user::source::{Frame, Received, Source, Tally, View};
use pnet::datalink::{self, Channel, DataLinkSender};
use tempfile::NamedTempFile;

use super::session::{self, Nobody, Plan, Warden, metrics_endpoint};
use super::signals::Signals;
use super::{Outcome, capture, knowledge, logger};
use crate::cli;
use capture_user::source::policy::ConsoleFilter;

/// A PlayStation 4 plays a match: synthetic, from the project's own fixtures.
static SESSION: &[u8] = include_bytes!("../../../fixtures/ps4-overwatch-2016/profile-a.pcap.gz");

/// The owners of its servers.
static NETWORKS: &str = include_str!("../../../fixtures/networks.toml");

/// The session lasts two minutes; nobody wants to wait that long.
const SPEED: u32 = 20;

/// Shows the session.
///
/// # Errors
/// What stops a capture or the reading of a file.
pub fn run(options: &cli::Demo) -> anyhow::Result<Outcome> {
    logger::start(options.output.verbose, options.output.quiet);
    let signals = Signals::listen()?;
    // A port of this network, not of the private one.
    let plan = plan(options, metrics_endpoint(&options.output)?, signals)?;
    let mut file = NamedTempFile::new()?;
    file.write_all(SESSION)?;
    if options.offline {
        return offline(&file, plan);
    }
    match lab::enter(1500) {
        Ok(()) => live(&file, plan),
        Err(error) => {
            eprintln!("padtap: no private network here ({error}): reading the session from its file; live needs root");
            offline(&file, plan)
        }
    }
}

fn offline(file: &NamedTempFile, plan: Plan<'_>) -> anyhow::Result<Outcome> {
    let everything = ConsoleFilter::everything();
    let source = pcap::open([file.path()], move |frame| route(frame, &everything))?;
    session::run(vec![source], plan, &mut Nobody)
}

fn live(file: &NamedTempFile, plan: Plan<'_>) -> anyhow::Result<Outcome> {
    let (sources, control) = xdp::open(&xdp::Config::new(lab::NEAR))?;
    if !plan.output.quiet {
        eprintln!("padtap: {}", capture::granted(lab::NEAR, control.granted()));
        eprintln!("padtap: replaying a session {SPEED} times faster than it was; records show its own times");
    }
    let frames = frames(file)?;
    let originals: Arc<[Original]> = frames.iter().map(|(original, _)| *original).collect();
    let sent = Arc::new(AtomicBool::new(false));
    let replay = thread::spawn({
        let sent = sent.clone();
        move || {
            let outcome = replay(&frames);
            sent.store(true, Ordering::Release);
            outcome
        }
    });
    let sources = sources.into_iter().map(|source| Replayed::new(source, originals.clone())).collect();
    let outcome = session::run(sources, plan, &mut Stage { control, sent, last: None });
    replay.join().map_err(|_| anyhow!("the replay panicked"))??;
    outcome
}

fn plan(options: &cli::Demo, metrics: Option<Endpoint>, signals: Signals) -> anyhow::Result<Plan<'_>> {
    Ok(Plan {
        run: &options.run,
        output: &options.output,
        workers: options.run.workers.unwrap_or(1),
        wanted: None,
        files: Vec::new(),
        interfaces: Vec::new(),
        replay: None,
        metrics,
        signals,
        devices: Registry::default(),
        shunts: None,
        knowledge: networks(&options.run.knowledge)?,
        load: networks,
        story: true,
    })
}

/// What is known, and who the session says that its servers belong to: their addresses are nobody's.
fn networks(tables: &cli::Tables) -> anyhow::Result<Arc<Knowledge>> {
    if tables.folder.is_some() {
        return knowledge::load(tables);
    }
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("networks.toml"), NETWORKS)?;
    Ok(Arc::new(Knowledge::load(folder.path(), Mode::Extend)?))
}

/// The frames of the session.
fn frames(file: &NamedTempFile) -> anyhow::Result<Vec<(Original, Vec<u8>)>> {
    let mut source = pcap::open([file.path()], |_| Some(0))?;
    let view = source.view();
    let (mut frames, mut tokens, mut scratch) = (Vec::new(), Vec::new(), Vec::new());
    while source.receive(64, Duration::ZERO, &mut tokens)? != Received::End {
        for token in &tokens {
            let frame = view.frame(token, &mut scratch);
            let Frame { time, length, interface, data, .. } = frame;
            frames.push((Original { time, length, interface }, data.to_vec()));
        }
        source.recycle(&mut tokens);
    }
    Ok(frames)
}

/// Sends the frames from the far end of the cable, each in its turn.
fn replay(frames: &[(Original, Vec<u8>)]) -> anyhow::Result<()> {
    let mut socket = socket()?;
    let Some((origin, _)) = frames.first() else { return Ok(()) };
    let begun = Instant::now();
    for (original, frame) in frames {
        let due = u64::try_from(original.time.nanos_since(origin.time)).unwrap_or(0) / u64::from(SPEED);
        thread::sleep(Duration::from_nanos(due).saturating_sub(begun.elapsed()));
        socket.send_to(frame, None).context("the frame does not fit the socket")??;
    }
    Ok(())
}

fn socket() -> anyhow::Result<Box<dyn DataLinkSender>> {
    let far = datalink::interfaces().into_iter().find(|interface| interface.name == lab::FAR);
    match datalink::channel(&far.context("the far end of the cable")?, datalink::Config::default())? {
        Channel::Ethernet(sender, _) => Ok(sender),
        _ => Err(anyhow!("the cable is not Ethernet")),
    }
}

/// Watches over the capture, and ends it when the replay is over and its last frame has been seen.
struct Stage {
    control: Control,
    sent: Arc<AtomicBool>,
    last: Option<Tally>,
}

impl Warden for Stage {
    fn tally(&mut self) -> Tally {
        self.control.tally().unwrap_or_default()
    }

    fn is_over(&mut self) -> bool {
        if !self.sent.load(Ordering::Acquire) {
            return false;
        }
        let now = self.tally();
        self.last.replace(now) == Some(now)
    }

    fn stop(&mut self) {
        self.control.stop();
    }
}
