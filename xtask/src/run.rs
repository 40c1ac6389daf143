//! Running programs and reading what they say.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, ensure};

/// Builds padtap as it is shipped, and says where it is.
pub fn padtap() -> anyhow::Result<PathBuf> {
    built(&["--release", "--package", "capture-user", "--bin", "padtap"], "release/padtap")
}

/// Builds padtap as the tests run it, together with them, and says where it is: what is built with other packages has
/// other features of their dependencies, and would be built once more.
pub fn tested_padtap() -> anyhow::Result<PathBuf> {
    built(&["--workspace", "--lib", "--bins", "--tests"], "debug/padtap")
}

fn built(arguments: &[&str], binary: &str) -> anyhow::Result<PathBuf> {
    let status = Command::new(env!("CARGO")).arg("build").args(arguments).status().context("cargo build")?;
    ensure!(status.success(), "padtap does not build");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    Ok(target.join(binary))
}

/// Runs a command to its end; its standard output and its standard error.
pub fn output(command: &mut Command) -> anyhow::Result<(String, String)> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| name.clone())?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{name}: {}", said.trim());
    Ok((String::from_utf8_lossy(&output.stdout).into_owned(), said))
}

/// The middle one.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
