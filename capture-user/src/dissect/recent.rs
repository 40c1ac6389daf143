//! The marks of the packets of the last few milliseconds.

/// Marks of one set: a packet's mark may be in any place of its set.
const WAYS: usize = 4;
/// Sets at first. They stay in the processor's nearest cache, which matters more than their number.
const LEAST: usize = 64;
/// Sets at most: enough for some 300,000 packets a second in a window of 3 ms.
const MOST: usize = 1024;

/// A table of marks, which grows while those that it would have to forget still matter. At most 64 KiB.
#[derive(Debug)]
pub(super) struct Recent {
    sets: Vec<[Seen; WAYS]>,
    /// Which place of a set is taken next where none is free.
    turn: usize,
}

/// One packet.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// Its digest; sets are chosen by bits from the 17th on.
    pub mark: u64,
    /// When it was seen, in nanoseconds.
    pub time: i64,
}

impl Seen {
    /// Whether it lies at most so many nanoseconds from a moment.
    #[inline]
    pub(super) fn is_near(&self, time: i64, window: u64) -> bool {
        time.abs_diff(self.time) <= window
    }
}

impl Default for Recent {
    fn default() -> Self {
        Self { sets: vec![Default::default(); LEAST], turn: 0 }
    }
}

impl Recent {
    /// Those that are in the same set as a mark.
    #[inline]
    pub(super) fn like(&self, mark: u64) -> &[Seen] {
        self.sets.get(self.set(mark)).map_or(&[], |set| set)
    }

    /// Adds a packet in place of one that is no longer near; where there is none there, or no room to grow, of one that
    /// still is.
    #[inline]
    pub(super) fn add(&mut self, seen: Seen, window: u64) {
        loop {
            let set = self.set(seen.mark);
            let free = self.sets[set].iter().position(|other| !other.is_near(seen.time, window));
            if free.is_none() && self.sets.len() < MOST {
                self.grow();
                continue;
            }
            let way = free.unwrap_or(self.turn % WAYS);
            self.turn = self.turn.wrapping_add(1);
            self.sets[set][way] = seen;
            return;
        }
    }

    #[inline]
    fn set(&self, mark: u64) -> usize {
        // Their number is a power of two.
        (mark >> 16) as usize & (self.sets.len() - 1)
    }

    /// Every set becomes two, and each of its marks keeps its place in one of them.
    #[cold]
    fn grow(&mut self) {
        let before = std::mem::take(&mut self.sets);
        self.sets = vec![Default::default(); before.len() * 2];
        for set in before {
            for (way, seen) in set.into_iter().enumerate() {
                let set = self.set(seen.mark);
                self.sets[set][way] = seen;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: u64 = 100;

    fn seen(number: u64, time: i64) -> Seen {
        Seen { mark: number.wrapping_mul(0x9e37_79b9_7f4a_7c15), time }
    }

    fn knows(recent: &Recent, seen: &Seen) -> bool {
        recent.like(seen.mark).iter().any(|other| other.mark == seen.mark)
    }

    #[test]
    fn few_at_a_time_need_no_more_room() {
        let mut recent = Recent::default();
        (0..100_000).for_each(|number| recent.add(seen(number, 1_000 + number as i64 * 60), WINDOW));
        assert_eq!(recent.sets.len(), LEAST);
    }

    #[test]
    fn what_was_known_is_known_when_it_has_grown() {
        let mut recent = Recent::default();
        let all: Vec<_> = (0..1_000).map(|number| seen(number, 1_000)).collect();
        all.iter().for_each(|seen| recent.add(*seen, WINDOW));
        assert!(recent.sets.len() > LEAST);
        // All but those of sets that are too full at their most.
        let known = all.iter().filter(|seen| knows(&recent, seen)).count();
        assert!(known >= 990, "{known}");
    }
}
