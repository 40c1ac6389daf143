//! Files made byte by byte, read back through every way in.

mod build;
mod classic;
mod damage;
mod ng;
mod streams;

use std::path::Path;
use std::time::Duration;

use super::{Share, Token, open};
use crate::source::{Error, Frame, Interface, LinkType, Received, Source, Tally, View};

/// A frame with its bytes, to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) number: u64,
    pub(super) nanos: i64,
    pub(super) length: u32,
    pub(super) link: LinkType,
    pub(super) interface: u32,
    pub(super) data: Vec<u8>,
}

/// All that reading a file came to.
pub(super) struct Outcome {
    pub(super) frames: Vec<Seen>,
    pub(super) interfaces: Vec<Interface>,
    pub(super) tally: Tally,
    pub(super) error: Option<Error>,
}

/// Reads to the end or to the damage, a few frames at a time.
pub(super) fn drain(source: &mut impl Source<Token = Token, View = super::View>) -> Outcome {
    let (view, mut scratch, mut tokens, mut frames) = (source.view(), Vec::new(), Vec::new(), Vec::new());
    let error = loop {
        let received = source.receive(7, Duration::from_secs(5), &mut tokens);
        for token in &tokens {
            let Frame { number, time, length, link, interface, data } = view.frame(token, &mut scratch);
            assert_eq!(view.shard(token), data.len() as u32);
            frames.push(Seen { number, nanos: time.as_nanos(), length, link, interface, data: data.to_vec() });
        }
        source.recycle(&mut tokens);
        match received {
            Ok(Received::End) => break None,
            Ok(_) => {}
            Err(error) => break Some(error),
        }
    };
    assert_eq!(source.receive(7, Duration::ZERO, &mut tokens).ok(), Some(Received::End), "after the end comes the end");
    Outcome { frames, interfaces: source.interfaces(), tally: source.tally(), error }
}

/// The shard that the tests expect of every frame.
pub(super) fn by_length(frame: &Frame<'_>) -> Option<u32> {
    Some(frame.data.len() as u32)
}

pub(super) fn read_paths(paths: &[&Path]) -> Outcome {
    drain(&mut open(paths, by_length).expect("the file was just written"))
}

/// Reads bytes as a mapped file.
pub(super) fn read(bytes: &[u8]) -> Outcome {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    read_paths(&[file.path()])
}

/// Reads bytes as they come through a pipe.
pub(super) fn read_piped(bytes: &[u8]) -> Outcome {
    use super::{FileSource, Input, Intake, Reader, Stream, Waiting};
    let (output, mut input) = std::io::pipe().unwrap();
    let bytes = bytes.to_vec();
    let writer = std::thread::spawn(move || {
        // The reader may stop early, at damage.
        let _ = std::io::Write::write_all(&mut input, &bytes);
    });
    let stream = Stream::new("pipe".to_owned(), Input::Plain(Waiting::new(std::os::fd::OwnedFd::from(output).into())));
    let mut source = FileSource {
        maps: Vec::new().into(),
        files: Vec::new().into_iter(),
        reader: Some(Reader::Stream(Box::new(stream))),
        buffers: Default::default(),
        intake: Intake::new(by_length, Share::ALL),
        failure: None,
    };
    let outcome = drain(&mut source);
    drop(source);
    writer.join().unwrap();
    outcome
}
