//! Compressed files, made of pieces that are each complete: what is there can be read, whatever happens next.

use std::io::{self, Write};
use std::path::Path;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// gzip (RFC 1952), a member a piece.
    Gzip,
    /// Zstandard (RFC 8878), a frame a piece.
    Zstd,
}

impl Compression {
    /// What a file's name says of it: `.gz`, `.zst`.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "gz" => Some(Self::Gzip),
            "zst" => Some(Self::Zstd),
            _ => None,
        }
    }

    /// One complete piece.
    ///
    /// # Errors
    /// When the compressor has no memory.
    pub(super) fn piece(self, text: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(text)?;
                encoder.finish()
            }
            Self::Zstd => zstd::bulk::compress(text, zstd::DEFAULT_COMPRESSION_LEVEL),
        }
    }
}
