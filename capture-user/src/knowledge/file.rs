//! Tables as text, and how errors in them find their line.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::Error;

/// One table of one place.
#[derive(Debug)]
pub(super) struct Text {
    /// Which table it is: one of [`super::FILES`].
    pub table: &'static str,
    /// Where it was read, for errors.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

/// Reads those of `files` that a folder has. A table under another name is a mistake worth an error.
pub(super) fn read(folder: &Path, files: &[&'static str]) -> Result<Vec<Text>, Error> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        |error| Error::Io { path, error }
    };
    let mut texts = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed(folder))? {
        let path = entry.map_err(failed(folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match files.iter().find(|file| **file == name) {
            Some(table) => {
                let text = fs::read_to_string(&path).map_err(failed(&path))?;
                texts.push(Text { table, path, text });
            }
            None if name.ends_with(".toml") => return Err(Error::Tables { path, what: "not the name of a table" }),
            None => {}
        }
    }
    if texts.is_empty() {
        return Err(Error::Tables { path: folder.to_owned(), what: "has no table" });
    }
    texts.sort_by_key(|text| text.table);
    Ok(texts)
}

impl Text {
    /// Reads a table in TOML.
    pub fn toml<T: DeserializeOwned>(&self) -> Result<T, Error> {
        toml::from_str(&self.text).map_err(|error| {
            let message = error.message().trim_end().replace('\n', "; ");
            self.error_at(error.span().unwrap_or_default(), message)
        })
    }

    /// An error about what stands at `span`.
    pub fn error_at(&self, span: Range<usize>, message: impl Into<String>) -> Error {
        let before = self.text.as_bytes().get(..span.start).unwrap_or_default();
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        self.error_in(line, message)
    }

    /// An error about a line.
    pub fn error_in(&self, line: usize, message: impl Into<String>) -> Error {
        Error::Entry { path: self.path.clone(), line, message: message.into() }
    }
}
