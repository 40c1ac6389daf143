//! The frames of Initial packets (RFC 9000 sections 12.4 and 19).

use super::packet::varint;
use crate::dissect::app::tls::pieces::{LIMIT, Pieces};
use crate::dissect::app::tls::wire::Reader;

/// Puts the CRYPTO frames among `frames` in their places. What may not stand in an Initial packet ends the reading.
pub fn collect_crypto(frames: &[u8], crypto: &mut Pieces) {
    let mut reader = Reader::new(frames);
    while read_frame(&mut reader, crypto).is_some() {}
}

fn read_frame(reader: &mut Reader<'_>, crypto: &mut Pieces) -> Option<()> {
    const PADDING: u8 = 0;
    const PING: u8 = 1;
    const ACK: u8 = 2;
    const ACK_ECN: u8 = 3;
    const CRYPTO: u8 = 6;
    match reader.u8()? {
        PADDING | PING => {}
        kind @ (ACK | ACK_ECN) => skip_ack(reader, kind == ACK_ECN)?,
        CRYPTO => {
            let (offset, length) = (varint(reader)?, varint(reader)?);
            let data = reader.take(usize::try_from(length).ok()?)?;
            crypto.insert(usize::try_from(offset).unwrap_or(LIMIT), data);
        }
        _ => return None,
    }
    Some(())
}

fn skip_ack(reader: &mut Reader<'_>, counts: bool) -> Option<()> {
    let [_largest, _delay, ranges, _first] = [varint(reader)?, varint(reader)?, varint(reader)?, varint(reader)?];
    let numbers = ranges.checked_mul(2)?.checked_add(if counts { 3 } else { 0 })?;
    for _ in 0..numbers {
        varint(reader)?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crypto_is_found_among_other_frames() {
        let mut crypto = Pieces::default();
        let ack = [2, 9, 0, 2, 0, 1, 1, 1, 1];
        let ack_ecn = [3, 9, 0, 0, 0, 1, 2, 3];
        let frames = [&[0, 0, 1][..], &ack, &[6, 3, 2, b'd', b'e'], &ack_ecn, &[6, 0, 3, b'a', b'b', b'c'], &[0; 9]];
        collect_crypto(&frames.concat(), &mut crypto);
        assert_eq!(crypto.start(), b"abcde");
    }

    #[test]
    fn foreign_or_cut_frames_end_the_reading() {
        let mut crypto = Pieces::default();
        collect_crypto(&[0x1c, 0, 0, 0, 6, 0, 1, b'a'], &mut crypto);
        collect_crypto(&[6, 0, 5, b'a'], &mut crypto);
        collect_crypto(&[2, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0], &mut crypto);
        assert_eq!(crypto.start(), b"");
    }
}
