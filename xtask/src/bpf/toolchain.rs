//! The pinned nightly with rust-src, and bpf-linker with LLVM 22: found where they are, set up where they are not.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::run_visibly;
use crate::debian;

/// The channel that capture-ebpf/rust-toolchain.toml pins, and the commit that rustc was built from.
const CHANNEL: &str = "nightly-2026-05-20";
const COMMIT: &str = "e50aa6fba4e63ab34c72bf9acfd2c307c1155d1a";

/// bpf-linker must be built with the LLVM version of the pinned rustc, because it reads that rustc's bitcode.
const LINKER: &str = "0.13.0";
const LLVM: &str = "22";

/// What builds the XDP program.
pub struct Toolchain {
    channel: &'static str,
    linker: PathBuf,
}

impl Toolchain {
    /// Finds what is installed and installs what is missing.
    pub fn set_up(root: &Path) -> Result<Self> {
        let channel = find_or_install_channel()?;
        add_rust_src(channel)?;
        Ok(Self { channel, linker: find_or_install_linker(root)? })
    }

    /// The pinned cargo, set to build the program as everybody builds it.
    pub fn cargo(&self) -> Command {
        let mut cargo = cargo(self.channel);
        cargo.env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &self.linker);
        cargo
    }
}

/// A toolchain's cargo, without what `cargo xtask` and the user's shell set for the workspace.
pub fn cargo(channel: &str) -> Command {
    let mut cargo = Command::new("rustup");
    cargo.args(["run", channel, "cargo"]);
    for name in ["CARGO", "RUSTC", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET", "RUSTUP_TOOLCHAIN"] {
        cargo.env_remove(name);
    }
    cargo
}

/// The pinned nightly, installed if it is missing.
pub fn find_or_install_channel() -> Result<&'static str> {
    if let Some(channel) = [CHANNEL, "nightly"].into_iter().find(|channel| commit(channel).as_deref() == Some(COMMIT)) {
        return Ok(channel);
    }
    run_visibly(Command::new("rustup").args(["toolchain", "install", CHANNEL, "--profile", "minimal"]))?;
    Ok(CHANNEL)
}

/// The commit of an installed toolchain.
fn commit(channel: &str) -> Option<String> {
    version(channel, "commit-hash: ")
}

/// The target that an installed toolchain builds for unless told otherwise.
pub fn host(channel: &str) -> Option<String> {
    version(channel, "host: ")
}

/// What a toolchain's compiler says of itself behind `label`.
fn version(channel: &str, label: &str) -> Option<String> {
    // `rustup run` would install what is missing; `rustup which` does not.
    let rustc = output(Command::new("rustup").args(["which", "rustc", "--toolchain", channel]))?;
    let version = output(Command::new(rustc.trim()).arg("-vV"))?;
    version.lines().find_map(|line| line.strip_prefix(label)).map(str::to_owned)
}

fn add_rust_src(channel: &str) -> Result<()> {
    let rustc = output(Command::new("rustup").args(["which", "rustc", "--toolchain", channel]))
        .context("the toolchain has no rustc")?;
    let sysroot = Path::new(rustc.trim()).ancestors().nth(2).context("the toolchain has no sysroot")?;
    if sysroot.join("lib/rustlib/src/rust/library/core/Cargo.toml").exists() {
        return Ok(());
    }
    run_visibly(Command::new("rustup").args(["component", "add", "rust-src", "--toolchain", channel]))
}

fn find_or_install_linker(root: &Path) -> Result<PathBuf> {
    let own = root.join("target/bpf-linker");
    let found = [PathBuf::from("bpf-linker"), own.join("bin/bpf-linker")].into_iter().find(|linker| {
        output(Command::new(linker).arg("--version")).is_some_and(|version| version.trim().ends_with(LINKER))
    });
    if let Some(linker) = found {
        return Ok(linker);
    }
    let llvm = find_or_install_llvm()?;
    run_visibly(
        Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            // What takes time in it is LLVM, which comes built; so it is not worth optimising.
            .args([
                "install",
                "--debug",
                "bpf-linker",
                "--version",
                LINKER,
                "--locked",
                "--no-default-features",
                "--features",
            ])
            .arg(format!("llvm-{LLVM}"))
            .arg("--root")
            .arg(&own)
            .env("LLVM_PREFIX", llvm),
    )?;
    Ok(own.join("bin/bpf-linker"))
}

/// Debian's LLVM.
fn find_or_install_llvm() -> Result<PathBuf> {
    let prefix = PathBuf::from(format!("/usr/lib/llvm-{LLVM}"));
    let library = prefix.join("include/llvm-c/Core.h");
    if !library.exists() {
        let package = format!("llvm-{LLVM}-dev");
        debian::install(&[&package]).context("bpf-linker needs LLVM")?;
    }
    if !library.exists() {
        bail!("LLVM {LLVM} is not in {}", prefix.display());
    }
    Ok(prefix)
}

/// What a command prints, where it can be run and succeeds.
fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pin_is_that_of_the_program() {
        let pin = include_str!("../../../capture-ebpf/rust-toolchain.toml");
        assert!(pin.contains(&format!("channel = \"{CHANNEL}\"")) && pin.contains(&COMMIT[..9]));
    }
}
