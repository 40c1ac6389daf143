//! Connections whose streams hold bytes, in the order in which they began to.

use std::collections::VecDeque;

use crate::time::Timestamp;

/// A connection: its slot, and when it began, for the slot may be another's by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder(pub(super) u32, pub(super) Timestamp);

/// Holders that are looked through at the earliest for those that hold nothing any more.
const FEW: usize = 1_024;

/// The queue. Those that hold nothing any more stay in it until they are met or looked for.
#[derive(Debug)]
pub(super) struct Holders {
    queue: VecDeque<Holder>,
    /// As many as there may be before they are looked through.
    patience: usize,
}

impl Default for Holders {
    fn default() -> Self {
        Self { queue: VecDeque::new(), patience: FEW }
    }
}

impl Holders {
    /// Adds one at the end. `holds` tells which still hold bytes: with every doubling the others are dropped, so that
    /// the queue is never much longer than there are holders.
    pub(super) fn push(&mut self, holder: Holder, holds: impl FnMut(&Holder) -> bool) {
        if self.queue.len() >= self.patience {
            self.queue.retain(holds);
            self.patience = (self.queue.len() * 2).max(FEW);
        }
        self.queue.push_back(holder);
    }

    pub(super) fn pop(&mut self) -> Option<Holder> {
        self.queue.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_hold_nothing_do_not_pile_up() {
        let mut holders = Holders::default();
        let at = Timestamp::default();
        for index in 0..100_000 {
            holders.push(Holder(index, at), |other| other.0 % 1_000 == 0);
        }
        assert!(holders.queue.len() <= 2 * FEW, "{}", holders.queue.len());
        let in_order: Vec<_> = std::iter::from_fn(|| holders.pop()).filter(|holder| holder.0 % 1_000 == 0).collect();
        assert_eq!(in_order, (0..100).map(|index| Holder(index * 1_000, at)).collect::<Vec<_>>());
    }
}
