//! Keys of Initial packets, and what they open (RFC 9001 sections 5.2 to 5.4).

use std::ops::Range;

use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes::{Aes128, Block};
use aes_gcm::Aes128Gcm;
use aes_gcm::aead::AeadInOut;
use hkdf::Hkdf;
use sha2::Sha256;

use super::packet::Protected;
use super::version::Rules;

/// Bytes that the authentication adds to a packet's payload.
const TAG: usize = 16;

/// What protects the Initial packets of one side.
pub struct Keys {
    packet: Aes128Gcm,
    iv: [u8; 12],
    header: Aes128,
}

/// Where in an opened packet the payload is, and the number the packet has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The packet number.
    pub number: u64,
    /// The decrypted frames.
    pub payload: Range<usize>,
}

impl Keys {
    /// Those of a client that called the server `id` in its first packet.
    pub fn client(rules: &Rules, id: &[u8]) -> Option<Self> {
        Self::derive(rules, id, b"client in")
    }

    fn derive(rules: &Rules, id: &[u8], side: &[u8]) -> Option<Self> {
        let initial = Hkdf::<Sha256>::new(Some(&rules.salt), id);
        let secret = Hkdf::<Sha256>::from_prk(&expand::<32>(&initial, side)?).ok()?;
        let [key, iv, header] = rules.labels;
        Some(Self {
            packet: Aes128Gcm::new(&expand::<16>(&secret, key)?.into()),
            iv: expand(&secret, iv)?,
            header: Aes128::new(&expand::<16>(&secret, header)?.into()),
        })
    }

    /// Opens a copy of `packet` in `copy`. `largest` is the highest packet number seen before it. `None` if these are
    /// not its keys, or it was damaged.
    pub fn open(&self, packet: &Protected<'_>, largest: Option<u64>, copy: &mut Vec<u8>) -> Option<Opened> {
        copy.clear();
        copy.extend_from_slice(packet.bytes);
        let mask = self.mask(packet)?;
        let (number, payload_at) = unmask(copy, packet.number_at, mask, largest)?;
        let (header, rest) = copy.split_at_mut_checked(payload_at)?;
        let (payload, tag) = rest.split_last_chunk_mut::<TAG>()?;
        let length = payload.len();
        let tag = (*tag).into();
        self.packet.decrypt_inout_detached(&self.nonce(number).into(), header, payload.into(), &tag).ok()?;
        Some(Opened { number, payload: payload_at..payload_at + length })
    }

    /// The bits that hide the packet number: made from a sample of the payload, as if the number had four bytes.
    fn mask(&self, packet: &Protected<'_>) -> Option<[u8; 5]> {
        let sample: &[u8; 16] = packet.bytes.get(packet.number_at + 4..)?.first_chunk()?;
        let mut block = Block::from(*sample);
        self.header.encrypt_block(&mut block);
        block.first_chunk().copied()
    }

    fn nonce(&self, number: u64) -> [u8; 12] {
        let mut nonce = self.iv;
        for (byte, digit) in nonce.iter_mut().skip(4).zip(number.to_be_bytes()) {
            *byte ^= digit;
        }
        nonce
    }
}

/// Uncovers the first byte and the packet number. Gives the number, and where the payload begins.
fn unmask(bytes: &mut [u8], number_at: usize, mask: [u8; 5], largest: Option<u64>) -> Option<(u64, usize)> {
    let [first_mask, number_mask @ ..] = mask;
    let first = bytes.first_mut()?;
    *first ^= first_mask & 0x0f;
    let length = usize::from(*first & 3) + 1;
    let mut truncated = 0;
    for (byte, mask) in bytes.get_mut(number_at..number_at + length)?.iter_mut().zip(number_mask) {
        *byte ^= mask;
        truncated = truncated << 8 | u64::from(*byte);
    }
    Some((whole_number(truncated, length, largest), number_at + length))
}

/// The number closest to the one after `largest` that ends in `truncated` (RFC 9000 appendix A.3).
fn whole_number(truncated: u64, length: usize, largest: Option<u64>) -> u64 {
    let expected = largest.map_or(0, |largest| largest.saturating_add(1));
    let window = 1_u64 << (8 * length);
    let candidate = expected & !(window - 1) | truncated;
    if candidate + window / 2 <= expected && candidate < (1 << 62) - window {
        candidate + window
    } else if candidate > expected + window / 2 && candidate >= window {
        candidate - window
    } else {
        candidate
    }
}

/// HKDF-Expand-Label of TLS 1.3 with an empty context (RFC 8446 section 7.1).
fn expand<const N: usize>(secret: &Hkdf<Sha256>, label: &[u8]) -> Option<[u8; N]> {
    const PREFIX: &[u8] = b"tls13 ";
    let mut key = [0; N];
    let length = u16::try_from(N).ok()?.to_be_bytes();
    let label_length = [u8::try_from(PREFIX.len() + label.len()).ok()?];
    secret.expand_multi_info(&[&length, &label_length, PREFIX, label, &[0]], &mut key).ok()?;
    Some(key)
}

#[cfg(test)]
impl Keys {
    /// Protects what [`Keys::open`] opens: a header that ends in a packet number of four bytes, and frames.
    pub fn seal(&self, header: &[u8], frames: &[u8]) -> Vec<u8> {
        let number_at = header.len() - 4;
        let number = u32::from_be_bytes(*header.last_chunk().expect("a packet number"));
        let mut payload = frames.to_vec();
        let nonce = self.nonce(number.into()).into();
        let tag = self.packet.encrypt_inout_detached(&nonce, header, payload.as_mut_slice().into()).expect("short");
        let mut bytes = [header, &payload, tag.as_slice()].concat();
        let rules = super::version::rules(1).expect("version 1");
        let mask = self.mask(&Protected { rules, bytes: &bytes, number_at }).expect("long enough");
        bytes[0] ^= mask[0] & 0x0f;
        for (byte, mask) in bytes[number_at..].iter_mut().zip(&mask[1..]) {
            *byte ^= mask;
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::super::packet::Packet;
    use super::super::version::rules;
    use super::*;
    use crate::dissect::app::tls::samples::unhex;
    use crate::dissect::app::tls::wire::Reader;

    const ID: [u8; 8] = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];

    /// Key, IV and header protection key, as the appendices print them.
    fn check(version: u32, side: &[u8], expected: [&str; 3]) {
        let rules = rules(version).expect("a known version");
        let initial = Hkdf::<Sha256>::new(Some(&rules.salt), &ID);
        let secret = Hkdf::<Sha256>::from_prk(&expand::<32>(&initial, side).expect("short")).expect("long enough");
        let [key, iv, header] = rules.labels;
        assert_eq!(expand::<16>(&secret, key).expect("short").to_vec(), unhex(expected[0]));
        assert_eq!(expand::<12>(&secret, iv).expect("short").to_vec(), unhex(expected[1]));
        assert_eq!(expand::<16>(&secret, header).expect("short").to_vec(), unhex(expected[2]));
    }

    #[test]
    fn keys_are_those_of_rfc_9001_and_rfc_9369() {
        let v1_client =
            ["1f369613dd76d5467730efcbe3b1a22d", "fa044b2f42a3fd3b46fb255c", "9f50449e04a0e810283a1e9933adedd2"];
        let v1_server =
            ["cf3a5331653c364c88f0f379b6067e37", "0ac1493ca1905853b0bba03e", "c206b8d9b9f0f37644430b490eeaa314"];
        let v2_client =
            ["8b1a0bc121284290a29e0971b5cd045d", "91f73e2351d8fa91660e909f", "45b95e15235d6f45a6b19cbcb0294ba9"];
        check(1, b"client in", v1_client);
        check(1, b"server in", v1_server);
        check(0x6b33_43cf, b"client in", v2_client);
    }

    #[test]
    fn the_servers_packet_of_rfc_9001_opens() {
        let bytes = unhex(
            "cf000000010008f067a5502a4262b5004075c0d95a482cd0991cd25b0aac406a5816b6394100f37a1c69797554780bb38cc5a99f5ede4c
             f73c3ec2493a1839b3dbcba3f6ea46c5b7684df3548e7ddeb9c3bf9c73cc3f3bded74b562bfb19fb84022f8ef4cdd93795d77d06edbb7a
             af2f58891850abbdca3d20398c276456cbc42158407dd074ee",
        );
        let packet =
            Packet::next(&mut Reader::new(&bytes)).and_then(|packet| packet.protected).expect("a whole packet");
        let server = Keys::derive(packet.rules, &ID, b"server in").expect("keys");
        let mut copy = Vec::new();
        let opened = server.open(&packet, None, &mut copy).expect("its keys");
        assert_eq!(opened.number, 1);
        let frames = &copy[opened.payload];
        assert_eq!(frames[..12], unhex("0200000000 0600405a 020000"));
        assert!(Keys::client(packet.rules, &ID).expect("keys").open(&packet, None, &mut copy).is_none());
    }

    #[test]
    fn the_clients_packet_of_rfc_9001_is_protected_alike() {
        let keys = Keys::client(rules(1).expect("version 1"), &ID).expect("keys");
        let header = unhex("c300000001088394c8f03e5157080000449e00000002");
        let mut frames = unhex(
            "060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c00000413011302010000c000
             000010000e00000b6578616d706c652e636f6dff01000100000a00080006001d0017001800100007000504616c706e00050005010000
             0000003300260024001d00209370b2c9caa47fbabaf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b0003020304000d00
             10000e0403050306030203080408050806002d00020101001c00024001003900320408ffffffffffffffff05048000ffff07048000ff
             ff0801100104800075300901100f088394c8f03e51570806048000ffff",
        );
        frames.resize(1162, 0);
        let bytes = keys.seal(&header, &frames);
        assert_eq!(bytes[..34], unhex("c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11d242"));
        assert_eq!(bytes[1184..], unhex("e221af44860018ab0856972e194cd934"));
        let packet =
            Packet::next(&mut Reader::new(&bytes)).and_then(|packet| packet.protected).expect("a whole packet");
        let mut copy = Vec::new();
        assert_eq!(keys.open(&packet, None, &mut copy), Some(Opened { number: 2, payload: 22..1184 }));
        assert_eq!(copy[22..1184], frames);
    }

    #[test]
    fn packet_numbers_are_completed_as_in_rfc_9000() {
        assert_eq!(whole_number(0x9b32, 2, Some(0xa82f_30ea)), 0xa82f_9b32);
        assert_eq!(whole_number(0x00, 1, Some(0xff)), 0x100);
        assert_eq!(whole_number(0xff, 1, Some(0x100)), 0xff);
        assert_eq!(whole_number(3, 1, None), 3);
        assert_eq!(whole_number(u64::from(u32::MAX), 4, Some((1 << 62) - 1)), (1 << 62) - 1);
    }
}
