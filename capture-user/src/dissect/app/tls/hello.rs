//! ClientHello and ServerHello (RFC 8446 sections 4.1.2 and 4.1.3, RFC 5246 section 7.4.1, RFC 6347 section 4.2.1).

use super::wire::{Codes, Reader, is_grease};

/// Extension types that padtap reads.
mod extension {
    pub const SERVER_NAME: u16 = 0;
    pub const SUPPORTED_GROUPS: u16 = 10;
    pub const EC_POINT_FORMATS: u16 = 11;
    pub const SIGNATURE_ALGORITHMS: u16 = 13;
    pub const ALPN: u16 = 16;
    pub const PRE_SHARED_KEY: u16 = 41;
    pub const SUPPORTED_VERSIONS: u16 = 43;
}

pub use extension::{ALPN, SERVER_NAME};

/// The `random` of a ServerHello that is a HelloRetryRequest: SHA-256 of that word (RFC 8446 section 4.1.3).
const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11,
    0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// What a client offers. Lists are as on the wire.
#[derive(Clone, Copy, Debug, Default)]
pub struct ClientHello<'a> {
    /// The newest version the client knew of before `supported_versions` was invented.
    pub legacy_version: u16,
    /// The session it would like to resume, or in TLS 1.3 anything.
    pub session_id: &'a [u8],
    /// Cipher suites.
    pub ciphers: Codes<'a>,
    /// Every extension.
    pub extensions: Extensions<'a>,
    /// The name of the server it wants.
    pub server_name: Option<&'a str>,
    /// Application protocols.
    pub protocols: Protocols<'a>,
    /// Versions, if the extension is there.
    pub versions: Codes<'a>,
    /// Key exchange groups.
    pub groups: Codes<'a>,
    /// Formats of elliptic curve points.
    pub point_formats: &'a [u8],
    /// Signature algorithms.
    pub signature_algorithms: Codes<'a>,
}

impl<'a> ClientHello<'a> {
    /// Reads the body of the handshake message; that of DTLS has a cookie. Extensions that contradict themselves are
    /// taken as absent, but a body that ends inside its fixed part is no hello.
    pub fn parse(body: &'a [u8], datagram: bool) -> Option<Self> {
        let mut reader = Reader::new(body);
        let legacy_version = reader.u16()?;
        reader.array::<32>()?;
        let session_id = reader.vec8().filter(|id| id.len() <= 32)?;
        if datagram {
            reader.vec8()?;
        }
        let ciphers = Codes(reader.vec16()?);
        reader.vec8()?;
        let extensions = Extensions(reader.vec16().unwrap_or_default());
        let mut hello = Self { legacy_version, session_id, ciphers, extensions, ..Self::default() };
        for (kind, data) in extensions.iter() {
            hello.read_extension(kind, data).unwrap_or_default();
        }
        Some(hello)
    }

    fn read_extension(&mut self, kind: u16, data: &'a [u8]) -> Option<()> {
        let mut reader = Reader::new(data);
        match kind {
            extension::SERVER_NAME => self.server_name = Some(host_name(reader.vec16()?)?),
            extension::SUPPORTED_GROUPS => self.groups = Codes(reader.vec16()?),
            extension::EC_POINT_FORMATS => self.point_formats = reader.vec8()?,
            extension::SIGNATURE_ALGORITHMS => self.signature_algorithms = Codes(reader.vec16()?),
            extension::ALPN => self.protocols = Protocols(reader.vec16()?),
            extension::SUPPORTED_VERSIONS => self.versions = Codes(reader.vec8()?),
            _ => {}
        }
        Some(())
    }

    /// The newest version the client offers. DTLS counts downwards from 0xfeff.
    pub fn newest_version(&self) -> u16 {
        let newest =
            if self.legacy_version >> 8 == 0xfe { self.versions.iter().min() } else { self.versions.iter().max() };
        newest.unwrap_or(self.legacy_version)
    }
}

/// The first name of type `host_name` in a list of names (RFC 6066 section 3), if it can be printed.
fn host_name(list: &[u8]) -> Option<&str> {
    let mut reader = Reader::new(list);
    loop {
        let (kind, name) = (reader.u8()?, reader.vec16()?);
        if kind == 0 {
            let printable = !name.is_empty() && name.len() <= 255 && name.iter().all(u8::is_ascii_graphic);
            return printable.then(|| str::from_utf8(name).ok()).flatten();
        }
    }
}

/// What the server chose.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerHello<'a> {
    /// The version, from `supported_versions` if it is there.
    pub version: u16,
    /// The session, to be named again by a client that wants to resume it; in TLS 1.3 an echo.
    pub session_id: &'a [u8],
    /// The cipher suite.
    pub cipher: u16,
    /// The application protocol; TLS 1.3 hides it.
    pub protocols: Protocols<'a>,
    /// Whether it agreed to a pre-shared key: TLS 1.3's resumption.
    pub pre_shared_key: bool,
    /// Whether it asks the client for another hello instead.
    pub retry: bool,
}

impl<'a> ServerHello<'a> {
    /// Reads the body of the handshake message.
    pub fn parse(body: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(body);
        let version = reader.u16()?;
        let retry = *reader.array()? == RETRY_RANDOM;
        let session_id = reader.vec8().filter(|id| id.len() <= 32)?;
        let cipher = reader.u16()?;
        reader.u8()?;
        let mut hello = Self { version, session_id, cipher, retry, ..Self::default() };
        for (kind, data) in Extensions(reader.vec16().unwrap_or_default()).iter() {
            let mut data = Reader::new(data);
            match kind {
                extension::SUPPORTED_VERSIONS => hello.version = data.u16().unwrap_or(version),
                extension::PRE_SHARED_KEY => hello.pre_shared_key = true,
                extension::ALPN => hello.protocols = Protocols(data.vec16().unwrap_or_default()),
                _ => {}
            }
        }
        Some(hello)
    }
}

/// A block of extensions; what follows one that does not fit is ignored.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extensions<'a>(&'a [u8]);

impl<'a> Extensions<'a> {
    /// Type and data of each, in the order of the wire, [GREASE](is_grease) left out.
    pub fn iter(self) -> impl Iterator<Item = (u16, &'a [u8])> {
        let mut reader = Reader::new(self.0);
        std::iter::from_fn(move || Some((reader.u16()?, reader.vec16()?))).filter(|(kind, _)| !is_grease(*kind))
    }
}

/// A list of application protocol names (RFC 7301 section 3.1).
#[derive(Clone, Copy, Debug, Default)]
pub struct Protocols<'a>(&'a [u8]);

impl<'a> Protocols<'a> {
    /// The names in the order of the wire, [GREASE](is_grease) left out.
    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        let mut reader = Reader::new(self.0);
        std::iter::from_fn(move || reader.vec8())
            .filter(|name| !matches!(name, [a, b] if is_grease(u16::from_be_bytes([*a, *b]))))
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::Hello;
    use super::*;

    #[test]
    fn a_client_hello_gives_all_that_fingerprints_need() {
        let body = Hello::modern("console.example").body();
        let hello = ClientHello::parse(&body, false).expect("a hello");
        assert_eq!(hello.server_name, Some("console.example"));
        assert_eq!(hello.legacy_version, 0x0303);
        assert_eq!(hello.newest_version(), 0x0304);
        assert_eq!(hello.ciphers.iter().collect::<Vec<_>>(), [0x1301, 0x1302, 0xc02b]);
        assert_eq!(hello.groups.iter().collect::<Vec<_>>(), [29, 23]);
        assert_eq!(hello.point_formats, [0]);
        assert_eq!(hello.signature_algorithms.iter().collect::<Vec<_>>(), [0x0403, 0x0804]);
        assert_eq!(hello.protocols.iter().collect::<Vec<_>>(), [&b"h2"[..], b"http/1.1"]);
        assert_eq!(hello.extensions.iter().map(|(kind, _)| kind).collect::<Vec<_>>(), [0, 43, 10, 11, 13, 16]);
    }

    #[test]
    fn names_that_cannot_be_printed_are_none() {
        assert_eq!(host_name(b"\0\0\x03a\nb"), None);
        assert_eq!(host_name(b"\0\0\0"), None);
        assert_eq!(host_name(b"\x05\0\x01x\0\0\x03a.b"), Some("a.b"));
    }

    #[test]
    fn the_newest_datagram_version_is_the_lowest() {
        let hello = ClientHello {
            legacy_version: 0xfefd,
            versions: Codes(&[0xfe, 0xfd, 0xfe, 0xfc]),
            ..ClientHello::default()
        };
        assert_eq!(hello.newest_version(), 0xfefc);
    }

    #[test]
    fn a_retry_is_told_from_an_answer() {
        let mut body = vec![3, 3];
        body.extend_from_slice(&RETRY_RANDOM);
        body.extend_from_slice(&[0, 0x13, 0x01, 0, 0, 6, 0, 43, 0, 2, 3, 4]);
        let hello = ServerHello::parse(&body).expect("a hello");
        assert!(hello.retry);
        assert_eq!((hello.version, hello.cipher), (0x0304, 0x1301));
        body[2] ^= 1;
        assert!(!ServerHello::parse(&body).expect("a hello").retry);
    }
}
