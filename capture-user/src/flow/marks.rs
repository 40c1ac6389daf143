//! What a flow's first payloads showed, for who tells what the flow is for.

use arrayvec::ArrayVec;

use super::Protocol;
use crate::dissect::app::Direction;
use crate::knowledge::MOST_SHOWN;

/// Marks left by the first payloads of each direction.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    /// Signatures seen, by place in the table of signatures.
    pub signatures: ArrayVec<u16, MOST_SHOWN>,
    /// The burst of like flows that it began in.
    pub burst: Option<u32>,
    /// Whether frames were cut off before the end of their payload.
    pub cut: bool,
    looked: [u8; 2],
}

/// Datagrams of a direction that are looked at; of a stream it is its first segment.
const DATAGRAMS: u8 = 4;

impl Marks {
    /// Whether the next payload of a direction is worth a look.
    pub fn wanted(&self, direction: Direction, protocol: Protocol) -> bool {
        self.looked[direction.index()] < if protocol == Protocol::UDP { DATAGRAMS } else { 1 }
    }

    /// Counts a payload that was looked at; whether it was the direction's first.
    pub fn count(&mut self, direction: Direction) -> bool {
        let looked = &mut self.looked[direction.index()];
        *looked += 1;
        *looked == 1
    }
}
