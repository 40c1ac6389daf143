//! Debian's packages: what chores need of them, installed where that is allowed.

mod elsewhere;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

pub use self::elsewhere::{Elsewhere, Mirror};

/// Whether a program is on the path, or where administrators have theirs.
pub fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let beyond = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(beyond).any(|directory| directory.join(program).is_file())
}

/// Installs packages; a new machine has no list of them yet, so that is fetched first.
///
/// # Errors
/// What could not be installed, and the command to do it by hand.
pub fn install(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    eprintln!("xtask: installing {list}");
    let by_hand = || format!("{list}: not installed; as root on Debian: apt-get update && apt-get install {list}");
    apt_get(&["update"]).with_context(by_hand)?;
    apt_get(&[&["install", "--yes", "--no-install-recommends"], packages].concat()).with_context(by_hand)
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    // Another process may be installing something: wait for it.
    command.args(["-o", "DPkg::Lock::Timeout=120"]).args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    let status = command.status().context("apt-get")?;
    ensure!(status.success(), "apt-get {} failed ({status})", arguments.join(" "));
    Ok(())
}
