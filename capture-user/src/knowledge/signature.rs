//! What payloads and protocols mean.
//!
//! Signatures are compiled into two structures, so that a payload is gone over once however many there are: patterns
//! with fixed bytes are found by transport and first byte, and texts that may stand anywhere by one search for all of
//! them.

use std::sync::Arc;

use arrayvec::ArrayVec;
use hashbrown::HashMap;
use serde::Deserialize;
use toml::Spanned;

use super::file::Text;
use super::port::PortRange;
use super::texts::Texts;
use super::{Confidence, Error, Role, Transport};

/// Bytes of a payload that texts are looked for in.
const TEXT_WITHIN: usize = 512;
/// Signatures that one flow is remembered to have shown.
pub const MOST_SHOWN: usize = 4;

/// What a protocol that code reads means.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProtocolRule {
    /// The protocol's name.
    pub name: Box<str>,
    /// Whose protocol it is, where it is one's only.
    pub service: Option<Arc<str>>,
    /// What it is for, where that is one thing only.
    pub role: Option<Role>,
    /// How well that is known.
    #[serde(default)]
    pub confidence: Confidence,
    #[serde(default, rename = "src")]
    _src: Vec<String>,
    #[serde(default, rename = "note")]
    _note: Option<String>,
}

/// What bytes of a payload mean.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// A short name, unique.
    pub id: Box<str>,
    /// A name for people.
    pub name: Box<str>,
    pub(super) transport: Transport,
    #[serde(default)]
    pub(super) direction: Way,
    pub(super) ports: Option<Vec<PortRange>>,
    pub(super) length: Option<Length>,
    #[serde(default)]
    bytes: Vec<Bytes>,
    #[serde(default)]
    pub(super) text: Vec<String>,
    #[serde(default)]
    any: Vec<Alternative>,
    /// Networks that the server's address must belong to one of.
    pub network: Option<Vec<Box<str>>>,
    /// Servers that must have got as long a first payload within a short time.
    pub servers: Option<usize>,
    /// Whose protocol it is.
    pub service: Option<Arc<str>>,
    /// What for.
    pub role: Option<Role>,
    /// How well that is known.
    #[serde(default)]
    pub confidence: Confidence,
    /// That the bytes are something else's.
    pub risk: Risk,
    /// Where from.
    #[serde(default)]
    pub src: Vec<String>,
    #[serde(default, rename = "note")]
    _note: Option<String>,
}

/// How likely bytes are something else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Risk {
    /// Not likely at all.
    VeryLow,
    /// Not likely.
    Low,
    /// Not unless the other conditions hold.
    Medium,
    /// Likely.
    High,
}

/// Which way a payload goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Way {
    Up,
    Down,
    #[default]
    Any,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Alternative {
    direction: Option<Way>,
    length: Option<Length>,
    #[serde(default)]
    bytes: Vec<Bytes>,
}

/// Lengths of a payload, from the first to the last.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Length(pub u32, pub u32);

impl TryFrom<String> for Length {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (first, last) = text.split_once('-').unwrap_or((&text, &text));
        match (first.parse(), if last.is_empty() { Ok(u32::MAX) } else { last.parse() }) {
            (Ok(first), Ok(last)) if first <= last => Ok(Self(first, last)),
            _ => Err(format!("`{text}` is not a length, as in \"12\", \"12-44\" or \"20-\"")),
        }
    }
}

/// Bytes that must stand somewhere.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bytes {
    pub at: i16,
    pub hex: Hex,
}

/// Values of bytes; `None` is any.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Hex(pub Vec<Option<u8>>);

impl TryFrom<String> for Hex {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not pairs of hexadecimal digits, or ?? for any byte");
        let pairs = text.as_bytes().chunks(2).map(|pair| match pair {
            b"??" => Some(None),
            [high, low] => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                Some(Some((digit(*high)? << 4 | digit(*low)?) as u8))
            }
            _ => None,
        });
        let bytes: Vec<_> = pairs.collect::<Option<_>>().ok_or_else(wrong)?;
        if bytes.iter().all(Option::is_none) { Err(wrong()) } else { Ok(Self(bytes)) }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    protocol: Vec<ProtocolRule>,
    #[serde(default)]
    signature: Vec<Spanned<Signature>>,
    #[serde(default, rename = "schema")]
    _schema: Option<u32>,
}

/// One way in which a signature shows: of its alternatives each is one.
#[derive(Debug)]
pub(super) struct Pattern {
    signature: u16,
    pub way: Way,
    pub length: Length,
    pub bytes: Vec<Bytes>,
}

/// All protocols and signatures.
#[derive(Debug)]
pub struct Signatures {
    protocols: HashMap<Box<str>, ProtocolRule>,
    signatures: Vec<Signature>,
    patterns: Vec<Pattern>,
    /// Patterns by first byte, and those that any first byte may have, for each transport.
    by_first: [HashMap<u8, Vec<u16>>; 2],
    others: [Vec<u16>; 2],
    /// What finds texts, for each transport.
    texts: [Texts; 2],
}

/// A payload as signatures look at it.
#[derive(Clone, Copy, Debug)]
pub struct Sighting<'a> {
    /// What carries it.
    pub transport: Transport,
    /// Whether it goes from the console.
    pub up: bool,
    /// The ports of both sides.
    pub ports: [u16; 2],
    /// The bytes captured.
    pub bytes: &'a [u8],
    /// The length on the wire.
    pub length: u32,
}

impl Signatures {
    pub(super) fn from_texts<'a>(texts: impl Iterator<Item = &'a Text>) -> Result<Self, Error> {
        let mut protocols = HashMap::new();
        let mut signatures: Vec<Signature> = Vec::new();
        for text in texts {
            let File { protocol, signature, .. } = text.toml()?;
            protocols.extend(protocol.into_iter().map(|rule| (rule.name.clone(), rule)));
            for entry in signature {
                let span = entry.span();
                let signature = entry.into_inner();
                signature.check().map_err(|message| text.error_at(span, message))?;
                match signatures.iter_mut().find(|known| known.id == signature.id) {
                    Some(known) => *known = signature,
                    None => signatures.push(signature),
                }
            }
        }
        Ok(Self::compile(protocols, signatures))
    }

    fn compile(protocols: HashMap<Box<str>, ProtocolRule>, signatures: Vec<Signature>) -> Self {
        let mut compiled = Self {
            protocols,
            signatures: Vec::new(),
            patterns: Vec::new(),
            by_first: Default::default(),
            others: Default::default(),
            texts: Default::default(),
        };
        let mut texts: [Vec<(&str, u16)>; 2] = Default::default();
        for (place, signature) in signatures.iter().enumerate().take(usize::from(u16::MAX)) {
            let place = place as u16;
            texts[signature.transport as usize].extend(signature.text.iter().map(|text| (text.as_str(), place)));
            for pattern in signature.patterns(place) {
                compiled.index(signature.transport, pattern);
            }
        }
        compiled.texts = texts.map(|texts| Texts::of(&texts));
        compiled.signatures = signatures;
        compiled
    }

    fn index(&mut self, transport: Transport, pattern: Pattern) {
        let place = self.patterns.len() as u16;
        let first = pattern.bytes.iter().find(|bytes| bytes.at == 0).and_then(|bytes| *bytes.hex.0.first()?);
        let list = match first {
            Some(first) => self.by_first[transport as usize].entry(first).or_default(),
            None => &mut self.others[transport as usize],
        };
        list.push(place);
        self.patterns.push(pattern);
    }

    /// Adds the signatures that a payload shows to `shown`, each once.
    pub fn find(&self, sighting: &Sighting<'_>, shown: &mut ArrayVec<u16, MOST_SHOWN>) {
        let transport = sighting.transport as usize;
        let first = sighting.bytes.first().and_then(|first| self.by_first[transport].get(first));
        for place in first.into_iter().chain([&self.others[transport]]).flatten() {
            let Some(pattern) = self.patterns.get(usize::from(*place)) else { continue };
            if pattern.covers(sighting) {
                self.show(pattern.signature, sighting, shown);
            }
        }
        let within = sighting.bytes.get(..TEXT_WITHIN).unwrap_or(sighting.bytes);
        self.texts[transport].find(within, |signature| self.show(signature, sighting, shown));
    }

    /// Adds a signature if what holds for all its patterns holds.
    fn show(&self, place: u16, sighting: &Sighting<'_>, shown: &mut ArrayVec<u16, MOST_SHOWN>) {
        let Some(signature) = self.get(place) else { return };
        let at_home = |ranges: &Vec<PortRange>| {
            ranges.iter().any(|range| sighting.ports.iter().any(|port| range.0.contains(port)))
        };
        if signature.transport == sighting.transport
            && signature.ports.as_ref().is_none_or(at_home)
            && signature.direction.covers(sighting.up)
            && signature.length.is_none_or(|length| length.covers(sighting.length))
            && !shown.contains(&place)
        {
            // A flow that shows more than fit is odd enough already.
            let _ = shown.try_push(place);
        }
    }

    /// The signature that [`Signatures::find`] gave.
    pub fn get(&self, place: u16) -> Option<&Signature> {
        self.signatures.get(usize::from(place))
    }

    /// What a protocol means.
    pub fn protocol(&self, name: &str) -> Option<&ProtocolRule> {
        self.protocols.get(name)
    }

    /// All signatures.
    pub fn iter(&self) -> impl Iterator<Item = &Signature> {
        self.signatures.iter()
    }

    /// Signatures and protocols known.
    pub fn len(&self) -> usize {
        self.signatures.len() + self.protocols.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Signature {
    fn check(&self) -> Result<(), String> {
        let empty = |alternative: &Alternative| alternative.bytes.is_empty() && alternative.length.is_none();
        if self.bytes.is_empty() && self.text.is_empty() && (self.any.is_empty() || self.any.iter().any(empty)) {
            return Err(format!("signature `{}` covers everything: give it `bytes`, `text` or `any`", self.id));
        }
        if self.text.iter().any(|text| text.len() < 4) {
            return Err(format!("signature `{}`: a `text` has at least 4 characters", self.id));
        }
        Ok(())
    }

    /// The ways in which it shows, short of texts.
    pub(super) fn patterns(&self, signature: u16) -> Vec<Pattern> {
        let everything = Length(0, u32::MAX);
        let pattern = |alternative: &Alternative| Pattern {
            signature,
            way: alternative.direction.unwrap_or_default(),
            // The whole signature's, too: most payloads are of another length, and need no look at their bytes.
            length: alternative.length.unwrap_or(everything).and(self.length.unwrap_or(everything)),
            bytes: self.bytes.iter().chain(&alternative.bytes).cloned().collect(),
        };
        match (self.any.is_empty(), self.bytes.is_empty()) {
            (true, true) => Vec::new(),
            (true, false) => vec![pattern(&Alternative::default())],
            (false, _) => self.any.iter().map(pattern).collect(),
        }
    }
}

impl Way {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Any => "any",
        }
    }

    const fn covers(self, up: bool) -> bool {
        match self {
            Self::Up => up,
            Self::Down => !up,
            Self::Any => true,
        }
    }
}

impl Length {
    /// The lengths that are in both.
    fn and(self, other: Self) -> Self {
        Self(self.0.max(other.0), self.1.min(other.1))
    }

    const fn covers(self, length: u32) -> bool {
        self.0 <= length && length <= self.1
    }
}

impl Pattern {
    fn covers(&self, sighting: &Sighting<'_>) -> bool {
        self.way.covers(sighting.up)
            && self.length.covers(sighting.length)
            && self.bytes.iter().all(|bytes| bytes.stand_in(sighting))
    }
}

impl Bytes {
    fn stand_in(&self, sighting: &Sighting<'_>) -> bool {
        let start = match usize::try_from(self.at) {
            Ok(start) => Some(start),
            // From the end of the payload on the wire, which a snapped frame does not have.
            Err(_) => (sighting.length as usize).checked_sub(usize::from(self.at.unsigned_abs())),
        };
        let found = start.and_then(|start| sighting.bytes.get(start..start.checked_add(self.hex.0.len())?));
        found.is_some_and(|found| {
            self.hex.0.iter().zip(found).all(|(wanted, byte)| wanted.is_none_or(|wanted| wanted == *byte))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::knowledge::Knowledge;

    fn shown(up: bool, ports: [u16; 2], bytes: &[u8]) -> Vec<String> {
        let knowledge = Knowledge::embedded();
        let mut shown = ArrayVec::new();
        let length = bytes.len() as u32;
        let sighting = Sighting { transport: Transport::Udp, up, ports, bytes, length };
        knowledge.signatures.find(&sighting, &mut shown);
        shown.iter().filter_map(|place| Some(knowledge.signatures.get(*place)?.id.to_string())).collect()
    }

    #[test]
    fn bytes_at_their_places() {
        let mut probe = [7; 40];
        probe[17..21].fill(0);
        assert_eq!(shown(true, [49801, 29523], &probe), ["overwatch2-latency-probe", "overwatch2-latency-probes"]);
        assert!(shown(true, [49801, 29523], &probe[..39]).is_empty());
        assert_eq!(shown(true, [1, 7500], b"xxxxxxxxping"), ["cod-mobile"]);
        assert!(shown(true, [1, 7501], b"xxxxxxxxping").is_empty());
    }

    #[test]
    fn wildcards_ends_directions_and_texts() {
        let genshin = b"\x00\x00\x00\xff\x00\x00\x00\x00abcd\x49\x96\x02\xd2\xff\xff\xff\xff";
        assert_eq!(shown(true, [1, 2], genshin), ["genshin"]);
        assert_eq!(shown(false, [1, 2], b"game: \xaa\xaa\xaa\xaa\xbb\xbb\xbb\xbb"), ["riot"]);
        assert!(shown(false, [1, 2], b"\xaa\xaa\xaa\xaa\xbb\xbb\xbb\xbb.").is_empty());
        assert_eq!(shown(true, [1, 2], b"\x00NETCODE 1.02\x00"), ["netcode"]);
        assert!(shown(false, [1, 2], b"\x00NETCODE 1.02\x00").is_empty());
        let invite = b"INVITE sip:confctl-g-a.b@c.vivox.com SIP/2.0\r\n";
        assert_eq!(shown(true, [5060, 5062], invite), ["sip-vivox"]);
        assert!(shown(true, [5060, 5062], b"INVITE sip:alice@example.com SIP/2.0\r\n").is_empty());
    }

    #[test]
    fn the_end_of_a_snapped_payload_is_unknown() {
        let knowledge = Knowledge::embedded();
        let bytes = b"game: \xaa\xaa\xaa\xaa\xbb\xbb\xbb\xbb";
        let mut shown = ArrayVec::new();
        let sighting = Sighting { transport: Transport::Udp, up: true, ports: [1, 2], bytes, length: 100 };
        knowledge.signatures.find(&sighting, &mut shown);
        assert!(shown.is_empty());
    }

    #[test]
    fn a_second_signature_with_the_same_id_replaces_the_first() {
        let text = |at| {
            let text = format!(
                "[[signature]]\nid = \"x\"\nname = \"X\"\ntransport = \"udp\"\nrisk = \"low\"\nbytes = [{{ at = {at}, hex = \"aa\" }}]\n"
            );
            Text { table: "signatures.toml", path: "signatures.toml".into(), text }
        };
        let signatures = Signatures::from_texts([&text(0), &text(1)].into_iter()).expect("valid");
        let find = |bytes| {
            let mut shown = ArrayVec::new();
            let sighting = Sighting { transport: Transport::Udp, up: true, ports: [1, 2], bytes, length: 2 };
            signatures.find(&sighting, &mut shown);
            shown.len()
        };
        assert_eq!((find(b"\xaa\x00"), find(b"\x00\xaa")), (0, 1));
    }

    proptest! {
        #[test]
        fn any_payload_can_be_looked_at(bytes in prop::collection::vec(any::<u8>(), 0..80), up: bool, cut in 0..80_u32) {
            let knowledge = Knowledge::embedded();
            let mut shown = ArrayVec::new();
            for transport in [Transport::Tcp, Transport::Udp] {
                let length = bytes.len() as u32 + cut;
                let sighting = Sighting { transport, up, ports: [5050, 7500], bytes: &bytes, length };
                knowledge.signatures.find(&sighting, &mut shown);
            }
        }
    }
}
