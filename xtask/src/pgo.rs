//! Profile-guided optimisation: padtap built by what it was seen to do.
//!
//! A first build counts which way each branch goes while it reads what `cargo xtask peers` measures with; the second lays
//! its code out by that.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::bpf::{root, run_visibly};
use crate::peers::work::{Captures, Order, Share};
use crate::run;

/// MB of work, in each order: every kind of flow is in it many times.
const SIZE: u64 = 20;

/// Builds it, and says where it is.
///
/// # Errors
/// Where a tool is missing, or a build or a run failed.
pub fn build() -> Result<()> {
    let merger = profdata()?;
    let directory = root()?.join("target/pgo");
    let (seen, profile) = (directory.join("seen"), directory.join("padtap.profdata"));
    let counting = padtap(&directory.join("counting"), &format!("-Cprofile-generate={}", seen.display()))?;
    let captures = Captures::load(&counting, Share::All)?;
    // Of loading them nothing is to be learned.
    fs::remove_dir_all(&seen)?;
    for order in [Order::Interleaved, Order::Sequential] {
        let work = tempfile::tempdir()?;
        let (file, out) = (work.path().join("work.pcap"), work.path().join("out"));
        captures.write(&file, SIZE * 1_000_000, order)?;
        let options = ["read", "--workers", "0", "--quiet", "--output"];
        run_visibly(Command::new(&counting).args(options).args([&out, &file]))?;
    }
    run_visibly(Command::new(&merger).arg("merge").arg("--output").args([&profile, &seen]))?;
    let tuned = padtap(&directory.join("tuned"), &format!("-Cprofile-use={}", profile.display()))?;
    println!("{}", tuned.display());
    Ok(())
}

fn padtap(target: &Path, flags: &str) -> Result<PathBuf> {
    let arguments = ["build", "--release", "--package", "capture-user", "--bin", "padtap", "--target-dir"];
    run_visibly(Command::new(env!("CARGO")).args(arguments).arg(target).env("RUSTFLAGS", flags))?;
    Ok(target.join("release/padtap"))
}

/// The compiler's own `llvm-profdata`: profiles are of its version.
fn profdata() -> Result<PathBuf> {
    let (libraries, _) = run::output(Command::new("rustc").args(["--print", "target-libdir"]))?;
    let merger = Path::new(libraries.trim()).with_file_name("bin").join("llvm-profdata");
    if !merger.exists() {
        run_visibly(Command::new("rustup").args(["component", "add", "llvm-tools"])).context(
            "the compiler's llvm-tools are missing; without rustup they come from where the compiler came from",
        )?;
    }
    ensure!(merger.exists(), "{} is not there", merger.display());
    Ok(merger)
}
