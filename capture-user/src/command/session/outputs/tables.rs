//! Outputs that are tables.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use capture_user::output::arrow::Streams;
use capture_user::output::parquet::{Name, Parquet};
use capture_user::time::Timestamp;

use super::Opened;
use crate::cli;

/// Opens those that the options name, each under its name.
pub fn open(options: &cli::Output, sensor: &Arc<str>, files: &[PathBuf]) -> anyhow::Result<Opened> {
    let mut opened: Opened = Vec::new();
    if let Some(directory) = &options.parquet {
        let label = directory.display().to_string();
        let known = !files.is_empty() && files.iter().all(|file| file.is_file());
        let name = if known { Name::of_input(files)? } else { Name::of_capture(sensor, Timestamp::now()) };
        let parquet = Parquet::create(directory.clone(), sensor.clone(), name).with_context(|| label.clone())?;
        opened.push((label, Box::new(parquet)));
    }
    if let Some(directory) = &options.arrow {
        let label = directory.display().to_string();
        let streams = Streams::create(directory.clone(), sensor.clone()).with_context(|| label.clone())?;
        opened.push((label, Box::new(streams)));
    }
    Ok(opened)
}
