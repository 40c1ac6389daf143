//! tshark, capinfos and tcpdump read what we write.

use super::*;

use capture_user::output::pcapng::Statistics;

/// UDP from 192.0.2.1 to 198.51.100.7, with so many bytes of payload; an Ethernet header before it or none.
fn udp(link: LinkType, payload: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    if link == LinkType::Ethernet {
        bytes.extend([2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0]);
    }
    let total = (28 + payload) as u16;
    bytes.extend([0x45, 0]);
    bytes.extend(total.to_be_bytes());
    bytes.extend([0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 198, 51, 100, 7, 0x75, 0x30, 0x75, 0x31]);
    bytes.extend((total - 20).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.resize(bytes.len() + payload, 0xa5);
    bytes
}

const BASE: i64 = 1_437_858_769_436_349_001;

fn frame(n: i64, link: LinkType, interface: u32) -> Owned {
    let data = udp(link, n as usize);
    Owned { time: Timestamp::from_nanos(BASE + n * 1_000_000_007), length: data.len() as u32, link, interface, data }
}

#[test]
fn counts_times_comments_drops_and_names() -> Result<()> {
    if !have(&["tshark", "capinfos"]) {
        return Ok(());
    }
    let (_directory, path) = scratch("ours.pcapng")?;
    let named = |name: &str, link, snap_length| Description {
        name: Some(name.to_owned()),
        description: Some(format!("mirror of {name}")),
        filter: Some("udp".to_owned()),
        os: Some("Linux".to_owned()),
        snap_length,
        ..Description::bare(link)
    };
    let mut writer = Writer::create(Config {
        path: Some(path.clone()),
        hardware: Some("a switch".to_owned()),
        os: Some("Linux".to_owned()),
        application: Some("padtap test".to_owned()),
        interfaces: vec![named("mirror0", LinkType::Ethernet, 0), named("tun7", LinkType::RawIp, 64)],
        ..Config::default()
    })?;
    writer.write_names([("198.51.100.7".parse()?, "match.example"), ("2001:db8::7".parse()?, "six.example")])?;
    let mut block = Block::new(64 << 10);
    for n in 0..100 {
        let (link, interface) = if n % 2 == 0 { (LinkType::Ethernet, 0) } else { (LinkType::RawIp, 1) };
        let mut frame = frame(n, link, interface);
        frame.data.truncate(if interface == 1 { 64 } else { usize::MAX });
        let note = match n {
            40 => Note { comment: Some("phase: in_match"), drops: None },
            41 => Note { comment: None, drops: Some(12) },
            _ => Note::default(),
        };
        assert!(block.push(&frame.frame(), note));
    }
    writer.write(&block)?;
    let (start, end) = (Timestamp::from_nanos(BASE), Timestamp::from_nanos(BASE + 99 * 1_000_000_007));
    let statistics = Statistics { start: Some(start), end: Some(end), ..Statistics::default() };
    let delivered = Some(50);
    writer.set_statistics(
        0,
        Statistics { received: Some(60), interface_drops: Some(3), os_drops: Some(7), delivered, ..statistics },
    );
    writer.set_statistics(1, Statistics { received: Some(62), os_drops: Some(12), delivered, ..statistics });
    writer.finish()?;

    assert_eq!(capinfos(&path)?, (100, start.as_nanos(), end.as_nanos()));
    let about = output(Command::new("capinfos").arg(&path));
    for told in ["a switch", "padtap test", "Name = mirror0", "Description = mirror of tun7", "Capture length = 64"] {
        assert!(about.contains(told), "capinfos does not say {told}: {about}");
    }
    assert_eq!(about.matches("Number of stat entries = 1").count(), 2);
    assert_eq!(about.matches("Number of packets = 50").count(), 2);

    let fields = [
        "frame.time_epoch",
        "frame.len",
        "frame.cap_len",
        "frame.interface_name",
        "frame.comment",
        "frame.drop_count",
        "udp.length",
    ];
    let rows = tshark(&path, &fields);
    assert_eq!(rows.len(), 100);
    for (n, row) in (0_i64..).zip(&rows) {
        assert_eq!(nanos(&row[0])?, BASE + n * 1_000_000_007);
        let header = if n % 2 == 0 { 42 } else { 28 };
        assert_eq!(row[1], (header + n).to_string());
        assert_eq!(row[2], if n % 2 == 0 { header + n } else { 64.min(header + n) }.to_string());
        assert_eq!(row[3], if n % 2 == 0 { "mirror0" } else { "tun7" });
        assert_eq!(row[4], if n == 40 { "phase: in_match" } else { "" });
        assert_eq!(row[5], if n == 41 { "12" } else { "" });
        assert_eq!(row[6], (8 + n).to_string());
    }

    // Names from the file, and none from a name server.
    let hosts = tshark_with(&["-Nn"], &path, &["ip.dst_host"]);
    assert!(hosts.iter().all(|row| row[0] == "match.example"), "{:?}", hosts[0]);

    assert_eq!(interface_statistics(&path), ["60,62", "3", "7,12", "50,50"]);
    Ok(())
}

#[test]
fn tcpdump_reads_every_packet() -> Result<()> {
    if !have(&["tcpdump"]) {
        return Ok(());
    }
    let (_directory, path) = scratch("ours.pcapng")?;
    let frames: Vec<_> = (0..200).map(|n| frame(n, LinkType::Ethernet, 0)).collect();
    write(&path, &frames, &[Interface { name: None, link: LinkType::Ethernet, snap_length: 0 }])?;
    let text = output(Command::new("tcpdump").args(["-nn", "-tt", "--nano", "-r"]).arg(&path));
    assert_eq!(text.lines().count(), 200);
    for (n, line) in text.lines().enumerate() {
        let (time, rest) = line.split_once(' ').context("no time")?;
        assert_eq!(nanos(time)?, frames[n].time.as_nanos());
        assert_eq!(rest, format!("IP 192.0.2.1.30000 > 198.51.100.7.30001: UDP, length {n}"));
    }
    Ok(())
}

#[test]
fn what_others_write_we_read() -> Result<()> {
    if !have(&["editcap"]) {
        return Ok(());
    }
    let (directory, path) = scratch("ours.pcapng")?;
    let frames: Vec<_> = (0..50).map(|n| frame(n, LinkType::Ethernet, 0)).collect();
    write(&path, &frames, &[Interface { name: None, link: LinkType::Ethernet, snap_length: 0 }])?;
    for format in ["nsecpcap", "pcapng", "pcap", "modpcap"] {
        let theirs = directory.path().join(format);
        output(Command::new("editcap").args(["-F", format]).args([&path, &theirs]));
        let (again, _) = read(&theirs)?;
        let precision = if ["pcap", "modpcap"].contains(&format) { 1000 } else { 1 };
        let expected: Vec<_> = frames
            .iter()
            .map(|frame| {
                let nanos = frame.time.as_nanos();
                Owned { time: Timestamp::from_nanos(nanos - nanos % precision), ..frame.clone() }
            })
            .collect();
        assert!(again == expected, "{format}");
    }
    Ok(())
}
