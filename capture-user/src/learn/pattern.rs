//! What payloads have in common.

use super::samples::{HEAD, Sample, TAIL};

/// Of a hundred payloads so many must agree on a byte for it to be fixed: a few may be something else.
const AGREE: usize = 97;

/// Fixed bytes from the start and from the end, and lengths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pattern {
    /// By place from the start; `None` is any.
    pub head: Vec<Option<u8>>,
    /// By place from the end, the last first; only where lengths differ.
    pub tail: Vec<Option<u8>>,
    /// The shortest and the longest payload.
    pub lengths: (u32, u32),
}

impl Pattern {
    /// What payloads have in common.
    pub fn of(samples: &[Sample]) -> Self {
        let lengths = || samples.iter().map(|sample| sample.length);
        let (shortest, longest) = (lengths().min().unwrap_or(0), lengths().max().unwrap_or(0));
        let mut head: Vec<_> =
            (0..HEAD).map(|place| fixed(samples.iter().map(|sample| sample.head.get(place).copied()))).collect();
        let mut tail = Vec::new();
        if shortest != longest {
            tail = (0..TAIL).map(|place| fixed(samples.iter().map(|sample| sample.tail.get(place).copied()))).collect();
        }
        for places in [&mut head, &mut tail] {
            let used = places.iter().rposition(Option::is_some).map_or(0, |place| place + 1);
            places.truncate(used);
        }
        Self { head, tail, lengths: (shortest, longest) }
    }

    /// Fixed bytes, and those among them that say something: zeros and ones stand anywhere.
    pub fn strength(&self) -> (usize, usize) {
        let fixed = || self.head.iter().chain(&self.tail).flatten();
        (fixed().count(), fixed().filter(|byte| !matches!(byte, 0 | 0xff)).count())
    }

    /// Whether it is worth a signature.
    pub fn is_telling(&self) -> bool {
        let (fixed, telling) = self.strength();
        fixed >= 3 && telling >= 2
    }

    /// What two patterns have in common, if that is worth a signature and no less than half of either.
    pub fn meet(&self, other: &Self) -> Option<Self> {
        let both = |one: &[Option<u8>], other: &[Option<u8>]| -> Vec<Option<u8>> {
            let mut common: Vec<_> = one.iter().zip(other).map(|(one, other)| one.filter(|_| one == other)).collect();
            let used = common.iter().rposition(Option::is_some).map_or(0, |place| place + 1);
            common.truncate(used);
            common
        };
        let lengths = (self.lengths.0.min(other.lengths.0), self.lengths.1.max(other.lengths.1));
        let common = Self { head: both(&self.head, &other.head), tail: both(&self.tail, &other.tail), lengths };
        let (_, telling) = common.strength();
        let alike = [self, other].iter().all(|pattern| telling * 2 >= pattern.strength().1);
        (common.is_telling() && alike).then_some(common)
    }
}

/// The byte that as good as all have.
fn fixed(bytes: impl Iterator<Item = Option<u8>>) -> Option<u8> {
    let (mut counts, mut all) = ([0_usize; 256], 0);
    for byte in bytes {
        all += 1;
        if let Some(byte) = byte {
            counts[usize::from(byte)] += 1;
        }
    }
    let (byte, most) = (0..=u8::MAX).zip(counts).max_by_key(|(_, count)| *count)?;
    (all > 0 && most * 100 >= all * AGREE).then_some(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(payloads: &[Vec<u8>]) -> Vec<Sample> {
        let tail = |payload: &Vec<u8>| payload.iter().rev().take(TAIL).copied().collect();
        payloads
            .iter()
            .map(|payload| Sample { head: payload.clone(), tail: tail(payload), length: payload.len() as u32 })
            .collect()
    }

    #[test]
    fn fixed_bytes_are_found_among_counters_and_a_stray() {
        let mut payloads: Vec<Vec<u8>> = (0..200_u8)
            .map(|count| [&[0x4d, 0x59, count, 0x01][..], &vec![count; 3 + usize::from(count % 9)], &[0x77]].concat())
            .collect();
        payloads.push(vec![9; 40]);
        let pattern = Pattern::of(&samples(&payloads));
        assert_eq!(pattern.head, [Some(0x4d), Some(0x59), None, Some(1)]);
        assert_eq!(pattern.tail, [Some(0x77)]);
        assert_eq!(pattern.strength(), (4, 4));
    }

    #[test]
    fn what_two_sessions_share_is_kept_and_their_keys_are_not() {
        let session = |key: u8| -> Vec<Vec<u8>> { (0..20).map(|count| vec![1, 2, 3, key, key, count, 5, 6]).collect() };
        let [one, other] = [0xaa, 0xbb].map(|key| Pattern::of(&samples(&session(key))));
        let common = one.meet(&other).expect("they are alike");
        assert_eq!(common.head, [Some(1), Some(2), Some(3), None, None, None, Some(5), Some(6)]);
        let stranger = Pattern::of(&samples(&[vec![9, 8, 7, 6, 5, 4], vec![9, 8, 7, 6, 5, 4]]));
        assert_eq!(one.meet(&stranger), None);
    }
}
