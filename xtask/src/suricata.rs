//! Suricata, whose events padtap writes: the program itself, and its own schema of its events.
//!
//! Debian has both, though seldom in the release that a machine runs: they are fetched from others and unpacked under
//! `target/suricata`, so that nothing of the machine changes and no service starts. The schema is under the GPL, which
//! padtap is not: it is used from there and never committed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::debian::{Elsewhere, Mirror};
use crate::run;

/// The first release of Debian whose sources of Suricata have the schema: those of Suricata 7 do not.
const WITH_SCHEMA: &str = "forky";

/// Makes a file or folder of this path, with whatever it needs in a folder for that.
type Fetch = fn(&Path, &Path) -> Result<()>;

/// Makes sure that `target/suricata` has both, and says where: the variable that tests look in, and the path.
///
/// Without a network it says so, and the tests that need them skip.
pub fn prepare() -> [(&'static str, PathBuf); 2] {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/suricata");
    let program = ("PADTAP_SURICATA", "program", fetch_program as Fetch);
    let schema = ("PADTAP_EVE_SCHEMA", "schema.json", fetch_schema as Fetch);
    [program, schema].map(|(variable, name, fetch)| {
        let path = folder.join(name);
        if let Err(error) = ensure_there(&path, fetch) {
            eprintln!("xtask: {}: {error:#}; tests that need it skip, and say so", path.display());
        }
        (variable, path)
    })
}

/// What has its final name is whole: it is made beside it, and renamed.
fn ensure_there(path: &Path, fetch: Fetch) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    eprintln!("xtask: fetching {}", path.display());
    let folder = path.parent().context("a path in a folder")?;
    fs::create_dir_all(folder)?;
    let aside = tempfile::tempdir_in(folder)?;
    let made = aside.path().join("made");
    fetch(aside.path(), &made)?;
    fs::rename(made, path).map_err(Into::into)
}

/// The program and those of its libraries that the machine lacks, from the backports for the machine's release.
fn fetch_program(aside: &Path, made: &Path) -> Result<()> {
    let Mirror { address, release } = Mirror::of_this_machine()?;
    let backports = format!("{release}-backports");
    let lists = [&release, &backports].map(|suite| format!("deb {address} {suite} main\n")).concat();
    let debian = Elsewhere::with_lists(aside, &lists)?;
    let options = ["--yes", "--download-only", "--no-install-recommends", "--target-release", &backports];
    debian.apt_get(&[&["install", "suricata"], &options[..]].concat())?;
    for package in debian.packages()? {
        run::output(Command::new("dpkg-deb").arg("--extract").arg(package).arg(made))?;
    }
    Ok(())
}

fn fetch_schema(aside: &Path, made: &Path) -> Result<()> {
    let Mirror { address, .. } = Mirror::of_this_machine()?;
    let debian = Elsewhere::with_lists(aside, &format!("deb-src {address} {WITH_SCHEMA} main\n"))?;
    debian.apt_get(&["source", "--download-only", "--tar-only", "suricata"])?;
    for sources in debian.sources()? {
        let mut tar = Command::new("tar");
        tar.arg("--extract").arg("--file").arg(sources).arg("--directory").arg(aside);
        run::output(tar.args(["--strip-components", "2", "--wildcards", "*/etc/schema.json"]))?;
    }
    fs::rename(aside.join("schema.json"), made).context("the sources have no etc/schema.json")
}
