//! `padtap ship`: gives way to `padtap-ship`, a program of its own.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::anyhow;

const PROGRAM: &str = "padtap-ship";

/// Becomes the shipper; returns only why it could not.
pub fn run(options: &[OsString]) -> anyhow::Error {
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name(PROGRAM)).filter(|path| path.is_file());
    let program = beside.unwrap_or_else(|| PROGRAM.into());
    let error = Command::new(&program).args(options).exec();
    if error.kind() == io::ErrorKind::NotFound {
        return anyhow!(
            "{PROGRAM} is neither beside padtap nor on the PATH: cargo build --release --package padtap-ship"
        );
    }
    anyhow::Error::new(error).context(program.display().to_string())
}
