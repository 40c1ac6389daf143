//! Names, rotation, limits, and what goes wrong.

use super::*;

fn limits<const N: usize>(conditions: [&str; N]) -> Limits {
    let mut limits = Limits::default();
    conditions.iter().for_each(|condition| limits.add(condition).unwrap());
    limits
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Writes frames of 100 bytes, one a second from 2015-07-25 21:12:49 on.
fn rotate(rotate: Limits, stop: Limits, count: i64) -> (tempfile::TempDir, Summary, Progress) {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = Writer::create(Config { rotate, stop, ..to(&directory.path().join("cap.pcapng")) }).unwrap();
    let frames: Vec<_> = (0..count).map(|n| ethernet(1_437_858_769 + n, 100)).collect();
    let progress = write(&mut writer, &frames, 700).unwrap();
    (directory, writer.finish().unwrap(), progress)
}

fn packets(summary: &Summary) -> Vec<usize> {
    summary.paths.iter().map(|path| read(path).0.len()).collect()
}

#[test]
fn files_have_dumpcaps_names() {
    let (directory, summary, _) = rotate(limits(["packets:4"]), Limits::default(), 10);
    assert_eq!(
        names(directory.path()),
        ["cap_00001_20150725211249.pcapng", "cap_00002_20150725211253.pcapng", "cap_00003_20150725211257.pcapng",]
    );
    assert_eq!(packets(&summary), [4, 4, 2]);
    assert_eq!((summary.files, summary.packets), (3, 10));
}

#[test]
fn rotation_by_time_and_size() {
    let (_directory, summary, _) = rotate(limits(["duration:3"]), Limits::default(), 10);
    assert_eq!(packets(&summary), [3, 3, 3, 1]);
    // A header of 60 bytes, then 132 for each packet: 1000 is reached by the eighth.
    let (_directory, summary, _) = rotate(limits(["filesize:1"]), Limits::default(), 20);
    assert_eq!(packets(&summary), [8, 8, 4]);
}

#[test]
fn a_ring_keeps_the_newest() {
    let (directory, summary, _) = rotate(limits(["packets:2", "files:3"]), Limits::default(), 11);
    assert_eq!(
        names(directory.path()),
        ["cap_00004_20150725211255.pcapng", "cap_00005_20150725211257.pcapng", "cap_00006_20150725211259.pcapng",]
    );
    assert_eq!((summary.files, summary.packets, packets(&summary)), (6, 11, vec![2, 2, 1]));
}

#[test]
fn autostop() {
    for (stop, written) in [("packets:5", 5), ("duration:7", 7), ("filesize:1", 8)] {
        let (_directory, summary, progress) = rotate(Limits::default(), limits([stop]), 100);
        assert_eq!((summary.packets, progress, packets(&summary)), (written, Progress::Done, vec![written as usize]));
    }
    let (_directory, summary, progress) = rotate(limits(["packets:3"]), limits(["files:2"]), 100);
    assert_eq!((summary.packets, progress, packets(&summary)), (6, Progress::Done, vec![3, 3]));
    let (_directory, summary, progress) = rotate(Limits::default(), limits(["packets:500"]), 100);
    assert_eq!((summary.packets, progress), (100, Progress::More));
}

#[test]
fn what_cannot_be_is_refused() {
    for config in [
        Config { rotate: limits(["packets:2"]), ..Config::default() },
        Config { rotate: limits(["files:2"]), ..to(Path::new("x.pcapng")) },
    ] {
        assert!(matches!(Writer::create(config), Err(Error::Config(_))));
    }
    for path in ["/nonexistent/x.pcapng", "/", "/tmp/.."] {
        let Err(error) = Writer::create(to(Path::new(path))) else { panic!("{path} was created") };
        assert!(error.to_string().starts_with(path), "{error}");
    }
}

#[test]
fn a_file_has_its_name_when_it_is_complete() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cap.pcapng");
    std::fs::write(&path, "what was there before").unwrap();
    for finished in [true, false] {
        let mut writer = Writer::create(to(&path)).unwrap();
        write(&mut writer, &[ethernet(1, 60)], 1000).unwrap();
        let during = names(directory.path());
        assert_eq!(during.len(), 2);
        assert!(during[1].starts_with("cap.pcapng.") && during[1].ends_with(".part"), "{during:?}");
        // Dropped in the middle, as when a thread panics: what was written is not lost.
        if finished {
            drop(writer.finish().unwrap())
        } else {
            drop(writer)
        }
        assert_eq!(names(directory.path()), ["cap.pcapng"]);
        assert_eq!(read(&path).0.len(), 1);
    }
}

#[test]
fn a_link_stays_a_link() {
    let directory = tempfile::tempdir().unwrap();
    let [link, target] = ["link", "elsewhere/target"].map(|name| directory.path().join(name));
    std::fs::create_dir(directory.path().join("elsewhere")).unwrap();
    std::fs::write(&target, "").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    let writer = Writer::create(to(&link)).unwrap();
    assert_eq!(names(directory.path()), ["elsewhere", "link"], "the temporary file is beside the other");
    writer.finish().unwrap();
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(read(&target).0.is_empty());
}

#[test]
fn a_device_is_written_to_and_not_replaced() {
    let mut writer = Writer::create(to(Path::new("/dev/null"))).unwrap();
    write(&mut writer, &[ethernet(1, 60)], 1000).unwrap();
    assert_eq!(writer.finish().unwrap().packets, 1);
    use std::os::unix::fs::FileTypeExt;
    assert!(std::fs::metadata("/dev/null").unwrap().file_type().is_char_device());
}

#[test]
fn a_full_device_is_told_once() {
    let error = Writer::create(to(Path::new("/dev/full"))).unwrap_err();
    assert!(matches!(error, Error::Full { packets: 0, .. }), "{error}");
}

#[test]
fn a_pipe_that_nobody_reads_any_more() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("fifo");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let reader = std::fs::File::options().read(true).write(true).open(&path).unwrap();
    let mut writer = Writer::create(to(&path)).unwrap();
    drop(reader);
    assert!(matches!(write(&mut writer, &[ethernet(1, 60)], 1000), Err(Error::Closed { .. })));
    assert_eq!(write(&mut writer, &[ethernet(1, 60)], 1000).unwrap(), Progress::Done);
    writer.finish().unwrap();
}
