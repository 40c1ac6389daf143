//! Flows in the order of their last activity, roughly: a packet does not move its flow.
//!
//! A queue is a doubly linked list through the slab. A flow joins at the tail, with the time of joining; its later
//! packets leave it where it is. When it reaches the head, it either was active since and joins at the tail again, or
//! has been silent. So a packet costs the queue nothing, and a flow moves at most once per timeout.

/// No flow.
const NONE: u32 = u32::MAX;

/// Where a flow stands in its queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    previous: u32,
    next: u32,
    /// The shard's clock when the flow joined at the tail, in nanoseconds.
    pub(super) joined: i64,
    /// Which queue it is in.
    pub(super) queue: u8,
}

impl Place {
    /// The flow behind it.
    pub(super) fn next(&self) -> Option<u32> {
        (self.next != NONE).then_some(self.next)
    }
}

impl Default for Place {
    fn default() -> Self {
        Self { previous: NONE, next: NONE, joined: 0, queue: 0 }
    }
}

/// Access to the places of all flows, by their index in the slab.
pub(super) trait Places {
    fn place(&mut self, index: u32) -> Option<&mut Place>;
}

/// One queue.
#[derive(Debug)]
pub(super) struct Queue {
    head: u32,
    tail: u32,
}

impl Default for Queue {
    fn default() -> Self {
        Self { head: NONE, tail: NONE }
    }
}

impl Queue {
    pub(super) fn head(&self) -> Option<u32> {
        (self.head != NONE).then_some(self.head)
    }

    pub(super) fn push(&mut self, places: &mut impl Places, index: u32, joined: i64, queue: u8) {
        let previous = std::mem::replace(&mut self.tail, index);
        if let Some(place) = places.place(index) {
            *place = Place { previous, next: NONE, joined, queue };
        }
        match places.place(previous) {
            Some(place) => place.next = index,
            None => self.head = index,
        }
    }

    pub(super) fn remove(&mut self, places: &mut impl Places, index: u32) {
        let Some(Place { previous, next, .. }) = places.place(index).copied() else { return };
        match places.place(previous) {
            Some(place) => place.next = next,
            None => self.head = next,
        }
        match places.place(next) {
            Some(place) => place.previous = previous,
            None => self.tail = previous,
        }
    }
}
