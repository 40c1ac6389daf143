//! Where flows and names are, by the digests of their keys.
//!
//! A table of open addressing: a place holds part of a digest and the slot of what has it, eight of them lie in one line of
//! the cache, and mostly the first one looked at is it. It is what every packet goes through, and in a general table groups
//! of bytes are compared first and the entries lie elsewhere.

use crate::cache::prefetch;

/// Slots by digest. It grows to twice its size when half full, so there always is a vacant place.
#[derive(Debug)]
pub(crate) struct Index {
    places: Vec<Place>,
    len: usize,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    digest: u32,
    slot: u32,
}

/// No slot.
const NONE: u32 = u32::MAX;
const VACANT: Place = Place { digest: 0, slot: NONE };
/// Places at first: a power of two, as always.
const LEAST: usize = 1024;

impl Default for Index {
    fn default() -> Self {
        Self { places: vec![VACANT; LEAST], len: 0 }
    }
}

impl Index {
    /// Slots in it.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The slot with this digest that `is_it`.
    #[inline(always)]
    pub(crate) fn find(&self, digest: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        let digest = digest as u32;
        let mut at = digest as usize;
        loop {
            let place = self.places.get(at & (self.places.len() - 1))?;
            if place.digest == digest && is_it(place.slot) {
                return Some(place.slot);
            }
            if place.slot == NONE {
                return None;
            }
            at += 1;
        }
    }

    /// A slot with this digest is going to be looked for.
    #[inline]
    pub(crate) fn foresee(&self, digest: u64) {
        prefetch(&self.places[digest as u32 as usize & (self.places.len() - 1)]);
    }

    /// Adds a slot that is not in it.
    pub(crate) fn insert(&mut self, digest: u64, slot: u32) {
        if self.len * 2 >= self.places.len() {
            self.grow();
        }
        self.len += 1;
        self.put(Place { digest: digest as u32, slot });
    }

    /// Takes a slot out. Those behind it that were in its way move up, so that no search ends too early.
    pub(crate) fn remove(&mut self, digest: u64, slot: u32) {
        let mask = self.places.len() - 1;
        let mut hole = digest as u32 as usize & mask;
        while self.places[hole].slot != slot {
            if self.places[hole].slot == NONE {
                return;
            }
            hole = (hole + 1) & mask;
        }
        let mut next = (hole + 1) & mask;
        while self.places[next].slot != NONE {
            let home = self.places[next].digest as usize & mask;
            if next.wrapping_sub(home) & mask >= next.wrapping_sub(hole) & mask {
                self.places[hole] = self.places[next];
                hole = next;
            }
            next = (next + 1) & mask;
        }
        self.places[hole] = VACANT;
        self.len -= 1;
    }

    #[cold]
    fn grow(&mut self) {
        let twice = vec![VACANT; self.places.len() * 2];
        let before = std::mem::replace(&mut self.places, twice);
        before.into_iter().filter(|place| place.slot != NONE).for_each(|place| self.put(place));
    }

    fn put(&mut self, place: Place) {
        let mask = self.places.len() - 1;
        let mut at = place.digest as usize & mask;
        while self.places[at].slot != NONE {
            at = (at + 1) & mask;
        }
        self.places[at] = place;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn near_end(digest: u64) -> u64 {
        LEAST as u64 * 4 - 40 + digest
    }

    proptest! {
        /// Few digests, at the end of the table, so that searches run into one another and around it.
        #[test]
        fn it_holds_what_a_map_holds(steps in prop::collection::vec((any::<bool>(), 0..200_u32, 0..80_u64), 1..600)) {
            let mut index = Index::default();
            let mut map = BTreeMap::new();
            for (add, slot, digest) in steps {
                if add && !map.contains_key(&slot) {
                    index.insert(near_end(digest), slot);
                    map.insert(slot, digest);
                } else if let Some(digest) = map.remove(&slot) {
                    index.remove(near_end(digest), slot);
                } else {
                    index.remove(near_end(digest), slot);
                }
                prop_assert_eq!(index.len(), map.len());
            }
            for slot in 0..200 {
                let digest = map.get(&slot).copied();
                let found = (0..80).filter(|digest| index.find(near_end(*digest), |other| other == slot).is_some());
                prop_assert_eq!(found.collect::<Vec<_>>(), Vec::from_iter(digest));
            }
        }
    }
}
