//! A live source whose frames get back the times of the capture that they were replayed from, one by one: so that what
//! comes through the kernel can be compared with the file to the last digit, however slow the machine is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use capture_user::source::{Error, Frame, Interface, Received, Source, Tally, View};
use capture_user::time::Timestamp;

/// What replaying a frame loses: its time, its length before it was cut off, the interface it was captured on.
pub type Lost = (Timestamp, u32, u32);

/// A source of replayed frames, which ends with the last.
pub struct Retimed<S> {
    source: S,
    lost: Arc<[Lost]>,
    taken: usize,
    done: Arc<AtomicUsize>,
}

impl<S> Retimed<S> {
    /// Gives the frames of `source`, in their order, what they have lost; counts in `done` those that nobody
    /// needs any more.
    pub fn new(source: S, lost: Arc<[Lost]>, done: Arc<AtomicUsize>) -> Self {
        Self { source, lost, taken: 0, done }
    }
}

impl<S: Source> Source for Retimed<S> {
    type Token = S::Token;
    type View = RetimedView<S::View>;

    fn view(&self) -> Self::View {
        RetimedView { view: self.source.view(), lost: self.lost.clone() }
    }

    fn is_live(&self) -> bool {
        self.source.is_live()
    }

    fn receive(&mut self, max: usize, timeout: Duration, tokens: &mut Vec<Self::Token>) -> Result<Received, Error> {
        if self.taken >= self.lost.len() {
            return Ok(Received::End);
        }
        let before = tokens.len();
        let received = self.source.receive(max, timeout, tokens)?;
        self.taken += tokens.len() - before;
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

/// Reads frames with what they had lost.
#[derive(Clone)]
pub struct RetimedView<V> {
    view: V,
    lost: Arc<[Lost]>,
}

impl<V: View> View for RetimedView<V> {
    type Token = V::Token;

    fn shard(&self, token: &V::Token) -> u32 {
        self.view.shard(token)
    }

    fn stamped(&self, token: &V::Token) -> Option<u64> {
        self.view.stamped(token)
    }

    fn frame<'a>(&'a self, token: &'a V::Token, scratch: &'a mut Vec<u8>) -> Frame<'a> {
        let frame = self.view.frame(token, scratch);
        let (time, length, interface) = self.lost[frame.number as usize - 1];
        Frame { time, length, interface, ..frame }
    }
}
