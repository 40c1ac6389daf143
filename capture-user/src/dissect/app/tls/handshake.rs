//! What the messages of one handshake tell, whichever way they came: the same for TLS and DTLS.

use std::borrow::Cow;
use std::sync::Arc;

use arrayvec::ArrayVec;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::certificate::{self, Certificate};
use super::fingerprint::{self, Carrier};
use super::hello::{ClientHello, Protocols, ServerHello};
use super::names;
use crate::dissect::app::memory::texts;
use crate::dissect::app::{Direction, HostFrom, Output};
use crate::time::Timestamp;

/// Handshake message types (RFC 8446 section 4, RFC 5246 section 7.4).
pub mod kind {
    /// ClientHello.
    pub const CLIENT_HELLO: u8 = 1;
    /// ServerHello, or HelloRetryRequest.
    pub const SERVER_HELLO: u8 = 2;
    /// HelloVerifyRequest of DTLS.
    pub const HELLO_VERIFY_REQUEST: u8 = 3;
    /// Certificate.
    pub const CERTIFICATE: u8 = 11;
    /// CertificateRequest.
    pub const CERTIFICATE_REQUEST: u8 = 13;
    /// ServerHelloDone.
    pub const SERVER_HELLO_DONE: u8 = 14;
    /// ClientKeyExchange.
    pub const CLIENT_KEY_EXCHANGE: u8 = 16;
}

/// Application protocols of one hello that are kept.
const MAX_PROTOCOLS: usize = 16;

/// The fields of a `tls` record: one handshake.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Facts {
    /// The version both agreed on; absent while the server has not answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Cow<'static, str>>,
    /// The server's name as the client asked for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// The application protocols that the client offered, in its order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alpn: Vec<String>,
    /// The one that the server chose, where that can be seen: not in TLS 1.3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_alpn: Option<String>,
    /// The cipher suite that the server chose: its registered name, or in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cipher: Option<Cow<'static, str>>,
    /// Fingerprint of the first ClientHello.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ja3: Option<String>,
    /// Fingerprint of the first ClientHello.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ja4: Option<String>,
    /// The server's chain, its own certificate first; TLS 1.3 hides it.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "shared")]
    pub certs: Vec<Arc<Certificate>>,
    /// The client's chain, if the server asked for one.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "shared")]
    pub client_certs: Vec<Arc<Certificate>>,
    /// Whether it resumed an earlier session; absent while that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resumed: Option<bool>,
}

fn shared<S: Serializer>(chain: &[Arc<Certificate>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(chain.iter().map(Arc::as_ref))
}

/// Whether a handshake has more to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It has.
    Open,
    /// What follows is encrypted, or tells nothing.
    Complete,
}

/// One handshake: messages in, one record out.
///
/// ```text
/// ClientHello [retry, ClientHello] -> ServerHello -> 1.3: complete
///    before 1.3: [Certificate [CertificateRequest]] ServerHelloDone -> [client's Certificate] ClientKeyExchange
///    resumed:    [NewSessionTicket] ChangeCipherSpec
/// ```
#[derive(Debug)]
pub struct Handshake {
    carrier: Carrier,
    /// When the last message that told something was on the wire.
    time: Timestamp,
    facts: Facts,
    client: Option<Direction>,
    session_id: ArrayVec<u8, 32>,
    answered: bool,
    wants_client_certificate: bool,
    /// Whether the client's hello was read.
    asked: bool,
    /// Whether a record will tell of it: else nobody needs fingerprints.
    told: bool,
}

impl Handshake {
    /// Before the first message.
    pub fn new(carrier: Carrier) -> Self {
        Self {
            carrier,
            time: Timestamp::default(),
            facts: Facts::default(),
            client: None,
            session_id: ArrayVec::new(),
            answered: false,
            wants_client_certificate: false,
            asked: false,
            told: true,
        }
    }

    /// Says whether a record will tell of it.
    pub const fn set_told(&mut self, told: bool) {
        self.told = told;
    }

    /// Whether a hello was read: whether this is a handshake at all.
    pub const fn begun(&self) -> bool {
        self.client.is_some()
    }

    /// Whether the server chose a version before TLS 1.3, so that a ChangeCipherSpec is more than decoration
    /// (RFC 8446 section 5).
    pub const fn changes_cipher(&self) -> bool {
        self.answered
    }

    /// Bytes of heap that what it has learned takes.
    pub fn memory(&self) -> usize {
        let Facts { sni, alpn, server_alpn, ja3, ja4, certs, client_certs, .. } = &self.facts;
        let texts = texts([sni, server_alpn, ja3, ja4]);
        let protocols: usize = alpn.iter().map(|name| size_of::<String>() + name.capacity()).sum();
        // The cache shares certificates with other flows, but not all of them for ever.
        let chains: usize = certs.iter().chain(client_certs).map(|certificate| certificate.memory()).sum();
        texts + protocols + chains
    }

    /// Reads the body of a message that came unencrypted.
    pub fn message(&mut self, time: Timestamp, direction: Direction, kind: u8, body: &[u8]) -> Progress {
        self.time = time;
        match kind {
            kind::CLIENT_HELLO => self.client_hello(direction, body),
            kind::SERVER_HELLO => return self.server_hello(direction, body),
            kind::CERTIFICATE => return self.certificate(direction, body),
            kind::CERTIFICATE_REQUEST => self.wants_client_certificate = true,
            kind::SERVER_HELLO_DONE if self.answered => {
                self.facts.resumed = Some(false);
                return if self.wants_client_certificate { Progress::Open } else { Progress::Complete };
            }
            kind::CLIENT_KEY_EXCHANGE if self.answered => return Progress::Complete,
            _ => {}
        }
        Progress::Open
    }

    /// Reads a ChangeCipherSpec: what follows in this direction is encrypted. From a server that sent no certificate
    /// it means that a session is resumed (RFC 5246 section 7.3).
    pub fn change_cipher(&mut self, time: Timestamp, direction: Direction) -> Progress {
        if !self.answered {
            return Progress::Open;
        }
        self.time = time;
        if self.client != Some(direction) && self.facts.resumed.is_none() {
            self.facts.resumed = Some(true);
        }
        Progress::Complete
    }

    fn client_hello(&mut self, direction: Direction, body: &[u8]) {
        let Some(hello) = ClientHello::parse(body, self.carrier == Carrier::Datagram) else { return };
        // A second one answers a retry or a cookie, or is sent again: what the first said is what the client is.
        if std::mem::replace(&mut self.asked, true) {
            return;
        }
        self.client = Some(direction);
        self.session_id = hello.session_id.iter().copied().take(32).collect();
        self.facts.sni = hello.server_name.map(str::to_owned);
        self.facts.alpn = protocols(hello.protocols);
        if self.told {
            self.facts.ja3 = Some(fingerprint::ja3(&hello));
            self.facts.ja4 = Some(fingerprint::ja4(&hello, self.carrier));
        }
    }

    fn server_hello(&mut self, direction: Direction, body: &[u8]) -> Progress {
        let Some(hello) = ServerHello::parse(body).filter(|hello| !hello.retry) else { return Progress::Open };
        self.client.get_or_insert(direction.reversed());
        self.facts.version = Some(names::version(hello.version));
        self.facts.cipher = Some(names::cipher(hello.cipher));
        self.facts.server_alpn = protocols(hello.protocols).pop();
        if [0x0304, 0xfefc].contains(&hello.version) {
            self.facts.resumed = Some(hello.pre_shared_key);
            return Progress::Complete;
        }
        self.answered = true;
        if !hello.session_id.is_empty() && hello.session_id == self.session_id.as_slice() {
            self.facts.resumed = Some(true);
        }
        Progress::Open
    }

    fn certificate(&mut self, direction: Direction, body: &[u8]) -> Progress {
        if self.client == Some(direction) {
            self.facts.client_certs = certificate::chain(body);
            return Progress::Complete;
        }
        self.facts.certs = certificate::chain(body);
        self.facts.resumed = Some(false);
        Progress::Open
    }

    /// Says what is known of the server's name and sends the record; nothing if there was no hello.
    pub fn finish(mut self, out: &mut Output) {
        if !self.begun() {
            return;
        }
        match (&self.facts.sni, self.facts.certs.first().and_then(|own| own.host())) {
            (Some(name), _) => out.host(&name.to_ascii_lowercase(), HostFrom::Sni),
            (None, Some(name)) => out.host(&name.to_ascii_lowercase(), HostFrom::Cert),
            (None, None) => {}
        }
        if let Some(own) = self.facts.client_certs.first_mut() {
            *own = Arc::new(own.with_people(&out.people));
        }
        out.emit(self.time, "tls", self.facts);
    }
}

/// Names as text. Those registered are ASCII; others are shown as well as they can be.
pub fn protocols(list: Protocols<'_>) -> Vec<String> {
    list.iter().take(MAX_PROTOCOLS).map(|name| String::from_utf8_lossy(name).into_owned()).collect()
}
