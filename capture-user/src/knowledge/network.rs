//! Who owns an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::file::Text;
use super::prefixes::{Prefixes, masked};
use super::{Confidence, Error};

/// What an owner's address tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NetworkKind {
    /// The company's own network: the address says whose server it is.
    Own,
    /// Rented: the address says who hosts the server, never whose it is.
    Cloud,
}

/// One owner's network.
#[derive(Clone, Debug)]
pub struct Network {
    /// What other tables call it.
    pub id: Arc<str>,
    /// What records call it.
    pub owner: Arc<str>,
    /// What an address in it tells.
    pub kind: NetworkKind,
    /// The service that its servers belong to, in a network of its own.
    pub service: Option<Arc<str>>,
    /// The part of a cloud.
    pub region: Option<Arc<str>>,
    /// When the prefixes were as they are here.
    pub snapshot: Option<Box<str>>,
    /// How well that is known.
    pub confidence: Confidence,
    /// Where from.
    pub sources: Vec<String>,
    /// Its prefixes.
    pub prefixes: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    network: Vec<Entry>,
    #[serde(default, rename = "schema")]
    _schema: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: Arc<str>,
    owner: Arc<str>,
    kind: NetworkKind,
    service: Option<Arc<str>>,
    region: Option<Arc<str>>,
    snapshot: Option<Box<str>>,
    #[serde(default, rename = "asn")]
    _asn: Vec<u32>,
    #[serde(default)]
    v4: Vec<Spanned<String>>,
    #[serde(default)]
    v6: Vec<Spanned<String>>,
    #[serde(default)]
    confidence: Confidence,
    #[serde(default)]
    src: Vec<String>,
    #[serde(default, rename = "note")]
    _note: Option<String>,
}

impl Entry {
    fn network(self) -> Network {
        let prefixes = self.v4.len() + self.v6.len();
        let Self { id, owner, kind, service, region, snapshot, confidence, src, .. } = self;
        Network { id, owner, kind, service, region, snapshot, confidence, sources: src, prefixes }
    }
}

/// Owners by address, the longest prefix first.
#[derive(Debug, Default)]
pub struct Networks {
    networks: Vec<Network>,
    v4: Prefixes<u32>,
    v6: Prefixes<u32>,
}

impl Networks {
    pub(super) fn from_texts<'a>(texts: impl Iterator<Item = &'a Text>) -> Result<Self, Error> {
        let (mut networks, mut v4, mut v6) = (Vec::new(), Vec::new(), Vec::new());
        for text in texts {
            for entry in text.toml::<File>()?.network {
                let place = networks.len() as u32;
                for (list, six, prefixes) in [(&entry.v4, false, &mut v4), (&entry.v6, true, &mut v6)] {
                    for prefix in list {
                        let parsed = parse(prefix.get_ref(), six);
                        let (bits, length) = parsed.map_err(|message| text.error_at(prefix.span(), message))?;
                        prefixes.push((bits, length, place));
                    }
                }
                networks.push(entry.network());
            }
        }
        Ok(Self { networks, v4: v4.into_iter().collect(), v6: v6.into_iter().collect() })
    }

    /// Whose address it is, and the length of the prefix that says so.
    pub fn find(&self, address: IpAddr) -> Option<(&Network, u8)> {
        let (place, length) = match address.to_canonical() {
            IpAddr::V4(address) => self.v4.find(u128::from(address.to_bits()) << 96)?,
            IpAddr::V6(address) => self.v6.find(address.to_bits())?,
        };
        Some((self.networks.get(*place as usize)?, length))
    }

    /// The prefixes of the networks that go by an id, sorted.
    pub fn prefixes_of(&self, id: &str) -> Vec<String> {
        let is_its = |place: &u32| self.networks.get(*place as usize).is_some_and(|network| *network.id == *id);
        let mut found = Vec::new();
        for (six, prefixes) in [(false, &self.v4), (true, &self.v6)] {
            let its = prefixes.iter().filter(|(_, _, place)| is_its(place));
            let mut its: Vec<_> = its.map(|(bits, length, _)| (bits, length)).collect();
            its.sort_unstable();
            found.extend(its.into_iter().map(|(bits, length)| format!("{}/{length}", address_of(bits, six))));
        }
        found
    }

    /// All networks.
    pub fn iter(&self) -> impl Iterator<Item = &Network> {
        self.networks.iter()
    }

    /// Networks known.
    pub fn len(&self) -> usize {
        self.networks.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }
}

/// A prefix, aligned to the left, and its length.
fn parse(text: &str, six: bool) -> Result<(u128, u8), String> {
    let (kind, most) = if six { ("IPv6", 128) } else { ("IPv4", 32) };
    let wrong =
        || format!("`{text}` is not a prefix of {kind}, as in {}", if six { "2001:db8::/32" } else { "192.0.2.0/24" });
    let (address, length) = text.split_once('/').ok_or_else(wrong)?;
    let length: u8 = length.parse().ok().filter(|length| *length <= most).ok_or_else(wrong)?;
    let bits = match six {
        true => address.parse::<Ipv6Addr>().map_err(|_| wrong())?.to_bits(),
        false => u128::from(address.parse::<Ipv4Addr>().map_err(|_| wrong())?.to_bits()) << 96,
    };
    let clean = masked(bits, length);
    if clean != bits {
        return Err(format!("`{text}` has bits behind its length: {}/{length} is the prefix", address_of(clean, six)));
    }
    Ok((bits, length))
}

fn address_of(bits: u128, six: bool) -> IpAddr {
    if six { Ipv6Addr::from_bits(bits).into() } else { Ipv4Addr::from_bits((bits >> 96) as u32).into() }
}

/// The prefix of `length` bits that an address belongs to.
pub fn prefix_of(address: IpAddr, length: u8) -> String {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let bits = masked(u128::from(address.to_bits()) << 96, length);
            format!("{}/{length}", address_of(bits, false))
        }
        IpAddr::V6(address) => format!("{}/{length}", address_of(masked(address.to_bits(), length), true)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knowledge::Knowledge;

    #[track_caller]
    fn check(address: &str, expected: Option<&str>) {
        let knowledge = Knowledge::embedded();
        let found = knowledge.networks.find(address.parse().expect("an address"));
        assert_eq!(found.map(|(network, _)| &*network.id), expected, "{address}");
    }

    #[test]
    fn owners() {
        check("137.221.72.99", Some("blizzard"));
        check("::ffff:137.221.72.99", Some("blizzard"));
        check("2a04:e802::1", Some("blizzard"));
        check("54.93.1.2", Some("aws-ec2"));
        check("155.133.248.1", Some("valve"));
        check("192.168.1.1", None);
        check("2001:db8::1", None);
    }

    #[test]
    fn prefixes_for_people() {
        assert_eq!(prefix_of("198.51.100.7".parse().expect("an address"), 24), "198.51.100.0/24");
        assert_eq!(prefix_of("2001:db8::7".parse().expect("an address"), 32), "2001:db8::/32");
    }
}
