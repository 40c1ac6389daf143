//! Interarrival jitter (RFC 3550 section 6.4.1 and appendix A.8), summed up as Wireshark 4.0 does.
//!
//! `D` is the difference of two packets' spacing on the wire and by their timestamps; the running jitter moves towards
//! `|D|` by a sixteenth with each packet, in order of arrival. Mean and maximum are taken over packets within a talk
//! spurt: those that begin one (marker), comfort noise and what follows it change the running jitter but say nothing to
//! either. Packets without a clock (telephone events, which repeat the timestamp of their start) change nothing, but the
//! packet after them is measured from their arrival and the timestamp before them: that is what Wireshark does, and so
//! an event shows as jitter here as it does there.

use crate::time::Timestamp;

/// What the packet is for the mean and the maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// It goes into both.
    Regular,
    /// It changes the running jitter only.
    Aside,
}

/// The jitter of one stream, in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Jitter {
    /// Arrival of the latest packet, timestamp of the latest that had a clock.
    latest: Option<(Timestamp, u32)>,
    running: f64,
    mean: f64,
    max: f64,
    /// Packets after the first, whether or not they went into the mean.
    intervals: u64,
    measured: bool,
}

impl Jitter {
    /// Takes one packet; `clock` is the rate of its timestamps in hertz, where known.
    pub fn feed(&mut self, time: Timestamp, timestamp: u32, clock: Option<u32>, weight: Weight) {
        let Some((before, last)) = self.latest else {
            self.latest = Some((time, timestamp));
            return;
        };
        if let Some(clock) = clock.filter(|rate| *rate > 0) {
            let step = timestamp.wrapping_sub(last).cast_signed();
            self.step(time.nanos_since(before), step, clock, weight == Weight::Regular);
            self.latest = Some((time, timestamp));
        } else {
            self.latest = Some((time, last));
        }
        self.intervals += 1;
    }

    fn step(&mut self, elapsed_ns: i64, step: i32, clock: u32, regular: bool) {
        let nominal_ms = f64::from(step) * 1_000.0 / f64::from(clock);
        let difference = (elapsed_ns as f64 / 1e6 - nominal_ms).abs();
        self.running += (difference - self.running) / 16.0;
        if regular {
            self.measured = true;
            self.max = self.max.max(self.running);
            self.mean += (self.running - self.mean) / (self.intervals + 1) as f64;
        }
    }

    /// Forgets the packet that the next one would be compared with: the sender began anew.
    pub fn restart(&mut self, time: Timestamp, timestamp: u32) {
        self.latest = Some((time, timestamp));
        self.intervals += 1;
    }

    /// Mean and maximum in milliseconds, once there is one.
    pub fn summary(&self) -> Option<(f64, f64)> {
        self.measured.then_some((self.mean, self.max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_nanos(micros * 1_000)
    }

    #[test]
    fn a_steady_stream_has_none() {
        let mut jitter = Jitter::default();
        for index in 0..50 {
            jitter.feed(at(index * 20_000), index as u32 * 160, Some(8_000), Weight::Regular);
        }
        assert_eq!(jitter.summary(), Some((0.0, 0.0)));
    }

    #[test]
    fn it_moves_by_a_sixteenth() {
        let mut jitter = Jitter::default();
        jitter.feed(at(0), 0, Some(8_000), Weight::Regular);
        jitter.feed(at(36_000), 160, Some(8_000), Weight::Regular);
        assert_eq!(jitter.summary(), Some((1.0, 1.0)), "16 ms off");
        jitter.feed(at(56_000), 320, Some(8_000), Weight::Regular);
        assert_eq!(jitter.summary(), Some(((1.0 + 15.0 / 16.0) / 2.0, 1.0)));
    }

    #[test]
    fn silence_and_the_wrap_of_timestamps_are_no_jitter() {
        let mut jitter = Jitter::default();
        jitter.feed(at(0), u32::MAX - 159, Some(8_000), Weight::Regular);
        jitter.feed(at(20_000), 0, Some(8_000), Weight::Regular);
        jitter.feed(at(5_020_000), 40_000, Some(8_000), Weight::Aside);
        jitter.feed(at(5_040_000), 40_160, Some(8_000), Weight::Regular);
        assert_eq!(jitter.summary(), Some((0.0, 0.0)));
    }

    #[test]
    fn without_a_clock_there_is_none_to_tell() {
        let mut jitter = Jitter::default();
        jitter.feed(at(0), 0, None, Weight::Regular);
        jitter.feed(at(20_000), 960, None, Weight::Regular);
        assert_eq!(jitter.summary(), None);
    }
}
