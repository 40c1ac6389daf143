//! Reading a mapped file: a walk from record to record that copies nothing.

use super::decode::Step;
use super::intake::{Allowance, Cursor, Intake, Progress};
use super::map::Mapping;
use super::token::{Place, Token};
use crate::cache;
use crate::source::{Error, Frame};

/// A reader of one mapping.
pub(super) struct Mapped {
    file: u32,
    cursor: Cursor,
    /// Where the kernel wants to hear of us next.
    next_window: usize,
    /// How far the file is in the processor's cache.
    warm: usize,
}

/// Bytes brought into the processor's cache at a time, and at least so far ahead.
///
/// Where the next record begins is known only once this one was read, so that the processor would wait for memory at
/// every record; bytes that lie side by side it brings in at once.
const STRETCH: usize = 4096;

impl Mapped {
    /// A reader of the mapping with index `file`.
    pub(super) fn new(name: String, file: u32) -> Self {
        Self { file, cursor: Cursor::new(name), next_window: 0, warm: 0 }
    }

    /// Appends frames as far as allowed.
    pub(super) fn read<R: FnMut(&Frame<'_>) -> Option<u32>>(
        &mut self,
        map: &Mapping,
        allowance: &mut Allowance,
        intake: &mut Intake<R>,
        tokens: &mut Vec<Token>,
    ) -> Result<Progress, Error> {
        let bytes = map.bytes();
        while allowance.left() {
            let offset = self.cursor.position;
            let Some(rest) = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)) else {
                return Err(self.cursor.cut_short(bytes.len() as u64));
            };
            if offset as usize >= self.next_window {
                self.next_window = map.reached(offset as usize);
            }
            if offset as usize + STRETCH > self.warm {
                self.warm_up(bytes, offset as usize);
            }
            if rest.is_empty() && self.cursor.may_end() {
                return Ok(Progress::End);
            }
            allowance.records -= 1;
            let record = match self.cursor.packet(rest) {
                Some(record) => record,
                None => match self.cursor.step(rest, intake)? {
                    Step::Packet(record, _) => record,
                    Step::Skip(_) => continue,
                    Step::Need(_) => return Err(self.cursor.cut_short(bytes.len() as u64)),
                },
            };
            let captured = record.captured;
            let data = rest.get(record.start..).and_then(|data| data.get(..captured as usize)).unwrap_or_default();
            if let Some(facts) = intake.admit(&record, data) {
                let place = Place::Mapped { file: self.file, captured, offset: offset + record.start as u64 };
                tokens.push(Token { facts, place });
                allowance.frames -= 1;
            }
        }
        Ok(Progress::More)
    }

    /// Brings the next two stretches into the cache, within the window that the kernel has brought in.
    fn warm_up(&mut self, bytes: &[u8], position: usize) {
        let end = (position + 2 * STRETCH).min(self.next_window).min(bytes.len());
        let ahead = bytes.get(self.warm.max(position)..end).unwrap_or_default();
        ahead.iter().step_by(cache::LINE).for_each(|byte| cache::prefetch_line(byte));
        self.warm = end;
    }
}
