//! Where flows stay.

use super::Flow;
use super::holders::Holder;
use super::queue::{Place, Places};
use crate::cache::prefetch;

/// Flows by index, in chunks of slots that stay where they are: a table that grows copies nothing, and takes no more than
/// its flows need.
#[derive(Debug, Default)]
pub(super) struct Slab {
    chunks: Vec<Box<[Option<Flow>; CHUNK]>>,
    /// Slots taken so far.
    taken: usize,
    /// Of these, the vacant ones.
    free: Vec<u32>,
}

/// Slots of a chunk: a power of two.
const CHUNK: usize = 256;

impl Places for Slab {
    fn place(&mut self, index: u32) -> Option<&mut Place> {
        self.get_mut(index).map(|flow| &mut flow.place)
    }
}

impl Slab {
    /// The flow with this index.
    #[inline]
    pub(super) fn get(&self, index: u32) -> Option<&Flow> {
        self.chunks.get(index as usize / CHUNK)?[index as usize % CHUNK].as_ref()
    }

    /// The same, to change it.
    #[inline]
    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut Flow> {
        self.slot(index)?.as_mut()
    }

    #[inline]
    fn slot(&mut self, index: u32) -> Option<&mut Option<Flow>> {
        self.chunks.get_mut(index as usize / CHUNK).map(|chunk| &mut chunk[index as usize % CHUNK])
    }

    /// This slot is going to be asked for.
    pub(super) fn foresee(&self, index: u32) {
        if let Some(chunk) = self.chunks.get(index as usize / CHUNK) {
            prefetch(&chunk[index as usize % CHUNK]);
        }
    }

    /// Adds the flow that is made for an index; says which that is.
    pub(super) fn insert(&mut self, flow: impl FnOnce(u32) -> Flow) -> u32 {
        let index = self.free.pop().unwrap_or_else(|| self.fresh());
        if let Some(slot) = self.slot(index) {
            *slot = Some(flow(index));
        }
        index
    }

    /// A slot that was never taken.
    fn fresh(&mut self) -> u32 {
        if self.taken == self.chunks.len() * CHUNK {
            let chunk: Vec<Option<Flow>> = (0..CHUNK).map(|_| None).collect();
            self.chunks.extend(<Box<[_; CHUNK]>>::try_from(chunk));
        }
        self.taken += 1;
        (self.taken - 1) as u32
    }

    /// Takes a flow out. It is told of where it stands: it is large.
    pub(super) fn remove(&mut self, index: u32, told: impl FnOnce(&mut Flow)) {
        let Some(slot) = self.slot(index) else { return };
        if let Some(flow) = slot {
            told(flow);
            *slot = None;
            self.free.push(index);
        }
    }

    /// Every flow, in no order.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Flow> {
        self.chunks.iter_mut().flat_map(|chunk| chunk.iter_mut()).flatten()
    }

    /// The flow that a holder was, if it is still there.
    pub(super) fn held_by(&mut self, holder: &Holder) -> Option<&mut Flow> {
        self.get_mut(holder.0).filter(|flow| flow.start == holder.1)
    }
}
