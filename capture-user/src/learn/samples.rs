//! Payloads, as many as say enough.

use crate::time::Timestamp;

/// Bytes of a payload's beginning and of its end that are kept.
pub const HEAD: usize = 48;
pub const TAIL: usize = 8;
/// Payloads that are kept: of more, every second, every fourth…
const MOST: usize = 256;

/// One payload's beginning, end and length.
#[derive(Clone, Debug)]
pub struct Sample {
    pub head: Vec<u8>,
    /// The last bytes, the last first.
    pub tail: Vec<u8>,
    pub length: u32,
}

/// Payloads of one direction.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    kept: Vec<Sample>,
    /// One in so many is kept, as a power of two.
    stride: u32,
    count: u64,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
}

impl Samples {
    /// Takes a payload in.
    pub fn add(&mut self, payload: &[u8], time: Timestamp) {
        if self.count.is_multiple_of(1 << self.stride) {
            if self.kept.len() >= MOST {
                let mut place = 0_usize;
                self.kept.retain(|_| {
                    place += 1;
                    place % 2 == 1
                });
                self.stride += 1;
            }
            if self.count.is_multiple_of(1 << self.stride) {
                let head = payload.get(..HEAD).unwrap_or(payload).to_vec();
                let tail = payload.iter().rev().take(TAIL).copied().collect();
                self.kept.push(Sample { head, tail, length: payload.len() as u32 });
            }
        }
        self.count += 1;
        self.first = Some(self.first.map_or(time, |first| first.min(time)));
        self.last = Some(self.last.map_or(time, |last| last.max(time)));
    }

    /// Payloads there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Payloads a second, where there were enough to say.
    pub fn rate(&self) -> Option<f64> {
        let span = self.last?.nanos_since(self.first?) as f64 / 1e9;
        (self.count > 8 && span > 0.0).then(|| (self.count - 1) as f64 / span)
    }

    /// The payloads kept.
    pub fn kept(&self) -> &[Sample] {
        &self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_of_all_the_time_are_kept_and_never_too_many() {
        let mut samples = Samples::default();
        for number in 0..10_000_u32 {
            samples.add(&number.to_be_bytes(), Timestamp::new(i64::from(number), 0));
            assert!(samples.kept().len() <= MOST);
        }
        let numbers: Vec<u32> = samples
            .kept()
            .iter()
            .map(|sample| u32::from_be_bytes(sample.head[..].try_into().expect("four bytes")))
            .collect();
        assert!(numbers.len() > MOST / 4 && numbers[0] == 0 && *numbers.last().expect("some") > 9_900, "{numbers:?}");
        assert!(numbers.windows(2).all(|pair| pair[1] - pair[0] == numbers[1]), "evenly: {numbers:?}");
        assert_eq!(samples.rate(), Some(1.0));
    }
}
