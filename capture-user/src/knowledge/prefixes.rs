//! Longest-prefix match for addresses of any kind, aligned to the left of 128 bits.

/// Values by prefix, in the order of their first addresses, of equal ones the shorter prefix first.
///
/// Of the prefixes that begin at an address or before it, the last is found by bisection. It holds the address, or one
/// of those around it does: each knows the next one around it, and few stand in more than two.
#[derive(Debug)]
pub(super) struct Prefixes<T> {
    prefixes: Vec<Prefix<T>>,
    /// Their first addresses once more, close together for the bisection.
    starts: Vec<u128>,
    /// How many of them have a first byte less than this: where the bisection begins, and one further on where it ends.
    below: [u32; 257],
}

#[derive(Debug)]
struct Prefix<T> {
    bits: u128,
    value: T,
    length: u8,
    /// The place of the longest prefix that holds it.
    around: Option<u32>,
}

impl<T> Default for Prefixes<T> {
    fn default() -> Self {
        Self { prefixes: Vec::new(), starts: Vec::new(), below: [0; 257] }
    }
}

impl<T> FromIterator<(u128, u8, T)> for Prefixes<T> {
    /// From bits, length and value; of equal prefixes the last counts.
    fn from_iter<I: IntoIterator<Item = (u128, u8, T)>>(prefixes: I) -> Self {
        let of = |(bits, length, value)| Prefix { bits: masked(bits, length), value, length, around: None };
        let mut prefixes: Vec<_> = prefixes.into_iter().map(of).collect();
        // Stable, so that the last of equal ones is the first when they are gone over backwards.
        prefixes.sort_by_key(|prefix| (prefix.bits, prefix.length));
        prefixes.reverse();
        prefixes.dedup_by_key(|prefix| (prefix.bits, prefix.length));
        prefixes.reverse();
        for place in 1..prefixes.len() {
            let (before, from) = prefixes.split_at_mut(place);
            let (Some(last), Some(prefix)) = (before.last(), from.first_mut()) else { continue };
            let nearest = Some(before.len() as u32 - 1).filter(|_| last.holds(prefix.bits));
            prefix.around = nearest.or_else(|| holder(before, last.around, prefix.bits));
        }
        let starts: Vec<_> = prefixes.iter().map(|prefix| prefix.bits).collect();
        let below = std::array::from_fn(|first| starts.partition_point(|start| first_byte(*start) < first) as u32);
        Self { prefixes, starts, below }
    }
}

impl<T> Prefixes<T> {
    /// The value of the longest prefix of `bits`, and its length.
    pub fn find(&self, bits: u128) -> Option<(&T, u8)> {
        let first = first_byte(bits);
        let (from, to) = (self.below[first] as usize, self.below[first + 1] as usize);
        let behind = from + self.starts.get(from..to)?.partition_point(|start| *start <= bits);
        let place = holder(&self.prefixes, Some(behind.checked_sub(1)? as u32), bits)?;
        self.prefixes.get(place as usize).map(|prefix| (&prefix.value, prefix.length))
    }

    /// All prefixes in order: bits, length, value.
    pub fn iter(&self) -> impl Iterator<Item = (u128, u8, &T)> {
        self.prefixes.iter().map(|prefix| (prefix.bits, prefix.length, &prefix.value))
    }

    /// Number of prefixes.
    pub fn len(&self) -> usize {
        self.prefixes.len()
    }
}

fn first_byte(bits: u128) -> usize {
    (bits >> 120) as usize
}

impl<T> Prefix<T> {
    fn holds(&self, bits: u128) -> bool {
        masked(bits, self.length) == self.bits
    }
}

/// The first that holds an address, of a prefix and those around it.
fn holder<T>(prefixes: &[Prefix<T>], from: Option<u32>, bits: u128) -> Option<u32> {
    let mut place = from;
    // What is around a prefix stands before it, so this ends.
    while let Some(prefix) = prefixes.get(place? as usize)
        && !prefix.holds(bits)
    {
        place = prefix.around;
    }
    place
}

/// The first `length` bits.
pub(super) fn masked(bits: u128, length: u8) -> u128 {
    match length {
        0 => 0,
        length => bits & (u128::MAX << 128_u32.saturating_sub(u32::from(length))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn at(byte: u8) -> u128 {
        (byte as u128) << 120
    }

    #[test]
    fn the_longest_prefix_wins() {
        let prefixes = [(0x40, 2, 'a'), (0x50, 4, 'b'), (0x55, 8, 'c'), (0, 0, 'd'), (0x50, 4, 'B')];
        let prefixes: Prefixes<_> =
            prefixes.into_iter().map(|(byte, length, value)| (at(byte), length, value)).collect();
        let find = |byte| prefixes.find(at(byte)).map(|(value, length)| (*value, length));
        assert_eq!(find(0x55), Some(('c', 8)));
        assert_eq!(find(0x54), Some(('B', 4)));
        assert_eq!(find(0x7f), Some(('a', 2)));
        assert_eq!(find(0x80), Some(('d', 0)));
        assert_eq!(prefixes.len(), 4);
        assert!(Prefixes::<()>::default().find(0).is_none());
    }

    proptest! {
        #[test]
        fn finds_what_a_look_at_all_of_them_finds(
            prefixes in prop::collection::vec((any::<u8>(), 0..=8_u8), 0..40),
            address: u8,
        ) {
            let all: Vec<_> = prefixes.iter().map(|(byte, length)| (masked(at(*byte), *length), *length, ())).collect();
            let longest = all.iter().filter(|(bits, length, ())| masked(at(address), *length) == *bits);
            let longest = longest.map(|(_, length, ())| *length).max();
            let prefixes: Prefixes<()> = all.iter().copied().collect();
            prop_assert_eq!(prefixes.find(at(address)).map(|(_, length)| length), longest);
        }
    }
}
