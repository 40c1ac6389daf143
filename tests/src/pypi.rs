//! Python packages, as readers of what padtap writes.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A Python that has these modules: that of the virtual environment which `cargo xtask test` makes, whose directory is
/// in `PADTAP_PYPI` (else it is `target/pypi`). Where there is none the test skips and says so; with
/// PADTAP_REQUIRE_LIVE=1 that is a failure.
///
/// # Panics
/// When a module is missing and must not be.
pub fn python(modules: &[&str]) -> Option<PathBuf> {
    let usual = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/pypi").into_os_string();
    let python = Path::new(&std::env::var_os("PADTAP_PYPI").unwrap_or_else(usual)).join("bin/python");
    let import = format!("import {}", modules.join(", "));
    if Command::new(&python).args(["-c", &import]).output().is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    let required = std::env::var("PADTAP_REQUIRE_LIVE").is_ok_and(|value| value == "1");
    assert!(!required, "PADTAP_REQUIRE_LIVE=1, but {} cannot `{import}`", python.display());
    eprintln!("SKIPPED: {} cannot `{import}`: `cargo xtask test` installs what is missing", python.display());
    None
}
