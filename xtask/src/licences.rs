//! The licences of all that is built in.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

/// Licences that let anybody use, change and pass on what is built from them without conditions on the rest.
const PERMISSIVE: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "NCSA",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    license: Option<String>,
}

/// Fails when a dependency has no licence, or none that is permissive.
pub fn check() -> anyhow::Result<()> {
    let mut refused = Vec::new();
    let mut counts = BTreeMap::new();
    for manifest in ["Cargo.toml", "capture-ebpf/Cargo.toml", "fuzz/Cargo.toml"] {
        for package in packages(manifest)? {
            let licence = package.license.as_deref().unwrap_or("none");
            if allowed(licence) {
                *counts.entry(licence.to_owned()).or_insert(0) += 1;
            } else {
                refused.push(format!("{} {}: {licence}", package.name, package.version));
            }
        }
    }
    ensure!(refused.is_empty(), "licences that are not permissive:\n{}", refused.join("\n"));
    for (licence, count) in counts {
        println!("{count:>4}  {licence}");
    }
    Ok(())
}

fn packages(manifest: &str) -> anyhow::Result<Vec<Package>> {
    let arguments = ["metadata", "--format-version=1", "--locked", "--manifest-path", manifest];
    let output = Command::new(env!("CARGO")).args(arguments).output().context("cargo metadata")?;
    if !output.status.success() {
        bail!("{manifest}: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
    Ok(metadata.packages)
}

/// Whether an SPDX expression can be satisfied with permissive licences. It has no nested parentheses where it matters:
/// every part joined by AND must offer, among its ORs, a permissive one.
fn allowed(expression: &str) -> bool {
    expression
        .replace('/', " OR ")
        .split(" AND ")
        .all(|part| part.split(" OR ").any(|licence| PERMISSIVE.contains(&licence.trim().trim_matches(['(', ')']))))
}

#[cfg(test)]
mod tests {
    use super::allowed;

    #[test]
    fn a_permissive_choice_is_enough_and_needed() {
        for yes in ["MIT", "MIT OR GPL-2.0", "MIT/Apache-2.0", "(MIT OR Apache-2.0) AND Unicode-3.0"] {
            assert!(allowed(yes), "{yes}");
        }
        for no in ["GPL-3.0", "none", "MIT AND GPL-2.0", "LGPL-2.1 OR GPL-2.0", "EUPL-1.2"] {
            assert!(!allowed(no), "{no}");
        }
    }
}
