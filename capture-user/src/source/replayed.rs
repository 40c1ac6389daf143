//! Traffic that is replayed gets back what replaying loses: its own times, however fast and how evenly it was replayed.

use std::sync::Arc;
use std::time::Duration;

use super::{Error, Frame, Interface, Received, Source, Tally, View};
use crate::time::Timestamp;

/// What a frame was when it was first captured.
#[derive(Clone, Copy, Debug)]
pub struct Original {
    /// When.
    pub time: Timestamp,
    /// Bytes on the wire, though fewer may be replayed.
    pub length: u32,
    /// On which of its capture's interfaces.
    pub interface: u32,
}

/// A source of replayed frames.
pub struct Replayed<S> {
    source: S,
    originals: Arc<[Original]>,
    taken: usize,
}

impl<S> Replayed<S> {
    /// Gives the frames of `source`, which must come in the order of the originals, what they have lost.
    pub fn new(source: S, originals: Arc<[Original]>) -> Self {
        Self { source, originals, taken: 0 }
    }
}

impl<S: Source> Source for Replayed<S> {
    type Token = S::Token;
    type View = ReplayedView<S::View>;

    fn view(&self) -> Self::View {
        ReplayedView { view: self.source.view(), originals: self.originals.clone() }
    }

    fn is_live(&self) -> bool {
        self.source.is_live()
    }

    /// The time of the latest frame: the original's clock does not go on without it.
    fn now(&self) -> Option<Timestamp> {
        self.originals.get(self.taken.checked_sub(1)?).map(|original| original.time)
    }

    fn receive(&mut self, max: usize, timeout: Duration, tokens: &mut Vec<Self::Token>) -> Result<Received, Error> {
        let before = tokens.len();
        let received = self.source.receive(max, timeout, tokens)?;
        self.taken += tokens.len() - before;
        Ok(received)
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

/// Reads frames with what they had lost.
#[derive(Clone)]
pub struct ReplayedView<V> {
    view: V,
    originals: Arc<[Original]>,
}

impl<V: View> View for ReplayedView<V> {
    type Token = V::Token;

    fn shard(&self, token: &V::Token) -> u32 {
        self.view.shard(token)
    }

    fn stamped(&self, token: &V::Token) -> Option<u64> {
        self.view.stamped(token)
    }

    fn frame<'a>(&'a self, token: &'a V::Token, scratch: &'a mut Vec<u8>) -> Frame<'a> {
        let frame = self.view.frame(token, scratch);
        let place = usize::try_from(frame.number).unwrap_or(usize::MAX).checked_sub(1);
        match place.and_then(|place| self.originals.get(place)) {
            Some(&Original { time, length, interface }) => Frame { time, length, interface, ..frame },
            None => frame,
        }
    }
}
