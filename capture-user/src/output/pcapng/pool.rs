//! Blocks between the workers that fill them and the one who writes them.

use crossbeam::channel::{Receiver, Sender, bounded};

use super::block::{Block, Note};
use super::writer::{Error, Progress, Writer};
use crate::source::Frame;

/// Makes `count` blocks of `size` bytes that go round between fillers and one drain. A filler that finds none free
/// waits for one if `wait`, and otherwise drops the packet and counts it.
pub fn pool(count: usize, size: usize, wait: bool) -> (Filler, Drain) {
    let (give_free, take_free) = bounded(count);
    let (give_full, take_full) = bounded(count);
    for _ in 0..count {
        // There is room for all of them.
        let _ = give_free.try_send(Block::new(size));
    }
    (
        Filler { free: take_free, full: give_full, block: None, wait, dropped: 0, untold: 0 },
        Drain { full: take_full, free: give_free },
    )
}

/// One worker's end: takes packets. Each worker has its own clone; dropping it hands in what it holds.
#[derive(Debug)]
pub struct Filler {
    free: Receiver<Block>,
    full: Sender<Block>,
    block: Option<Block>,
    wait: bool,
    dropped: u64,
    /// Packets lost of which no packet tells yet.
    untold: u64,
}

impl Filler {
    /// Adds a packet to the present block. `false` if it was dropped, for want of a block or because the writer is
    /// gone; it is counted. The packet tells how many were lost since the one before it.
    #[inline]
    pub fn push(&mut self, frame: &Frame<'_>, comment: Option<&str>) -> bool {
        let pushed = self.put(frame, Note { comment, drops: (self.untold > 0).then_some(self.untold) });
        self.dropped += u64::from(!pushed);
        self.untold = if pushed { 0 } else { self.untold + 1 };
        pushed
    }

    #[inline]
    fn put(&mut self, frame: &Frame<'_>, note: Note<'_>) -> bool {
        if self.block.as_mut().is_some_and(|block| block.push(frame, note)) {
            return true;
        }
        self.flush();
        self.block = if self.wait { self.free.recv().ok() } else { self.free.try_recv().ok() };
        self.block.as_mut().is_some_and(|block| block.push(frame, note))
    }

    /// So many packets were lost on their way here.
    pub fn lose(&mut self, packets: u64) {
        self.untold += packets;
    }

    /// Hands in what there is, so that a reader of the file sees it though the block is not full.
    pub fn flush(&mut self) {
        let Some(block) = self.block.take() else { return };
        let packets = block.packets();
        // There is room for every block; it fails only when the writer is gone.
        if self.full.try_send(block).is_err() {
            self.dropped += packets;
        }
    }

    /// Packets that were not taken, or that the writer was not there for any more, since the last call.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }
}

impl Clone for Filler {
    fn clone(&self) -> Self {
        Self { free: self.free.clone(), full: self.full.clone(), block: None, wait: self.wait, dropped: 0, untold: 0 }
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        self.flush();
    }
}

/// The writer's end.
#[derive(Debug)]
pub struct Drain {
    full: Receiver<Block>,
    free: Sender<Block>,
}

/// Why a drain wrote no more, though packets still came.
#[derive(Debug)]
pub enum Ending {
    /// A limit of [`super::Config::stop`] is reached.
    Limit,
    /// Writing failed.
    Failed(Error),
}

/// What a drain has to say at its end.
#[derive(Debug, Default)]
pub struct Drained {
    /// Why it ended before the fillers did.
    pub ending: Option<Ending>,
    /// Packets that came in blocks and were not written. [`Filler::take_dropped`] counts others.
    pub left_out: u64,
}

impl Drain {
    /// The next full block; `None` when every filler is gone and all blocks were taken.
    pub fn take(&self) -> Option<Block> {
        self.full.recv().ok()
    }

    /// Gives a block back to the fillers.
    pub fn give_back(&self, mut block: Block) {
        block.clear();
        // The fillers may be gone.
        let _ = self.free.try_send(block);
    }

    /// Writes all that comes until every filler is gone. At the first failure, or when a limit is reached, `ended` is
    /// called, once; blocks that come after are only counted, so that no filler waits for ever. Statistics, and
    /// [`Writer::finish`], are the caller's.
    pub fn run(&self, writer: &mut Writer, ended: impl FnOnce(&Ending)) -> Drained {
        let (mut drained, mut ended) = (Drained::default(), Some(ended));
        while let Some(block) = self.take() {
            let before = writer.summary().packets;
            let ending = match writer.write(&block) {
                Ok(Progress::More) => None,
                Ok(Progress::Done) => Some(Ending::Limit),
                Err(error) => Some(Ending::Failed(error)),
            };
            drained.left_out += block.packets() - (writer.summary().packets - before);
            self.give_back(block);
            if let Some(ending) = ending
                && let Some(ended) = ended.take()
            {
                ended(&ending);
                drained.ending = Some(ending);
            }
        }
        drained
    }
}
