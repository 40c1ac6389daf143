//! What a user writes to say which frames are wanted, and what it means.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use capture_common::config::mac_key;

/// Whose frames: a console, or all consoles of a block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Console {
    /// A [`mac_key`]: a whole MAC, or the first 24, 28 or 36 bits that a vendor was assigned.
    Mac(u64),
    /// An IPv4 or IPv6 prefix.
    Prefix(Prefix),
}

/// What is not wanted, on either side of a frame.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Exclusion {
    /// Ports, of one transport or of both.
    Ports {
        /// Whether UDP is meant.
        udp: bool,
        /// Whether TCP is meant.
        tcp: bool,
        /// Which ports.
        ports: RangeInclusive<u16>,
    },
    /// Addresses.
    Prefix(Prefix),
}

/// An IPv4 or IPv6 prefix; the bits after it are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    /// The first address.
    pub address: IpAddr,
    /// How many bits count: at most 32 or 128.
    pub bits: u8,
}

impl Prefix {
    /// The prefix of `bits` bits that `address` lies in.
    pub(super) fn covering(address: IpAddr, bits: u8) -> Self {
        let keep = u32::from(bits);
        let address = match address {
            IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & u32::MAX.checked_shl(32 - keep).unwrap_or(0)).into()),
            IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & u128::MAX.checked_shl(128 - keep).unwrap_or(0)).into()),
        };
        Self { address, bits }
    }
}

/// Text that is no rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?}: {reason}")]
pub struct Error {
    /// What was given.
    pub text: String,
    /// What is wrong with it, and what would be right.
    pub reason: String,
}

impl Error {
    fn new(text: &str, reason: impl Into<String>) -> Self {
        Self { text: text.to_owned(), reason: reason.into() }
    }
}

/// `192.168.1.40`, `192.168.1.0/24`, `2001:db8::/32`, `bc:60:a7:00:00:40`, `bc:60:a7`, `bc:60:a7:1/28`.
impl FromStr for Console {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if let Some(prefix) = prefix(text)? {
            return Ok(Self::Prefix(prefix));
        }
        mac(text).map(Self::Mac)
    }
}

/// `443`, `udp/443`, `tcp/8000-9000`, `10.0.0.0/8`, `2001:db8::1`.
impl FromStr for Exclusion {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if let Some(prefix) = prefix(text)? {
            return Ok(Self::Prefix(prefix));
        }
        let (udp, tcp, range) = match text.split_once('/') {
            Some(("udp", range)) => (true, false, range),
            Some(("tcp", range)) => (false, true, range),
            None => (true, true, text),
            Some(_) => return Err(Error::new(text, "expected udp/PORTS, tcp/PORTS, or an IP prefix")),
        };
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        match (first.parse(), last.parse()) {
            (Ok(first), Ok(last)) if first <= last => Ok(Self::Ports { udp, tcp, ports: first..=last }),
            _ => Err(Error::new(text, "expected a port such as 443, a range such as 8000-9000, or an IP prefix")),
        }
    }
}

/// `None` where the text is no address at all.
fn prefix(text: &str) -> Result<Option<Prefix>, Error> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return Ok(None);
    };
    let width = if address.is_ipv4() { 32 } else { 128 };
    let bits = match bits.map(str::parse::<u8>) {
        None => width,
        Some(Ok(bits)) if bits <= width => bits,
        Some(_) => return Err(Error::new(text, format!("the prefix length must be 0 to {width}"))),
    };
    let prefix = Prefix::covering(address, bits);
    if prefix.address != address {
        let first = prefix.address;
        let reason = format!("bits are set beyond the first {bits}: write {first}/{bits}, or {address} for one host");
        return Err(Error::new(text, reason));
    }
    Ok(Some(prefix))
}

const MAC_HINT: &str = "expected an IP address or prefix, a MAC such as bc:60:a7:00:00:40, or the start of one: \
                        bc:60:a7, bc:60:a7:1/28, bc:60:a7:12:3/36";

/// Groups of hexadecimal digits, then perhaps how many bits count.
fn mac(text: &str) -> Result<u64, Error> {
    let (groups, bits) = match text.split_once('/') {
        Some((groups, bits)) => (groups, Some(bits)),
        None => (text, None),
    };
    let groups: Vec<&str> = groups.split([':', '-']).collect();
    let well_formed = |group: &&str| (1..=2).contains(&group.len()) && group.bytes().all(|b| b.is_ascii_hexdigit());
    if !(3..=6).contains(&groups.len()) || !groups.iter().all(well_formed) {
        return Err(Error::new(text, MAC_HINT));
    }
    let (mac, given) = digits(&groups);
    let bits = match bits.map(str::parse::<u32>) {
        None => given,
        Some(Ok(bits)) => bits,
        Some(Err(_)) => return Err(Error::new(text, MAC_HINT)),
    };
    if !matches!(bits, 24 | 28 | 36 | 48) || bits > given {
        return Err(Error::new(text, format!("{bits} bits of the {given} given: a block has 24, 28 or 36, a MAC 48")));
    }
    let key = mac_key(mac, bits);
    if mac_key(mac, 48) & 0xffff_ffff_ffff != key & 0xffff_ffff_ffff {
        return Err(Error::new(text, format!("bits are set beyond the first {bits}")));
    }
    Ok(key)
}

/// The number that the groups spell, and how many bits they give. A single digit is half a byte at the end of a MAC
/// that is not whole (`bc:60:a7:1`), and elsewhere a byte whose zero was left out.
fn digits(groups: &[&str]) -> (u64, u32) {
    let mut mac = 0;
    let mut given = 0;
    for (index, group) in groups.iter().enumerate() {
        let half = group.len() == 1 && index + 1 == groups.len() && groups.len() < 6;
        let width = if half { 4 } else { 8 };
        mac = mac << width | u64::from_str_radix(group, 16).unwrap_or(0);
        given += width;
    }
    (mac << (48 - given), given)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consoles() {
        let mac = |key| Ok(Console::Mac(key));
        let prefix = |text: &str, bits| Ok(Console::Prefix(Prefix { address: text.parse().unwrap(), bits }));
        for (text, expected) in [
            ("bc:60:a7:00:00:40", mac(mac_key(0xbc60_a700_0040, 48))),
            ("BC-60-A7-00-00-40", mac(mac_key(0xbc60_a700_0040, 48))),
            ("0:9:bf:1:2:3", mac(mac_key(0x0009_bf01_0203, 48))),
            ("bc:60:a7", mac(mac_key(0xbc60_a700_0000, 24))),
            ("bc:60:a7/24", mac(mac_key(0xbc60_a700_0000, 24))),
            ("bc:60:a7:1/28", mac(mac_key(0xbc60_a710_0000, 28))),
            ("bc:60:a7:12:3/36", mac(mac_key(0xbc60_a712_3000, 36))),
            ("bc:60:a7:10:00:00/28", mac(mac_key(0xbc60_a710_0000, 28))),
            ("192.168.1.40", prefix("192.168.1.40", 32)),
            ("192.168.1.0/24", prefix("192.168.1.0", 24)),
            ("0.0.0.0/0", prefix("0.0.0.0", 0)),
            ("2001:db8::/32", prefix("2001:db8::", 32)),
            ("::/0", prefix("::", 0)),
        ] {
            assert_eq!(text.parse::<Console>(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_console_says_why() {
        for (text, reason) in [
            ("", "expected an IP address"),
            ("bc:60", "expected an IP address"),
            ("bc:60:zz", "expected an IP address"),
            ("bc:60:a7:00", "32 bits of the 32 given"),
            ("bc:60:a7:1/36", "36 bits of the 28 given"),
            ("bc:60:a7:00:00:40/24", "bits are set beyond the first 24"),
            ("bc:60:a7/x", "expected an IP address"),
            ("192.168.1.40/24", "write 192.168.1.0/24, or 192.168.1.40 for one host"),
            ("192.168.1.0/33", "must be 0 to 32"),
            ("2001:db8::/129", "must be 0 to 128"),
            ("bc:60:a7:00:00:40:50", "expected an IP address"),
        ] {
            let error = text.parse::<Console>().unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains(text), "{text}: {error}");
        }
    }

    #[test]
    fn exclusions() {
        let ports = |udp, tcp, ports| Ok(Exclusion::Ports { udp, tcp, ports });
        for (text, expected) in [
            ("443", ports(true, true, 443..=443)),
            ("udp/443", ports(true, false, 443..=443)),
            ("tcp/8000-9000", ports(false, true, 8000..=9000)),
            ("10.0.0.0/8", Ok(Exclusion::Prefix(Prefix { address: "10.0.0.0".parse().unwrap(), bits: 8 }))),
        ] {
            assert_eq!(text.parse::<Exclusion>(), expected, "{text}");
        }
        for text in ["", "http", "65536", "9-8", "sctp/5", "udp/", "10.0.0.1/8"] {
            assert!(text.parse::<Exclusion>().is_err(), "{text}");
        }
    }
}
