//! Frames of any bytes, one after the other through one dissector: what was read stays within what there was.
//! The first byte chooses the link layer; each frame follows its length and the time since the one before.

#![no_main]

use capture_user::dissect::{Dissector, dissect};
use capture_user::source::{Frame, LinkType};
use capture_user::time::Timestamp;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((first, mut rest)) = bytes.split_first() else { return };
    let link = match first % 6 {
        0 => LinkType::Ethernet,
        1 => LinkType::RawIp,
        2 => LinkType::Null,
        3 => LinkType::LinuxSll,
        4 => LinkType::LinuxSll2,
        _ => LinkType::Loop,
    };
    let (mut dissector, mut nanos, mut number) = (Dissector::default(), 0_i64, 0);
    while let Some(([high, low, snapped, step], following)) = rest.split_first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(following.len());
        let (data, following) = following.split_at(length);
        rest = following;
        number += 1;
        nanos += (i64::from(*step) - 16) << 20;
        let length = u32::try_from(length).expect("a short frame") + u32::from(*snapped);
        let frame = Frame { number, time: Timestamp::from_nanos(nanos), length, link, interface: 0, data };
        let alone = dissect(&frame);
        assert!(alone.payload.len() <= data.len());
        assert!(alone.stopped.is_none_or(|stopped| stopped.offset <= data.len()));
        let packet = dissector.dissect(&frame);
        assert!(packet.payload.len() <= packet.payload_length as usize);
        assert!(packet.reassembled.is_some() || packet.payload == alone.payload);
    }
    let counters = dissector.fragments();
    assert!(counters.completed + counters.timed_out + counters.evicted + counters.overflowed <= counters.datagrams);
});
