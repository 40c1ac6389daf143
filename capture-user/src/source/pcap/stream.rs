//! Reading a stream: one buffer that slides over it, and a copy of each frame.

use std::io::{self, Read};
use std::time::Duration;

use super::decode::Step;
use super::input::{GZIP, Input};
use super::intake::{Allowance, Cursor, Intake, Progress};
use super::token::{Place, Token};
use crate::source::buffers::Buffers;
use crate::source::{Error, Frame};

/// What the buffer begins with, in bytes. It grows only for a record that is longer, which the decoder bounds.
const BUFFER: usize = 256 << 10;

/// A reader of bytes that come one after the other.
pub(super) struct Stream {
    cursor: Cursor,
    /// `None` once it was read to its end.
    input: Option<Input>,
    /// What stopped the input before its end; it is told when all bytes before it are used.
    failure: Option<io::Error>,
    buffer: Vec<u8>,
    /// The bytes in the buffer that were not used yet.
    start: usize,
    end: usize,
    /// Bytes to leave out before the next record.
    skip: u64,
    /// Whether the kind of input is known.
    sniffed: bool,
}

enum Filled {
    Some,
    Later,
    End,
}

impl Stream {
    pub(super) fn new(name: String, input: Input) -> Self {
        let sniffed = matches!(input, Input::Stored(_));
        Self {
            cursor: Cursor::new(name),
            input: Some(input),
            failure: None,
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
            skip: 0,
            sniffed,
        }
    }

    /// Appends frames as far as allowed, waiting up to `timeout` for the first.
    pub(super) fn read<R: FnMut(&Frame<'_>) -> Option<u32>>(
        &mut self,
        timeout: Duration,
        allowance: &mut Allowance,
        buffers: &mut Buffers,
        intake: &mut Intake<R>,
        tokens: &mut Vec<Token>,
    ) -> Result<Progress, Error> {
        let mut timeout = timeout;
        while allowance.left() && buffers.ready() {
            let need = match self.skip_on(intake)? {
                Step::Need(need) => need,
                Step::Skip(length) => {
                    self.skip = length;
                    allowance.records -= 1;
                    continue;
                }
                Step::Packet(record, length) => {
                    let rest = self.buffer.get(self.start + record.start..self.end).unwrap_or_default();
                    let data = rest.get(..record.captured as usize).unwrap_or_default();
                    if let Some(facts) = intake.admit(&record, data) {
                        tokens.push(Token { facts, place: Place::Owned(buffers.copy(data)) });
                        allowance.frames -= 1;
                        timeout = Duration::ZERO;
                    }
                    self.start += length;
                    allowance.records -= 1;
                    continue;
                }
            };
            match self.fill(need, timeout) {
                Filled::Some => {}
                Filled::Later => return Ok(Progress::Later),
                Filled::End => return self.ended(),
            }
        }
        Ok(Progress::More)
    }

    /// Leaves out what is to be left out, then takes a step.
    fn skip_on<R>(&mut self, intake: &mut Intake<R>) -> Result<Step, Error> {
        let here = self.skip.min((self.end - self.start) as u64);
        self.start += here as usize;
        self.skip -= here;
        if self.skip > 0 || !self.sniffed {
            return Ok(Step::Need(2));
        }
        self.cursor.step(self.buffer.get(self.start..self.end).unwrap_or_default(), intake)
    }

    /// Reads more, in a buffer that can hold `need` bytes from the first unused one on.
    fn fill(&mut self, need: usize, timeout: Duration) -> Filled {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() < need {
            self.buffer.resize(need, 0);
        }
        let Some(input) = &mut self.input else { return Filled::End };
        input.set_timeout(timeout);
        let got = input.read(self.buffer.get_mut(self.end..).unwrap_or_default());
        match got {
            Ok(0) => {
                self.input = None;
                self.sniffed = true;
                Filled::End
            }
            Ok(got) => {
                self.end += got;
                self.sniff();
                Filled::Some
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Filled::Later,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Filled::Some,
            Err(error) => {
                self.input = None;
                self.failure = Some(error);
                Filled::End
            }
        }
    }

    /// Decides, with the first two bytes, whether they are gzip; if so they belong to the decompressor.
    fn sniff(&mut self) {
        let Some(head) = self.buffer.get(..self.end).filter(|head| !self.sniffed && head.len() >= GZIP.len()) else {
            return;
        };
        self.sniffed = true;
        if head.starts_with(&GZIP) {
            let head = head.to_vec();
            self.end = 0;
            self.input = self.input.take().map(|input| input.into_gzip(head));
        }
    }

    /// No more bytes will come.
    fn ended(&mut self) -> Result<Progress, Error> {
        let end = self.cursor.position - self.skip + (self.end - self.start) as u64;
        match self.failure.take() {
            Some(error) if is_damage(&error) => Err(self.cursor.damaged(end, format!("bad gzip data ({error})"))),
            Some(error) => Err(self.cursor.io(error)),
            None if self.start == self.end && self.skip == 0 && self.cursor.may_end() => Ok(Progress::End),
            None => Err(self.cursor.cut_short(end)),
        }
    }
}

/// Whether the decompressor is the one who complains, rather than the system.
fn is_damage(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    matches!(error.kind(), InvalidData | InvalidInput | UnexpectedEof)
}
