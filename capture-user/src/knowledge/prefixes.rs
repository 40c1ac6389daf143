//! Longest-prefix match for addresses of any kind, aligned to the left of 128 bits.

use hashbrown::HashMap;

/// Values by prefix.
///
/// There are few distinct lengths in any table, so one hash lookup for each of them, the longest first, is simpler than
/// a trie and not slower.
#[derive(Debug)]
pub(super) struct Prefixes<T> {
    lengths: Vec<(u8, HashMap<u128, T>)>,
}

impl<T> Default for Prefixes<T> {
    fn default() -> Self {
        Self { lengths: Vec::new() }
    }
}

impl<T> Prefixes<T> {
    /// Gives a prefix its value, in place of any earlier one.
    pub fn insert(&mut self, bits: u128, length: u8, value: T) {
        let place = self.lengths.partition_point(|(known, _)| *known > length);
        if self.lengths.get(place).is_none_or(|(known, _)| *known != length) {
            self.lengths.insert(place, (length, HashMap::new()));
        }
        if let Some((_, values)) = self.lengths.get_mut(place) {
            values.insert(masked(bits, length), value);
        }
    }

    /// The value of the longest prefix of `bits`, and its length.
    pub fn find(&self, bits: u128) -> Option<(&T, u8)> {
        self.lengths.iter().find_map(|(length, values)| Some((values.get(&masked(bits, *length))?, *length)))
    }

    /// All prefixes in no order: bits, length, value.
    pub fn iter(&self) -> impl Iterator<Item = (u128, u8, &T)> {
        self.lengths.iter().flat_map(|(length, values)| values.iter().map(|(bits, value)| (*bits, *length, value)))
    }

    /// Number of prefixes.
    pub fn len(&self) -> usize {
        self.lengths.iter().map(|(_, values)| values.len()).sum()
    }
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
    use super::*;

    #[test]
    fn the_longest_prefix_wins() {
        let mut prefixes = Prefixes::default();
        let at = |byte: u8| u128::from(byte) << 120;
        for (byte, length, value) in [(0x40, 2, 'a'), (0x50, 4, 'b'), (0x55, 8, 'c'), (0, 0, 'd'), (0x50, 4, 'B')] {
            prefixes.insert(at(byte), length, value);
        }
        let find = |byte| prefixes.find(at(byte)).map(|(value, length)| (*value, length));
        assert_eq!(find(0x55), Some(('c', 8)));
        assert_eq!(find(0x54), Some(('B', 4)));
        assert_eq!(find(0x7f), Some(('a', 2)));
        assert_eq!(find(0x80), Some(('d', 0)));
        assert_eq!(prefixes.len(), 4);
        assert!(Prefixes::<()>::default().find(0).is_none());
    }
}
