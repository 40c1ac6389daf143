//! Outputs that are tables: not in this build.

use std::path::PathBuf;
use std::sync::Arc;

use super::Opened;
use crate::cli;
use crate::command::Usage;

/// Says what is missing, where the options ask for it.
pub fn open(options: &cli::Output, _: &Arc<str>, _: &[PathBuf]) -> Result<Opened, Usage> {
    if options.parquet.is_some() || options.arrow.is_some() {
        let what = "--parquet and --arrow are not in this build: `cargo build --release --features parquet` has them";
        return Err(Usage(what.into()));
    }
    Ok(Vec::new())
}
