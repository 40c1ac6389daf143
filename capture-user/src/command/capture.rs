//! `padtap capture`: an interface through the engine.

mod auto;
mod shunting;

use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::available_parallelism;

use anyhow::anyhow;
use capture_user::classify::{self, Registry};
use capture_user::output::pcapng::Description;
use capture_user::shunt;
use capture_user::source::packet::PacketSource;
use capture_user::source::policy::ConsoleFilter;
use capture_user::source::route::route;
use capture_user::source::xdp::program::Request;
use capture_user::source::xdp::{self, Control, Copying, Granted, Sizes};
use capture_user::source::{Error, LinkType, Tally};

use self::auto::Auto;
use self::shunting::Shunting;
use super::pipe::Pipe;
use super::session::{self, Plan, Warden, metrics_endpoint};
use super::signals::Signals;
use super::{Outcome, Usage, frames, knowledge, logger};
use crate::cli::{self, Attach, Backend, Cli, Command};

/// Captures until a limit is reached or a signal comes.
///
/// # Errors
/// Whatever prevents the capture or ends it early, with what to do.
pub fn run(options: &cli::Capture) -> anyhow::Result<Outcome> {
    logger::start(options.output.verbose, options.output.quiet);
    let signals = Signals::listen()?;
    match options.backend {
        Backend::Xdp => with_xdp(options, signals),
        Backend::AfPacket => with_packet_socket(options, signals),
    }
}

fn with_xdp(options: &cli::Capture, signals: Signals) -> anyhow::Result<Outcome> {
    let config = xdp_config(options)?;
    let filter = config.filter.clone();
    let (sources, control) = xdp::open(&config)?;
    if !options.output.quiet {
        eprintln!("padtap: {}", granted(&options.interface, control.granted()));
    }
    let cores = available_parallelism().map_or(1, |cores| cores.get());
    let mut plan = plan(options, cores.saturating_sub(sources.len()).max(1), signals)?;
    let (auto, pipe) = (auto(options, &plan.devices), Pipe::at(options.output.write.as_deref()));
    let shunting = options.shunt.then(|| {
        let (shunts, requests) = shunt::shunts();
        plan.shunts = Some(shunts);
        Shunting::new(requests)
    });
    session::run(sources, plan, &mut Live { control, tally: Tally::default(), filter, auto, shunting, pipe })
}

fn xdp_config(options: &cli::Capture) -> anyhow::Result<xdp::Config> {
    let rx = options.ring.get();
    if !rx.is_power_of_two() {
        return Err(Usage(format!("--ring {rx}: not a power of two")).into());
    }
    Ok(xdp::Config {
        filter: console_filter(options)?,
        attach: match options.attach {
            Attach::Auto => Request::Best,
            Attach::Native => Request::Native,
            Attach::Generic => Request::Generic,
        },
        copying: match options.copy {
            cli::Copying::Auto => Copying::Auto,
            cli::Copying::ZeroCopy => Copying::ZeroCopy,
            cli::Copying::Copy => Copying::Copy,
        },
        busy_poll: options.busy_poll,
        events: options.output.verbose >= 2,
        sizes: sizes(options.ring.get()),
        ..xdp::Config::new(&options.interface)
    })
}

/// Of rings with so many slots.
pub fn sizes(ring: u32) -> Sizes {
    let default = Sizes::default();
    Sizes { rx: ring, fill: ring, held: ring.max(default.held), ..default }
}

fn console_filter(options: &cli::Capture) -> anyhow::Result<ConsoleFilter> {
    let mut filter = frames::selection(&options.filter)?;
    filter.set_pass_unmatched(options.pass);
    frames::snap(&mut filter, options.snaplen);
    Ok(filter)
}

/// What learns of consoles, where that is asked for.
fn auto(options: &cli::Capture, devices: &Registry) -> Option<Auto> {
    let devices = devices.clone();
    let known = Box::new(move || classify::consoles(&devices));
    frames::is_auto(&options.filter).then(|| Auto::new(known, options.output.quiet))
}

/// The filter of the command line as it is now: the configuration file may have changed. What was learned holds.
fn reread_filter(auto: &mut Option<Auto>) -> anyhow::Result<ConsoleFilter> {
    match Cli::from_environment()?.command {
        Command::Capture(options) => {
            let mut filter = console_filter(&options)?;
            if let Some(auto) = auto {
                auto.add(&mut filter);
            }
            Ok(filter)
        }
        _ => Err(Usage("the command line changed its command".into()).into()),
    }
}

fn plan(options: &cli::Capture, workers: usize, signals: Signals) -> anyhow::Result<Plan<'_>> {
    let snap_length = match options.snaplen {
        cli::Snap::Bytes(bytes) => bytes,
        cli::Snap::Full | cli::Snap::Headers => 0,
    };
    let interface = Description {
        snap_length,
        name: Some(options.interface.clone()),
        filter: options.filter.expression.clone(),
        os: Some(rustix::system::uname().release().to_string_lossy().into_owned()),
        ..Description::bare(LinkType::Ethernet)
    };
    Ok(Plan {
        files: Vec::new(),
        run: &options.run,
        output: &options.output,
        workers: options.run.workers.unwrap_or(workers),
        wanted: frames::expression(&options.filter)?,
        interfaces: vec![interface],
        replay: None,
        metrics: metrics_endpoint(&options.output)?,
        signals,
        devices: Registry::default(),
        shunts: None,
        knowledge: knowledge::load(&options.run.knowledge)?,
        load: knowledge::load,
        story: false,
    })
}

/// What kernel and driver granted, in a line.
pub fn granted(interface: &str, granted: &Granted) -> String {
    let Granted { mode, native_refused, queues, zero_copy, scatter_gather, huge_pages } = granted;
    let mut line = format!("{interface}: {} XDP, ", format!("{mode:?}").to_lowercase());
    line += if *zero_copy { "zero-copy" } else { "copy" };
    line += &format!(", {queues} queue{}", if *queues == 1 { "" } else { "s" });
    line += if *scatter_gather { ", scatter-gather" } else { ", frames up to a page" };
    if *huge_pages {
        line += ", huge pages";
    }
    if let Some(reason) = native_refused {
        line += &format!(" (not in the driver: {reason})");
    }
    line
}

/// Watches over the XDP program.
struct Live {
    control: Control,
    /// The counters as last read: they stay when the program cannot be asked any more.
    tally: Tally,
    filter: ConsoleFilter,
    auto: Option<Auto>,
    shunting: Option<Shunting>,
    /// What frames are written to, if that is one.
    pipe: Pipe,
}

impl Warden for Live {
    fn tally(&mut self) -> Tally {
        if let Ok(tally) = self.control.tally() {
            self.tally = tally;
        }
        self.tally
    }

    fn look(&mut self) -> anyhow::Result<()> {
        self.control.program().flush_events();
        if let Some(auto) = self.auto.as_mut().filter(|auto| auto.has_news()) {
            auto.add(&mut self.filter);
            self.control.program().set_filter(&self.filter)?;
        }
        if let Some(shunting) = &mut self.shunting {
            shunting.serve(&mut self.control.program())?;
        }
        Ok(())
    }

    fn is_over(&mut self) -> bool {
        self.pipe.is_abandoned()
    }

    fn stop(&mut self) {
        self.control.stop();
        if let Some(shunting) = &mut self.shunting {
            // Nothing is counted any more; what cannot be read now is missing in its flows, and not in the ledger.
            let _ = shunting.tell(&self.control.program());
        }
    }

    fn reload(&mut self) -> anyhow::Result<()> {
        let filter = reread_filter(&mut self.auto)?;
        self.control.program().set_filter(&filter)?;
        self.filter = filter;
        Ok(())
    }
}

fn with_packet_socket(options: &cli::Capture, signals: Signals) -> anyhow::Result<Outcome> {
    if options.shunt {
        return Err(Usage("--shunt needs the XDP program: it is not for --backend af-packet".into()).into());
    }
    let filter = Arc::new(RwLock::new(console_filter(options)?));
    let plan = plan(options, 1, signals)?;
    let pipe = Pipe::at(options.output.write.as_deref());
    let mut warden = Exchange { filter: filter.clone(), auto: auto(options, &plan.devices), pipe };
    let source = PacketSource::open(&options.interface, move |frame| {
        route(frame, &filter.read().unwrap_or_else(PoisonError::into_inner))
    });
    let source = source.map_err(|error| hint(error, options))?;
    if !options.output.quiet {
        eprintln!("padtap: {}: packet socket", options.interface);
    }
    session::run(vec![source], plan, &mut warden)
}

/// Says what to do about a lack of privileges.
fn hint(error: Error, options: &cli::Capture) -> anyhow::Error {
    match error {
        Error::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            anyhow!("{}: not permitted: run as root, or grant CAP_NET_RAW", options.interface)
        }
        error => error.into(),
    }
}

/// Exchanges the filter of a packet socket.
struct Exchange {
    filter: Arc<RwLock<ConsoleFilter>>,
    auto: Option<Auto>,
    pipe: Pipe,
}

impl Warden for Exchange {
    fn look(&mut self) -> anyhow::Result<()> {
        if let Some(auto) = self.auto.as_mut().filter(|auto| auto.has_news()) {
            auto.add(&mut self.filter.write().unwrap_or_else(PoisonError::into_inner));
        }
        Ok(())
    }

    fn is_over(&mut self) -> bool {
        self.pipe.is_abandoned()
    }

    fn reload(&mut self) -> anyhow::Result<()> {
        let filter = reread_filter(&mut self.auto)?;
        *self.filter.write().unwrap_or_else(PoisonError::into_inner) = filter;
        Ok(())
    }
}
