//! Writes the fixtures: captures of invented sessions with what is true of them. The same seed gives the same bytes, so a
//! fixture is its generator's output and nothing else, and `--check` proves it.

mod account;
mod capture;
mod cases;
mod lan;
mod negatives;
mod overwatch;
mod random;
mod scene;
mod shoot;
mod sip;
mod tcp;
mod tls;
mod truth;
mod voice;
mod wire;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use flate2::read::GzDecoder;

use crate::live;

/// Where fixtures are, from the root of the workspace.
const FOLDER: &str = "fixtures";

/// Arguments of `cargo xtask fixtures`.
#[derive(clap::Args)]
pub struct Args {
    /// Write nothing: make the fixtures anew, compare them with the committed ones, and fail if they differ.
    #[arg(long)]
    check: bool,
    /// Record the cases of real software anew, instead: in network namespaces, as root.
    #[arg(long, conflicts_with = "check")]
    live: bool,
}

/// The files of a case, by name.
type Files = BTreeMap<&'static str, Vec<u8>>;

/// Runs the command.
///
/// # Errors
/// Where a fixture cannot be made or written, or with `--check` where a committed one is not what is made.
pub fn run(args: &Args) -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask is not in a workspace")?.join(FOLDER);
    match (args.live, args.check) {
        (true, _) => live::record(&root),
        (false, true) => check(&root),
        (false, false) => write(&root),
    }
}

fn write(root: &Path) -> Result<()> {
    for case in cases::all() {
        let folder = root.join(case.name);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(&folder)?;
        for (name, bytes) in case.files()? {
            fs::write(folder.join(name), &bytes).with_context(|| format!("cannot write {}/{name}", case.name))?;
            println!("{}/{name}: {} bytes", case.name, bytes.len());
        }
    }
    Ok(())
}

fn check(root: &Path) -> Result<()> {
    let mut differences = Vec::new();
    for case in cases::all() {
        differences
            .extend(compare(&root.join(case.name), &case.files()?)?.iter().map(|name| format!("{}/{name}", case.name)));
    }
    ensure!(differences.is_empty(), "these are not what `cargo xtask fixtures` makes: {}", differences.join(", "));
    println!("every fixture is what `cargo xtask fixtures` makes");
    Ok(())
}

/// Names of the files that are not as they should be: different, missing, or not of the case.
fn compare(folder: &Path, files: &Files) -> Result<Vec<String>> {
    let mut differences = Vec::new();
    for (name, bytes) in files {
        let committed = fs::read(folder.join(name)).unwrap_or_default();
        if contents(name, &committed) != contents(name, bytes) {
            differences.push((*name).to_owned());
        }
    }
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if !files.contains_key(name.as_str()) {
            differences.push(name);
        }
    }
    Ok(differences)
}

/// What a file holds. Of a compressed one that is what was compressed, since a newer compressor may pack it otherwise.
fn contents(name: &str, bytes: &[u8]) -> Option<Vec<u8>> {
    if !name.ends_with(".gz") {
        return Some(bytes.to_vec());
    }
    let mut contents = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut contents).ok()?;
    Some(contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_fixtures_are_what_is_made() {
        run(&Args { check: true, live: false }).unwrap();
    }

    #[test]
    fn a_changed_a_missing_and_a_strange_file_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let packed = capture::gzip(b"same").unwrap();
        let files = Files::from([("a", vec![1]), ("b", vec![2]), ("c.gz", packed.clone()), ("d", vec![4])]);
        for (name, bytes) in [("a", &[1][..]), ("b", &[3]), ("c.gz", &packed), ("e", &[5])] {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
        let mut differences = compare(folder.path(), &files).unwrap();
        differences.sort();
        assert_eq!(differences, ["b", "d", "e"]);
    }
}
