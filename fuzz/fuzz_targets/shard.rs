//! Frames of any bytes through the whole engine: every frame is accounted for, and every record can be written.

#![no_main]

use libfuzzer_sys::fuzz_target;
use padtap_fuzz::engine::Engine;
use padtap_fuzz::frames::frames;

fuzz_target!(|input: &[u8]| {
    let mut engine = Engine::default();
    for frame in frames(input) {
        engine.process(&frame);
    }
    let counted = engine.finish();
    assert!(counted.in_flows <= counted.frames - counted.duplicates);
});
