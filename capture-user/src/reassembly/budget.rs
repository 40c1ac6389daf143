//! A limit on memory that many holders share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that may be held, and are. Clones share one account; whoever holds bytes gives them back when it is dropped.
///
/// One shard's holders all live in one thread, so the counter is never contended; it is atomic so that they may move
/// to another thread together. It is touched only when bytes must be kept, not for packets that come in order.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Account>);

#[derive(Debug)]
struct Account {
    cap: usize,
    used: AtomicUsize,
}

impl Budget {
    /// A budget of `cap` bytes.
    pub fn new(cap: usize) -> Self {
        Self(Arc::new(Account { cap, used: AtomicUsize::new(0) }))
    }

    /// Bytes held now.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    /// The most that may be held.
    pub fn cap(&self) -> usize {
        self.0.cap
    }

    /// Sets `bytes` aside, if there is room for them.
    pub(super) fn take(&self, bytes: usize) -> bool {
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.0.cap);
        self.0.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    /// Gives back what was taken.
    pub(super) fn give(&self, bytes: usize) {
        self.0.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_up_to_the_cap_and_not_a_byte_more() {
        let budget = Budget::new(10);
        assert!(budget.take(7));
        assert!(!budget.take(4));
        assert!(budget.clone().take(3), "clones share the account");
        assert_eq!(budget.used(), 10);
        budget.give(7);
        assert!(!budget.take(usize::MAX));
        assert_eq!((budget.used(), budget.cap()), (3, 10));
    }
}
