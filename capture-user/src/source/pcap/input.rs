//! Bytes of files that cannot be mapped: pipes, FIFOs, standard input, and what is gzipped.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};
use std::sync::Arc;
use std::time::Duration;

use flate2::bufread::MultiGzDecoder;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::map::Mapping;

/// The first bytes of a gzip member (RFC 1952, section 2.3.1).
pub(super) const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A descriptor, with the bytes already read from it put back in front.
type Rejoined = Chain<Cursor<Vec<u8>>, Waiting>;

/// Where a stream's bytes come from.
pub(super) enum Input {
    /// A descriptor, as it is.
    Plain(Waiting),
    /// A descriptor that brings gzip.
    Gzip(Box<MultiGzDecoder<BufReader<Rejoined>>>),
    /// A mapped file that is gzip.
    Stored(Box<MultiGzDecoder<Stored>>),
}

impl Input {
    /// The contents of a mapped gzip file.
    pub(super) fn stored(maps: Arc<[Mapping]>, file: usize) -> Self {
        Self::Stored(Box::new(MultiGzDecoder::new(Stored { maps, file, position: 0, next_window: 0 })))
    }

    /// What a plain input brings is gzip, of which `head` was read already.
    pub(super) fn into_gzip(self, head: Vec<u8>) -> Self {
        match self {
            Self::Plain(raw) => {
                let raw = BufReader::with_capacity(64 << 10, Cursor::new(head).chain(raw));
                Self::Gzip(Box::new(MultiGzDecoder::new(raw)))
            }
            already => already,
        }
    }

    /// How long the next [`Read::read`] waits before it answers [`io::ErrorKind::WouldBlock`].
    pub(super) fn set_timeout(&mut self, timeout: Duration) {
        match self {
            Self::Plain(raw) => raw.timeout = timeout,
            Self::Gzip(gzip) => gzip.get_mut().get_mut().get_mut().1.timeout = timeout,
            Self::Stored(_) => {}
        }
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(raw) => raw.read(buffer),
            Self::Gzip(gzip) => gzip.read(buffer),
            Self::Stored(gzip) => gzip.read(buffer),
        }
    }
}

/// A descriptor that is only read when something is there, so that whoever waits for it can also be asked to stop.
pub(super) struct Waiting {
    file: File,
    timeout: Duration,
}

impl Waiting {
    pub(super) fn new(file: File) -> Self {
        Self { file, timeout: Duration::ZERO }
    }
}

impl Read for Waiting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let timeout = Timespec::try_from(self.timeout).map_err(io::Error::other)?;
        let ready = poll(&mut [PollFd::new(&self.file, PollFlags::IN)], Some(&timeout));
        match ready {
            Ok(0) | Err(rustix::io::Errno::INTR) => Err(io::ErrorKind::WouldBlock.into()),
            Ok(_) => self.file.read(buffer),
            Err(error) => Err(error.into()),
        }
    }
}

/// A mapped file, read from its beginning to its end.
pub(super) struct Stored {
    maps: Arc<[Mapping]>,
    file: usize,
    position: usize,
    next_window: usize,
}

impl BufRead for Stored {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let Some(map) = self.maps.get(self.file) else { return Ok(&[]) };
        if self.position >= self.next_window {
            self.next_window = map.reached(self.position);
        }
        // Not beyond the window, so that each is announced before it is read.
        let end = map.bytes().len().min(self.next_window);
        Ok(map.bytes().get(self.position..end).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        self.position += amount;
    }
}

impl Read for Stored {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.fill_buf()?.read(buffer)?;
        self.consume(got);
        Ok(got)
    }
}
