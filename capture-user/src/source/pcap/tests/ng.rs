//! pcapng files: sections, interfaces, all kinds of packet blocks.

use super::build::{Bytes, data};
use super::*;

fn interface(name: Option<&str>, link: LinkType, snap_length: u32) -> Interface {
    Interface { name: name.map(str::to_owned), link, snap_length }
}

/// Two sections of opposite byte order; the second describes other interfaces.
pub(super) fn sections() -> Vec<u8> {
    let file = Bytes::new(false).section(false);
    let file = file.interface(1, 0, |body| body.option(2, b"eth0").option(9, &[9]).option(0, &[]));
    let file = file.interface(101, 96, |body| body.option(3, b"about it").option(9, &[0x8a]).option(2, b"tun\0xx"));
    let file = file.enhanced(1, 1536, 200, &data(1, 96)).enhanced(0, 1_700_000_000_000_000_001, 61, &data(2, 61));
    let file = file.block(5, |body| body.u32(0).u64(1)).block(0x0bad, |body| body.raw(&[1; 33]));
    let file = file.section(true).interface(276, 0, |body| body.option(14, &(-5_i64).to_be_bytes()));
    let file = file.block(4, |body| body.raw(&[0; 4])).enhanced(0, 6_000_001, 3, &[1, 2, 3]);
    file.bytes
}

#[test]
fn sections_and_interfaces() {
    for outcome in [read(&sections()), read_piped(&sections())] {
        assert!(outcome.error.is_none(), "{:?}", outcome.error);
        assert_eq!(
            outcome.interfaces,
            [
                interface(Some("eth0"), LinkType::Ethernet, 0),
                interface(Some("tun"), LinkType::RawIp, 96),
                interface(None, LinkType::LinuxSll2, 0),
            ]
        );
        let [a, b, c] = &outcome.frames[..] else { panic!("{} frames", outcome.frames.len()) };
        assert_eq!((a.interface, a.nanos, a.length, a.data.len()), (1, 1_500_000_000, 200, 96));
        assert_eq!((b.interface, b.nanos, b.link), (0, 1_700_000_000_000_000_001, LinkType::Ethernet));
        assert_eq!((c.interface, c.nanos, c.number), (2, 1_000_001_000, 3));
    }
}

#[test]
fn simple_and_obsolete_packets() {
    for big in [false, true] {
        let file = Bytes::new(big).section(big).interface(1, 64, |body| body).interface(1, 64, |body| body);
        let file = file.block(3, |body| body.u32(1000).raw(&data(1, 64))).block(2, |body| {
            let body = body.u16(1).u16(77).u32(0).u32(5_000_000).u32(3).u32(900);
            body.raw(&[7, 8, 9, 0]).option(1, b"a comment").option(0, &[])
        });
        let file = file.block(3, |body| body.u32(5).raw(&data(2, 5)));
        let outcome = read(&file.bytes);
        assert!(outcome.error.is_none(), "{:?}", outcome.error);
        let [a, b, c] = &outcome.frames[..] else { panic!("{} frames", outcome.frames.len()) };
        assert_eq!((a.nanos, a.length, &a.data), (0, 1000, &data(1, 64)));
        assert_eq!((b.nanos, b.length, b.interface, &b.data[..]), (5_000_000_000, 900, 1, &[7, 8, 9][..]));
        assert_eq!((c.nanos, c.length, c.interface, &c.data), (5_000_000_000, 5, 0, &data(2, 5)));
    }
}

#[test]
fn what_is_wrong_is_said_and_what_precedes_is_read() {
    let start = Bytes::new(false).section(false).interface(1, 0, |body| body).enhanced(0, 1, 1, &[1]);
    let offset = start.bytes.len() as u64;
    let packet = |captured: u32, total: u32| {
        let file = start.clone().u32(6).u32(total).u32(0).u64(0).u32(captured).u32(captured);
        file.raw(&vec![0; total as usize - 32]).u32(total)
    };
    for (file, told) in [
        (start.clone().enhanced(1, 1, 1, &[1]), "interface 1 where 1 are described"),
        (start.clone().section(true).enhanced(0, 1, 1, &[1]), "interface 0 where 0 are described"),
        (start.clone().u32(6).u32(13).raw(&[0; 30]), "a block of 13 bytes"),
        (start.clone().u32(9).u32(8).raw(&[0; 30]), "a block of 8 bytes"),
        (start.clone().u32(6).u32(32).raw(&[0; 20]).u32(36).raw(&[0; 99]), "says 36 at its end"),
        (packet(60, 88), "60 bytes in a block of 88"),
        (packet(u32::MAX, 60), "at most 262144 make sense"),
        (packet(0, 2 << 20), "a block of 2097152 bytes"),
        (start.clone().u32(0x0a0d_0d0a).u32(28).u32(0xdead_beef).raw(&[0; 30]), "byte-order mark deadbeef"),
        (start.clone().block(0x0a0d_0d0a, |body| body.u32(0x1a2b_3c4d).u16(2).u16(0).u64(0)), "version 2"),
        (start.clone().block(1, |body| body.u32(1)), "interface description of 16"),
    ] {
        for outcome in [read(&file.bytes), read_piped(&file.bytes)] {
            let Some(Error::Damaged { offset: at, frames: 1, reason, .. }) = &outcome.error else {
                panic!("{told}: {:?}", outcome.error)
            };
            assert!(reason.contains(told), "{reason}, not {told}");
            assert!(*at == offset || told.contains("0 are"), "{reason} at {at}");
            assert_eq!(outcome.frames.len(), 1);
        }
    }
}

#[test]
fn options_that_make_no_sense_cost_no_packet() {
    let long = vec![b'x'; 5000];
    for (options, name) in [
        (Bytes::new(false).option(2, &long), Some("x".repeat(255))),
        (Bytes::new(false).option(2, b"\xff\xfe"), Some("\u{fffd}\u{fffd}".to_owned())),
        (Bytes::new(false).u16(2).u16(500).u32(0), None),
        (Bytes::new(false).option(9, &[1, 2, 3]).option(14, &[1]).u16(2), None),
        (Bytes::new(false).option(0, &[]).option(2, b"after the end"), None),
    ] {
        let file = Bytes::new(false).section(false).interface(1, 0, |body| body.raw(&options.bytes));
        let outcome = read(&file.enhanced(0, 1, 1, &[1]).bytes);
        assert!(outcome.error.is_none(), "{:?}", outcome.error);
        assert_eq!((&outcome.interfaces[0].name, outcome.frames[0].nanos), (&name, 1_000));
    }
}
