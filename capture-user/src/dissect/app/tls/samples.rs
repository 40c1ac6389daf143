//! Handshake messages for the tests of TLS, DTLS and QUIC, made by code.

/// The parts of a ClientHello.
#[derive(Clone, Debug)]
pub(in crate::dissect::app) struct Hello {
    pub legacy_version: u16,
    pub session_id: Vec<u8>,
    /// Of DTLS only.
    pub cookie: Option<Vec<u8>>,
    pub ciphers: Vec<u16>,
    pub extensions: Vec<(u16, Vec<u8>)>,
}

impl Hello {
    /// One as TLS 1.3 clients send it, GREASE included.
    pub fn modern(name: &str) -> Self {
        Self {
            legacy_version: 0x0303,
            session_id: vec![7; 32],
            cookie: None,
            ciphers: vec![0x3a3a, 0x1301, 0x1302, 0xc02b],
            extensions: vec![
                (0x5a5a, Vec::new()),
                (0, server_name(name)),
                (43, vec![6, 0x2a, 0x2a, 3, 4, 3, 3]),
                (10, vec![0, 6, 0xba, 0xba, 0, 29, 0, 23]),
                (11, vec![1, 0]),
                (13, vec![0, 4, 4, 3, 8, 4]),
                (16, b"\0\x0c\x02h2\x08http/1.1".to_vec()),
            ],
        }
    }

    /// One as TLS 1.2 clients send it.
    pub fn classic(name: &str) -> Self {
        let mut hello = Self::modern(name);
        hello.session_id.clear();
        hello.extensions.retain(|(kind, _)| *kind != 43);
        hello
    }

    /// The body of the handshake message.
    pub fn body(&self) -> Vec<u8> {
        let mut body = self.legacy_version.to_be_bytes().to_vec();
        body.extend_from_slice(&[0x55; 32]);
        body.extend(short(&self.session_id));
        if let Some(cookie) = &self.cookie {
            body.extend(short(cookie));
        }
        let ciphers: Vec<u8> = self.ciphers.iter().flat_map(|cipher| cipher.to_be_bytes()).collect();
        body.extend(long(&ciphers));
        body.extend_from_slice(&[1, 0]);
        body.extend(extensions(&self.extensions));
        body
    }

    /// The handshake message.
    pub fn message(&self) -> Vec<u8> {
        message(1, &self.body())
    }
}

/// A ServerHello's body; `extensions` as a client's.
pub(in crate::dissect::app) fn server_hello(version: u16, session_id: &[u8], list: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    body.extend_from_slice(&[0x66; 32]);
    body.extend(short(session_id));
    body.extend_from_slice(&[0xc0, 0x2f, 0]);
    body.extend(extensions(list));
    body
}

/// A Certificate's body (TLS 1.2).
pub(in crate::dissect::app) fn certificates(chain: &[&[u8]]) -> Vec<u8> {
    let list: Vec<u8> = chain.iter().flat_map(|der| [&length24(der)[..], der].concat()).collect();
    [&length24(&list)[..], &list].concat()
}

/// A handshake message.
pub(in crate::dissect::app) fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &length24(body), body].concat()
}

/// A record of TLS.
pub(in crate::dissect::app) fn record(kind: u8, fragment: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3][..], &long(fragment)].concat()
}

fn server_name(name: &str) -> Vec<u8> {
    long(&[&[0][..], &long(name.as_bytes())].concat())
}

fn extensions(list: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let block: Vec<u8> = list.iter().flat_map(|(kind, data)| [&kind.to_be_bytes()[..], &long(data)].concat()).collect();
    long(&block)
}

fn short(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).expect("short")][..], bytes].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).expect("short enough").to_be_bytes()[..], bytes].concat()
}

fn length24(bytes: &[u8]) -> [u8; 3] {
    let [_, length @ ..] = u32::try_from(bytes.len()).expect("short enough").to_be_bytes();
    length
}

/// A certificate of `game.padtap.example` that signed itself.
pub(in crate::dissect::app) fn certificate() -> Vec<u8> {
    unhex(CERTIFICATE)
}

/// The bytes that these digits stand for; white space is ignored.
pub(in crate::dissect::app) fn unhex(digits: &str) -> Vec<u8> {
    let digits: Vec<u32> =
        digits.chars().filter(|digit| !digit.is_whitespace()).map(|digit| digit.to_digit(16).expect("hex")).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).expect("a byte")).collect()
}

/// Made by `openssl req -x509` for these tests.
const CERTIFICATE: &str = "
    30820227308201cea003020102021436fa28fe35c0be763d493edcc5d30e3038ede4f2300a06082a8648ce3d040302304a310b3009060355
    040613024445311d301b060355040a0c145061647461702c204578616d706c6520476d6248311c301a06035504030c1367616d652e706164
    7461702e6578616d706c65301e170d3236313132323130323433365a170d3336313131393130323433365a304a310b300906035504061302
    4445311d301b060355040a0c145061647461702c204578616d706c6520476d6248311c301a06035504030c1367616d652e7061647461702e
    6578616d706c653059301306072a8648ce3d020106082a8648ce3d030107034200045d42c735c8e3122362b74498c34612289c0f3ca0b5e7
    df0fd124889954774fb042a7b591f690cedacf223a24ae71d49b101e48d577217b12b48d84cac96c9e6fa3819130818e301d0603551d0e04
    16041436529ceb878fe287b137430d674656b3cafc7a9d301f0603551d2304183016801436529ceb878fe287b137430d674656b3cafc7a9d
    300f0603551d130101ff040530030101ff303b0603551d1104343032821367616d652e7061647461702e6578616d706c6582152a2e67616d
    652e7061647461702e6578616d706c658704c0000201300a06082a8648ce3d04030203470030440220205b2b8b026438ced1117b1a3d9fbe
    cd9c0368d5ca41fdd89dc826640befea8b02204903d8d1bc8c175a216804270971e66277e1188ae92bade28b42ecc1531163d1
";
