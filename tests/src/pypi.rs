//! Python packages, as readers of what padtap writes.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::tool::skip;

/// A Python that has these modules: that of the virtual environment which `cargo xtask test` makes, whose directory is
/// in `PADTAP_PYPI` (else it is `target/pypi`). Where there is none the test skips.
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
    skip(&format!("{} cannot `{import}`: `cargo xtask test` installs what is missing", python.display()));
    None
}
