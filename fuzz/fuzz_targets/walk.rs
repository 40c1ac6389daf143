//! Frames of any bytes, one after the other through one dissector: what was read stays within what there was.

#![no_main]

use capture_user::dissect::{Dissector, dissect};
use libfuzzer_sys::fuzz_target;
use padtap_fuzz::frames::frames;

fuzz_target!(|input: &[u8]| {
    let mut dissector = Dissector::default();
    for frame in frames(input) {
        let alone = dissect(&frame);
        assert!(alone.payload.len() <= frame.data.len());
        assert!(alone.stopped.is_none_or(|stopped| stopped.offset <= frame.data.len()));
        let packet = dissector.dissect(&frame);
        assert!(packet.payload.len() <= packet.payload_length as usize);
        assert!(packet.reassembled.is_some() || packet.payload == alone.payload);
    }
    let counters = dissector.fragments();
    assert!(counters.completed + counters.timed_out + counters.evicted + counters.overflowed <= counters.datagrams);
});
