//! Names of files and folders.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::time::Timestamp;

/// Bytes of a capture file that tell it from others: it may grow, and is the same file all the same.
const BEGINNING: u64 = 64 * 1024;

/// What the files of a run are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    stem: String,
    is_input: bool,
}

impl Name {
    /// After the capture files that are read, wherever they lie: their names, and how they begin.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn of_input(files: &[impl AsRef<Path>]) -> io::Result<Self> {
        let mut hash = Sha256::new();
        let name = |path: &Path| plain(&path.file_name().unwrap_or(OsStr::new("input")).to_string_lossy());
        for path in files.iter().map(AsRef::as_ref) {
            let mut beginning = Vec::new();
            let file = File::open(path);
            file.and_then(|file| file.take(BEGINNING).read_to_end(&mut beginning))
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
            hash.update(Sha256::digest(name(path)));
            hash.update(Sha256::digest(&beginning));
        }
        let identity: String = hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        let first = files.first().map_or_else(|| "input".to_owned(), |path| name(path.as_ref()));
        Ok(Self { stem: format!("{first}-{identity}"), is_input: true })
    }

    /// After the sensor that captures, and when it began.
    pub fn of_capture(sensor: &str, start: Timestamp) -> Self {
        let start: String = start.to_string().chars().filter(|c| !"-:".contains(*c)).collect();
        Self { stem: format!("{}-{start}", plain(sensor)), is_input: false }
    }

    /// Whether they are replaced when the same input is read again.
    pub fn is_input(&self) -> bool {
        self.is_input
    }

    /// The name of the file of this number.
    pub fn file(&self, number: u32) -> String {
        format!("part-{}-{number}.parquet", self.stem)
    }

    /// Whether a file of some number is called so.
    pub fn is_of(&self, name: &str) -> bool {
        let number = name.strip_prefix(&format!("part-{}-", self.stem)).and_then(|rest| rest.strip_suffix(".parquet"));
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    }
}

/// A name without what means something to shells and to readers of partitions.
fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '_' }).take(100).collect()
}

/// A day of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(i64);

const DAY: i64 = 86_400_000_000_000;

impl Date {
    /// The day of a moment.
    pub fn of(time: Timestamp) -> Self {
        Self(time.as_nanos().div_euclid(DAY))
    }
}

/// `2016-09-10`
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = Timestamp::from_nanos(self.0.saturating_mul(DAY)).to_string();
        f.write_str(text.split('T').next().unwrap_or_default())
    }
}
