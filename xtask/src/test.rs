//! All tests, with the peers that they are compared with.

use std::process::Command;

use anyhow::{Context, ensure};

/// Programs that tests run, and the Debian packages they come from.
const PEERS: &[(&str, &str)] = &[
    ("capinfos", "wireshark-common"),
    ("ethtool", "ethtool"),
    ("ip", "iproute2"),
    ("openssl", "openssl"),
    ("setpriv", "util-linux"),
    ("tcpdump", "tcpdump"),
    ("tcpreplay", "tcpreplay"),
    ("tshark", "tshark"),
];

/// Runs every test of the workspace. Peers that are missing are installed from Debian, where that is allowed; without
/// them the tests that need them skip and say so.
pub fn run() -> anyhow::Result<()> {
    install(&missing());
    // The binary first: tests run it.
    cargo(&["build", "--package", "capture-user", "--bin", "padtap"])?;
    cargo(&["test", "--workspace"])
}

fn missing() -> Vec<&'static str> {
    PEERS.iter().filter(|(program, _)| !is_there(program)).map(|(_, package)| *package).collect()
}

/// Whether a program is on the path, or where administrators have theirs.
fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let beyond = ["/usr/sbin", "/sbin"].map(std::path::PathBuf::from);
    std::env::split_paths(&path).chain(beyond).any(|directory| directory.join(program).is_file())
}

fn install(packages: &[&str]) {
    if packages.is_empty() {
        return;
    }
    eprintln!("xtask: installing {}", packages.join(" "));
    let apt = |arguments: &[&str]| {
        let status = Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive").status();
        status.is_ok_and(|status| status.success())
    };
    let arguments = [&["install", "--yes", "--no-install-recommends"], packages].concat();
    if !(apt(&["update"]) && apt(&arguments)) {
        eprintln!("xtask: could not install them; tests that need them skip, and say so");
    }
}

fn cargo(arguments: &[&str]) -> anyhow::Result<()> {
    let status = Command::new(env!("CARGO")).args(arguments).status().context("cargo")?;
    ensure!(status.success(), "cargo {} failed", arguments.join(" "));
    Ok(())
}
