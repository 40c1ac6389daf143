//! `padtap devices`: which devices capture files show.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use capture_user::classify::DeviceFacts;
use capture_user::dissect::Mac;
use capture_user::knowledge::Family;
use capture_user::output::{Handover, Sink, Writers};
use capture_user::pipeline::{self, Control};
use capture_user::record::Record;
use capture_user::shard;
use capture_user::source::pcap;
use capture_user::source::route::route;

use super::{Outcome, frames, knowledge};
use crate::cli;

/// The latest that was told of each device.
type Found = Arc<Mutex<BTreeMap<Mac, DeviceFacts>>>;

/// Reads the files, and prints a line for each device.
///
/// # Errors
/// A file that cannot be opened or is damaged, and tables that are wrong. What was found before the damage is printed.
pub fn run(options: &cli::Devices) -> anyhow::Result<Outcome> {
    let everything = frames::consoles(&cli::Filter::default())?;
    let source = pcap::open(&options.files, move |frame| route(frame, &everything))?;
    let shard = shard::Config { knowledge: knowledge::load(&options.knowledge)?, ..shard::Config::default() };
    let found = Found::default();
    let writers = Writers::start(vec![("devices".into(), Box::new(Collect(found.clone())) as Box<dyn Sink>)])?;
    let config = pipeline::Config { shard, ..pipeline::Config::default() };
    let outcome =
        pipeline::run(vec![source], &config, &writers.outlet(Handover::of_patient_work()), &Control::default());
    writers.finish();
    let mut out = io::stdout().lock();
    for device in found.lock().unwrap_or_else(PoisonError::into_inner).values() {
        if options.json {
            serde_json::to_writer(&mut out, device)?;
            writeln!(out)?;
        } else {
            print(&mut out, device)?;
        }
    }
    outcome?;
    Ok(Outcome::default())
}

/// One device: what it is, then what that rests on.
fn print(out: &mut impl Write, device: &DeviceFacts) -> io::Result<()> {
    let DeviceFacts { mac, ips, vendor, family, model, confidence, why } = device;
    let ips: Vec<_> = ips.iter().map(ToString::to_string).collect();
    let what = match (family, model) {
        (Family::Other, _) => "no console".to_owned(),
        (family, Some(model)) => format!("{family} {model}"),
        (family, None) => family.to_string(),
    };
    let vendor = vendor.as_deref().unwrap_or("unknown vendor");
    writeln!(
        out,
        "{mac}  {}  {what}  {vendor}  {confidence:.2}",
        if ips.is_empty() { "-".into() } else { ips.join(",") }
    )?;
    why.iter().try_for_each(|reason| writeln!(out, "    {reason}"))
}

/// Keeps what is told of devices.
struct Collect(Found);

impl Sink for Collect {
    fn record(&mut self, record: &Record) -> io::Result<()> {
        if let Some(device) = (*record.facts).as_any().downcast_ref::<DeviceFacts>() {
            let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            found.insert(device.mac, device.clone());
        }
        Ok(())
    }
}
