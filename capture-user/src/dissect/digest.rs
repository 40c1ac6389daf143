//! A quick digest of a packet: two words at a time, by one multiplication to 128 bits whose halves are then joined.
//!
//! It is the core of wyhash and foldhash without their handling of arbitrary streams of values. Who does not know the two
//! random words that it begins with cannot make packets whose digests are alike.

use std::hash::{BuildHasher, RandomState};

/// What was added so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Digest {
    state: u64,
    key: u64,
}

impl Digest {
    /// The digest of nothing, under two words that nobody can guess.
    pub(crate) fn new() -> Self {
        Self { state: RandomState::new().hash_one(0), key: RandomState::new().hash_one(1) }
    }

    /// Adds two words.
    #[inline(always)]
    pub(crate) fn add(&mut self, one: u64, other: u64) {
        let product = u128::from(self.state ^ one) * u128::from(self.key ^ other);
        self.state = product as u64 ^ (product >> 64) as u64;
    }

    /// Adds bytes. Where their number is not added otherwise, bytes that end in zeros may look like fewer.
    #[inline(always)]
    pub(crate) fn add_bytes(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(16);
        for chunk in &mut chunks {
            if let Some((one, other)) = chunk.split_first_chunk::<8>() {
                self.add(u64::from_le_bytes(*one), word(other));
            }
        }
        let rest = chunks.remainder();
        if let Some((one, other)) = rest.split_first_chunk::<8>() {
            self.add(u64::from_le_bytes(*one), word(other));
        } else if !rest.is_empty() {
            self.add(word(rest), 0);
        }
    }

    /// The digest, as it is after what was added last.
    #[inline(always)]
    pub(crate) fn state(&self) -> u64 {
        self.state
    }

    /// The digest, as two numbers.
    #[inline(always)]
    pub(crate) fn halves(&self) -> (u32, u32) {
        (self.state as u32, (self.state >> 32) as u32)
    }

    /// The digest, mixed once more.
    #[inline(always)]
    pub(crate) fn value(&self) -> u64 {
        let mut end = *self;
        end.add(0, self.key.rotate_left(32));
        end.state
    }
}

/// Up to eight bytes as a number.
#[inline(always)]
fn word(bytes: &[u8]) -> u64 {
    if let Some(all) = bytes.first_chunk::<8>() {
        return u64::from_le_bytes(*all);
    }
    match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
        (Some(first), Some(last)) => u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last)),
        _ => bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)),
    }
}
