//! Whether anybody still reads the pipe that frames are written to.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;

/// Watches the reader of a named pipe: while no frame comes, nothing else notices that it is gone.
#[derive(Debug, Default)]
pub struct Pipe {
    path: Option<PathBuf>,
    /// An end of our own.
    end: Option<File>,
}

impl Pipe {
    /// Watches the file of that name, if it is a pipe.
    pub fn at(path: Option<&Path>) -> Self {
        let is_pipe = |path: &&Path| path.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo());
        Self { path: path.filter(is_pipe).map(Path::to_owned), end: None }
    }

    /// Whether nobody reads it. To be asked once it is open, which waits for a reader.
    pub fn is_abandoned(&mut self) -> bool {
        let Some(path) = &self.path else { return false };
        if self.end.is_none() {
            let nonblocking = OFlags::NONBLOCK.bits().cast_signed();
            match File::options().write(true).custom_flags(nonblocking).open(path) {
                Ok(end) => self.end = Some(end),
                Err(error) => return error.raw_os_error() == Some(Errno::NXIO.raw_os_error()),
            }
        }
        self.end.as_ref().is_some_and(|end| {
            let mut ends = [PollFd::from_borrowed_fd(end.as_fd(), PollFlags::empty())];
            poll(&mut ends, Some(&Timespec::default())).is_ok() && ends[0].revents().contains(PollFlags::ERR)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_abandoned_when_its_reader_is_gone() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("fifo");
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).expect("a pipe");
        assert!(Pipe::at(Some(&path)).is_abandoned(), "its reader was gone before it was looked at");
        let mut pipe = Pipe::at(Some(&path));
        let reader = File::options().read(true).write(true).open(&path).expect("a reader");
        assert!(!pipe.is_abandoned());
        drop(reader);
        assert!(pipe.is_abandoned());
        assert!(!Pipe::at(Some(directory.path())).is_abandoned());
    }
}
