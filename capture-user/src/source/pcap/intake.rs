//! What all files of a source share: numbers, interfaces, the router, the tally.

use super::decode::{Decoder, Record, Step, Wrong};
use super::token::Facts;
use crate::source::{Error, Frame, Interface, Tally};

/// Numbers and routes the frames of all files.
pub(super) struct Intake<R> {
    router: R,
    share: Share,
    pub(super) interfaces: Vec<Interface>,
    pub(super) tally: Tally,
    number: u64,
}

/// Which frames are a reader's: every one, or those of every `of`-th shard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    pub(super) index: u32,
    pub(super) of: u32,
}

impl Share {
    pub(super) const ALL: Self = Self { index: 0, of: 1 };

    /// Frames that no filter asks for are the first reader's.
    #[inline]
    fn has(self, shard: Option<u32>) -> bool {
        self.of == 1 || shard.unwrap_or(0) % self.of == self.index
    }
}

/// How a call of a reader ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// As much was examined as allowed, or as buffers permit; there is more.
    More,
    /// Nothing more has come yet.
    Later,
    /// The file is at its end.
    End,
}

/// What one call may do.
pub(super) struct Allowance {
    /// Frames that may still be appended.
    pub(super) frames: usize,
    /// Records that may still be examined, so that a call returns though a filter lets nothing through.
    pub(super) records: usize,
}

impl Allowance {
    pub(super) fn left(&self) -> bool {
        self.frames > 0 && self.records > 0
    }
}

impl<R: Clone> Intake<R> {
    /// For another reader of the same files, who has not begun.
    pub(super) fn shared(&self, share: Share) -> Self {
        Self::new(self.router.clone(), share)
    }
}

impl<R> Intake<R> {
    pub(super) fn new(router: R, share: Share) -> Self {
        Self { router, share, interfaces: Vec::new(), tally: Tally::default(), number: 0 }
    }
}

impl<R: FnMut(&Frame<'_>) -> Option<u32>> Intake<R> {
    /// Counts a frame and asks the router for its shard; `None` where it is filtered out, or another reader's.
    #[inline]
    pub(super) fn admit(&mut self, record: &Record, data: &[u8]) -> Option<Facts> {
        self.number += 1;
        let &Record { length, time, interface, link, .. } = record;
        let number = self.number;
        let shard = (self.router)(&Frame { number, time, length, link, interface, data });
        if !self.share.has(shard) {
            return None;
        }
        self.tally.seen += 1;
        let Some(shard) = shard else {
            self.tally.filtered += 1;
            return None;
        };
        self.tally.redirected += 1;
        self.tally.delivered += 1;
        Some(Facts { number, time, length, interface, link, shard })
    }
}

/// A file's name, decoder and position, for steps and for errors.
pub(super) struct Cursor {
    name: String,
    decoder: Decoder,
    /// Bytes of the (uncompressed) file before the next step.
    pub(super) position: u64,
    /// Packets before the next step.
    frames: u64,
}

impl Cursor {
    pub(super) fn new(name: String) -> Self {
        Self { name, decoder: Decoder::Fresh, position: 0, frames: 0 }
    }

    /// The packet at the present position, which moves behind it; `None` if [`Self::step`] is needed.
    #[inline(always)]
    pub(super) fn packet(&mut self, bytes: &[u8]) -> Option<Record> {
        let (record, length) = self.decoder.packet(bytes)?;
        self.position += length as u64;
        self.frames += 1;
        Some(record)
    }

    /// One step at the present position, which moves behind whatever is found.
    pub(super) fn step<R>(&mut self, bytes: &[u8], intake: &mut Intake<R>) -> Result<Step, Error> {
        let step = self.decoder.step(bytes, &mut intake.interfaces).map_err(|wrong| self.wrong(wrong))?;
        match step {
            Step::Packet(_, length) => {
                self.position += length as u64;
                self.frames += 1;
            }
            Step::Skip(length) => self.position += length,
            Step::Need(_) => {}
        }
        Ok(step)
    }

    #[cold]
    fn wrong(&self, wrong: Wrong) -> Error {
        match wrong {
            Wrong::Damage(reason) => self.damaged(self.position, reason),
            Wrong::Kind(reason) => Error::Unsupported { name: self.name.clone(), reason },
        }
    }

    /// The file ends at byte `end`, in the middle of something.
    #[cold]
    pub(super) fn cut_short(&self, end: u64) -> Error {
        let reason = match end {
            0 => "empty file".to_owned(),
            _ if self.position > end => format!("cut short (a block runs on to byte {})", self.position),
            _ => format!("cut short (the record from byte {} on is incomplete)", self.position),
        };
        self.damaged(end, reason)
    }

    pub(super) fn damaged(&self, offset: u64, reason: String) -> Error {
        Error::Damaged { name: self.name.clone(), offset, frames: self.frames, reason }
    }

    pub(super) fn io(&self, source: std::io::Error) -> Error {
        Error::Io { name: self.name.clone(), source }
    }

    /// Whether the file may end here: not before its header.
    pub(super) fn may_end(&self) -> bool {
        !matches!(self.decoder, Decoder::Fresh) && self.position > 0
    }
}
