//! Requests that wait for their answers: the state that every question-and-answer protocol needs.

use std::time::Duration;

use crate::time::Timestamp;

/// Requests of one flow that were not answered yet, oldest first: at most `LIMIT`.
#[derive(Debug)]
pub(super) struct Exchanges<K, Q, const LIMIT: usize> {
    waiting: Vec<Asked<K, Q>>,
}

/// A request, and how often it was sent.
#[derive(Debug)]
pub(super) struct Asked<K, Q> {
    /// What it is recognised by.
    pub(super) key: K,
    /// When it was first sent.
    pub(super) first: Timestamp,
    /// When it was last sent.
    last: Timestamp,
    /// How often it was sent again.
    pub(super) retries: u32,
    /// What it asked.
    pub(super) request: Q,
}

impl<K, Q> Asked<K, Q> {
    /// Milliseconds from the first time the request was sent: how long the client waited.
    pub(super) fn elapsed_ms(&self, now: Timestamp) -> f64 {
        milliseconds(self.first, now)
    }
}

impl<K, Q, const LIMIT: usize> Default for Exchanges<K, Q, LIMIT> {
    fn default() -> Self {
        Self { waiting: Vec::new() }
    }
}

impl<K: PartialEq, Q, const LIMIT: usize> Exchanges<K, Q, LIMIT> {
    /// Notes a request, or one more attempt of one that waits already. Returns the oldest where it had to make room.
    pub(super) fn ask(&mut self, key: K, now: Timestamp, request: impl FnOnce() -> Q) -> Option<Asked<K, Q>> {
        if let Some(again) = self.waiting.iter_mut().find(|asked| asked.key == key) {
            again.retries = again.retries.saturating_add(1);
            again.last = now;
            return None;
        }
        let evicted = if self.waiting.len() >= LIMIT { self.pop() } else { None };
        // Most flows ask once.
        self.waiting.reserve_exact(usize::from(self.waiting.capacity() == 0));
        self.waiting.push(Asked { key, first: now, last: now, retries: 0, request: request() });
        evicted
    }

    /// Takes the oldest request whose key `is_it` accepts.
    pub(super) fn answer(&mut self, is_it: impl Fn(&K) -> bool) -> Option<Asked<K, Q>> {
        let place = self.waiting.iter().position(|asked| is_it(&asked.key))?;
        let answered = self.waiting.remove(place);
        if self.waiting.is_empty() {
            // Most flows ask no more, and wait for their end for a long time.
            self.waiting = Vec::new();
        }
        Some(answered)
    }

    /// Takes a request that was last sent more than `patience` before `now`.
    pub(super) fn overdue(&mut self, now: Timestamp, patience: Duration) -> Option<Asked<K, Q>> {
        let place = self.waiting.iter().position(|asked| now > asked.last.after(patience))?;
        Some(self.waiting.remove(place))
    }

    /// Bytes of heap that the requests take, `heap` of each beyond its own size.
    pub(super) fn memory(&self, heap: impl Fn(&Q) -> usize) -> usize {
        let own = self.waiting.capacity() * size_of::<Asked<K, Q>>();
        own + self.waiting.iter().map(|asked| heap(&asked.request)).sum::<usize>()
    }

    /// Takes the oldest request.
    pub(super) fn pop(&mut self) -> Option<Asked<K, Q>> {
        if self.waiting.is_empty() { None } else { Some(self.waiting.remove(0)) }
    }
}

/// Milliseconds from one moment to another, to the microsecond.
pub(super) fn milliseconds(from: Timestamp, to: Timestamp) -> f64 {
    (to.nanos_since(from) as f64 / 1e3).round() / 1e3
}

/// For serde's `skip_serializing_if`: a count of nothing is left out.
pub(super) fn is_zero(count: &u32) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: i64) -> Timestamp {
        Timestamp::new(seconds, 0)
    }

    #[test]
    fn a_request_sent_twice_is_one_request() {
        let mut exchanges = Exchanges::<u16, &str, 4>::default();
        assert!(exchanges.ask(7, at(1), || "first").is_none());
        assert!(exchanges.ask(7, at(2), || unreachable!("it is known")).is_none());
        let asked = exchanges.answer(|key| *key == 7).expect("it waits");
        assert_eq!((asked.retries, asked.request, asked.elapsed_ms(at(4))), (1, "first", 3000.0));
        assert!(exchanges.answer(|key| *key == 7).is_none());
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut exchanges = Exchanges::<u16, (), 2>::default();
        assert!(exchanges.ask(1, at(1), || ()).is_none());
        assert!(exchanges.ask(2, at(2), || ()).is_none());
        assert_eq!(exchanges.ask(3, at(3), || ()).map(|asked| asked.key), Some(1));
        assert!(exchanges.overdue(at(12), Duration::from_secs(10)).is_none());
        assert_eq!(exchanges.overdue(at(13), Duration::from_secs(10)).map(|asked| asked.key), Some(2));
        assert_eq!(exchanges.pop().map(|asked| asked.key), Some(3));
        assert!(exchanges.pop().is_none());
    }
}
