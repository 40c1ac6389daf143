//! When how many frames are due.

use std::thread;
use std::time::{Duration, Instant};

/// A rate, kept since it began.
pub struct Pace {
    begun: Instant,
    /// Frames in a second; `None`: as many as can be.
    rate: Option<u64>,
}

impl Pace {
    /// Begins now.
    pub fn new(rate: Option<u64>) -> Self {
        Self { begun: Instant::now(), rate }
    }

    /// When it began.
    pub fn begun(&self) -> Instant {
        self.begun
    }

    /// How many frames may follow the `sent` that were; waits until it is one.
    pub fn due(&self, sent: u64) -> u64 {
        let Some(rate) = self.rate else { return u64::MAX };
        loop {
            let allowed = (self.begun.elapsed().as_secs_f64() * rate as f64) as u64 + 1;
            if allowed > sent {
                return allowed - sent;
            }
            let wait = Duration::from_secs_f64((sent + 1 - allowed) as f64 / rate as f64);
            // A short wait is spent awake: sleeping takes longer than that.
            if wait > Duration::from_micros(200) { thread::sleep(wait) } else { std::hint::spin_loop() }
        }
    }
}
