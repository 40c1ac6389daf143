//! Fuzzing: every target from its committed seeds, for a given time in all.
//!
//! A target is a file in `fuzz/fuzz_targets`; `conversation` is one for each protocol that has a folder of seeds.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use std::{env, fs};

use anyhow::{Context as _, Result, bail, ensure};

use crate::bpf::{root, run_visibly, toolchain};

const CARGO_FUZZ: &str = "0.13.2";
/// The target that is one for each protocol.
const CONVERSATION: &str = "conversation";
/// The variable that tells it which.
const PROTOCOL: &str = "PADTAP_PROTOCOL";
/// Seconds that one input may take.
const PATIENCE: u32 = 10;
/// MiB that a target may take: its caps are far below, the sanitizer's own bookkeeping is not.
const MEMORY: u32 = 1_024;

/// Arguments of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub struct Args {
    /// Seconds to fuzz in all, shared among the targets; each gets one at least.
    #[arg(long, value_name = "N")]
    seconds: u64,
    /// Fuzz this target only: a file in fuzz/fuzz_targets, or conversation/PROTOCOL.
    #[arg(long, value_name = "NAME")]
    target: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// Where the targets cannot be built, or one of them found something.
pub fn run(args: &Args) -> Result<()> {
    let root = root()?;
    let targets = chosen(targets(&root.join("fuzz"))?, args.target.as_deref())?;
    let cargo = Cargo::set_up(&root)?;
    let binaries = cargo.build(&targets)?;
    let share = (args.seconds / targets.len() as u64).max(1);
    let mut findings = Vec::new();
    println!("{:<30} {:>7} {:>12} {:>7} {:>8}", "target", "seconds", "inputs", "edges", "features");
    for target in &targets {
        let outcome = target.fuzz(&root, &binaries, share)?;
        println!("{:<30} {}", target.name, outcome.line());
        if !outcome.success {
            findings.push(target.describe(&outcome, cargo.channel));
        }
    }
    ensure!(findings.is_empty(), "{} of {} targets failed\n{}", findings.len(), targets.len(), findings.join("\n"));
    Ok(())
}

/// One thing to fuzz.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Target {
    /// Also its folder of seeds.
    name: String,
    binary: String,
    /// For [`CONVERSATION`].
    protocol: Option<String>,
}

fn targets(fuzz: &Path) -> Result<BTreeSet<Target>> {
    let mut targets = BTreeSet::new();
    for binary in names(&fuzz.join("fuzz_targets"))? {
        let binary = binary.trim_end_matches(".rs").to_owned();
        if binary != CONVERSATION {
            targets.insert(Target { name: binary.clone(), binary, protocol: None });
            continue;
        }
        for protocol in names(&fuzz.join("seeds").join(CONVERSATION))? {
            let name = format!("{CONVERSATION}/{protocol}");
            targets.insert(Target { name, binary: binary.clone(), protocol: Some(protocol) });
        }
    }
    Ok(targets)
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

fn chosen(all: BTreeSet<Target>, wanted: Option<&str>) -> Result<BTreeSet<Target>> {
    let Some(wanted) = wanted else { return Ok(all) };
    let is_wanted = |target: &&Target| target.name == wanted || target.binary == wanted;
    let chosen: BTreeSet<_> = all.iter().filter(is_wanted).cloned().collect();
    if chosen.is_empty() {
        let names: Vec<_> = all.iter().map(|target| target.name.as_str()).collect();
        bail!("no target {wanted}; there are {}", names.join(", "));
    }
    Ok(chosen)
}

/// The nightly that sanitizers need, and cargo-fuzz.
struct Cargo {
    channel: &'static str,
    root: PathBuf,
    path: OsString,
}

impl Cargo {
    /// Finds both, and installs what is missing.
    fn set_up(root: &Path) -> Result<Self> {
        let channel = toolchain::find_or_install_channel()?;
        let own = root.join("target/cargo-fuzz");
        let folders = env::var_os("PATH").unwrap_or_default();
        let path = env::join_paths(env::split_paths(&folders).chain([own.join("bin")]))?;
        let cargo = Self { channel, root: root.to_owned(), path };
        let version = cargo.command().args(["fuzz", "--version"]).output().context("cannot run rustup")?;
        if !version.status.success() {
            let install = ["install", "cargo-fuzz", "--version", CARGO_FUZZ, "--locked", "--root"];
            run_visibly(cargo.command().args(install).arg(&own))?;
        }
        Ok(cargo)
    }

    fn command(&self) -> Command {
        let mut cargo = toolchain::cargo(self.channel);
        cargo.env("PATH", &self.path).current_dir(&self.root);
        cargo
    }

    /// Builds what the targets need; the folder of the binaries.
    fn build(&self, targets: &BTreeSet<Target>) -> Result<PathBuf> {
        let host = toolchain::host(self.channel).context("the toolchain has no rustc")?;
        let binaries: BTreeSet<&str> = targets.iter().map(|target| target.binary.as_str()).collect();
        // Without a name cargo-fuzz builds all of them.
        let only = binaries.first().filter(|_| binaries.len() == 1);
        run_visibly(self.command().args(["fuzz", "build", "--target", &host]).args(only))?;
        Ok(self.root.join("fuzz/target").join(host).join("release"))
    }
}

impl Target {
    fn fuzz(&self, root: &Path, binaries: &Path, seconds: u64) -> Result<Outcome> {
        let folder = |kind: &str| Path::new("fuzz").join(kind).join(&self.name);
        let (corpus, seeds, artifacts) = (folder("corpus"), folder("seeds"), folder("artifacts"));
        for folder in [&corpus, &artifacts] {
            fs::create_dir_all(root.join(folder))?;
        }
        let mut command = Command::new(binaries.join(&self.binary));
        command.args([&corpus, &seeds]).current_dir(root);
        command.args([
            format!("-max_total_time={seconds}"),
            format!("-timeout={PATIENCE}"),
            format!("-rss_limit_mb={MEMORY}"),
            format!("-artifact_prefix={}/", artifacts.display()),
            "-print_final_stats=1".to_owned(),
            // Their names would be looked up one by one, which costs more than the fuzzing.
            "-print_funcs=0".to_owned(),
        ]);
        command.envs(self.protocol.iter().map(|protocol| (PROTOCOL, protocol)));
        let before = Instant::now();
        let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
        Ok(Outcome::read(output.status.success(), &String::from_utf8_lossy(&output.stderr), before.elapsed()))
    }

    /// What was found, and how to see it again.
    fn describe(&self, outcome: &Outcome, channel: &str) -> String {
        let Some(input) = &outcome.input else {
            return format!("{}: it failed without an input\n{}", self.name, outcome.end);
        };
        let protocol = self.protocol.iter().map(|protocol| format!("{PROTOCOL}={protocol} ")).collect::<String>();
        let Self { name, binary, .. } = self;
        format!("{name}: {input}\n{}\n  {protocol}cargo +{channel} fuzz run {binary} {input}", outcome.end)
    }
}

/// What a target did.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    success: bool,
    took: Duration,
    inputs: u64,
    edges: u64,
    features: u64,
    /// The input that it failed on, from the root of the workspace.
    input: Option<String>,
    /// Its message, and the last it said.
    end: String,
}

impl Outcome {
    /// Reads what libFuzzer wrote.
    fn read(success: bool, log: &str, took: Duration) -> Self {
        let last = |label: &str| log.lines().rev().find_map(|line| number_after(line, label)).unwrap_or(0);
        let input = log.lines().find_map(|line| line.split_once("Test unit written to ")).map(|(_, path)| path.trim());
        Self {
            success,
            took,
            inputs: last("stat::number_of_executed_units:"),
            edges: last(" cov:"),
            features: last(" ft:"),
            input: input.map(str::to_owned),
            end: if success { String::new() } else { why(log) },
        }
    }

    fn line(&self) -> String {
        let Self { took, inputs, edges, features, .. } = self;
        let seconds = took.as_secs();
        format!("{seconds:>7} {inputs:>12} {edges:>7} {features:>8}{}", if self.success { "" } else { "  FAILED" })
    }
}

fn number_after(line: &str, label: &str) -> Option<u64> {
    line.split_once(label)?.1.split_whitespace().next()?.parse().ok()
}

/// The panic, or what libFuzzer or the sanitizer call it.
fn why(log: &str) -> String {
    let panic = log.lines().skip_while(|line| !line.contains(" panicked at "));
    let panic = panic.take_while(|line| !line.starts_with("stack backtrace:")).take(5);
    let error = log.lines().filter(|line| line.contains("ERROR: "));
    panic.chain(error).map(|line| format!("  {}", line.trim_end())).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
#2\tINITED cov: 11 ft: 12 corp: 1/1b exec/s: 0 rss: 30Mb
#99\tNEW    cov: 21 ft: 32 corp: 2/3b exec/s: 0 rss: 31Mb
thread '<unnamed>' (7) panicked at src/lib.rs:5:9:
index out of bounds
==7== ERROR: libFuzzer: deadly signal
artifact_prefix='fuzz/artifacts/walk/'; Test unit written to fuzz/artifacts/walk/crash-00
stat::number_of_executed_units: 123
";

    #[test]
    fn a_log_gives_counts_input_and_reason() {
        let outcome = Outcome::read(false, LOG, Duration::from_secs(3));
        assert_eq!((outcome.inputs, outcome.edges, outcome.features), (123, 21, 32));
        let target =
            Target { name: "conversation/dns".into(), binary: CONVERSATION.into(), protocol: Some("dns".into()) };
        let words = target.describe(&outcome, "nightly");
        for wanted in [
            "panicked at src/lib.rs:5:9",
            "index out of bounds",
            "deadly signal",
            "PADTAP_PROTOCOL=dns cargo +nightly fuzz run conversation fuzz/artifacts/walk/crash-00",
        ] {
            assert!(words.contains(wanted), "{words}");
        }
    }

    #[test]
    fn every_target_is_built_and_has_seeds() {
        let fuzz = root().expect("a workspace").join("fuzz");
        let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).expect("a manifest");
        let all = targets(&fuzz).expect("targets");
        for Target { name, binary, .. } in &all {
            assert!(
                manifest.contains(&format!("path = \"fuzz_targets/{binary}.rs\"")),
                "{binary} is not in Cargo.toml"
            );
            assert!(!names(&fuzz.join("seeds").join(name)).expect("a folder of seeds").is_empty(), "{name}");
        }
        assert_eq!(chosen(all.clone(), Some("walk")).expect("one").len(), 1);
        assert!(chosen(all.clone(), Some(CONVERSATION)).expect("many").len() > 20);
        assert!(chosen(all, Some("nothing")).is_err());
    }
}
