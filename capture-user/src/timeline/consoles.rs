//! The consoles of a shard: as many as there is room for.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::console::Console;
use super::watch::Owner;

/// Consoles kept at most; beyond it one that has long been idle is forgotten.
const MOST: usize = 1_024;
/// Consoles that are asked for room.
const NEIGHBOURS: usize = 8;

/// Consoles by owner, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Consoles {
    list: Vec<(Owner, Console)>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// Where room is looked for next.
    hand: usize,
}

impl Consoles {
    /// The console of this name, if it is known.
    pub fn get(&self, owner: &Owner) -> Option<&Console> {
        self.list.get(self.place(self.hasher.hash_one(owner), owner)?).map(|(_, console)| console)
    }

    /// The same, to change it.
    pub fn get_mut(&mut self, owner: &Owner) -> Option<&mut Console> {
        let place = self.place(self.hasher.hash_one(owner), owner)?;
        self.list.get_mut(place).map(|(_, console)| console)
    }

    /// The console of this name, new at `now` or known.
    pub fn known(&mut self, owner: Owner, now: i64) -> &mut Console {
        let hash = self.hasher.hash_one(owner);
        let place = self.place(hash, &owner).unwrap_or_else(|| self.insert(hash, owner, now));
        &mut self.list[place].1
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&Owner, &Console)> {
        self.list.iter().map(|(owner, console)| (owner, console))
    }

    /// All of them, to change them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&Owner, &mut Console)> {
        self.list.iter_mut().map(|(owner, console)| (&*owner, console))
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.list.clear();
        self.index.clear();
        self.hand = 0;
    }

    fn place(&self, hash: u64, owner: &Owner) -> Option<usize> {
        let is_its = |place: &u32| self.list.get(*place as usize).is_some_and(|(known, _)| known == owner);
        self.index.find(hash, is_its).map(|place| *place as usize)
    }

    fn insert(&mut self, hash: u64, owner: Owner, now: i64) -> usize {
        let new = (owner, Console::new(now));
        let place = if self.list.len() < MOST {
            self.list.push(new);
            self.list.len() - 1
        } else {
            let place = self.make_room();
            self.list[place] = new;
            place
        };
        let Self { list, index, hasher, .. } = self;
        let hash_of = |place: &u32| list.get(*place as usize).map_or(0, |(owner, _)| hasher.hash_one(owner));
        index.insert_unique(hash, place as u32, hash_of);
        place
    }

    /// Takes the one longest idle of the next few out of the index, if it can be one that does not play.
    fn make_room(&mut self) -> usize {
        let next = (self.hand..self.hand + NEIGHBOURS).map(|place| place % self.list.len());
        let idlest = next.min_by_key(|place| (self.list[*place].1.awaits_result(), self.list[*place].1.last));
        self.hand = (self.hand + NEIGHBOURS) % self.list.len();
        let place = idlest.unwrap_or(0);
        let hash = self.hasher.hash_one(self.list[place].0);
        if let Ok(found) = self.index.find_entry(hash, |indexed| *indexed as usize == place) {
            found.remove();
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn owner(number: u32) -> Owner {
        Owner::Host(IpAddr::from((0x0a00_0000 + number).to_be_bytes()))
    }

    #[test]
    fn the_idlest_make_room_and_the_others_are_still_known() {
        let mut consoles = Consoles::default();
        for number in 0..2 * MOST as u32 {
            consoles.known(owner(number), i64::from(number)).last = i64::from(number);
            // Always busy.
            consoles.known(owner(7), 0).last = i64::MAX;
        }
        assert_eq!((consoles.list.len(), consoles.index.len()), (MOST, MOST));
        assert!(consoles.get(&owner(7)).is_some() && consoles.get(&owner(0)).is_none());
        for (place, (owner, _)) in consoles.list.iter().enumerate() {
            assert_eq!(consoles.place(consoles.hasher.hash_one(owner), owner), Some(place));
        }
    }
}
