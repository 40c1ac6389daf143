//! Builds the XDP programs, and proves that the committed objects are what their source builds.
//!
//! The objects are committed so that padtap builds with stable Rust alone. They are compared by what the kernel gets to
//! see: instructions, relocations, maps and constants.

mod object;
mod sources;
pub mod toolchain;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context as _, Result, bail, ensure};

use self::object::Contents;
use self::toolchain::Toolchain;

/// The programs: the one that captures, and the one that sends in benchmarks.
const PROGRAMS: &[&str] = &["padtap", "traffic"];

/// Where a program's object is committed, from the root of the workspace.
fn object_of(program: &str) -> String {
    format!("capture-user/bpf/{program}.bpf.o")
}

/// Arguments of `cargo xtask bpf`.
#[derive(clap::Args)]
pub struct Args {
    /// Write nothing: rebuild elsewhere, compare with the committed objects, and fail if they differ.
    #[arg(long)]
    check: bool,
}

/// Runs the command.
///
/// # Errors
/// Where a program cannot be built, or with `--check` where a committed object is not what the source builds.
pub fn run(args: &Args) -> Result<()> {
    let root = root()?;
    if args.check { check(&root) } else { write(&root) }
}

fn write(root: &Path) -> Result<()> {
    let target = root.join("target/bpf");
    build(&Toolchain::set_up(root)?, root, &target)?;
    for program in PROGRAMS {
        let (built, object) = (read(root, &target, program)?, object_of(program));
        fs::create_dir_all(root.join(&object).parent().unwrap_or(root))?;
        fs::write(root.join(&object), &built).with_context(|| format!("cannot write {object}"))?;
        println!("{object}: {} bytes, {}", built.len(), Contents::read(&built)?);
    }
    sources::record(root)
}

fn check(root: &Path) -> Result<()> {
    let toolchain = match Toolchain::set_up(root) {
        Ok(toolchain) => toolchain,
        Err(error) => return check_sources(root, &error),
    };
    let elsewhere = tempfile::tempdir()?;
    build(&toolchain, root, elsewhere.path())?;
    for program in PROGRAMS {
        compare(&object_of(program), root, &read(root, elsewhere.path(), program)?)?;
    }
    sources::check(root)
        .context("the objects are right, but the hashes of their sources are old: run `cargo xtask bpf`")
}

fn compare(object: &str, root: &Path, built: &[u8]) -> Result<()> {
    let committed = fs::read(root.join(object)).with_context(|| format!("cannot read {object}"))?;
    let (committed, built) = (Contents::read(&committed).context(object.to_owned())?, Contents::read(built)?);
    let differences = committed.differences(&built);
    ensure!(
        differences.is_empty(),
        "{object} is not what capture-ebpf builds; run `cargo xtask bpf` and commit the result\n  {}",
        differences.join("\n  ")
    );
    println!("{object} is what capture-ebpf builds: {built}");
    Ok(())
}

/// All that can be said where the programs cannot be built.
fn check_sources(root: &Path, error: &anyhow::Error) -> Result<()> {
    eprintln!("WARNING: the XDP programs were NOT rebuilt, because their toolchain cannot be had here:");
    eprintln!("WARNING:   {error:#}");
    eprintln!("WARNING: only the recorded hashes of their sources and objects are checked.");
    sources::check(root).context("run `cargo xtask bpf` where their toolchain can be had")?;
    println!("the hashes are those that were recorded when the objects were built");
    Ok(())
}

/// Builds the programs into `target`.
fn build(toolchain: &Toolchain, root: &Path, target: &Path) -> Result<()> {
    let status = toolchain
        .cargo()
        .args(["build", "--quiet", "--release", "--locked", "--target-dir"])
        .arg(target)
        .current_dir(root.join("capture-ebpf"))
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "capture-ebpf does not build");
    Ok(())
}

/// A program as it was built into `target`.
fn read(root: &Path, target: &Path, program: &str) -> Result<Vec<u8>> {
    let path = target.join("bpfel-unknown-none/release").join(program);
    let object = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    forbid_paths(root, &object)?;
    Ok(object)
}

/// Refuses an object that names a directory of this machine: it would not be the same elsewhere.
fn forbid_paths(root: &Path, object: &[u8]) -> Result<()> {
    let home = env::var_os("HOME").map(PathBuf::from);
    for directory in [Some(root.to_path_buf()), home].into_iter().flatten().filter(|path| path.parent().is_some()) {
        let name = directory.as_os_str().as_encoded_bytes();
        if object.windows(name.len()).any(|window| window == name) {
            bail!("the object names the directory {} of this machine", directory.display());
        }
    }
    Ok(())
}

/// The root of the workspace.
pub fn root() -> Result<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(manifest.parent().context("xtask is not in a workspace")?.to_path_buf())
}

/// Runs a command that sets something up, showing it first.
pub fn run_visibly(command: &mut Command) -> Result<()> {
    eprintln!("+ {command:?}");
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(status.success(), "{command:?} failed ({status})");
    Ok(())
}
