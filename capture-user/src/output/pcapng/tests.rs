//! Files written, and read back with our own reader; other programs read them in the integration tests.

mod files;
mod pool;

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::source::{self, Frame, Interface, LinkType, Received, Source, View};
use crate::time::Timestamp;

/// A frame that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owned {
    pub(super) time: Timestamp,
    pub(super) length: u32,
    pub(super) link: LinkType,
    pub(super) interface: u32,
    pub(super) data: Vec<u8>,
}

impl Owned {
    pub(super) fn frame(&self) -> Frame<'_> {
        let &Self { time, length, link, interface, ref data } = self;
        Frame { number: 0, time, length, link, interface, data }
    }
}

/// An Ethernet frame of so many bytes, `second` seconds after the epoch.
pub(super) fn ethernet(second: i64, length: usize) -> Owned {
    let time = Timestamp::new(second, 5);
    Owned { time, length: length as u32, link: LinkType::Ethernet, interface: 0, data: vec![second as u8; length] }
}

/// All frames and interfaces of a file, which must be without damage.
pub(super) fn read(path: &Path) -> (Vec<Owned>, Vec<Interface>) {
    let mut source = source::pcap::open([path], |_| Some(0)).unwrap();
    let (view, mut tokens, mut scratch, mut frames) = (source.view(), Vec::new(), Vec::new(), Vec::new());
    while source.receive(100, Duration::ZERO, &mut tokens).unwrap() != Received::End {
        for token in &tokens {
            let Frame { time, length, link, interface, data, .. } = view.frame(token, &mut scratch);
            frames.push(Owned { time, length, link, interface, data: data.to_vec() });
        }
        source.recycle(&mut tokens);
    }
    (frames, source.interfaces())
}

/// Writes frames in blocks of `size` bytes.
pub(super) fn write(writer: &mut Writer, frames: &[Owned], size: usize) -> Result<Progress, Error> {
    let mut block = Block::new(size);
    let mut progress = Progress::More;
    for frame in frames {
        if !block.push(&frame.frame(), Note::default()) {
            progress = writer.write(&block)?;
            block.clear();
            assert!(block.push(&frame.frame(), Note::default()));
        }
    }
    if block.is_empty() { Ok(progress) } else { writer.write(&block) }
}

pub(super) fn to(path: &Path) -> Config {
    Config { path: Some(path.to_owned()), ..Config::default() }
}

fn frames() -> impl Strategy<Value = Vec<Owned>> {
    let frame = (0..i64::MAX, 0_u32..5, 0_usize..3000, 0_u32..100, any::<u8>());
    let frame = frame.prop_map(|(nanos, interface, length, cut, byte)| Owned {
        time: Timestamp::from_nanos(nanos),
        length: length as u32 + cut,
        link: LinkType::from_code([1, 101, 0, 276, 147][interface as usize]),
        interface,
        data: vec![byte; length],
    });
    prop::collection::vec(frame, 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(frames in frames(), size in 100_usize..20_000) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.pcapng");
        let links = [1, 101, 0, 276, 147].map(LinkType::from_code);
        let interfaces = links.map(|link| Description { name: Some(format!("{link:?}")), ..Description::bare(link) });
        let mut writer = Writer::create(Config { interfaces: interfaces.to_vec(), ..to(&path) }).unwrap();
        write(&mut writer, &frames, size).unwrap();
        let summary = writer.finish().unwrap();
        prop_assert_eq!(summary.packets, frames.len() as u64);
        prop_assert_eq!(summary.bytes, std::fs::metadata(&path).unwrap().len());
        let (again, described) = read(&path);
        prop_assert_eq!(again, frames);
        let expected = links.map(|link| Interface { name: Some(format!("{link:?}")), link, snap_length: 0 });
        prop_assert_eq!(described, expected);
    }
}

#[test]
fn blocks_that_are_no_packets_do_not_disturb() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.pcapng");
    let mut writer = Writer::create(Config {
        hardware: Some("a machine".to_owned()),
        os: Some("Linux".to_owned()),
        application: Some("padtap".to_owned()),
        ..to(&path)
    })
    .unwrap();
    let names = [("192.0.2.1", "one.example"), ("2001:db8::1", "six.example"), ("192.0.2.1", "other.example")];
    writer.write_names(names.map(|(address, name)| (address.parse().unwrap(), name))).unwrap();
    let mut block = Block::new(4096);
    let frame = ethernet(1, 61);
    let long = "ü".repeat(40_000);
    for comment in [Some("joined a match"), None, Some(""), Some(&long)] {
        assert!(block.push(&frame.frame(), Note { comment, drops: Some(7) }) || comment == Some(&*long));
    }
    writer.write(&block).unwrap();
    // Longer than any block: an empty one takes it all the same.
    block.clear();
    let giant = ethernet(2, 200_000);
    assert!(block.push(&giant.frame(), Note { comment: Some(&long), drops: None }));
    writer.write(&block).unwrap();
    writer.set_statistics(0, Statistics { received: Some(9), os_drops: Some(7), ..Statistics::default() });
    assert_eq!(writer.finish().unwrap().packets, 4);
    assert_eq!(read(&path).0, [frame.clone(), frame.clone(), frame, giant]);
}

#[test]
fn interfaces_that_come_late_are_described_before_their_packets() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.pcapng");
    let mut writer = Writer::create(to(&path)).unwrap();
    let early = ethernet(1, 60);
    let late = Owned { interface: 2, link: LinkType::RawIp, ..ethernet(2, 40) };
    write(&mut writer, std::slice::from_ref(&early), 1000).unwrap();
    write(&mut writer, std::slice::from_ref(&late), 1000).unwrap();
    writer.finish().unwrap();
    let (frames, interfaces) = read(&path);
    assert_eq!(frames, [early, late]);
    assert_eq!(interfaces.iter().map(|interface| interface.link.code()).collect::<Vec<_>>(), [1, 101, 101]);
}
