//! Signals, as flags that the supervising thread looks at.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
use signal_hook::flag;

/// What the user has asked for by signals.
#[derive(Debug, Default)]
pub struct Signals {
    stop: Arc<AtomicBool>,
    statistics: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
}

impl Signals {
    /// From here on SIGINT and SIGTERM ask for an orderly end (and end the process at once the second time), SIGUSR1
    /// for statistics and SIGHUP for a reload.
    ///
    /// # Errors
    /// When the system refuses the handlers.
    pub fn listen() -> io::Result<Self> {
        let signals = Self::default();
        for signal in [SIGINT, SIGTERM] {
            // The order matters: the first registered runs first, and must not yet see what the second sets.
            flag::register_conditional_shutdown(signal, 128 + signal, signals.stop.clone())?;
            flag::register(signal, signals.stop.clone())?;
        }
        flag::register(SIGUSR1, signals.statistics.clone())?;
        flag::register(SIGHUP, signals.reload.clone())?;
        // A file that may grow no more is an error of writing then, and does not end the process.
        flag::register(SIGXFSZ, Arc::default())?;
        Ok(signals)
    }

    /// Whether to end.
    pub fn stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Whether statistics were asked for since the last call.
    pub fn take_statistics(&self) -> bool {
        self.statistics.swap(false, Ordering::Relaxed)
    }

    /// Whether a reload was asked for since the last call.
    pub fn take_reload(&self) -> bool {
        self.reload.swap(false, Ordering::Relaxed)
    }
}
