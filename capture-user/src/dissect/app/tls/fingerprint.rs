//! Fingerprints of clients: JA3, and JA4 as FoxIO describes it (`technical_details/JA4.md` in FoxIO-LLC/ja4; the client
//! fingerprint alone, which is BSD-licensed).

use std::fmt::{Display, Write};

use md5::Md5;
use sha2::{Digest, Sha256};

use super::hello::{ALPN, ClientHello, SERVER_NAME};

/// What carries a ClientHello: the first letter of JA4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// TLS over a stream.
    Stream,
    /// DTLS.
    Datagram,
    /// QUIC.
    Quic,
}

impl Carrier {
    const fn letter(self) -> char {
        match self {
            Self::Stream => 't',
            Self::Datagram => 'd',
            Self::Quic => 'q',
        }
    }
}

/// The JA3 fingerprint: MD5 over version, ciphers, extensions, groups and point formats in decimal, GREASE left out.
pub fn ja3(hello: &ClientHello<'_>) -> String {
    hex(&Md5::digest(ja3_text(hello)))
}

fn ja3_text(hello: &ClientHello<'_>) -> String {
    let lists = [
        joined(hello.ciphers.iter(), "-"),
        joined(hello.extensions.iter().map(|(kind, _)| kind), "-"),
        joined(hello.groups.iter(), "-"),
        joined(hello.point_formats, "-"),
    ];
    format!("{},{}", hello.legacy_version, lists.join(","))
}

/// The JA4 fingerprint.
pub fn ja4(hello: &ClientHello<'_>, carrier: Carrier) -> String {
    let mut ciphers: Vec<u16> = hello.ciphers.iter().collect();
    let mut extensions: Vec<u16> = hello.extensions.iter().map(|(kind, _)| kind).collect();
    let mut shown = String::with_capacity(36);
    shown.push(carrier.letter());
    shown.push_str(version(hello.newest_version()));
    shown.push(if extensions.contains(&SERVER_NAME) { 'd' } else { 'i' });
    let _ = write!(shown, "{:02}{:02}", ciphers.len().min(99), extensions.len().min(99));
    shown.extend(ends(hello.protocols.iter().next().unwrap_or_default()));
    ciphers.sort_unstable();
    extensions.retain(|kind| ![SERVER_NAME, ALPN].contains(kind));
    extensions.sort_unstable();
    let _ = write!(shown, "_{}_{}", twelve(&in_hex(&ciphers)), twelve(&with_signatures(&extensions, hello)));
    shown
}

/// The sorted extensions, then the signature algorithms in their own order.
fn with_signatures(extensions: &[u16], hello: &ClientHello<'_>) -> String {
    let signatures: Vec<u16> = hello.signature_algorithms.iter().collect();
    let separator = if extensions.is_empty() || signatures.is_empty() { "" } else { "_" };
    match extensions {
        [] => String::new(),
        _ => [&in_hex(extensions), separator, &in_hex(&signatures)].concat(),
    }
}

const fn version(code: u16) -> &'static str {
    match code {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        0xfeff => "d1",
        0xfefd => "d2",
        0xfefc => "d3",
        _ => "00",
    }
}

/// First and last character of a protocol's name, of its hexadecimal form where either is no letter or digit.
fn ends(name: &[u8]) -> [char; 2] {
    let (Some(&first), Some(&last)) = (name.first(), name.last()) else { return ['0', '0'] };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        return [char::from(first), char::from(last)];
    }
    [first >> 4, last & 15].map(|digit| char::from_digit(u32::from(digit), 16).unwrap_or('0'))
}

/// The first twelve digits of the SHA-256 of `text`; zeros for nothing.
fn twelve(text: &str) -> String {
    match text {
        "" => "0".repeat(12),
        _ => hex(Sha256::digest(text).get(..6).unwrap_or_default()),
    }
}

fn in_hex(codes: &[u16]) -> String {
    let mut text = String::with_capacity(codes.len() * 5);
    for code in codes {
        if !text.is_empty() {
            text.push(',');
        }
        let digits = [12, 8, 4, 0].map(|shift| char::from_digit(u32::from(code >> shift & 0xf), 16));
        text.extend(digits.into_iter().flatten());
    }
    text
}

fn joined(items: impl IntoIterator<Item = impl Display>, separator: &str) -> String {
    let mut text = String::new();
    for item in items {
        if !text.is_empty() {
            text.push_str(separator);
        }
        let _ = write!(text, "{item}");
    }
    text
}

/// Two lower-case digits a byte.
pub fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let digits = [byte >> 4, byte & 0xf].map(|digit| char::from_digit(u32::from(digit), 16));
        text.extend(digits.into_iter().flatten());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::samples::Hello;
    use super::*;

    /// The example of the specification.
    fn specified() -> Hello {
        let ciphers = [
            0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x9c, 0x9d, 0x2f,
            0x35,
        ];
        let plain = [0x1b, 0x33, 0x4469, 0x17, 0x2d, 0x05, 0x23, 0x12, 0xff01, 0x0b, 0x0a, 0x15];
        let mut hello = Hello::modern("example.com");
        hello.ciphers = [&[0x0a0a][..], &ciphers].concat();
        hello.extensions.retain(|(kind, _)| [0, 16, 43].contains(kind));
        hello.extensions.extend(plain.map(|kind| (kind, Vec::new())));
        let signatures = [4, 3, 8, 4, 4, 1, 5, 3, 8, 5, 5, 1, 8, 6, 6, 1];
        hello.extensions.push((13, [&[0, 16][..], &signatures].concat()));
        hello
    }

    fn check(hello: &Hello, carrier: Carrier, expected: &str) {
        let body = hello.body();
        let hello = ClientHello::parse(&body, carrier == Carrier::Datagram).expect("a hello");
        assert_eq!(ja4(&hello, carrier), expected);
    }

    #[test]
    fn ja4_is_that_of_the_specification() {
        check(&specified(), Carrier::Stream, "t13d1516h2_8daaf6152771_e5627efa2ab1");
        check(&specified(), Carrier::Quic, "q13d1516h2_8daaf6152771_e5627efa2ab1");
    }

    #[test]
    fn ja4_without_signature_algorithms_has_no_separator() {
        let mut hello = specified();
        for (kind, data) in &mut hello.extensions {
            if *kind == 13 {
                data.clear();
            }
        }
        check(&hello, Carrier::Stream, "t13d1516h2_8daaf6152771_6d807ffa2a79");
    }

    #[test]
    fn ja4_of_an_empty_hello_is_zeros() {
        let hello = Hello {
            legacy_version: 0xfefd,
            session_id: Vec::new(),
            cookie: Some(vec![1]),
            ciphers: Vec::new(),
            extensions: Vec::new(),
        };
        check(&hello, Carrier::Datagram, "dd2i000000_000000000000_000000000000");
    }

    #[test]
    fn ja4_counts_stop_at_99() {
        let mut hello = Hello::classic("a.example");
        hello.ciphers = (1..=120).collect();
        let body = hello.body();
        let hello = ClientHello::parse(&body, false).expect("a hello");
        assert!(ja4(&hello, Carrier::Stream).starts_with("t12d9905h2_"));
    }

    #[test]
    fn protocol_names_give_their_ends() {
        let cases: [(&[u8], &str); 9] = [
            (b"h2", "h2"),
            (b"http/1.1", "h1"),
            (b"h", "hh"),
            (b"", "00"),
            (&[0xab], "ab"),
            (&[0xab, 0xcd], "ad"),
            (&[0x30, 0xab], "3b"),
            (&[0x30, 0x31, 0xab, 0xcd], "3d"),
            (&[0x30, 0xab, 0xcd, 0x31], "01"),
        ];
        for (name, expected) in cases {
            assert_eq!(String::from_iter(ends(name)), expected, "{name:02x?}");
        }
    }

    #[test]
    fn ja3_text_is_decimal_in_wire_order() {
        let body = Hello::modern("a.example").body();
        let hello = ClientHello::parse(&body, false).expect("a hello");
        assert_eq!(ja3_text(&hello), "771,4865-4866-49195,0-43-10-11-13-16,29-23,0");
        let bare = ClientHello { legacy_version: 769, ..ClientHello::default() };
        assert_eq!(ja3_text(&bare), "769,,,,");
    }
}
