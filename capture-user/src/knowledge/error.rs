//! What can be wrong with a table.

use std::io;
use std::path::PathBuf;

/// Why tables could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder that cannot be read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A folder that has none of the tables, or a table that nobody reads.
    #[error("{}: {what}; the tables are {}", path.display(), super::FILES.join(", "))]
    Tables {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// An entry that is wrong.
    #[error("{}:{line}: {message}", path.display())]
    Entry {
        /// The table.
        path: PathBuf,
        /// Where, from 1.
        line: usize,
        /// What is wrong, and what is allowed.
        message: String,
    },
}
