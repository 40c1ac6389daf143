//! A replayed source that ends with its last frame, and says how many frames nobody needs any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use capture_user::source::{Error, Interface, Received, Source, Tally};
use capture_user::time::Timestamp;

/// The source.
pub struct Bounded<S> {
    source: S,
    left: usize,
    done: Arc<AtomicUsize>,
}

impl<S> Bounded<S> {
    /// Ends after so many frames; counts in `done` those that were given back.
    pub fn new(source: S, frames: usize, done: Arc<AtomicUsize>) -> Self {
        Self { source, left: frames, done }
    }
}

impl<S: Source> Source for Bounded<S> {
    type Token = S::Token;
    type View = S::View;

    fn view(&self) -> Self::View {
        self.source.view()
    }

    fn is_live(&self) -> bool {
        self.source.is_live()
    }

    fn now(&self) -> Option<Timestamp> {
        self.source.now()
    }

    fn receive(&mut self, max: usize, timeout: Duration, tokens: &mut Vec<Self::Token>) -> Result<Received, Error> {
        if self.left == 0 {
            return Ok(Received::End);
        }
        let before = tokens.len();
        let received = self.source.receive(max.min(self.left), timeout, tokens)?;
        self.left -= tokens.len() - before;
        Ok(received)
    }

    fn recycle(&mut self, tokens: &mut Vec<Self::Token>) {
        self.done.fetch_add(tokens.len(), Ordering::Relaxed);
        self.source.recycle(tokens);
    }

    fn interfaces(&self) -> Vec<Interface> {
        self.source.interfaces()
    }

    fn tally(&mut self) -> Tally {
        self.source.tally()
    }
}
