//! From the kernel's stamps to wall time.

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::time::Timestamp;

/// How far CLOCK_REALTIME is ahead of CLOCK_MONOTONIC, measured again every second so that it follows the corrections
/// that NTP makes.
pub(super) struct Clock {
    /// Nanoseconds from monotonic to real time.
    offset: i64,
    /// The monotonic time until which it holds.
    until: u64,
}

impl Clock {
    /// Measures.
    pub(super) fn new() -> Self {
        const PERIOD: u64 = 1_000_000_000;
        let (offset, now) = measure();
        Self { offset, until: now.saturating_add(PERIOD) }
    }

    /// The wall time of a stamp.
    pub(super) fn wall(&mut self, monotonic: u64) -> Timestamp {
        if monotonic >= self.until {
            *self = Self::new();
        }
        Timestamp::from_nanos(self.offset.saturating_add_unsigned(monotonic))
    }

    /// One that never measures.
    #[cfg(test)]
    pub(super) fn fixed(offset: i64) -> Self {
        Self { offset, until: u64::MAX }
    }
}

/// The offset, and the monotonic time of its measurement. Of a few tries the one that took least time errs least.
fn measure() -> (i64, u64) {
    const TRIES: u32 = 3;
    let sample = |_| {
        let before = nanos(clock_gettime(ClockId::Monotonic));
        let real = nanos(clock_gettime(ClockId::Realtime));
        let after = nanos(clock_gettime(ClockId::Monotonic));
        (after - before, real - (before + (after - before) / 2), after.cast_unsigned())
    };
    let best = (0..TRIES).map(sample).min_by_key(|&(took, ..)| took);
    best.map_or((0, 0), |(_, offset, at)| (offset, at))
}

fn nanos(time: Timespec) -> i64 {
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

#[cfg(test)]
#[cfg(not(miri))]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_of_now_is_the_time_of_now() {
        let mut clock = Clock::new();
        let before = Timestamp::now();
        let wall = clock.wall(nanos(clock_gettime(ClockId::Monotonic)).cast_unsigned());
        // Wide bounds: this is about the epoch and the unit; the clock may be corrected meanwhile.
        assert!(wall.nanos_since(before).abs() < 60_000_000_000, "{wall} and {before}");
    }

    #[test]
    fn a_stamp_past_the_period_measures_again() {
        let mut clock = Clock { offset: 17, until: 100 };
        assert_eq!(clock.wall(99), Timestamp::from_nanos(116));
        assert_ne!(clock.wall(100), Timestamp::from_nanos(117));
    }
}
