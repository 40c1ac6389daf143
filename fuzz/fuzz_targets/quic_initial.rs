//! What a client's QUIC Initial packets carry: frames of any bytes, sealed as RFC 9001 appendix A.1 does it, so that
//! they are opened and their CRYPTO frames joined to a hello.

#![no_main]

use std::sync::LazyLock;

use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Block};
use aes_gcm::Aes128Gcm;
use aes_gcm::aead::AeadInOut;
use capture_user::dissect::app::{Output, Step};
use capture_user::time::Timestamp;
use libfuzzer_sys::fuzz_target;
use padtap_fuzz::check;
use padtap_fuzz::script::{named, only, pieces};

/// The connection, and the keys that follow from it.
const ID: u64 = 0x8394_c8f0_3e51_5708;
const KEY: u128 = 0x1f36_9613_dd76_d546_7730_efcb_e3b1_a22d;
const IV: u128 = 0xfa04_4b2f_42a3_fd3b_46fb_255c;
const HEADER_KEY: u128 = 0x9f50_449e_04a0_e810_283a_1e99_33ad_edd2;

static CIPHERS: LazyLock<(Aes128Gcm, Aes128)> =
    LazyLock::new(|| (Aes128Gcm::new(&KEY.to_be_bytes().into()), Aes128::new(&HEADER_KEY.to_be_bytes().into())));

fuzz_target!(|input: &[u8]| {
    let (quic, mut out) = (named("quic"), Output::default());
    let mut conversation = (quic.open)();
    for (number, piece) in pieces(input).enumerate() {
        let datagram = initial(u32::try_from(number).expect("a short input"), piece.bytes);
        assert!(matches!((quic.probe)(&only(quic, false, &datagram)), capture_user::dissect::app::Probe::Yes));
        match conversation.read(&only(quic, false, &datagram), &mut out) {
            Step::Consumed(count) => assert_eq!(count, datagram.len()),
            Step::Done => break,
            Step::Reject => panic!("it is QUIC"),
        }
    }
    conversation.end(Timestamp::default(), &mut out);
    assert!(out.events.len() <= 1);
    let said = check::events(out.events.drain(..));
    assert!(said <= 64 * 1024 + 8 * input.len(), "{said} bytes of records from {}", input.len());
});

/// A datagram of one Initial packet with a packet number of four bytes.
fn initial(number: u32, frames: &[u8]) -> Vec<u8> {
    let mut payload = frames[..frames.len().min(1_400)].to_vec();
    payload.resize(payload.len().max(40), 0);
    let length = 0x4000 | u16::try_from(4 + payload.len() + 16).expect("a short packet");
    let start = [&[0xc3, 0, 0, 0, 1, 8][..], &ID.to_be_bytes(), &[0, 0], &length.to_be_bytes()].concat();
    let header = [&start[..], &number.to_be_bytes()].concat();
    let (packet_cipher, header_cipher) = &*CIPHERS;
    let [_, _, _, _, nonce @ ..] = (IV ^ u128::from(number)).to_be_bytes();
    let tag = packet_cipher
        .encrypt_inout_detached(&nonce.into(), &header, payload.as_mut_slice().into())
        .expect("a short packet");
    let mut packet = [&header, &payload, tag.as_slice()].concat();
    let sample: [u8; 16] = *packet[start.len() + 4..].first_chunk().expect("a whole sample");
    let mut mask = Block::from(sample);
    header_cipher.encrypt_block(&mut mask);
    packet[0] ^= mask[0] & 0x0f;
    for (byte, mask) in packet[start.len()..start.len() + 4].iter_mut().zip(&mask[1..5]) {
        *byte ^= mask;
    }
    packet
}
