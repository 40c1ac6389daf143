//! Which frames the user wants, from the options' texts.

use std::sync::Arc;

use capture_common::config::Class;
use capture_user::filter::Filter;
use capture_user::pipeline::Wanted;
use capture_user::source::policy::{ConsoleFilter, Snap};

use super::Usage;
use crate::cli;

/// The consoles and exclusions.
///
/// # Errors
/// [`Usage`], naming the text that is wrong and what would be right.
pub fn consoles(options: &cli::Filter) -> anyhow::Result<ConsoleFilter> {
    let mut filter = if options.console.is_empty() { ConsoleFilter::everything() } else { ConsoleFilter::new() };
    filter.set_discovery(!options.no_discovery);
    for console in &options.console {
        filter.add_console(console.parse().map_err(Usage::new)?).map_err(Usage::new)?;
    }
    for exclusion in &options.exclude {
        filter.exclude(exclusion.parse().map_err(Usage::new)?).map_err(Usage::new)?;
    }
    Ok(filter)
}

/// The filter expression.
///
/// # Errors
/// [`Usage`], naming the token that is not understood.
pub fn expression(options: &cli::Filter) -> anyhow::Result<Option<Wanted>> {
    let Some(text) = &options.expression else { return Ok(None) };
    let filter = Filter::parse(text).map_err(|error| Usage(format!("-f: {error}")))?;
    Ok(Some(Arc::new(move |frame| filter.matches(frame))))
}

/// Sets how much of each frame is kept.
pub fn snap(filter: &mut ConsoleFilter, snap: cli::Snap) {
    let snap = match snap {
        cli::Snap::Full => Snap::Full,
        cli::Snap::Headers => Snap::Headers,
        cli::Snap::Bytes(bytes) => Snap::Bytes(bytes),
    };
    for class in [Class::Other, Class::Console, Class::Discovery] {
        filter.set_snap(class, snap);
    }
}
