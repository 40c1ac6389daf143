//! `padtap learn`: signatures of a user's own game, from a capture of it.

use std::collections::HashMap;
use std::io::{self, Write};
use std::ops::Range;
use std::time::Duration;

use capture_user::knowledge::{Role, Transport};
use capture_user::latency::{Latency, Stopwatch};
use capture_user::learn::{Ends, Learner, propose, write};
use capture_user::record::{FlowFacts, Record};
use capture_user::shard::{self, Shard};
use capture_user::source::route::route;
use capture_user::source::{Received, Source, View, pcap};
use capture_user::time::Timestamp;

use super::{Outcome, Usage, frames, knowledge};
use crate::cli;

/// Reads the files twice over, once as any run does and once for what payloads have in common, and prints the table.
///
/// # Errors
/// A file that cannot be read, a time that is none, a span without packets.
pub fn run(options: &cli::Learn) -> anyhow::Result<Outcome> {
    let consoles = frames::consoles(&cli::Filter {
        console: options.console.clone(),
        no_discovery: !options.console.is_empty(),
        ..cli::Filter::default()
    })?;
    let mut source = pcap::open(&options.files, move |frame| route(frame, &consoles))?;
    let config = shard::Config { knowledge: knowledge::load(&options.knowledge)?, ..shard::Config::default() };
    let mut shard = Shard::new(&config);
    let mut reading: Option<(Learner, Range<Timestamp>)> = None;
    let (mut watch, mut latency) = (Stopwatch::default(), Latency::default());
    let (mut tokens, mut scratch) = (Vec::new(), Vec::new());
    let (view, mut last, mut known) = (source.view(), Timestamp::default(), Known::default());
    while source.receive(64, Duration::ZERO, &mut tokens)? != Received::End {
        for token in &tokens {
            let frame = view.frame(token, &mut scratch);
            let learner = match &mut reading {
                Some((learner, _)) => learner,
                None => {
                    let span = span(options, frame.time)?;
                    &mut reading.insert((Learner::new(span.clone()), span)).0
                }
            };
            learner.look(&frame);
            shard.process(&frame, &mut watch, &mut latency);
            known.hear(shard.records());
            last = last.max(frame.time);
        }
        source.recycle(&mut tokens);
    }
    shard.finish(last);
    known.hear(shard.records());
    let Some((learner, span)) = reading else { return Err(Usage("no packets there".into()).into()) };
    tell(options, learner, &span, last, &known)
}

fn tell(
    options: &cli::Learn,
    learner: Learner,
    span: &Range<Timestamp>,
    last: Timestamp,
    known: &Known,
) -> anyhow::Result<Outcome> {
    let missed = learner.missed();
    let flows = learner.flows();
    if flows.is_empty() {
        let Range { start, end } = span;
        return Err(Usage(format!("nothing was said between {start} and {end}; the last packet is of {last}")).into());
    }
    let (explained, unknown): (Vec<_>, Vec<_>) = flows.into_iter().partition(|(ends, _)| known.explains(ends));
    let (proposals, rest) = propose(&unknown, |ends| known.is_up(ends));
    let mut out = io::stdout().lock();
    writeln!(out, "# Signatures proposed by `padtap learn`, from {} to {}.", span.start, span.end)?;
    writeln!(
        out,
        "# Check them with `padtap knowledge check DIR`, use them with `--knowledge DIR`; DIR has this file as"
    )?;
    writeln!(out, "# signatures.toml. They are what payloads had in common, not what anybody knows of the game.")?;
    if missed > 0 {
        writeln!(out, "# Too many flows: {missed} payloads were not looked at. Name the --console.")?;
    }
    for (ends, _) in &explained {
        writeln!(out, "# Left out, {}: {}", known.what(ends), show(ends))?;
    }
    for rest in &rest {
        let said = "no bytes that are always the same";
        writeln!(out, "# Nothing to propose, {said} in {} payloads: {}", rest.payloads, show(&rest.ends))?;
    }
    out.write_all(write(&proposals, &options.service).as_bytes())?;
    if proposals.is_empty() {
        eprintln!("padtap: no signature to propose; a match is told by its ticks all the same (docs/timeline.md)");
    }
    Ok(Outcome::default())
}

fn show((transport, source, destination): &Ends) -> String {
    format!("{transport} {source} - {destination}")
}

/// The span that the options name; seconds count from the first packet.
fn span(options: &cli::Learn, first: Timestamp) -> anyhow::Result<Range<Timestamp>> {
    let [start, end] = [("--from", &options.from), ("--to", &options.to)].map(|(option, text)| {
        let seconds = text.parse::<f64>().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        match (seconds, text.parse::<jiff::Timestamp>()) {
            (Some(seconds), _) => Ok(first.after(seconds)),
            (None, Ok(time)) => Ok(Timestamp::from_nanos(i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX))),
            (None, Err(_)) => Err(Usage(format!(
                "{option} {text}: neither seconds from the first packet nor a time such as 2016-09-10T19:00:38Z"
            ))),
        }
    });
    let (start, end) = (start?, end?);
    if start >= end {
        return Err(Usage(format!("--from {start} is not before --to {end}")).into());
    }
    Ok(start..end)
}

/// What padtap itself says of flows.
#[derive(Default)]
struct Known(HashMap<Ends, Conclusion>);

struct Conclusion {
    what: String,
    role: Option<Role>,
}

impl Known {
    fn hear(&mut self, records: &mut Vec<Record>) {
        for record in records.drain(..) {
            let Some(facts) = (*record.facts).as_any().downcast_ref::<FlowFacts>() else { continue };
            let subject = &record.subject;
            let transport = match subject.protocol.and_then(|protocol| protocol.name()) {
                Some("udp") => Transport::Udp,
                Some("tcp") => Transport::Tcp,
                _ => continue,
            };
            let end = |ip: Option<std::net::IpAddr>, port: Option<u16>| Some((ip?, port?).into());
            let ends = end(subject.src_ip, subject.src_port).zip(end(subject.dst_ip, subject.dst_port));
            let Some((source, destination)) = ends else { continue };
            let role = facts.role.map(|role| role.to_string());
            let words = [facts.app, facts.service.as_deref(), role.as_deref()];
            let what = words.into_iter().flatten().collect::<Vec<_>>().join(", ");
            self.0.insert((transport, source, destination), Conclusion { what, role: facts.role });
        }
    }

    fn get(&self, ends: &Ends) -> Option<&Conclusion> {
        let (transport, one, other) = *ends;
        self.0.get(ends).or_else(|| self.0.get(&(transport, other, one)))
    }

    /// Whether a flow is known to be no game's own.
    fn explains(&self, ends: &Ends) -> bool {
        let role = self.get(ends).and_then(|known| known.role);
        role.is_some_and(|role| !matches!(role, Role::Game | Role::Probe | Role::Other))
    }

    fn what(&self, ends: &Ends) -> &str {
        self.get(ends).map_or("unknown", |known| &known.what)
    }

    /// Whether a flow's source is the console.
    fn is_up(&self, ends: &Ends) -> bool {
        capture_user::classify::is_up(ends.1.ip(), ends.2.ip())
    }
}
