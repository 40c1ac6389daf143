//! Builds the XDP program, and proves that the committed object is what its source builds.
//!
//! The object is committed so that padtap builds with stable Rust alone. It is compared by what the kernel gets to see:
//! instructions, relocations, maps and constants.

mod object;
mod sources;
pub mod toolchain;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context as _, Result, bail, ensure};

use self::object::Contents;
use self::toolchain::Toolchain;

/// The committed object, from the root of the workspace.
const OBJECT: &str = "capture-user/bpf/padtap.bpf.o";

/// Arguments of `cargo xtask bpf`.
#[derive(clap::Args)]
pub struct Args {
    /// Write nothing: rebuild elsewhere, compare with the committed object, and fail if they differ.
    #[arg(long)]
    check: bool,
}

/// Runs the command.
///
/// # Errors
/// Where the program cannot be built, or with `--check` where the committed object is not what the source builds.
pub fn run(args: &Args) -> Result<()> {
    let root = root()?;
    if args.check { check(&root) } else { write(&root) }
}

fn write(root: &Path) -> Result<()> {
    let built = build(&Toolchain::set_up(root)?, root, &root.join("target/bpf"))?;
    let contents = Contents::read(&built)?;
    fs::create_dir_all(root.join(OBJECT).parent().unwrap_or(root))?;
    fs::write(root.join(OBJECT), &built).with_context(|| format!("cannot write {OBJECT}"))?;
    sources::record(root)?;
    println!("{OBJECT}: {} bytes, {contents}", built.len());
    Ok(())
}

fn check(root: &Path) -> Result<()> {
    let toolchain = match Toolchain::set_up(root) {
        Ok(toolchain) => toolchain,
        Err(error) => return check_sources(root, &error),
    };
    let elsewhere = tempfile::tempdir()?;
    let committed = fs::read(root.join(OBJECT)).with_context(|| format!("cannot read {OBJECT}"))?;
    let built = build(&toolchain, root, elsewhere.path())?;
    let (committed, built) = (Contents::read(&committed).context(OBJECT)?, Contents::read(&built)?);
    let differences = committed.differences(&built);
    ensure!(
        differences.is_empty(),
        "{OBJECT} is not what capture-ebpf builds; run `cargo xtask bpf` and commit the result\n  {}",
        differences.join("\n  ")
    );
    sources::check(root)
        .context("the object is right, but the hashes of its sources are old: run `cargo xtask bpf`")?;
    println!("{OBJECT} is what capture-ebpf builds: {built}");
    Ok(())
}

/// All that can be said where the program cannot be built.
fn check_sources(root: &Path, error: &anyhow::Error) -> Result<()> {
    eprintln!("WARNING: the XDP program was NOT rebuilt, because its toolchain cannot be had here:");
    eprintln!("WARNING:   {error:#}");
    eprintln!("WARNING: only the recorded hashes of its sources and of {OBJECT} are checked.");
    sources::check(root).context("run `cargo xtask bpf` where its toolchain can be had")?;
    println!("the hashes are those that were recorded when {OBJECT} was built");
    Ok(())
}

/// Builds the program into `target` and gives the object.
fn build(toolchain: &Toolchain, root: &Path, target: &Path) -> Result<Vec<u8>> {
    let status = toolchain
        .cargo()
        .args(["build", "--quiet", "--release", "--locked", "--target-dir"])
        .arg(target)
        .current_dir(root.join("capture-ebpf"))
        .status()
        .context("cannot run cargo")?;
    ensure!(status.success(), "capture-ebpf does not build");
    let path = target.join("bpfel-unknown-none/release/padtap");
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
