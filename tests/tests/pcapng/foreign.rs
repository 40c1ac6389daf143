//! Captures that other programs wrote, in the directory that PADTAP_PCAPS names.

use super::*;

use serde_json::Value;

/// The files and what independent tools say of their containers.
fn captures() -> Result<Vec<(PathBuf, Value)>> {
    let Some(directory) = std::env::var_os("PADTAP_PCAPS").map(PathBuf::from) else {
        eprintln!("SKIPPED: PADTAP_PCAPS does not name a directory of captures");
        return Ok(Vec::new());
    };
    let expected: Value = serde_json::from_slice(&std::fs::read(directory.join("expected.json"))?)?;
    let files = expected["files"].as_object().context("expected.json has no files")?;
    let with_path = |(name, facts): (&String, &Value)| (directory.join(name), facts["tshark"]["container"].clone());
    Ok(files.iter().map(with_path).collect())
}

#[test]
fn they_hold_what_independent_tools_say() -> Result<()> {
    for (path, expected) in captures()? {
        let (frames, interfaces) = read(&path)?;
        let name = path.display();
        assert_eq!(Some(frames.len() as u64), expected["packets"].as_u64(), "{name}: packets");
        let bytes = frames.iter().map(|frame| u64::from(frame.length)).sum::<u64>();
        assert_eq!(Some(bytes), expected["data_bytes"].as_u64(), "{name}: bytes on the wire");
        let times = || frames.iter().map(|frame| frame.time.as_nanos());
        for (key, time) in [("first_epoch", times().min()), ("last_epoch", times().max())] {
            let told = expected[key].as_str().context("no epoch")?;
            assert_eq!(time, Some(nanos(told)?), "{name}: {key}");
        }
        assert_eq!(Some(interfaces.len() as u64), expected["interfaces"].as_u64(), "{name}: interfaces");
        for (index, packets) in expected["packets_per_interface"].as_object().into_iter().flatten() {
            let index: u32 = index.parse()?;
            let here = frames.iter().filter(|frame| frame.interface == index).count() as u64;
            assert_eq!(Some(here), packets.as_u64(), "{name}: packets of interface {index}");
        }
        let raw = expected["encap"] == "rawip";
        assert!(frames.iter().all(|frame| frame.link == if raw { LinkType::RawIp } else { LinkType::Ethernet }));
    }
    Ok(())
}

#[test]
fn they_survive_being_written_by_us() -> Result<()> {
    let tools = have(&["capinfos", "editcap"]);
    let (_directory, ours) = scratch("ours.pcapng")?;
    for (path, _) in captures()? {
        let (frames, interfaces) = read(&path)?;
        write(&ours, &frames, &interfaces)?;
        if tools {
            assert_eq!(capinfos(&ours)?, capinfos(&path)?, "{}", path.display());
            assert!(records(&ours)? == records(&path)?, "{}: not byte for byte the same", path.display());
        }
    }
    Ok(())
}

/// All records as editcap converts them, one format for all, without the header that tells the snap length.
fn records(path: &Path) -> Result<Vec<u8>> {
    let (_directory, converted) = scratch("converted.pcap")?;
    output(Command::new("editcap").args(["-F", "nsecpcap"]).arg(path).arg(&converted));
    Ok(std::fs::read(&converted)?.split_off(24))
}

#[test]
fn gzipped_they_are_the_same() -> Result<()> {
    if !have(&["gzip"]) {
        return Ok(());
    }
    let (_directory, packed) = scratch("packed.gz")?;
    for (path, _) in captures()? {
        let output = Command::new("gzip").arg("-c").arg(&path).output()?;
        std::fs::write(&packed, output.stdout)?;
        assert!(read(&packed)? == read(&path)?, "{}", path.display());
    }
    Ok(())
}
