//! Capture files: pcap and pcapng, plain or gzipped, from disk, a pipe or standard input.
//!
//! A plain regular file is mapped into memory and walked: a token is a place in the mapping, reading copies nothing,
//! and workers touch no shared counter per frame. Everything else is a stream; its frames are copied into buffers that
//! are recycled, so that memory stays the same however long the stream. Both ways run the same decoder.
//!
//! The two formats are decoded by hand. The published crates (pcap-parser, pcap-file) parse a block into a structure
//! of slices, options and all, over a reader that owns the buffer; what is needed here is where in a mapping a packet
//! lies, in a few nanoseconds, with limits on every length and every frame before the damage delivered.
//!
//! Limits: a file that another process truncates while it is mapped kills the process (SIGBUS); what is appended
//! after opening is not read. `if_fcslen` and packet options are not looked at; a Simple Packet Block has no time and
//! gets that of the packet before.

mod classic;
mod clock;
mod decode;
mod input;
mod intake;
mod link;
mod map;
mod mapped;
mod ng;
mod stream;
mod token;

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use self::input::{GZIP, Input, Waiting};
use self::intake::{Allowance, Intake, Progress, Share};
use self::map::Mapping;
use self::mapped::Mapped;
use self::stream::Stream;
pub use self::token::{Token, View};
use super::buffers::Buffers;
use super::{Error, Frame, Interface, Received, Source, Tally};

/// Records one call of [`Source::receive`] examines at most beyond the frames it was asked for, so that it returns in
/// good time though a filter lets nothing through.
const EXAMINED: usize = 16_384;

/// One or more capture files, read one after the other as if they were one: numbers continue, interfaces are appended.
///
/// `R` decides for each frame where it belongs: `Some(shard)`, or `None` when no filter asks for it.
pub struct FileSource<R> {
    maps: Arc<[Mapping]>,
    files: std::vec::IntoIter<Planned>,
    reader: Option<Reader>,
    buffers: Buffers,
    intake: Intake<R>,
    /// What stopped the reading, while frames before it are still being delivered.
    failure: Option<Error>,
}

/// A file that is still to be read.
#[derive(Clone)]
struct Planned {
    path: PathBuf,
    /// Its mapping, if it could be mapped.
    map: Option<usize>,
}

enum Reader {
    Mapped(Mapped, usize),
    Stream(Box<Stream>),
}

/// Opens capture files; `-` is standard input. Pipes and FIFOs are opened when their turn comes.
///
/// # Errors
/// [`Error::Io`] for a file that cannot be opened or mapped. What is wrong inside a file, [`Source::receive`] tells.
pub fn open<R: FnMut(&Frame<'_>) -> Option<u32>>(
    paths: impl IntoIterator<Item = impl AsRef<Path>>,
    router: R,
) -> Result<FileSource<R>, Error> {
    let mut maps = Vec::new();
    let mut files = Vec::new();
    for path in paths {
        let path = path.as_ref().to_owned();
        let mapping = map(&path).map_err(|source| Error::Io { name: name(&path), source })?;
        let map = mapping.is_some().then_some(maps.len());
        maps.extend(mapping);
        files.push(Planned { path, map });
    }
    Ok(FileSource::new(maps.into(), files, Intake::new(router, Share::ALL)))
}

impl<R> FileSource<R> {
    fn new(maps: Arc<[Mapping]>, files: Vec<Planned>, intake: Intake<R>) -> Self {
        Self { maps, files: files.into_iter(), reader: None, buffers: Buffers::default(), intake, failure: None }
    }
}

impl<R: Clone> FileSource<R> {
    /// As many sources of the same frames, each with those of its share of the shards: so many threads can read at once,
    /// none waiting for another. Each goes over all files, which is little beside dissecting. Files that are compressed or
    /// no files have one reader.
    #[must_use]
    pub fn split(self, count: usize) -> Vec<Self> {
        let plain = |file: &Planned| file.map.and_then(|map| self.maps.get(map)).is_some_and(is_plain);
        let of = u32::try_from(count).unwrap_or(u32::MAX);
        if of < 2 || self.reader.is_some() || !self.files.as_slice().iter().all(plain) {
            return vec![self];
        }
        let share = |index| {
            let intake = self.intake.shared(Share { index, of });
            Self::new(self.maps.clone(), self.files.as_slice().to_vec(), intake)
        };
        (0..of).map(share).collect()
    }
}

fn is_plain(map: &Mapping) -> bool {
    !map.bytes().starts_with(&GZIP)
}

/// Maps a regular file. Files without a size (such as those of /proc) may have contents all the same: they are read.
fn map(path: &Path) -> io::Result<Option<Mapping>> {
    if is_stdin(path) {
        return Ok(None);
    }
    let metadata = std::fs::metadata(path)?;
    if metadata.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() || metadata.len() == 0 {
        return Ok(None);
    }
    Mapping::new(&File::open(path)?).map(Some)
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn name(path: &Path) -> String {
    if is_stdin(path) { "standard input".to_owned() } else { path.display().to_string() }
}

impl<R: FnMut(&Frame<'_>) -> Option<u32>> FileSource<R> {
    fn start(&self, file: Planned) -> Result<Reader, Error> {
        let name = name(&file.path);
        if let Some(index) = file.map {
            let bytes = self.maps.get(index).map_or(&[][..], Mapping::bytes);
            return Ok(if bytes.starts_with(&GZIP) {
                Reader::Stream(Box::new(Stream::new(name, Input::stored(self.maps.clone(), index))))
            } else {
                Reader::Mapped(Mapped::new(name, index as u32), index)
            });
        }
        let opened = if is_stdin(&file.path) {
            io::stdin().as_fd().try_clone_to_owned().map(File::from)
        } else {
            File::open(&file.path)
        };
        match opened {
            Ok(file) => Ok(Reader::Stream(Box::new(Stream::new(name, Input::Plain(Waiting::new(file)))))),
            Err(source) => Err(Error::Io { name, source }),
        }
    }

    /// Reads on in the present file, or in the next.
    fn read(
        &mut self,
        timeout: Duration,
        allowance: &mut Allowance,
        tokens: &mut Vec<Token>,
    ) -> Result<Progress, Error> {
        while allowance.left() {
            if self.reader.is_none() {
                let Some(file) = self.files.next() else { return Ok(Progress::End) };
                self.reader = Some(self.start(file)?);
            }
            let progress = match &mut self.reader {
                Some(Reader::Mapped(file, index)) => match self.maps.get(*index) {
                    Some(map) => file.read(map, allowance, &mut self.intake, tokens)?,
                    None => Progress::End,
                },
                Some(Reader::Stream(file)) => {
                    file.read(timeout, allowance, &mut self.buffers, &mut self.intake, tokens)?
                }
                None => Progress::End,
            };
            if progress != Progress::End {
                return Ok(progress);
            }
            self.reader = None;
        }
        Ok(Progress::More)
    }
}

impl<R: FnMut(&Frame<'_>) -> Option<u32>> Source for FileSource<R> {
    type Token = Token;
    type View = View;

    fn view(&self) -> View {
        View { maps: self.maps.clone() }
    }

    fn is_live(&self) -> bool {
        false
    }

    fn receive(&mut self, max: usize, timeout: Duration, tokens: &mut Vec<Token>) -> Result<Received, Error> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let before = tokens.len();
        let mut allowance = Allowance { frames: max, records: max.saturating_add(EXAMINED) };
        let outcome = self.read(timeout, &mut allowance, tokens);
        let any = tokens.len() > before;
        match outcome {
            Ok(_) if any => Ok(Received::Frames),
            Ok(Progress::End) => Ok(Received::End),
            Ok(Progress::More | Progress::Later) => Ok(Received::Nothing),
            Err(error) => {
                self.reader = None;
                self.files = Vec::new().into_iter();
                if !any {
                    return Err(error);
                }
                self.failure = Some(error);
                Ok(Received::Frames)
            }
        }
    }

    fn recycle(&mut self, tokens: &mut Vec<Token>) {
        for token in tokens.drain(..) {
            if let token::Place::Owned(buffer) = token.place {
                self.buffers.give_back(buffer);
            }
        }
    }

    fn interfaces(&self) -> Vec<Interface> {
        self.intake.interfaces.clone()
    }

    fn tally(&mut self) -> Tally {
        self.intake.tally
    }
}

#[cfg(test)]
mod tests;
