//! Segments of any place and length. Every byte has the value its place gives it, so whatever is delivered can be
//! checked; bytes and gaps together are the way that was made, and memory stays under the cap.

#![no_main]

use capture_user::reassembly::stream::{Delivery, Limits, Segment, Stream, Streams, Take};
use libfuzzer_sys::fuzz_target;

const LIMITS: Limits = Limits { bytes: 30_000, unread: 500, ahead: 8_000, runs: 6, patience: 12 };
/// The sequence number of the SYN: the stream goes through zero.
const FIRST: u32 = u32::MAX - 9_000;

fn value(place: u64) -> u8 {
    (place % 251) as u8
}

/// Checks what is delivered against its place.
struct Reader {
    place: u64,
    leaves: usize,
    done: bool,
}

impl Reader {
    fn take(&mut self, delivery: Delivery<'_>, unread: &mut u64) -> Take {
        match delivery {
            Delivery::Bytes(bytes) => {
                let begin = self.place - *unread;
                assert!(bytes.iter().zip(begin..).all(|(byte, place)| *byte == value(place)));
                assert!(bytes.len() as u64 > *unread, "nothing new was offered");
                self.place = begin + bytes.len() as u64;
                *unread = bytes.len().min(self.leaves) as u64;
                if self.done { Take::Done } else { Take::Consumed(bytes.len() - *unread as usize) }
            }
            Delivery::Gap(length) => {
                (self.place, *unread) = (self.place + u64::from(length), 0);
                Take::Consumed(0)
            }
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut shared = Streams::new(LIMITS);
    let mut stream = Stream::default();
    let (mut reader, mut unread) = (Reader { place: 0, leaves: 0, done: false }, 0);
    let syn = Segment { sequence: FIRST, syn: true, fin: false, bytes: &[], length: 0 };
    stream.push(&syn, &mut shared, |_| Take::Consumed(0));
    for &[flags, high, low, length, leaves] in bytes.as_chunks::<5>().0 {
        let place = u16::from_be_bytes([high & 0x7f, low]);
        let sequence = FIRST.wrapping_add(1).wrapping_add(u32::from(place));
        let count = usize::from(length) * usize::from(1 + (flags & 7));
        let data: Vec<u8> = (u64::from(place)..).take(count).map(value).collect();
        (reader.leaves, reader.done) = (usize::from(leaves) * 3, flags == 0xff);
        let take = |delivery: Delivery<'_>| reader.take(delivery, &mut unread);
        if flags & 8 != 0 {
            stream.acknowledge(sequence, &mut shared, take);
        } else {
            let captured = if flags & 16 != 0 { count / 2 } else { count };
            let fin = flags & 0x60 == 0x60;
            let length = u32::try_from(count).expect("a short segment");
            let segment = Segment { sequence, syn: false, fin, bytes: &data[..captured], length };
            stream.push(&segment, &mut shared, take);
        }
        assert!(shared.memory() <= LIMITS.bytes);
        let counters = shared.counters();
        assert_eq!(reader.place, counters.bytes + counters.gap_bytes);
        assert!(stream.is_reading() || shared.memory() == 0);
    }
    stream.finish(&mut shared, |delivery| reader.take(delivery, &mut unread));
    assert_eq!(shared.memory(), 0);
});
