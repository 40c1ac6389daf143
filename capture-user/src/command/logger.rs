//! What the engine, and the XDP program, notice on their way: lines on standard error.

use log::{LevelFilter, Log, Metadata, Record};

struct StandardError;

impl Log for StandardError {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        eprintln!("padtap: {}", record.args());
    }

    fn flush(&self) {}
}

/// From here on, messages appear: errors and warnings, with `verbose` more of them.
pub fn start(verbose: u8, quiet: bool) {
    // A second call, in a test, changes the level alone.
    let _ = log::set_logger(&StandardError);
    log::set_max_level(match verbose {
        _ if quiet => LevelFilter::Error,
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        _ => LevelFilter::Debug,
    });
}
