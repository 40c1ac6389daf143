//! What certificates say of their owners (RFC 5280), read once each: servers send the same ones all day.

use std::cell::RefCell;
use std::fmt::Write;
use std::sync::Arc;

use hashbrown::HashMap;
use schemars::JsonSchema;
use serde::Serialize;
use sha2::{Digest, Sha256};
use x509_parser::asn1_rs::Tag;
use x509_parser::extensions::GeneralName;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::time::ASN1Time;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use super::fingerprint::hex;
use super::wire::Reader;
use crate::dissect::app::People;
use crate::dissect::app::memory::texts;

/// Certificates of one chain that are read.
const MAX_CHAIN: usize = 16;
/// Names of one certificate that are kept.
const MAX_NAMES: usize = 100;
/// Bytes of a distinguished name, or of one host name, that are shown.
const MAX_TEXT: usize = 1024;
/// Certificates remembered in each of the cache's two generations.
const GENERATION: usize = 512;
/// Bytes that those of one generation take; one takes one or two thousand, unless somebody means harm.
const GENERATION_BYTES: usize = 4 << 20;

/// What a certificate says. One that cannot be read has its hash alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Certificate {
    /// SHA-256 of its DER form, in hexadecimal.
    pub sha256: String,
    /// Whom it is for, as RFC 4514 writes names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Who vouches for it, as RFC 4514 writes names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The organisation in `issuer`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer_org: Option<String>,
    /// The host names it is for, at most a hundred.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub san: Vec<String>,
    /// Valid from, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    /// Valid until, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    /// The common name in `subject`.
    #[serde(skip)]
    pub common_name: Option<String>,
}

impl Certificate {
    /// The host it is for: its common name if that is a host's, else the first of its alternative names. A wildcard
    /// stays one.
    pub fn host(&self) -> Option<&str> {
        let common = self.common_name.as_deref().filter(|name| is_host(name));
        common.or_else(|| self.san.iter().map(String::as_str).find(|name| is_host(name)))
    }

    /// Bytes it takes.
    pub fn memory(&self) -> usize {
        let optional =
            [&self.subject, &self.issuer, &self.issuer_org, &self.not_before, &self.not_after, &self.common_name];
        let names: usize = self.san.iter().map(|name| size_of::<String>() + name.capacity()).sum();
        size_of::<Self>() + self.sha256.capacity() + texts(optional) + names
    }

    /// The same with its owner's names as `people` shows them: what a client's certificate says of a person.
    pub fn with_people(&self, people: &People) -> Self {
        let shown = |name: &String| people.show(name);
        Self {
            subject: self.subject.as_ref().map(shown),
            san: self.san.iter().map(shown).collect(),
            common_name: self.common_name.as_ref().map(shown),
            ..self.clone()
        }
    }

    fn read(der: &[u8]) -> Self {
        let sha256 = hex(&Sha256::digest(der));
        let Ok((_, certificate)) = X509Certificate::from_der(der) else { return Self { sha256, ..Self::default() } };
        Self {
            sha256,
            subject: Some(name(certificate.subject())),
            issuer: Some(name(certificate.issuer())),
            issuer_org: certificate.issuer().iter_organization().next().and_then(text),
            san: host_names(&certificate),
            not_before: moment(certificate.validity().not_before),
            not_after: moment(certificate.validity().not_after),
            common_name: certificate.subject().iter_common_name().next().and_then(text),
        }
    }
}

/// The certificates in the body of a Certificate message of TLS 1.2 or older (RFC 5246 section 7.4.2), the owner's
/// first. The list ends where it contradicts itself.
pub fn chain(body: &[u8]) -> Vec<Arc<Certificate>> {
    let mut list = Reader::new(Reader::new(body).vec24().unwrap_or_default());
    std::iter::from_fn(|| list.vec24()).take(MAX_CHAIN).map(known).collect()
}

/// Two generations of certificates by their DER form. When the young one is full it becomes the old one, and what was
/// not asked for since is forgotten.
#[derive(Default)]
struct Cache {
    young: HashMap<Box<[u8]>, Arc<Certificate>>,
    /// Bytes that the young ones take.
    bytes: usize,
    old: HashMap<Box<[u8]>, Arc<Certificate>>,
}

thread_local! {
    static CACHE: RefCell<Cache> = RefCell::default();
}

fn known(der: &[u8]) -> Arc<Certificate> {
    CACHE.with_borrow_mut(|cache| cache.read(der))
}

impl Cache {
    fn read(&mut self, der: &[u8]) -> Arc<Certificate> {
        if let Some(known) = self.young.get(der) {
            return Arc::clone(known);
        }
        let (der, certificate) =
            self.old.remove_entry(der).unwrap_or_else(|| (der.into(), Certificate::read(der).into()));
        let bytes = der.len() + certificate.memory();
        if self.young.len() >= GENERATION || self.bytes + bytes > GENERATION_BYTES {
            self.old = std::mem::take(&mut self.young);
            self.bytes = 0;
        }
        self.bytes += bytes;
        self.young.insert(der, Arc::clone(&certificate));
        certificate
    }
}

fn is_host(name: &str) -> bool {
    let plausible = |byte: u8| byte.is_ascii_alphanumeric() || b"-._*".contains(&byte);
    name.contains('.') && name.len() <= 255 && name.bytes().all(plausible)
}

fn host_names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let dns = |general: &GeneralName<'_>| match general {
        GeneralName::DNSName(name) => Some(shortened(name)),
        _ => None,
    };
    extension.value.general_names.iter().filter_map(dns).take(MAX_NAMES).collect()
}

/// A distinguished name, the most specific part first (RFC 4514 section 2.1).
fn name(name: &X509Name<'_>) -> String {
    let parts: Vec<_> = name.iter_rdn().collect();
    let mut shown = String::new();
    for part in parts.iter().rev() {
        for (index, attribute) in part.iter().enumerate() {
            if !shown.is_empty() {
                shown.push(if index == 0 { ',' } else { '+' });
            }
            push_attribute(&mut shown, attribute);
        }
        if shown.len() > MAX_TEXT {
            return shortened(&shown);
        }
    }
    shown
}

fn push_attribute(shown: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    let kind = attribute.attr_type();
    match oid2abbrev(kind, oid_registry()) {
        Ok(abbreviation) => shown.push_str(abbreviation),
        Err(_) => {
            let _ = write!(shown, "{kind}");
        }
    }
    shown.push('=');
    match text(attribute) {
        Some(text) => push_escaped(shown, &text),
        None => {
            let _ = write!(shown, "#{}", hex(attribute.as_slice().get(..64).unwrap_or(attribute.as_slice())));
        }
    }
}

/// Escapes as RFC 4514 section 2.4 asks.
fn push_escaped(shown: &mut String, text: &str) {
    let last = text.chars().count().saturating_sub(1);
    for (index, letter) in text.chars().enumerate() {
        let at_edge = (index == 0 && " #".contains(letter)) || (index == last && letter == ' ');
        match letter {
            '\0'..' ' | '\x7f' => {
                let _ = write!(shown, "\\{:02x}", u32::from(letter));
                continue;
            }
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => shown.push('\\'),
            _ if at_edge => shown.push('\\'),
            _ => {}
        }
        shown.push(letter);
    }
}

/// An attribute's value, if it is text: UTF-8, Latin 1 where old certificates have that, or UTF-16.
fn text(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    let bytes = attribute.as_slice();
    let value = match attribute.attr_value().tag() {
        Tag::BmpString => {
            let (pairs, _) = bytes.as_chunks::<2>();
            char::decode_utf16(pairs.iter().map(|pair| u16::from_be_bytes(*pair))).collect::<Result<_, _>>().ok()?
        }
        Tag::Utf8String | Tag::NumericString | Tag::PrintableString | Tag::T61String | Tag::Ia5String => {
            str::from_utf8(bytes).map_or_else(|_| bytes.iter().copied().map(char::from).collect(), str::to_owned)
        }
        _ => return None,
    };
    Some(shortened(&value))
}

fn shortened(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_TEXT);
    text.get(..end).unwrap_or(text).to_owned()
}

fn moment(time: ASN1Time) -> Option<String> {
    jiff::Timestamp::from_second(time.timestamp()).ok().map(|moment| moment.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::samples::{certificate, certificates};
    use super::*;

    #[test]
    fn a_certificate_gives_names_and_dates() {
        let [read] = &chain(&certificates(&[&certificate()]))[..] else { panic!("one certificate") };
        assert_eq!(read.sha256, "09031673dcf888dd161e1eec3f7a35615c844ee87008c691d849e823a847cc8e");
        assert_eq!(read.subject.as_deref(), Some(r"CN=game.padtap.example,O=Padtap\, Example GmbH,C=DE"));
        assert_eq!(read.issuer, read.subject);
        assert_eq!(read.issuer_org.as_deref(), Some("Padtap, Example GmbH"));
        assert_eq!(read.san, ["game.padtap.example", "*.game.padtap.example"]);
        assert_eq!(read.not_before.as_deref(), Some("2026-11-22T10:24:36Z"));
        assert_eq!(read.not_after.as_deref(), Some("2036-11-19T10:24:36Z"));
        assert_eq!(read.host(), Some("game.padtap.example"));
    }

    #[test]
    fn what_cannot_be_read_keeps_its_hash() {
        let [read] = &chain(&certificates(&[b"no DER"]))[..] else { panic!("one certificate") };
        assert_eq!(**read, Certificate { sha256: hex(&Sha256::digest("no DER")), ..Certificate::default() });
    }

    #[test]
    fn a_chain_is_bounded_and_ends_where_it_is_cut() {
        assert_eq!(chain(&certificates(&[&b"x"[..]; 40])).len(), MAX_CHAIN);
        let body = certificates(&[b"one", b"two"]);
        assert_eq!(chain(&body[..body.len() - 1]).len(), 0);
        assert_eq!(chain(&[0, 0, 6, 0, 0, 1, 5, 0, 0]).len(), 1);
    }

    #[test]
    fn the_cache_forgets_what_is_not_asked_for() {
        let mut cache = Cache::default();
        let first = cache.read(b"first");
        for number in 0..2 * GENERATION {
            cache.read(&number.to_be_bytes());
            assert!(Arc::ptr_eq(&first, &cache.read(b"first")));
            assert!(cache.young.len() <= GENERATION && cache.old.len() <= GENERATION);
        }
        for number in 0..2 * GENERATION {
            cache.read(format!("other {number}").as_bytes());
        }
        assert!(!Arc::ptr_eq(&first, &cache.read(b"first")));
    }

    #[test]
    fn escapes_are_those_of_rfc_4514() {
        let check = |text: &str, expected: &str| {
            let mut shown = String::new();
            push_escaped(&mut shown, text);
            assert_eq!(shown, expected);
        };
        check("James \"Jim\" Smith, III", r#"James \"Jim\" Smith\, III"#);
        check("Before\rAfter", r"Before\0dAfter");
        check("#a b ", r"\#a b\ ");
        check("Lučić", "Lučić");
    }
}
