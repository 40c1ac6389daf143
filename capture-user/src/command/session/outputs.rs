//! What a run writes: records to sinks, frames to capture files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Seek, SeekFrom};
use std::net::IpAddr;
use std::sync::Arc;
use std::thread::{Scope, ScopedJoinHandle};

use anyhow::Context;
use capture_user::latency::Latency;
use capture_user::ledger::Ledger;
use capture_user::limits::Reached;
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
        if options.json {
            sinks.push(("standard output".into(), Box::new(Ndjson::new(io::stdout(), sensor.clone()))));
        } else if options.output.is_none() && options.write.is_none() {
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
    pub fn finish(
        self,
        time: Timestamp,
        ledger: &mut Ledger,
        limits: Reached,
        latency: &Latency,
    ) -> anyhow::Result<bool> {
        self.writers.settle();
        self.account(ledger);
        let sinks = self.writers.working();
        ledger.records += sinks;
        ledger.records_written += sinks;
        self.outlet.send(&mut vec![Record::stats(time, *ledger, limits, latency.clone())]);
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
                    cut_unfinished_line(&failure.name);
                }
                _ => return Err(anyhow::Error::new(failure.error).context(failure.name)),
            }
        }
        Ok(full)
    }
}

/// Cuts a file that is full behind its last whole line. What is no file (a device, a pipe) cannot be cut, and stays.
fn cut_unfinished_line(path: &str) {
    let Ok(mut file) = File::options().read(true).write(true).open(path) else { return };
    let _ = file.metadata().map(|metadata| metadata.len()).and_then(|length| {
        let mut end = length;
        let mut piece = [0; 4096];
        while end > 0 {
            let start = end.saturating_sub(piece.len() as u64);
            let piece = piece.get_mut(..(end - start) as usize).unwrap_or_default();
            file.seek(SeekFrom::Start(start))?;
            file.read_exact(piece)?;
            if let Some(newline) = piece.iter().rposition(|&byte| byte == b'\n') {
                return file.set_len(start + newline as u64 + 1);
            }
            end = start;
        }
        file.set_len(0)
    });
}

/// The capture file of a run, and the thread that writes it.
pub struct FrameFile<'scope> {
    live: bool,
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
        // Records that go on are worth going on for.
        let alone = !options.json && options.output.is_none();
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
                if let Ending::Failed(error @ pcapng::Error::Full { .. }) = ending {
                    eprintln!("padtap: {error}");
                }
                if alone || matches!(ending, Ending::Limit) {
                    control.stop();
                }
            });
            (writer, drained)
        })?;
        Ok(Some(Self { live, filler, thread }))
    }

    /// An end for a worker.
    pub fn filler(&self) -> Filler {
        self.filler.clone()
    }

    /// Completes the file: the names of addresses, the account of the interface. Returns whether it could not take all
    /// because it was full.
    ///
    /// # Errors
    /// What else went wrong with it.
    pub fn finish(self, ledger: &mut Ledger, names: &BTreeMap<IpAddr, Arc<str>>) -> anyhow::Result<bool> {
        drop(self.filler);
        let (mut writer, drained) = self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        ledger.write_drops += drained.left_out;
        ledger.frames_written = writer.summary().packets;
        if self.live {
            writer.set_statistics(0, statistics(ledger));
        }
        match drained.ending {
            Some(Ending::Failed(pcapng::Error::Full { .. })) => Ok(true),
            Some(Ending::Failed(error)) => Err(error.into()),
            Some(Ending::Limit) => Ok(writer.finish().map(|_| false)?),
            None => {
                writer.write_names(names.iter().map(|(address, name)| (*address, &**name)))?;
                Ok(writer.finish().map(|_| false)?)
            }
        }
    }
}

/// What a capture counted on its interface, in pcapng's terms: drops of the interface are those on the way to padtap,
/// drops of the system those in it.
fn statistics(ledger: &Ledger) -> Statistics {
    Statistics {
        received: Some(ledger.source.seen),
        accepted: Some(ledger.source.redirected + ledger.source.redirect_errors),
        interface_drops: Some(ledger.source.redirect_errors + ledger.source.rx_dropped + ledger.source.rx_ring_full),
        os_drops: Some(ledger.source.bad_descriptors + ledger.worker_queue_drops + ledger.write_drops),
        delivered: Some(ledger.frames_written),
        ..Statistics::default()
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
