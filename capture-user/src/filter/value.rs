//! The values of an expression: numbers, addresses, ranges.

use crate::dissect::Mac;

/// A number as C writes it, except octal: what begins with a zero would be one number to libpcap and another to the
/// reader.
pub(super) fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => u32::from_str_radix(digits, 16).ok(),
        Some(_) => None,
        None => decimal(text),
    }
}

fn decimal(text: &str) -> Option<u32> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

/// One to four decimal octets, the first ones of an IPv4 address, and how many bits they are.
pub(super) fn octets(text: &str) -> Option<(u32, u32)> {
    let mut address = 0;
    let mut bits = 0;
    for octet in text.split('.') {
        let octet = decimal(octet).filter(|octet| *octet <= 255 && bits < 32)?;
        bits += 8;
        address |= octet << (32 - bits);
    }
    Some((address, bits))
}

/// A port, or two with a hyphen between them, the lower first.
pub(super) fn ports(text: &str) -> Option<(u16, u16)> {
    let port = |text| number(text).and_then(|number| u16::try_from(number).ok());
    match text.split_once('-') {
        Some((low, high)) => {
            let (low, high) = (port(low)?, port(high)?);
            Some((low.min(high), low.max(high)))
        }
        None => port(text).map(|port| (port, port)),
    }
}

/// `aa:bb:cc:dd:ee:ff`, with hyphens or dots instead, `aabb.ccdd.eeff`, or twelve digits.
pub(super) fn mac(text: &str) -> Option<Mac> {
    let separator = text.chars().find(|character| !character.is_ascii_hexdigit());
    let groups: Vec<&str> = match separator {
        Some(separator @ (':' | '-' | '.')) => text.split(separator).collect(),
        Some(_) => return None,
        None => vec![text],
    };
    let digits: String = match (groups.len(), separator) {
        (6, _) if groups.iter().all(|group| matches!(group.len(), 1 | 2)) => {
            groups.iter().map(|group| format!("{group:0>2}")).collect()
        }
        (3, Some('.')) if groups.iter().all(|group| group.len() == 4) => groups.concat(),
        (1, None) if text.len() == 12 => text.to_owned(),
        _ => return None,
    };
    let [_, _, address @ ..] = u64::from_str_radix(&digits, 16).ok()?.to_be_bytes();
    Some(Mac(address))
}

/// The first `bits` bits of 32.
pub(super) fn mask_v4(bits: u32) -> u32 {
    u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or(0)
}

/// The first `bits` bits of 128.
pub(super) fn mask_v6(bits: u32) -> u128 {
    u128::MAX.checked_shl(128 - bits.min(128)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (text, expected) in [
            ("0", Some(0)),
            ("80", Some(80)),
            ("0x50", Some(80)),
            ("0X5f", Some(95)),
            ("080", None),
            ("0x", None),
            ("0x+1", None),
            ("+1", None),
            ("-1", None),
            ("", None),
            ("4294967295", Some(u32::MAX)),
            ("4294967296", None),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
    }

    #[test]
    fn partial_addresses() {
        assert_eq!(octets("10"), Some((0x0a00_0000, 8)));
        assert_eq!(octets("10.1"), Some((0x0a01_0000, 16)));
        assert_eq!(octets("1.2.3.4"), Some((0x0102_0304, 32)));
        for bad in ["", ".", "1.", "1.2.3.4.5", "256", "1.2.3.256", "01.2.3.4", "1..2", "a.b"] {
            assert_eq!(octets(bad), None, "{bad}");
        }
    }

    #[test]
    fn port_ranges_are_ordered() {
        assert_eq!(ports("80"), Some((80, 80)));
        assert_eq!(ports("10-5"), Some((5, 10)));
        for bad in ["", "-", "5-", "-5", "1-2-3", "65536", "0-65536", "http"] {
            assert_eq!(ports(bad), None, "{bad}");
        }
    }

    #[test]
    fn macs_in_every_spelling() {
        let expected = Some(Mac([0xaa, 0xbb, 0xcc, 0x0d, 0x0e, 0x0f]));
        for text in [
            "aa:bb:cc:0d:0e:0f",
            "AA-BB-CC-0D-0E-0F",
            "aa.bb.cc.0d.0e.0f",
            "aabb.cc0d.0e0f",
            "aabbcc0d0e0f",
            "aa:bb:cc:d:e:f",
        ] {
            assert_eq!(mac(text), expected, "{text}");
        }
        for bad in [
            "",
            ":::::",
            "aa:bb:cc:dd:ee",
            "aa:bb:cc:dd:ee:ff:00",
            "aa:bb-cc:dd:ee:ff",
            "aabb:ccdd:eeff",
            "é:b:c:d:e:f",
        ] {
            assert_eq!(mac(bad), None, "{bad}");
        }
    }

    #[test]
    fn masks_of_every_length() {
        assert_eq!((mask_v4(0), mask_v4(8), mask_v4(32)), (0, 0xff00_0000, u32::MAX));
        assert_eq!((mask_v6(0), mask_v6(64), mask_v6(128)), (0, u128::from(u64::MAX) << 64, u128::MAX));
    }
}
