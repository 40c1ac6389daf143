//! Files cut anywhere and changed anyhow.

use proptest::prelude::*;

use super::build::{Bytes, data};
use super::*;

fn classic() -> Vec<u8> {
    let file = Bytes::new(false).classic(0xa1b2_3c4d, 262_144, 1);
    (0..6).fold(file, |file, n| file.record(n, n, 100, &data(n as u8, 20 + n as usize))).bytes
}

/// The frames of the whole file that end before byte `cut` must be there, and no other.
fn check_cuts(whole: &[u8], reader: fn(&[u8]) -> Outcome) {
    let all = read(whole);
    assert!(all.error.is_none());
    let mut complete = 0;
    for cut in 0..whole.len() {
        let outcome = reader(&whole[..cut]);
        assert_eq!(outcome.frames, all.frames[..outcome.frames.len()], "cut at {cut}");
        assert!(outcome.frames.len() >= complete, "cut at {cut}: a frame is gone that was there before");
        assert!(outcome.frames.len() <= complete + 1, "cut at {cut}");
        complete = outcome.frames.len();
        match outcome.error {
            None => assert!(cut > 0, "an empty file is no capture"),
            Some(Error::Damaged { offset, frames, .. }) => {
                assert_eq!((offset, frames), (cut as u64, complete as u64));
            }
            other => panic!("cut at {cut}: {other:?}"),
        }
    }
    assert!(complete + 1 >= all.frames.len());
}

#[test]
fn classic_cut_at_every_byte() {
    check_cuts(&classic(), read);
    check_cuts(&classic(), read_piped);
}

#[test]
fn ng_cut_at_every_byte() {
    check_cuts(&super::ng::sections(), read);
    check_cuts(&super::ng::sections(), read_piped);
}

#[test]
fn gzip_cut_at_every_byte_gives_a_beginning() {
    let packed = super::streams::gzip(&classic());
    let all = read(&classic()).frames;
    for cut in 2..packed.len() {
        let (mapped, piped) = (read(&packed[..cut]), read_piped(&packed[..cut]));
        for outcome in [&mapped, &piped] {
            assert!(matches!(outcome.error, Some(Error::Damaged { .. })), "cut at {cut}: {:?}", outcome.error);
            assert_eq!(outcome.frames, all[..outcome.frames.len()]);
        }
        assert_eq!(mapped.frames, piped.frames);
    }
}

/// Bytes that are changed, and bytes that are put in.
fn mutations() -> impl Strategy<Value = Vec<(prop::sample::Index, u8, bool)>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), prop::bool::weighted(0.2)), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn mapped_and_piped_agree_on_any_damage(changes in mutations(), ng in any::<bool>()) {
        let mut bytes = if ng { super::ng::sections() } else { classic() };
        for (place, value, insert) in changes {
            let at = place.index(bytes.len());
            if insert { bytes.insert(at, value) } else { bytes[at] = value }
        }
        let (mapped, piped) = (read(&bytes), read_piped(&bytes));
        prop_assert_eq!(mapped.frames, piped.frames);
        prop_assert_eq!(mapped.interfaces, piped.interfaces);
        // Only the name differs.
        let text = |error: Option<Error>| {
            error.map(|error| error.to_string().split_once(": ").map(|(_, what)| what.to_owned()))
        };
        prop_assert_eq!(text(mapped.error), text(piped.error));
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), ng in any::<bool>()) {
        let start = if ng { Bytes::new(false).section(false).interface(1, 0, |b| b) } else {
            Bytes::new(true).classic(0xa1b2_c3d4, 0, 1)
        };
        read(&start.raw(&bytes).bytes);
    }
}
