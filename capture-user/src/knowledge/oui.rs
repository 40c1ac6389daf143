//! Who built a network adapter, by the block its MAC comes from.

use std::sync::Arc;

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as WordError, StrDeserializer};

use super::file::Text;
use super::prefixes::Prefixes;
use super::{Confidence, Error, Family};
use crate::dissect::Mac;

/// The columns of the table.
const COLUMNS: &str = "prefix,bits,vendor,family,model,confidence,sources,generations";

/// Who built an adapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vendor {
    /// As the registry has it.
    pub vendor: Arc<str>,
    /// What it builds under this block, where that is one kind.
    pub family: Option<Family>,
    /// The model, where that is one.
    pub model: Option<Arc<str>>,
    /// Of family and model.
    pub confidence: Confidence,
}

/// Vendors by block of 24, 28 or 36 bits.
#[derive(Debug, Default)]
pub struct Ouis(Prefixes<Vendor>);

impl Ouis {
    pub(super) fn from_texts<'a>(texts: impl Iterator<Item = &'a Text>) -> Result<Self, Error> {
        let mut blocks = Vec::new();
        for text in texts {
            let mut begun = false;
            for (number, line) in text.text.lines().enumerate().filter(|(_, line)| !is_empty(line)) {
                if !std::mem::replace(&mut begun, true) {
                    check_columns(line).map_err(|message| text.error_in(number + 1, message))?;
                    continue;
                }
                blocks.push(row(line).map_err(|message| text.error_in(number + 1, message))?);
            }
        }
        Ok(Self(blocks.into_iter().collect()))
    }

    /// Who built the adapter of a MAC; the smallest block that holds it counts.
    pub fn find(&self, mac: Mac) -> Option<&Vendor> {
        let [a, b, c, d, e, f] = mac.0;
        let bits = u64::from_be_bytes([0, 0, a, b, c, d, e, f]);
        self.0.find(u128::from(bits) << 80).map(|(vendor, _)| vendor)
    }

    /// Blocks known.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn is_empty(line: &str) -> bool {
    line.trim().is_empty() || line.starts_with('#')
}

fn check_columns(line: &str) -> Result<(), String> {
    if line == COLUMNS { Ok(()) } else { Err(format!("the first line names the columns: {COLUMNS}")) }
}

fn row(line: &str) -> Result<(u128, u8, Vendor), String> {
    let fields: Vec<_> = fields(line).collect();
    let [prefix, bits, vendor, family, model, confidence, _sources, _generations] = &fields[..] else {
        return Err(format!("{} fields, not the 8 of {COLUMNS}", fields.len()));
    };
    let length: u8 = match bits.as_str() {
        "24" => 24,
        "28" => 28,
        "36" => 36,
        other => return Err(format!("a block has 24, 28 or 36 bits, not `{other}`")),
    };
    let vendor = Vendor {
        vendor: vendor.as_str().into(),
        family: optional(family).map(word).transpose()?,
        model: optional(model).map(Into::into),
        confidence: optional(confidence).map(word).transpose()?.unwrap_or_default(),
    };
    Ok((block(prefix, length)?, length, vendor))
}

fn optional(field: &str) -> Option<&str> {
    (!field.is_empty()).then_some(field)
}

/// One of the words of the vocabulary; the error lists them.
fn word<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, String> {
    let deserializer: StrDeserializer<'de, WordError> = text.into_deserializer();
    T::deserialize(deserializer).map_err(|error| error.to_string())
}

/// A block as hexadecimal digits with colons: all that `length` covers, at most a whole MAC.
fn block(text: &str, length: u8) -> Result<u128, String> {
    let digits: String = text.chars().filter(|digit| *digit != ':').collect();
    let wanted = usize::from(length / 4);
    let valid = (wanted..=12).contains(&digits.len()) && text.is_ascii();
    let bits = u64::from_str_radix(&digits, 16).ok().filter(|_| valid);
    let bits = bits.ok_or_else(|| format!("`{text}` is not {wanted} hexadecimal digits of a MAC, as in 00:11:22"))?;
    Ok(u128::from(bits) << (128 - 4 * digits.len()))
}

/// The fields of a line (RFC 4180, without line breaks in fields).
pub(super) fn fields(line: &str) -> impl Iterator<Item = String> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let text = rest?;
        let (mut field, mut quoted, mut end) = (String::new(), false, None);
        for (place, character) in text.char_indices() {
            match character {
                '"' => quoted = !quoted,
                ',' if !quoted => {
                    end = Some(place);
                    break;
                }
                _ => field.push(character),
            }
        }
        rest = end.and_then(|end| text.get(end + 1..));
        Some(field)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knowledge::Knowledge;

    #[test]
    fn consoles_by_their_blocks() {
        let knowledge = Knowledge::embedded();
        let ps4 = knowledge.ouis.find(Mac([0xbc, 0x60, 0xa7, 0, 0, 0x40])).expect("Sony's");
        assert_eq!((&*ps4.vendor, ps4.family), ("Sony Interactive Entertainment Inc.", Some(Family::Playstation)));
        assert_eq!(ps4.model.as_deref(), Some("ps4"));
        let module = knowledge.ouis.find(Mac([0x48, 0x5f, 0x99, 0, 0, 1])).expect("a module's");
        assert_eq!(module.family, None);
        assert_eq!(knowledge.ouis.find(Mac([2, 0, 0, 0, 0, 1])), None);
    }

    #[test]
    fn smaller_blocks_win() {
        let text = format!("{COLUMNS}\n00:11:22,24,\"A, Inc.\",,,observed,S,\n00:11:22:3,28,B,xbox,,observed,S,\n");
        let text = Text { table: "oui.csv", path: "oui.csv".into(), text };
        let ouis = Ouis::from_texts([&text].into_iter()).expect("valid");
        let vendor = |last| ouis.find(Mac([0, 0x11, 0x22, last, 0, 0])).map(|vendor| vendor.vendor.to_string());
        assert_eq!(vendor(0x40).as_deref(), Some("A, Inc."));
        assert_eq!(vendor(0x3f).as_deref(), Some("B"));
    }
}
