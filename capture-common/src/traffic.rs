//! How the frames lie that a benchmark's sender sends: one behind another in blocks, none across two, and a list of their
//! places. So a processor that goes through them has the next ones in its cache before it comes to them.

/// Bytes of a block: so many that no place, whatever it says, is beyond it.
pub const BLOCK: usize = (1 << 16) + LARGEST;

/// The largest frame.
pub const LARGEST: usize = (1 << 11) - 1;

/// The smallest that the kernel passes on: an Ethernet header.
pub const SMALLEST: usize = 14;

/// Where a frame lies, in one word: its block, where it begins there, its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(pub u64);

impl Place {
    /// The place of `length` bytes, [`LARGEST`] at most, from byte `start` of a block on.
    pub const fn new(block: u32, start: u16, length: u16) -> Self {
        Self((block as u64) << 32 | (start as u64) << 16 | length as u64)
    }

    /// Its block.
    pub const fn block(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The byte of the block that it begins with.
    pub const fn start(self) -> u32 {
        (self.0 >> 16) as u32 & 0xffff
    }

    /// Its bytes.
    pub const fn length(self) -> u32 {
        self.0 as u32 & LARGEST as u32
    }
}

/// How many frames are sent, and when.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Course {
    /// Frames sent so far: that says which is next.
    pub sent: u64,
    /// Frames to send in all.
    pub until: u64,
    /// Frames in a second; 0: as many as can be.
    pub rate: u64,
    /// When the first was due, by CLOCK_MONOTONIC in nanoseconds; 0 where that is now, and where no rate is kept.
    pub begun: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_what_it_was_made_of() {
        let place = Place::new(u32::MAX, 0xfedc, 1536);
        assert_eq!((place.block(), place.start(), place.length()), (u32::MAX, 0xfedc, 1536));
    }
}
