//! Blocks going round.

use super::*;

fn frames(count: i64) -> Vec<Owned> {
    (0..count).map(|n| ethernet(n, 100)).collect()
}

#[test]
fn a_live_capture_drops_and_counts() {
    let (mut filler, drain) = pool(2, 1000, false);
    let taken = frames(100).iter().filter(|frame| filler.push(&frame.frame(), None)).count();
    assert_eq!(taken, 14, "two blocks of seven");
    assert_eq!(filler.take_dropped(), 86);
    drain.give_back(drain.take().unwrap());
    filler.lose(4);
    assert!(filler.push(&frames(1)[0].frame(), None) && filler.push(&frames(1)[0].frame(), None));
    drop(filler);
    let blocks: Vec<_> = std::iter::from_fn(|| drain.take()).collect();
    assert_eq!(blocks.iter().map(Block::packets).collect::<Vec<_>>(), [7, 2]);
    let tells = |bytes: &[u8]| bytes.windows(12).any(|option| option == [4, 0, 8, 0, 90, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(blocks[1].iter().map(|packet| tells(packet.bytes)).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn a_file_waits_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.pcapng");
    let (first, drain) = pool(2, 1000, true);
    let mut writer = Writer::create(to(&path)).unwrap();
    std::thread::scope(|scope| {
        for mut filler in [first.clone(), first] {
            scope.spawn(move || {
                for frame in frames(5000) {
                    assert!(filler.push(&frame.frame(), None));
                }
            });
        }
        let drained = drain.run(&mut writer, |_| ());
        assert!(drained.ending.is_none() && drained.left_out == 0);
    });
    assert_eq!(writer.finish().unwrap().packets, 10_000);
    let mut again = read(&path).0;
    again.sort_by_key(|frame| frame.time);
    assert!(again.iter().step_by(2).eq(&frames(5000)));
}

#[test]
fn blocks_are_written_in_the_order_handed_in() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.pcapng");
    let (mut one, drain) = pool(8, 1000, true);
    let mut other = one.clone();
    let mut writer = Writer::create(to(&path)).unwrap();
    other.push(&ethernet(3, 1).frame(), None);
    one.push(&ethernet(1, 1).frame(), None);
    one.flush();
    one.push(&ethernet(2, 1).frame(), None);
    one.flush();
    drop((other, one));
    drain.run(&mut writer, |_| ());
    writer.finish().unwrap();
    assert_eq!(read(&path).0.iter().map(|frame| frame.data[0]).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn every_packet_after_the_end_is_counted() {
    let directory = tempfile::tempdir().unwrap();
    let mut stop = Limits::default();
    stop.add("packets:10").unwrap();
    let config = Config { stop, ..to(&directory.path().join("x.pcapng")) };
    let mut writer = Writer::create(config).unwrap();
    let (mut filler, drain) = pool(2, 1000, true);
    let told = std::sync::atomic::AtomicU32::new(0);
    let (dropped, drained) = std::thread::scope(|scope| {
        let worker = scope.spawn(move || {
            for frame in frames(1000) {
                filler.push(&frame.frame(), None);
            }
            filler.flush();
            filler.take_dropped()
        });
        let drained = drain.run(&mut writer, |ending| {
            assert!(matches!(ending, Ending::Limit));
            told.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        });
        (worker.join().unwrap(), drained)
    });
    assert_eq!(told.into_inner(), 1);
    assert_eq!((writer.finish().unwrap().packets, dropped, drained.left_out), (10, 0, 990));
}
