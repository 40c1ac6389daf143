//! Bytes that lie apart: runs of a datagram or of a stream, in order, with holes between them.
//!
//! ```text
//!   insert [start, end):
//!     for each hole of the list that [start, end) reaches into:
//!       append that part of the new bytes to the run that ends where it begins,
//!       or make a new run of it
//! ```
//! What is there already stays, so the first copy of a byte wins. Bytes that continue a run are appended to it: what
//! comes in order after a hole is one run, however many packets brought it.

use super::Budget;

/// Charged for each run besides its bytes. Most lists have one, and that one costs the whole list, the allocator's
/// headers and whatever owns the list.
pub(super) const RUN_OVERHEAD: usize = 256;

/// Runs of bytes, sorted, none overlapping another, all paid for from a budget.
#[derive(Debug)]
pub(super) struct Pieces {
    runs: Vec<Run>,
    budget: Budget,
    /// What was taken from the budget and not given back.
    charged: usize,
}

/// Bytes without a hole.
#[derive(Debug)]
pub(super) struct Run {
    pub start: u64,
    pub bytes: Vec<u8>,
}

/// Why bytes could not be kept; nothing of them was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// More runs than allowed.
    Runs,
    /// The budget is used up.
    Budget,
}

impl Run {
    pub fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl Pieces {
    pub fn new(budget: Budget) -> Self {
        Self { runs: Vec::new(), budget, charged: 0 }
    }

    /// The runs, first to last.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Bytes held, with all that holding them costs.
    pub fn charged(&self) -> usize {
        self.charged
    }

    /// Keeps those of `bytes` that are not there yet, and says how many these were.
    ///
    /// # Errors
    /// When there would be more than `most` runs, or the budget has not enough left: then nothing is kept.
    pub fn insert(&mut self, start: u64, bytes: &[u8], most: usize) -> Result<usize, Full> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let end = start + bytes.len() as u64;
        let first = self.runs.partition_point(|run| run.end() < start);
        // Holes behind a run are filled by its growth, so only what lies before all runs it touches makes a new one.
        let new_run = self.runs.get(first).is_none_or(|run| run.start > start);
        if new_run && self.runs.len() >= most {
            return Err(Full::Runs);
        }
        let touched = self.runs.iter().skip(first).take_while(|run| run.start <= end);
        let spare = touched.map(|run| run.bytes.capacity() / 2).sum::<usize>();
        let worst = bytes.len() + spare + if new_run { RUN_OVERHEAD } else { 0 };
        if !self.budget.take(worst) {
            return Err(Full::Budget);
        }
        self.charged += worst;
        let kept = self.fill(start, bytes, first);
        self.settle();
        Ok(kept)
    }

    /// Goes through the holes from the run at `index` on; each turn moves `at` on or `index`.
    fn fill(&mut self, start: u64, bytes: &[u8], mut index: usize) -> usize {
        let end = start + bytes.len() as u64;
        let (mut at, mut kept) = (start, 0);
        while at < end {
            let following = self.runs.get(index + 1).map_or(end, |run| run.start.min(end));
            match self.runs.get_mut(index) {
                Some(run) if run.start <= at => {
                    at = at.max(run.end());
                    if at < following {
                        let part = part(bytes, start, at, following);
                        append(&mut run.bytes, part);
                        kept += part.len();
                        at = following;
                    }
                }
                run => {
                    let stop = run.map_or(end, |run| run.start.min(end));
                    let part = part(bytes, start, at, stop);
                    self.runs.insert(index, Run { start: at, bytes: part.to_vec() });
                    kept += part.len();
                    at = stop;
                }
            }
            index += 1;
        }
        kept
    }

    /// Drops the first `count` bytes of the first run.
    pub fn consume(&mut self, count: usize) {
        let Some(run) = self.runs.first_mut() else { return };
        let count = count.min(run.bytes.len());
        run.bytes.drain(..count);
        run.start += count as u64;
        if run.bytes.is_empty() {
            self.pop();
        }
    }

    /// Takes out the first run.
    pub fn pop(&mut self) -> Option<Run> {
        let run = (!self.runs.is_empty()).then(|| self.runs.remove(0));
        self.settle();
        run
    }

    /// Gives back what is charged beyond what the runs really take.
    fn settle(&mut self) {
        let real = self.runs.iter().map(|run| run.bytes.capacity() + RUN_OVERHEAD).sum();
        debug_assert!(real <= self.charged, "{real} bytes are held, {} are paid for", self.charged);
        self.budget.give(self.charged.saturating_sub(real));
        self.charged = self.charged.min(real);
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        self.budget.give(self.charged);
    }
}

/// The bytes `from..to`, where `bytes` begins at `start`.
fn part(bytes: &[u8], start: u64, from: u64, to: u64) -> &[u8] {
    let index = |place: u64| usize::try_from(place.saturating_sub(start)).unwrap_or(usize::MAX);
    bytes.get(index(from)..index(to)).unwrap_or_default()
}

/// Appends, growing by half: that keeps both copying and what is paid for but unused low.
fn append(run: &mut Vec<u8>, bytes: &[u8]) {
    let needed = run.len() + bytes.len();
    if needed > run.capacity() {
        let target = needed.max(run.capacity() + run.capacity() / 2);
        run.reserve_exact(target - run.len());
    }
    run.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pieces() -> Pieces {
        Pieces::new(Budget::new(1 << 20))
    }

    fn shape(pieces: &Pieces) -> Vec<(u64, &[u8])> {
        pieces.runs().iter().map(|run| (run.start, run.bytes.as_slice())).collect()
    }

    #[test]
    fn what_continues_a_run_is_appended() {
        let mut pieces = pieces();
        assert_eq!(pieces.insert(10, b"abc", 8), Ok(3));
        assert_eq!(pieces.insert(13, b"def", 8), Ok(3));
        assert_eq!(shape(&pieces), [(10, &b"abcdef"[..])]);
    }

    #[test]
    fn the_first_copy_of_a_byte_stays() {
        let mut pieces = pieces();
        pieces.insert(2, b"CD", 8).unwrap();
        pieces.insert(6, b"GH", 8).unwrap();
        assert_eq!(pieces.insert(0, b"abcdefghij", 8), Ok(6));
        assert_eq!(shape(&pieces), [(0, &b"ab"[..]), (2, b"CDef"), (6, b"GHij")]);
        assert_eq!(pieces.insert(1, b"xxxxxx", 8), Ok(0));
    }

    #[test]
    fn too_many_runs_are_refused_whole() {
        let mut pieces = pieces();
        for start in [0, 4, 8] {
            pieces.insert(start, b"x", 3).unwrap();
        }
        assert_eq!(pieces.insert(12, b"x", 3), Err(Full::Runs));
        assert_eq!(pieces.insert(9, b"y", 3), Ok(1), "what continues a run needs no other");
        assert_eq!(pieces.runs().len(), 3);
    }

    #[test]
    fn the_budget_is_kept_and_given_back() {
        let budget = Budget::new(1200);
        let mut pieces = Pieces::new(budget.clone());
        assert_eq!(pieces.insert(0, &[1; 100], 8), Ok(100));
        assert_eq!(budget.used(), 100 + RUN_OVERHEAD);
        assert_eq!(pieces.insert(200, &[1; 800], 8), Err(Full::Budget));
        assert_eq!(budget.used(), pieces.charged());
        pieces.insert(500, &[1; 50], 8).unwrap();
        assert_eq!(pieces.pop().map(|run| run.bytes.len()), Some(100));
        assert_eq!(budget.used(), 50 + RUN_OVERHEAD);
        drop(pieces);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn what_is_consumed_leaves_from_the_front() {
        let mut pieces = pieces();
        pieces.insert(10, b"abcdef", 8).unwrap();
        pieces.consume(2);
        assert_eq!(shape(&pieces), [(12, &b"cdef"[..])]);
        pieces.insert(16, b"gh", 8).unwrap();
        pieces.consume(9);
        assert_eq!((shape(&pieces), pieces.charged()), (vec![], 0));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn like_an_array_in_which_each_place_is_written_once(
            inserts in prop::collection::vec((0_u64..100, 0_usize..40, any::<u8>()), 1..40),
        ) {
            let mut oracle: [Option<u8>; 140] = [None; 140];
            let budget = Budget::new(1 << 20);
            let mut pieces = Pieces::new(budget.clone());
            for (start, length, value) in inserts {
                let bytes: Vec<u8> = (0..length).map(|i| value.wrapping_add(i as u8)).collect();
                let mut expected = 0;
                for (place, byte) in oracle[start as usize..].iter_mut().zip(&bytes) {
                    if place.is_none() {
                        *place = Some(*byte);
                        expected += 1;
                    }
                }
                prop_assert_eq!(pieces.insert(start, &bytes, 1000), Ok(expected));
                prop_assert_eq!(budget.used(), pieces.charged());
            }
            let mut seen: [Option<u8>; 140] = [None; 140];
            let mut last = 0;
            while let Some(run) = pieces.pop() {
                prop_assert!(run.start >= last);
                last = run.end();
                for (place, byte) in seen[run.start as usize..].iter_mut().zip(&run.bytes) {
                    prop_assert_eq!(place.replace(*byte), None);
                }
            }
            prop_assert_eq!(seen, oracle);
            prop_assert_eq!(budget.used(), 0);
        }
    }
}
