//! A source whose clock is stretched: traffic that was replayed faster than it once was gets its own times back.

use std::time::Duration;

use super::{Error, Frame, Interface, Received, Source, Tally, View};
use crate::time::Timestamp;

/// How replayed time relates to the time of the original.
#[derive(Clone, Copy, Debug)]
pub struct Stretch {
    /// When the replay began.
    pub began: Timestamp,
    /// When the original began.
    pub origin: Timestamp,
    /// How many times faster than the original it is replayed.
    pub speed: u32,
}

impl Stretch {
    fn apply(&self, time: Timestamp) -> Timestamp {
        let since = time.nanos_since(self.began).saturating_mul(i64::from(self.speed));
        Timestamp::from_nanos(self.origin.as_nanos().saturating_add(since))
    }
}

/// A source of replayed frames.
pub struct Stretched<S> {
    source: S,
    stretch: Stretch,
}

impl<S> Stretched<S> {
    /// Gives the frames of `source` the times of the original.
    pub fn new(source: S, stretch: Stretch) -> Self {
        Self { source, stretch }
    }
}

impl<S: Source> Source for Stretched<S> {
    type Token = S::Token;
    type View = StretchedView<S::View>;

    fn view(&self) -> Self::View {
        StretchedView { view: self.source.view(), stretch: self.stretch }
    }

    fn is_live(&self) -> bool {
        self.source.is_live()
    }

    fn now(&self) -> Option<Timestamp> {
        self.source.now().map(|now| self.stretch.apply(now))
    }

    fn receive(&mut self, max: usize, timeout: Duration, tokens: &mut Vec<Self::Token>) -> Result<Received, Error> {
        self.source.receive(max, timeout, tokens)
    }

    fn recycle(&mut self, tokens: &mut Vec<Self::Token>) {
        self.source.recycle(tokens);
    }

    fn interfaces(&self) -> Vec<Interface> {
        self.source.interfaces()
    }

    fn tally(&mut self) -> Tally {
        self.source.tally()
    }
}

/// Reads frames with the times of the original.
#[derive(Clone)]
pub struct StretchedView<V> {
    view: V,
    stretch: Stretch,
}

impl<V: View> View for StretchedView<V> {
    type Token = V::Token;

    fn shard(&self, token: &V::Token) -> u32 {
        self.view.shard(token)
    }

    fn stamped(&self, token: &V::Token) -> Option<u64> {
        self.view.stamped(token)
    }

    fn frame<'a>(&'a self, token: &'a V::Token, scratch: &'a mut Vec<u8>) -> Frame<'a> {
        let frame = self.view.frame(token, scratch);
        Frame { time: self.stretch.apply(frame.time), ..frame }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_as_fast_as_it_did() {
        let began = Timestamp::new(2_000_000_000, 0);
        let stretch = Stretch { began, origin: Timestamp::new(1_000, 0), speed: 20 };
        let later = began.after(Duration::from_millis(50));
        assert_eq!(stretch.apply(later), Timestamp::new(1_001, 0));
        assert_eq!(stretch.apply(began), Timestamp::new(1_000, 0));
    }
}
