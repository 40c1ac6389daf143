//! Suricata, as a witness of its own format.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::padtap::records;
use crate::tool::{output, skip};

/// Its own schema of its events, as it stands in its sources: the file that `PADTAP_EVE_SCHEMA` names, or else the one
/// that `cargo xtask test` has fetched. Where there is none the test skips and says so; with PADTAP_REQUIRE_LIVE=1 that
/// is a failure.
///
/// # Panics
/// When there is none and must be, or it is no JSON.
pub fn schema() -> Option<Value> {
    let schema = std::fs::read(fetched("PADTAP_EVE_SCHEMA", "schema.json")?).expect("a file");
    Some(serde_json::from_slice(&schema).expect("JSON"))
}

/// The program: that of the folder that `PADTAP_SURICATA` names, or else of the one that `cargo xtask test` has
/// unpacked; as with the schema.
///
/// # Panics
/// When there is none and must be.
pub fn program() -> Option<Command> {
    let folder = fetched("PADTAP_SURICATA", "program")?;
    let mut command = Command::new(folder.join("usr/bin/suricata"));
    // Libraries that the machine lacks stand beside it.
    command.env("LD_LIBRARY_PATH", folder.join("usr/lib").join(format!("{}-linux-gnu", std::env::consts::ARCH)));
    Some(command)
}

fn fetched(variable: &str, name: &str) -> Option<PathBuf> {
    let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/suricata").join(name);
    let path = std::env::var_os(variable).map_or_else(usual, PathBuf::from);
    if !path.exists() {
        skip(&format!("{} is not there: `cargo xtask test` fetches it", path.display()));
        return None;
    }
    Some(path)
}

/// The events that it makes of a compressed capture file, by a configuration.
///
/// # Panics
/// When it fails.
pub fn events(mut program: Command, configuration: &Path, capture: &Path) -> Vec<Value> {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let plain = folder.path().join("plain");
    let mut gzip = Command::new("gzip");
    output(gzip.arg("-dc").arg(capture).stdout(File::create(&plain).expect("a file")));
    program.arg("-c").arg(configuration).arg("-r").arg(plain).arg("-l").arg(folder.path());
    // Captures of a host's own traffic have checksums that its card would have made.
    output(program.args(["-k", "none"]));
    records(&std::fs::read(folder.path().join("eve.json")).expect("events"))
}
