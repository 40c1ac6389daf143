//! The hashes of the programs' sources and of the objects built from them, in the format of sha256sum.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};

const RECORD: &str = "capture-user/bpf/SHA256SUMS";

/// Where the sources are. Tests are not among them: they have files of their own, or do not change what is built.
const SOURCES: &[&str] = &[
    "capture-common/Cargo.toml",
    "capture-common/src",
    "capture-ebpf/.cargo/config.toml",
    "capture-ebpf/Cargo.lock",
    "capture-ebpf/Cargo.toml",
    "capture-ebpf/rust-toolchain.toml",
    "capture-ebpf/src",
    "capture-user/bpf/padtap.bpf.o",
    "capture-user/bpf/traffic.bpf.o",
];

/// Records what the object was built from.
pub fn record(root: &Path) -> Result<()> {
    fs::write(root.join(RECORD), hashes(root)?).with_context(|| format!("cannot write {RECORD}"))
}

/// Compares with what was recorded, and names what differs.
pub fn check(root: &Path) -> Result<()> {
    let recorded = fs::read_to_string(root.join(RECORD)).with_context(|| format!("cannot read {RECORD}"))?;
    let now = hashes(root)?;
    let changed = |line: &&str| !recorded.lines().any(|other| other == *line);
    let gone = |line: &&str| !now.lines().any(|other| path(other) == path(line));
    let differences: Vec<&str> = now.lines().filter(changed).chain(recorded.lines().filter(gone)).map(path).collect();
    ensure!(differences.is_empty(), "changed since the objects were built: {}", differences.join(", "));
    Ok(())
}

fn path(line: &str) -> &str {
    line.split_once("  ").map_or(line, |(_, path)| path)
}

fn hashes(root: &Path) -> Result<String> {
    let mut files = Vec::new();
    for source in SOURCES {
        collect(root, Path::new(source), &mut files)?;
    }
    files.sort();
    let mut text = String::new();
    for file in files {
        let bytes = fs::read(root.join(&file)).with_context(|| format!("cannot read {}", file.display()))?;
        for byte in Sha256::digest(&bytes) {
            write!(text, "{byte:02x}")?;
        }
        writeln!(text, "  {}", file.display())?;
    }
    Ok(text)
}

fn collect(root: &Path, path: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let absolute = root.join(path);
    if !absolute.is_dir() {
        files.push(path.to_path_buf());
        return Ok(());
    }
    for entry in fs::read_dir(&absolute).with_context(|| format!("cannot read {}", absolute.display()))? {
        let name = entry?.file_name();
        if name != "tests.rs" && name != "tests" {
            collect(root, &path.join(name), files)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_named() {
        let root = tempfile::tempdir().unwrap();
        for source in SOURCES {
            let path = root.path().join(source);
            let file = if path.extension().is_some() { path } else { path.join("lib.rs") };
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, source).unwrap();
        }
        record(root.path()).unwrap();
        check(root.path()).unwrap();
        fs::write(root.path().join("capture-ebpf/src/lib.rs"), "changed").unwrap();
        let error = check(root.path()).unwrap_err().to_string();
        assert_eq!(error, "changed since the objects were built: capture-ebpf/src/lib.rs");
        fs::remove_file(root.path().join("capture-ebpf/src/lib.rs")).unwrap();
        assert!(check(root.path()).is_err());
    }
}
