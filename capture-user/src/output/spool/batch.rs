//! A batch as it lies in its file.
//!
//! ```text
//! padtap-batch 1 xxh3=c4d1f8a9902c6d12 length=131212
//! {"sensor":"attic","boot":"5f0c9d2be6a34f01","sequence":17,"records":312}
//! {"kind":"flow",…}
//! …
//! ```
//!
//! The first line has the format's version, and XXH3 (64 bits) and length of all that follows it; the second is the
//! [`Header`]; the rest are the records, as NDJSON.

use std::io::{self, BufRead};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::record::GapFacts;

const MAGIC: &str = "padtap-batch 1";
/// Longer lines are none of a batch's first two.
const LONGEST_LINE: u64 = 64 * 1024;

/// What is known of a batch without reading it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Who made the records.
    pub sensor: String,
    /// Names this numbering: made anew when a spool begins with nothing in its folder.
    pub boot: String,
    /// The batch's number: one more than that of the batch before.
    pub sequence: u64,
    /// Its records.
    pub records: u64,
    /// What was lost before it, and told by its first record, which is not counted in `records`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<GapFacts>,
    /// What was lost and is still to be told, by the first batch that nothing is given up for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untold: Option<GapFacts>,
}

/// A batch that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// What it is.
    pub header: Header,
    /// Its records, as NDJSON.
    pub body: Vec<u8>,
}

/// Why bytes are no batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// They do not begin as batches of this version do.
    #[error("not a batch of this version")]
    Foreign,
    /// There are more or fewer of them.
    #[error("{found} bytes long, not {expected}")]
    Length {
        /// Bytes there should be.
        expected: u64,
        /// Bytes there are.
        found: u64,
    },
    /// They have changed.
    #[error("its checksum is wrong")]
    Checksum,
}

impl Header {
    /// The name of the batch everywhere: what a server recognises a second copy by.
    pub fn id(&self) -> String {
        format!("{}:{}:{}", self.sensor, self.boot, self.sequence)
    }

    /// The first two lines of a file.
    ///
    /// # Errors
    /// Of reading; `InvalidData` where these are no batch's.
    pub(super) fn read(file: impl BufRead) -> io::Result<Self> {
        let mut file = file.take(LONGEST_LINE);
        let (mut first, mut second) = (Vec::new(), Vec::new());
        file.read_until(b'\n', &mut first)?;
        file.read_until(b'\n', &mut second)?;
        let foreign = || io::Error::new(io::ErrorKind::InvalidData, Damage::Foreign);
        seal(&first).ok_or_else(foreign)?;
        serde_json::from_slice(&second).map_err(|_| foreign())
    }
}

impl Batch {
    /// The file's bytes.
    pub(super) fn encode(header: &Header, body: &[u8]) -> io::Result<Vec<u8>> {
        let mut rest = serde_json::to_vec(header)?;
        rest.push(b'\n');
        rest.extend_from_slice(body);
        let mut bytes = format!("{MAGIC} xxh3={:016x} length={}\n", xxh3_64(&rest), rest.len()).into_bytes();
        bytes.append(&mut rest);
        Ok(bytes)
    }

    /// The batch in a file's bytes.
    ///
    /// # Errors
    /// When they are not what was written.
    pub fn parse(bytes: &[u8]) -> Result<Self, Damage> {
        let (first, rest) = line(bytes).ok_or(Damage::Foreign)?;
        let (checksum, expected) = seal(first).ok_or(Damage::Foreign)?;
        let found = rest.len() as u64;
        if expected != found {
            return Err(Damage::Length { expected, found });
        }
        if checksum != xxh3_64(rest) {
            return Err(Damage::Checksum);
        }
        let (header, body) = line(rest).ok_or(Damage::Foreign)?;
        let header = serde_json::from_slice(header).map_err(|_| Damage::Foreign)?;
        Ok(Self { header, body: body.to_vec() })
    }
}

/// A line with its newline, and what follows.
fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let newline = bytes.iter().position(|&byte| byte == b'\n')?;
    bytes.split_at_checked(newline + 1)
}

/// Checksum and length in the first line.
fn seal(line: &[u8]) -> Option<(u64, u64)> {
    let fields = std::str::from_utf8(line).ok()?.strip_prefix(MAGIC)?.strip_suffix('\n')?;
    let (checksum, length) = fields.strip_prefix(" xxh3=")?.split_once(" length=")?;
    Some((u64::from_str_radix(checksum, 16).ok()?, length.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_whole_or_none() {
        let gap = GapFacts { first_sequence: 3, last_sequence: 9, batches: 7, records: 70 };
        let header =
            Header { sensor: "attic".into(), boot: "b".into(), sequence: 10, records: 2, gap: Some(gap), untold: None };
        let batch = Batch { header, body: b"{\"kind\":\"dns\"}\n{\"kind\":\"flow\"}\n".to_vec() };
        let bytes = Batch::encode(&batch.header, &batch.body).expect("it can be written");
        assert_eq!(Batch::parse(&bytes), Ok(batch.clone()));
        assert_eq!(Header::read(&bytes[..]).expect("a header"), batch.header);
        assert_eq!(batch.header.id(), "attic:b:10");
        for length in 0..bytes.len() {
            assert!(Batch::parse(&bytes[..length]).is_err(), "{length} bytes");
        }
        for place in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1;
            assert!(Batch::parse(&damaged).is_err(), "byte {place}");
            // Only what says how long and whole it is may be damaged unseen here.
            let _ = Header::read(&damaged[..]);
        }
        let longer = [&bytes[..], b"\n"].concat();
        assert!(matches!(Batch::parse(&longer), Err(Damage::Length { .. })));
    }
}
