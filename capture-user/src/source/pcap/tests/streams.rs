//! Gzip, pipes, several files.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::build::{Bytes, data};
use super::*;

pub(super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Frames of all lengths, more than any buffer holds at once.
fn long() -> Vec<u8> {
    let file = Bytes::new(false).classic(0xa1b2_c3d4, 262_144, 1);
    let lengths = [60, 1514, 90, 9000, 65_535, 200_000];
    (0..600).fold(file, |file, n| file.record(n, 1, 300_000, &data(n as u8, lengths[n as usize % 6]))).bytes
}

#[test]
fn gzip_and_pipes_bring_what_the_file_holds() {
    let plain = read(&long());
    assert_eq!(plain.frames.len(), 600);
    let packed = gzip(&long());
    let members = [gzip(&long()[..1_000_000]), gzip(&long()[1_000_000..])].concat();
    for outcome in [read_piped(&long()), read(&packed), read_piped(&packed), read(&members), read_piped(&members)] {
        assert!(outcome.error.is_none(), "{:?}", outcome.error);
        assert!(outcome.frames == plain.frames);
        assert_eq!(outcome.interfaces, plain.interfaces);
    }
}

#[test]
fn corrupt_gzip_is_damage_after_what_could_be_unpacked() {
    let mut packed = gzip(&long());
    let at = packed.len() / 2;
    packed[at..at + 64].fill(0xff);
    let outcome = read(&packed);
    assert!(matches!(outcome.error, Some(Error::Damaged { .. })), "{:?}", outcome.error);
    // What was changed may still unpack to something, until the decompressor sees that it is wrong.
    assert!(outcome.frames.len() > 200);
    assert!(outcome.frames[..200] == read(&long()).frames[..200]);
}

#[test]
fn files_follow_one_another() {
    let directory = tempfile::tempdir().unwrap();
    let paths = ["a.pcap", "b.pcapng", "c.pcap.gz"].map(|name| directory.path().join(name));
    let small = Bytes::new(true).classic(0xa1b2_c3d4, 0, 113).record(1, 0, 1, &[1]).bytes;
    std::fs::write(&paths[0], &small).unwrap();
    std::fs::write(&paths[1], super::ng::sections()).unwrap();
    std::fs::write(&paths[2], gzip(&small)).unwrap();
    let outcome = read_paths(&[&paths[0], &paths[1], &paths[2]]);
    assert!(outcome.error.is_none());
    assert_eq!(outcome.frames.iter().map(|seen| seen.number).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    assert_eq!(outcome.frames.iter().map(|seen| seen.interface).collect::<Vec<_>>(), [0, 2, 1, 3, 4]);
    assert_eq!(outcome.interfaces.len(), 5);

    std::fs::write(&paths[1], &super::ng::sections()[..150]).unwrap();
    let outcome = read_paths(&[&paths[0], &paths[1], &paths[2]]);
    let Some(Error::Damaged { name, frames: 0, .. }) = outcome.error else { panic!("{:?}", outcome.error) };
    assert!(name.ends_with("b.pcapng"));
    assert_eq!(outcome.frames.len(), 1);
}

#[test]
fn a_missing_file_and_a_directory_are_refused_at_once() {
    for path in ["/nonexistent/file.pcap", "/"] {
        let Err(error) = open([path], by_length) else { panic!("{path} was opened") };
        assert!(error.to_string().starts_with(path), "{error}");
    }
}

#[test]
fn a_quiet_pipe_does_not_hold_the_caller() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    // Open for reading and writing does not wait for the other end.
    let mut writer = std::fs::File::options().read(true).write(true).open(&path).unwrap();
    let mut source = open([&path], by_length).unwrap();
    let mut tokens = Vec::new();
    let zero = Duration::ZERO;
    assert_eq!(source.receive(8, zero, &mut tokens).unwrap(), Received::Nothing);
    let file = Bytes::new(false).classic(0xa1b2_c3d4, 0, 1).record(1, 0, 1, &[1]).record(2, 0, 2, &[1, 2]).bytes;
    let (now, later) = file.split_at(file.len() - 1);
    writer.write_all(now).unwrap();
    let wait = Duration::from_secs(5);
    while tokens.is_empty() {
        source.receive(8, wait, &mut tokens).unwrap();
    }
    assert_eq!(source.receive(8, zero, &mut tokens).unwrap(), Received::Nothing);
    assert_eq!(tokens.len(), 1);
    writer.write_all(later).unwrap();
    assert_eq!(source.receive(8, wait, &mut tokens).unwrap(), Received::Frames);
    assert_eq!(tokens.len(), 2);
}

#[test]
fn a_reader_of_streams_waits_for_its_buffers() {
    let packed = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(packed.path(), gzip(&[long(), long()[24..].to_vec(), long()[24..].to_vec()].concat())).unwrap();
    let mut source = open([packed.path()], by_length).unwrap();
    let mut tokens = Vec::new();
    while source.receive(64, Duration::ZERO, &mut tokens).unwrap() == Received::Frames {}
    let held: u64 = tokens.len() as u64;
    assert!(held < 1800, "all of it was taken into memory");
    source.recycle(&mut tokens);
    let mut rest = 0;
    while source.receive(64, Duration::ZERO, &mut tokens).unwrap() != Received::End {
        rest += tokens.len() as u64;
        source.recycle(&mut tokens);
    }
    assert_eq!(held + rest, 1800);
}

#[test]
fn shares_of_a_file_are_the_whole_file() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), long()).unwrap();
    let long_ones = |frame: &Frame<'_>| by_length(frame).filter(|length| *length > 60);
    let whole = drain(&mut open([file.path()], long_ones).unwrap());
    assert_eq!((whole.tally.seen, whole.tally.filtered), (600, 100));
    let shares: Vec<_> = open([file.path()], long_ones).unwrap().split(4).iter_mut().map(drain).collect();
    assert_eq!(shares.len(), 4);
    assert!(shares.iter().zip(0..).all(|(share, index)| share.frames.iter().all(|seen| seen.data.len() % 4 == index)));
    assert_eq!(shares.iter().fold(Tally::default(), |sum, share| sum + share.tally), whole.tally);
    let mut frames: Vec<_> = shares.into_iter().flat_map(|share| share.frames).collect();
    frames.sort_by_key(|seen| seen.number);
    assert!(frames == whole.frames);
}

#[test]
fn a_compressed_file_has_one_reader() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), gzip(&long())).unwrap();
    assert_eq!(open([file.path()], by_length).unwrap().split(4).len(), 1);
}
