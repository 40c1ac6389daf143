//! Files, on one pinned processor: every tool in turn, several times.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, ensure};

use super::tool::Tool;
use super::work::Work;
use crate::run::median;

/// A file to work on.
pub struct Job<'a> {
    pub file: &'a Path,
    pub work: Work,
    /// The beginning of it, for slow tools.
    pub beginning: &'a Path,
    pub beginning_work: Work,
}

/// A tool that is there.
pub struct Peer<'a> {
    pub tool: &'a Tool,
    pub program: std::path::PathBuf,
}

/// What one tool needed: medians.
pub struct Measured {
    pub name: &'static str,
    /// The command, with the file's name for its path.
    pub command: String,
    pub packets: u64,
    pub seconds: f64,
    /// Of all its threads.
    pub cpu_seconds: f64,
    pub memory_mb: f64,
    pub done: String,
}

impl Measured {
    pub fn ns_per_packet(&self) -> f64 {
        self.seconds * 1e9 / self.packets as f64
    }
}

#[derive(Default)]
struct Runs {
    seconds: Vec<f64>,
    cpu: Vec<f64>,
    memory: Vec<f64>,
    done: String,
}

/// Runs all tools in turn until each has run so often, or the time is over.
pub fn measure(
    peers: &[Peer<'_>],
    job: &Job<'_>,
    cpu: usize,
    times: usize,
    until: Instant,
) -> anyhow::Result<Vec<Measured>> {
    let mut runs: Vec<Runs> = peers.iter().map(|_| Runs::default()).collect();
    for time in 0..times {
        for (peer, runs) in peers.iter().zip(&mut runs) {
            if time == 0 || Instant::now() < until {
                once(peer, job, cpu, runs).with_context(|| peer.tool.name)?;
            }
        }
    }
    Ok(peers.iter().zip(runs).map(|(peer, runs)| summary(peer.tool, job, runs)).collect())
}

fn once(peer: &Peer<'_>, job: &Job<'_>, cpu: usize, runs: &mut Runs) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let file = if peer.tool.slow { job.beginning } else { job.file };
    let (stdout, spent) = (directory.path().join("stdout"), directory.path().join("time"));
    let mut command = Command::new("taskset");
    command.args(["-c", &cpu.to_string(), "/usr/bin/time", "--format=%U %S %M"]).arg("-o").arg(&spent);
    command.arg(&peer.program).args(peer.tool.arguments(file, directory.path()));
    command.stdin(Stdio::null()).stdout(File::create(&stdout)?).stderr(Stdio::null());
    let begun = Instant::now();
    let status = command.status().context("taskset (Debian: util-linux)")?;
    let seconds = begun.elapsed().as_secs_f64();
    ensure!(status.success(), "ended with {status}");
    let spent = std::fs::read_to_string(spent).context("/usr/bin/time (Debian: time)")?;
    let fields: Vec<f64> = spent.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    let [user, system, kilobytes] = fields[..] else { anyhow::bail!("/usr/bin/time said {spent:?}") };
    runs.seconds.push(seconds);
    runs.cpu.push(user + system);
    runs.memory.push(kilobytes / 1e3);
    let lines = std::fs::read(stdout)?.iter().filter(|byte| **byte == b'\n').count() as u64;
    runs.done = peer.tool.done(directory.path(), lines);
    Ok(())
}

fn summary(tool: &Tool, job: &Job<'_>, runs: Runs) -> Measured {
    let (file, work) = if tool.slow { ("BEGINNING", job.beginning_work) } else { ("FILE", job.work) };
    let arguments = tool.arguments(Path::new(file), Path::new("DIR"));
    Measured {
        name: tool.name,
        command: format!("{} {}", tool.program, arguments.join(" ")),
        packets: work.frames,
        seconds: median(runs.seconds),
        cpu_seconds: median(runs.cpu),
        memory_mb: median(runs.memory),
        done: runs.done,
    }
}
