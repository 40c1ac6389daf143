//! Which packets came, by their sequence numbers: the validity and loss counts of RFC 3550 appendices A.1 and A.3.

/// A jump ahead of fewer numbers than this is loss (RFC 3550 A.1).
const MAX_DROPOUT: u16 = 3_000;
/// A step back of fewer numbers than this is a late packet or a duplicate (RFC 3550 A.1).
const MAX_MISORDER: u16 = 100;
/// Where the extended numbers of a run begin, so that late packets from before its first one count downwards.
const ORIGIN: u64 = 1 << 16;

/// Where a packet stands in its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// This many numbers above the highest so far: 1 where none is missing.
    Ahead(u16),
    /// Below the highest, and new.
    Late,
    /// It came before.
    Duplicate,
    /// Too far off to belong here; counted only if the next packet follows it.
    Stray,
    /// The sender began anew with the packet before this one.
    Restarted,
}

/// The sequence numbers of one stream.
///
/// Unlike the sample code of A.1 it knows duplicates from late packets: a window keeps a bit for each of the last 128
/// numbers, more than [`MAX_MISORDER`] looks back, so the distinction is exact. A restart counts both packets that
/// prove it, and a late packet from before the first one extends what was expected, so `expected - received` is never
/// negative.
#[derive(Clone, Debug)]
pub(crate) struct Sequence {
    /// The lowest extended number of this run.
    base: u64,
    /// The highest extended number of this run.
    highest: u64,
    /// Bit `n` tells whether `highest - n` came.
    window: u128,
    /// What would follow the last stray.
    after_stray: Option<u16>,
    /// Packets expected in runs that ended with a restart.
    expected_before: u64,
    received: u64,
    duplicates: u64,
    reordered: u64,
}

impl Sequence {
    pub fn new(first: u16) -> Self {
        let start = ORIGIN + u64::from(first);
        Self {
            base: start,
            highest: start,
            window: 1,
            after_stray: None,
            expected_before: 0,
            received: 1,
            duplicates: 0,
            reordered: 0,
        }
    }

    /// Counts one more packet.
    pub fn place(&mut self, number: u16) -> Place {
        let ahead = number.wrapping_sub(self.highest as u16);
        match ahead {
            0 => self.repeat(),
            1..MAX_DROPOUT => self.advance(ahead),
            _ if ahead > u16::MAX - MAX_MISORDER => self.step_back(ahead.wrapping_neg()),
            _ => self.jump(number),
        }
    }

    fn advance(&mut self, count: u16) -> Place {
        self.highest += u64::from(count);
        self.window = self.window.checked_shl(u32::from(count)).unwrap_or(0) | 1;
        self.received += 1;
        Place::Ahead(count)
    }

    fn step_back(&mut self, count: u16) -> Place {
        let bit = 1 << count;
        if self.window & bit != 0 {
            return self.repeat();
        }
        self.window |= bit;
        self.base = self.base.min(self.highest - u64::from(count));
        self.received += 1;
        self.reordered += 1;
        Place::Late
    }

    fn repeat(&mut self) -> Place {
        self.duplicates += 1;
        Place::Duplicate
    }

    fn jump(&mut self, number: u16) -> Place {
        if self.after_stray != Some(number) {
            self.after_stray = Some(number.wrapping_add(1));
            return Place::Stray;
        }
        self.expected_before = self.expected();
        self.highest = ORIGIN + u64::from(number);
        self.base = self.highest - 1;
        self.window = 0b11;
        self.after_stray = None;
        self.received += 2;
        Place::Restarted
    }

    /// Packets that were sent, as far as the numbers tell.
    pub fn expected(&self) -> u64 {
        self.expected_before + (self.highest - self.base) + 1
    }

    /// Packets that came, each counted once.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Packets that came again.
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Packets that came after one with a higher number.
    pub fn reordered(&self) -> u64 {
        self.reordered
    }

    /// Packets that never came: A.3's count, with each received packet counted once.
    pub fn lost(&self) -> u64 {
        self.expected().saturating_sub(self.received)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(numbers: &[u16]) -> (u64, u64, u64, u64) {
        let mut sequence = Sequence::new(numbers[0]);
        for number in &numbers[1..] {
            sequence.place(*number);
        }
        (sequence.received(), sequence.lost(), sequence.duplicates(), sequence.reordered())
    }

    #[test]
    fn loss_duplicates_and_disorder_are_told_apart() {
        assert_eq!(counted(&[1, 2, 3, 4]), (4, 0, 0, 0));
        assert_eq!(counted(&[1, 2, 5, 6]), (4, 2, 0, 0));
        assert_eq!(counted(&[1, 2, 2, 3, 1]), (3, 0, 2, 0));
        assert_eq!(counted(&[1, 3, 2, 4]), (4, 0, 0, 1));
        assert_eq!(counted(&[1, 4, 3, 3, 2]), (4, 0, 1, 2));
    }

    #[test]
    fn numbers_wrap_and_begin_anywhere() {
        assert_eq!(counted(&[65_534, 65_535, 0, 1]), (4, 0, 0, 0));
        assert_eq!(counted(&[65_535, 1, 0]), (3, 0, 0, 1));
        assert_eq!(counted(&[0, 65_535, 1]), (3, 0, 0, 1), "the first packets swapped, across the wrap");
        let all: Vec<u16> = (0..200_000u32).map(|number| number as u16).collect();
        assert_eq!(counted(&all), (200_000, 0, 0, 0));
    }

    #[test]
    fn a_jump_is_believed_when_it_goes_on() {
        assert_eq!(counted(&[1, 2, 30_000, 3, 4]), (4, 0, 0, 0), "one stray");
        assert_eq!(counted(&[1, 2, 30_000, 30_001, 30_003]), (5, 1, 0, 0), "a restart");
        assert_eq!(counted(&[1, 3_000]), (2, 2_998, 0, 0), "the longest loss");
        assert_eq!(counted(&[1, 3_001]), (1, 0, 0, 0), "beyond it");
    }

    #[test]
    fn the_window_covers_every_step_back() {
        let mut numbers: Vec<u16> = (1_000..1_100).collect();
        numbers.push(1_000);
        assert_eq!(counted(&numbers), (100, 0, 1, 0));
        assert_eq!(counted(&[1_000, 1_099, 1_000]), (2, 98, 1, 0));
    }
}
