//! SIGINT and SIGTERM: the first asks for an orderly end, the second ends at once.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Whether to end.
#[derive(Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Listens from here on.
    ///
    /// # Errors
    /// When the system refuses the handlers.
    pub fn listen() -> io::Result<Self> {
        let (tell, stop) = watch::channel(false);
        for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
            let (tell, mut signals) = (tell.clone(), signal(kind)?);
            tokio::spawn(async move {
                while signals.recv().await.is_some() {
                    if tell.send_replace(true) {
                        std::process::exit(128 + kind.as_raw_value());
                    }
                }
            });
        }
        Ok(Self(stop))
    }

    /// Whether somebody asked.
    pub fn is_asked(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until somebody asks.
    pub async fn asked(&self) {
        if self.0.clone().wait_for(|asked| *asked).await.is_err() {
            // Nobody is left who could ask.
            std::future::pending::<()>().await;
        }
    }
}
