//! Where bytes go: a file that has its name at once, or gets it when it is complete, or something that is no file.

use std::fs::{File, Permissions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::{Builder, NamedTempFile};

/// An open output.
#[derive(Debug)]
pub(super) enum Output {
    /// A regular file under a temporary name.
    Temporary(NamedTempFile),
    /// A regular file under its own name.
    Named(File),
    /// Standard output, a pipe, a device: what cannot be renamed or cut.
    Direct(File),
}

impl Output {
    /// Opens what `path` names. A path that exists and is no regular file is written to as it is.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
            Ok(metadata) if !metadata.is_file() => File::options().write(true).open(path).map(Self::Direct),
            // Beside the file itself, should the path be a link to it.
            _ => Self::temporary(&resolved(path)),
        }
    }

    /// Opens what `path` names, under that name from the start: whoever follows the file sees it grow.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        match std::fs::metadata(path) {
            Ok(metadata) if !metadata.is_file() => Self::open(path),
            _ => File::create(path).map(Self::Named),
        }
    }

    /// A temporary file in the directory that `path` is in: renaming works only within a file system.
    pub(super) fn temporary(path: &Path) -> io::Result<Self> {
        let (directory, name) = split(path)?;
        let mut prefix = name.to_owned();
        prefix.push(".");
        // The umask takes away from these what the user does not want to give.
        let permissions = Permissions::from_mode(0o666);
        Builder::new()
            .prefix(&prefix)
            .suffix(".part")
            .permissions(permissions)
            .tempfile_in(directory)
            .map(Self::Temporary)
    }

    /// Standard output. A copy of the descriptor, without a buffer between.
    pub(super) fn stdout() -> io::Result<Self> {
        use std::os::fd::AsFd;
        io::stdout().as_fd().try_clone_to_owned().map(|fd| Self::Direct(fd.into()))
    }

    fn file(&self) -> &File {
        match self {
            Self::Temporary(file) => file.as_file(),
            Self::Named(file) | Self::Direct(file) => file,
        }
    }

    /// Writes all of `bytes`; on failure says also how many were written.
    pub(super) fn write(&self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let (mut file, mut written) = (self.file(), 0);
        while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
            match file.write(rest) {
                Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((written, error)),
            }
        }
        Ok(())
    }

    /// Cuts a file to its first `length` bytes; what is no file cannot be helped.
    pub(super) fn cut(&self, length: u64) -> io::Result<()> {
        match self {
            Self::Temporary(_) | Self::Named(_) => {
                self.file().set_len(length)?;
                // The next byte goes where the file ends now.
                self.file().seek(SeekFrom::Start(length)).map(drop)
            }
            Self::Direct(_) => Ok(()),
        }
    }

    /// Whether somebody has deleted the file: what is written to it is lost.
    pub(super) fn is_deleted(&self) -> bool {
        matches!(self, Self::Named(file) if file.metadata().is_ok_and(|metadata| metadata.nlink() == 0))
    }

    /// Gives the file its name. A file that has it already is replaced; a link to a file stays a link.
    pub(super) fn finish(self, path: &Path) -> io::Result<()> {
        match self {
            Self::Temporary(file) => {
                // Should renaming fail, the packets stay under the temporary name.
                file.persist(resolved(path)).map(drop).map_err(|failed| {
                    let _ = failed.file.keep();
                    failed.error
                })
            }
            Self::Named(_) | Self::Direct(_) => Ok(()),
        }
    }
}

/// The file that a link leads to; the path itself if there is none yet.
fn resolved(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn split(path: &Path) -> io::Result<(&Path, &std::ffi::OsStr)> {
    let Some(name) = path.file_name() else { return Err(io::ErrorKind::InvalidFilename.into()) };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((directory, name))
}

/// The name of one of several files, as dumpcap makes it: `base_00001_20150725211249.pcapng`; the time is UTC.
pub(super) fn numbered(path: &Path, number: u64, opened: crate::time::Timestamp) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map(|extension| format!(".{}", extension.to_string_lossy())).unwrap_or_default();
    let second = jiff::Timestamp::from_nanosecond(i128::from(opened.as_nanos())).unwrap_or_default();
    let time = second.strftime("%Y%m%d%H%M%S");
    path.with_file_name(format!("{stem}_{number:05}_{time}{extension}"))
}
