//! A disk that is full.

use super::*;

use capture_user::output::pcapng::{Error, Progress};
use tests::disk::SmallDisk;

#[test]
fn the_file_stays_readable_and_the_error_is_told_once() -> Result<()> {
    let Some(disk) = SmallDisk::new(1024) else { return Ok(()) };
    let path = disk.path().join("cap.pcapng");
    let mut writer = Writer::create(Config { path: Some(path.clone()), ..Config::default() })?;
    let frame =
        Owned { time: Timestamp::new(1, 0), length: 1001, link: LinkType::Ethernet, interface: 0, data: vec![7; 1001] };
    let mut block = Block::new(100_000);
    while block.push(&frame.frame(), Note::default()) {}
    let error = loop {
        if let Err(error) = writer.write(&block) {
            break error;
        }
    };
    let Error::Full { packets, .. } = error else { bail!("{error}") };
    assert!(packets > 900, "{packets}");
    assert_eq!(writer.write(&block)?, Progress::Done, "the error is told once");
    assert_eq!(writer.finish()?.packets, packets);
    let (frames, _) = read(&path)?;
    assert!(frames.len() as u64 == packets && frames.iter().all(|again| *again == frame));
    assert_eq!(std::fs::read_dir(disk.path())?.count(), 1, "nothing is left over");
    if have(&["capinfos"]) {
        assert_eq!(capinfos(&path)?.0, packets);
    }
    Ok(())
}
