//! All tests, with the peers that they are compared with.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use crate::{debian, pypi, run, suricata};

/// Programs that tests run, and the Debian packages they come from.
const PEERS: &[(&str, &str)] = &[
    ("capinfos", "wireshark-common"),
    ("ethtool", "ethtool"),
    ("ip", "iproute2"),
    ("nats-server", "nats-server"),
    ("nfcapd", "nfdump"),
    ("openssl", "openssl"),
    ("promtool", "prometheus"),
    ("python3", "python3"),
    ("setpriv", "util-linux"),
    ("socat", "socat"),
    ("tcpdump", "tcpdump"),
    ("tcpreplay", "tcpreplay"),
    ("tshark", "tshark"),
    ("unshare", "util-linux"),
    ("zstd", "zstd"),
];

/// Python packages that tests run, as pip names them, each at the version it was tested with.
const PACKAGES: &[&str] = &[
    "communityid==1.5.0",
    "distributed==2026.8.0",
    "duckdb==2.0.1",
    "hdrhistogram==0.10.8",
    "polars==2.1.0",
    "pyarrow==26.0.1",
];

/// Runs every test of the workspace. Peers that are missing are installed from Debian, where that is allowed; without
/// them the tests that need them skip and say so.
pub fn all() -> anyhow::Result<()> {
    let missing = PEERS.iter().filter(|(program, _)| !debian::has(program)).map(|(_, package)| *package);
    install(&missing.collect::<Vec<_>>());
    let python = pypi::prepare(PACKAGES, || install(&["python3-venv"]));
    let padtap = run::tested_padtap()?.canonicalize()?;
    let witnesses = [("PADTAP_PYPI", python), ("PADTAP_BINARY", padtap)];
    let witnesses = suricata::prepare().into_iter().chain(witnesses).collect();
    let mut sum = Sum { witnesses, ..Sum::default() };
    let examples = sum.add_run(&["test", "--workspace", "--no-fail-fast", "--doc"])?;
    let tests = sum.add_run(&["test", "--workspace", "--no-fail-fast", "--lib", "--bins", "--tests"])?;
    println!("{} passed, {} failed, {} skipped", sum.passed, sum.failed, sum.ignored);
    ensure!(examples && tests, "cargo test failed");
    Ok(())
}

fn install(packages: &[&str]) {
    if let Err(error) = debian::install(packages) {
        eprintln!("xtask: {error:#}; tests that need them skip, and say so");
    }
}

/// What the test runners of all binaries said at their end.
#[derive(Default)]
struct Sum {
    /// Where the tests find what they run and compare with: variables of their environment.
    witnesses: Vec<(&'static str, PathBuf)>,
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Sum {
    /// Runs cargo, passes on what it prints and adds up the results; whether it succeeded.
    fn add_run(&mut self, arguments: &[&str]) -> anyhow::Result<bool> {
        let mut child = Command::new(env!("CARGO"))
            .args(arguments)
            .envs(self.witnesses.iter().map(|(variable, path)| (variable, path)))
            .stdout(Stdio::piped())
            .spawn()
            .context("cargo")?;
        for line in BufReader::new(child.stdout.take().context("its output")?).lines() {
            let line = line?;
            println!("{line}");
            self.add(&line);
        }
        Ok(child.wait()?.success())
    }

    /// `test result: ok. 5 passed; 0 failed; 1 ignored; …`
    fn add(&mut self, line: &str) {
        let Some(result) = line.strip_prefix("test result: ") else { return };
        for part in result.split(['.', ';']) {
            match part.trim().split_once(' ').map(|(count, what)| (count.parse().unwrap_or(0), what)) {
                Some((count, "passed")) => self.passed += count,
                Some((count, "failed")) => self.failed += count,
                Some((count, "ignored")) => self.ignored += count,
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_results_of_all_binaries_add_up() {
        let mut sum = Sum::default();
        for line in [
            "test result: ok. 21 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.20s",
            "test one ... ok",
            "test result: FAILED. 5 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 38.27s",
        ] {
            sum.add(line);
        }
        assert_eq!((sum.passed, sum.failed, sum.ignored), (26, 1, 2));
    }
}
