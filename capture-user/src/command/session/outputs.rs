//! What a run writes: records to sinks, frames to capture files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::net::IpAddr;
use std::sync::Arc;
use std::thread::{Scope, ScopedJoinHandle};

use anyhow::Context;
use capture_user::latency::Latency;
use capture_user::ledger::Ledger;
use capture_user::output::ndjson::Ndjson;
use capture_user::output::pcapng::{self, Description, Ending, Filler, Limits, Statistics};
use capture_user::output::text::{Style, Text};
use capture_user::output::{Outlet, Sink, Writers};
use capture_user::pipeline::Control;
use capture_user::record::Record;
use capture_user::time::Timestamp;

use super::limits;
use crate::cli;

/// A block of frames on its way to the disk, in bytes, and how many there are of them: what a disk may be behind.
const BLOCK: usize = 256 * 1024;
const BLOCKS: usize = 128;

/// The sinks of a run.
pub struct Outputs {
    writers: Writers,
    outlet: Outlet,
}

impl Outputs {
    /// Opens what the options name; lines for people go to standard output where nothing else does.
    pub fn open(options: &cli::Output) -> anyhow::Result<Self> {
        let sensor: Arc<str> = options.sensor.clone().unwrap_or_else(host_name).into();
        let mut sinks: Vec<(String, Box<dyn Sink>)> = Vec::new();
        let frames_on_stdout = options.write.as_ref().is_some_and(|path| path.as_os_str() == "-");
        if options.json {
            sinks.push(("standard output".into(), Box::new(Ndjson::new(io::stdout(), sensor.clone()))));
        } else if options.output.is_none() && options.write.is_none() && !frames_on_stdout {
            let colour =
                io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            let style = if colour { Style::COLOUR } else { Style::PLAIN };
            sinks.push(("standard output".into(), Box::new(Text::new(io::stdout(), style))));
        }
        if let Some(path) = &options.output {
            let name = path.display().to_string();
            let file = File::create(path).with_context(|| name.clone())?;
            sinks.push((name, Box::new(Ndjson::new(file, sensor))));
        }
        let writers = Writers::start(sinks)?;
        let outlet = writers.outlet(true);
        Ok(Self { writers, outlet })
    }

    /// A way to the sinks; see [`Writers::outlet`].
    pub fn outlet(&self, wait: bool) -> Outlet {
        self.writers.outlet(wait)
    }

    /// Whether nobody takes records any more, though somebody did.
    pub fn all_failed(&self) -> bool {
        self.writers.all_failed()
    }

    /// Sends a record of the supervisor's own.
    pub fn tell(&self, record: Record) {
        self.outlet.send(&mut vec![record]);
    }

    /// Adds what became of the records so far.
    pub fn account(&self, ledger: &mut Ledger) {
        let account = self.writers.account();
        ledger.records = account.made;
        ledger.records_written = account.written;
        ledger.sink_drops = account.dropped;
    }

    /// Sends the final account as the last record, once all others are dealt with, so that it is final; it counts
    /// itself. Returns whether an output was full.
    ///
    /// # Errors
    /// An output that failed otherwise.
    pub fn finish(self, time: Timestamp, ledger: &mut Ledger, latency: &Latency) -> anyhow::Result<bool> {
        self.writers.settle();
        self.account(ledger);
        let sinks = self.writers.working();
        ledger.records += sinks;
        ledger.records_written += sinks;
        self.outlet.send(&mut vec![Record::stats(time, *ledger, latency.clone())]);
        drop(self.outlet);
        let (account, failures) = self.writers.finish();
        ledger.records = account.made;
        ledger.records_written = account.written;
        ledger.sink_drops = account.dropped;
        let mut full = false;
        for failure in failures {
            match failure.error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                    eprintln!("padtap: {failure}; the records before that are in it");
                    full = true;
                }
                _ => return Err(anyhow::Error::new(failure.error).context(failure.name)),
            }
        }
        Ok(full)
    }
}

/// The capture file of a run, and the thread that writes it.
pub struct FrameFile<'scope> {
    filler: Filler,
    thread: ScopedJoinHandle<'scope, (pcapng::Writer, pcapng::Drained)>,
}

impl<'scope> FrameFile<'scope> {
    /// Opens the file that the options name, if they name one.
    pub fn open<'env>(
        options: &cli::Output,
        interfaces: Vec<Description>,
        stop: Limits,
        live: bool,
        scope: &'scope Scope<'scope, 'env>,
        control: &'env Control,
    ) -> anyhow::Result<Option<Self>> {
        let Some(path) = &options.write else { return Ok(None) };
        let config = pcapng::Config {
            path: (path.as_os_str() != "-").then(|| path.clone()),
            application: Some(concat!("padtap ", env!("CARGO_PKG_VERSION")).into()),
            interfaces,
            rotate: limits("-b", &options.ring_buffer)?,
            stop,
            ..pcapng::Config::default()
        };
        let mut writer = pcapng::Writer::create(config)?;
        let (filler, drain) = pcapng::pool(BLOCKS, BLOCK, !live);
        let thread = std::thread::Builder::new().name("frames".into()).spawn_scoped(scope, move || {
            let drained = drain.run(&mut writer, |ending| {
                if let Ending::Failed(error) = ending {
                    eprintln!("padtap: {error}");
                }
                control.stop();
            });
            (writer, drained)
        })?;
        Ok(Some(Self { filler, thread }))
    }

    /// An end for a worker.
    pub fn filler(&self) -> Filler {
        self.filler.clone()
    }

    /// Completes the file: the names of addresses, the account of each interface.
    pub fn finish(self, ledger: &mut Ledger, names: &BTreeMap<IpAddr, Arc<str>>) -> anyhow::Result<()> {
        drop(self.filler);
        let (mut writer, drained) = self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        ledger.write_drops += drained.left_out;
        ledger.frames_written = writer.summary().packets;
        for interface in 0..writer.interfaces() {
            writer.set_statistics(
                interface as u32,
                Statistics {
                    received: Some(ledger.seen),
                    interface_drops: Some(ledger.rx_dropped + ledger.rx_ring_full),
                    ..Statistics::default()
                },
            );
        }
        if drained.ending.is_none() {
            writer.write_names(names.iter().map(|(address, name)| (*address, &**name)))?;
        }
        writer.finish()?;
        Ok(())
    }
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// A key that nobody knows: hashed names of one run compare with each other and with nothing else.
pub fn key() -> [u8; 16] {
    let mut key = [0; 16];
    // Only an early boot could fall short; an incomplete key is still a key.
    let _ = rustix::rand::getrandom(&mut key, rustix::rand::GetRandomFlags::empty());
    key
}
