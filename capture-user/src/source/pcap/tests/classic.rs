//! Classic files of every variant.

use super::build::{Bytes, data};
use super::*;

#[test]
fn every_order_and_precision() {
    for (magic, nanos) in [(0xa1b2_c3d4, 1_500_000_000_123_456_000), (0xa1b2_3c4d, 1_500_000_000_000_123_456)] {
        for big in [false, true] {
            let file = Bytes::new(big).classic(magic, 65_535, 1);
            let file = file.record(1_500_000_000, 123_456, 1500, &data(1, 60)).record(u32::MAX, 0, 1, &[9]);
            let outcome = read(&file.bytes);
            assert!(outcome.error.is_none());
            assert_eq!(outcome.interfaces, [Interface { name: None, link: LinkType::Ethernet, snap_length: 65_535 }]);
            let link = LinkType::Ethernet;
            let first = Seen { number: 1, nanos, length: 1500, link, interface: 0, data: data(1, 60) };
            let late = i64::from(u32::MAX) * 1_000_000_000;
            assert_eq!(
                outcome.frames,
                [first, Seen { number: 2, nanos: late, length: 1, link, interface: 0, data: vec![9] },]
            );
        }
    }
}

#[test]
fn kuznetzov_records_are_eight_bytes_longer() {
    let file = Bytes::new(true).classic(0xa1b2_cd34, 100, 113);
    let file = file.u32(7).u32(8).u32(2).u32(2).u32(1).u32(2).raw(&[1, 2]);
    let outcome = read(&file.bytes);
    assert!(outcome.error.is_none());
    assert_eq!(outcome.frames[0].nanos, 7_000_008_000);
    assert_eq!((outcome.frames[0].link, &outcome.frames[0].data[..]), (LinkType::LinuxSll, &[1, 2][..]));
}

#[test]
fn lengths_that_disagree() {
    let file = Bytes::new(false).classic(0xa1b2_c3d4, 10, 1).record(0, 0, 4, &data(0, 100)).record(0, 0, 0, &[]);
    let outcome = read(&file.bytes);
    assert!(outcome.error.is_none(), "a captured length above both others is believed");
    assert_eq!((outcome.frames[0].length, outcome.frames[0].data.len()), (100, 100));
    assert_eq!((outcome.frames[1].length, outcome.frames[1].data.len()), (0, 0));
}

#[test]
fn a_frame_check_sequence_is_no_part_of_the_frame() {
    let file = Bytes::new(false).classic(0xa1b2_c3d4, 10_000, 0x2400_0001);
    let file = file.record(0, 0, 64, &data(0, 64)).record(0, 0, 1000, &data(0, 64)).record(0, 0, 2, &[1, 2]);
    let lengths: Vec<_> = read(&file.bytes).frames.iter().map(|seen| (seen.length, seen.data.len())).collect();
    assert_eq!(lengths, [(60, 60), (996, 64), (0, 0)]);
}

#[test]
fn a_captured_length_beyond_sense_is_damage() {
    let start = Bytes::new(false).classic(0xa1b2_c3d4, 65_535, 1).record(1, 1, 1, &[1]);
    for (snap_length, captured, fits) in [(0, 256 << 10, true), (0, (256 << 10) + 1, false), (1 << 20, 1 << 20, true)] {
        let file = Bytes::new(false).classic(0xa1b2_c3d4, snap_length, 1).record(1, 1, 1, &data(0, captured));
        assert_eq!(read(&file.bytes).error.is_none(), fits, "snap length {snap_length}, captured {captured}");
        assert_eq!(read_piped(&file.bytes).error.is_none(), fits, "snap length {snap_length}, captured {captured}");
    }
    let file = start.u32(1).u32(1).u32(u32::MAX).u32(1);
    for outcome in [read(&file.bytes), read_piped(&file.bytes)] {
        assert_eq!(outcome.frames.len(), 1);
        assert!(matches!(outcome.error, Some(Error::Damaged { offset: 41, frames: 1, .. })), "{:?}", outcome.error);
    }
}

#[test]
fn files_of_other_kinds_are_named() {
    for (bytes, told) in [
        (&b"\x7fELF, or whatever it may be"[..], "7f 45 4c 46"),
        (b"\x28\xb5\x2f\xfd and so on", "zstd -dc"),
        (&Bytes::new(false).u32(0xa1b2_c3d4).u16(3).raw(&[0; 40]).bytes, "version 3"),
    ] {
        for outcome in [read(bytes), read_piped(bytes)] {
            let Some(Error::Unsupported { reason, .. }) = outcome.error else { panic!("{:?}", outcome.error) };
            assert!(reason.contains(told), "{reason}");
        }
    }
}

#[test]
fn filtered_frames_are_counted_and_keep_their_numbers() {
    let mut file = Bytes::new(false).classic(0xa1b2_c3d4, 0, 1);
    for n in 0..100_u8 {
        file = file.record(0, 0, 1, &data(n, 1 + usize::from(n % 2)));
    }
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), &file.bytes).unwrap();
    let mut source = open([path.path()], |frame| (frame.data.len() == 2).then_some(2)).unwrap();
    let outcome = drain(&mut source);
    assert_eq!(
        outcome.frames.iter().map(|seen| seen.number).collect::<Vec<_>>(),
        (2..=100).step_by(2).collect::<Vec<_>>()
    );
    let expected = Tally { seen: 100, filtered: 50, redirected: 50, delivered: 50, ..Tally::default() };
    assert_eq!(outcome.tally, expected);
}

#[test]
fn a_filter_that_lets_nothing_through_does_not_hold_the_caller() {
    let mut file = Bytes::new(false).classic(0xa1b2_c3d4, 0, 1);
    for _ in 0..50_000 {
        file = file.record(0, 0, 0, &[]);
    }
    let path = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(path.path(), &file.bytes).unwrap();
    let mut source = open([path.path()], |_| None).unwrap();
    let mut tokens = Vec::new();
    assert_eq!(source.receive(1, Duration::ZERO, &mut tokens).unwrap(), Received::Nothing);
    assert!(source.tally().seen < 50_000);
    while source.receive(64, Duration::ZERO, &mut tokens).unwrap() != Received::End {}
    assert_eq!((source.tally().seen, source.tally().filtered), (50_000, 50_000));
}
