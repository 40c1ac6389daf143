//! Talk spurts: runs of sound between silences.
//!
//! A sender that suppresses silence marks the first packet after it (RFC 3551 section 4.1) and lets its timestamps run
//! on meanwhile, so a spurt begins with a marker or with a timestamp further on than the packets in between can
//! explain. Video marks the ends of frames instead, and several packets share one timestamp: no spurts are told then.

/// Counts the talk spurts of one stream.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spurts {
    /// Number and timestamp of the latest packet in order, once there is one.
    last: Option<(u16, u32)>,
    /// Timestamp units from one packet to the next within a spurt, once seen.
    step: Option<u32>,
    count: u64,
    packets: u64,
    /// Packets with the timestamp of the one before.
    repeats: u64,
    markers: u64,
}

impl Spurts {
    /// Takes a packet in order; packets in between that carry no sound are left out.
    pub fn feed(&mut self, sequence: u16, timestamp: u32, marker: bool) {
        let (number, before) = self.last.unwrap_or((sequence, timestamp));
        let (ahead, step) = (sequence.wrapping_sub(number), timestamp.wrapping_sub(before));
        self.packets += 1;
        self.markers += u64::from(marker);
        self.repeats += u64::from(self.last.is_some() && step == 0);
        if self.last.is_none() || marker || self.is_pause(ahead, step) {
            self.count += 1;
        } else if ahead == 1 && step > 0 {
            self.step = Some(step);
        }
        self.last = Some((sequence, timestamp));
    }

    /// Whether the timestamps passed over at least one packet time more than the packets account for.
    fn is_pause(&self, ahead: u16, step: u32) -> bool {
        self.step.is_some_and(|usual| u64::from(step) >= u64::from(usual) * (u64::from(ahead) + 1))
    }

    /// The sender began anew.
    pub fn restart(&mut self) {
        self.last = None;
    }

    /// How many there were, unless the stream does not behave like sound.
    pub fn count(&self) -> Option<u64> {
        (self.repeats * 4 < self.packets && self.markers * 4 <= self.packets.max(4)).then_some(self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_or_a_jump_begins_one() {
        let mut spurts = Spurts::default();
        for (sequence, timestamp, marker) in [
            (65_534, 0, true),
            (65_535, 160, false),
            (0, 320, false),
            (3, 800, false), // two lost, no pause
            (4, 16_000, true),
            (5, 16_160, false),
            (6, 16_320, false),
            (7, 40_000, false), // a pause whose marker was lost or never set
            (8, 40_160, false),
        ] {
            spurts.feed(sequence, timestamp, marker);
        }
        assert_eq!(spurts.count(), Some(3));
    }

    #[test]
    fn video_has_none() {
        let mut spurts = Spurts::default();
        for index in 0..90_u16 {
            spurts.feed(index, u32::from(index / 3) * 3_000, index % 3 == 2);
        }
        assert_eq!(spurts.count(), None);
    }
}
