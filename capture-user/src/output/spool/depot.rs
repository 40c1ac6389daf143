//! The end of a spool where batches are taken away.

use std::fs;
use std::io;
use std::path::Path;

use super::batch::{Batch, Damage};
use super::folder::{Folder, State};

/// A spool, for who takes batches away. Its writer may be there or not.
#[derive(Debug)]
pub struct Depot {
    folder: Folder,
    /// The newest batch that was taken away: it stays as a marker, so that numbers go on behind it.
    marker: Option<u64>,
}

impl Depot {
    /// Opens a spool.
    ///
    /// # Errors
    /// When the folder is not there or cannot be written, or another takes batches away.
    pub fn open(path: &Path) -> io::Result<Self> {
        let folder = Folder::lock(path, "shipper.lock")?;
        let mut markers = folder.list(State::Shipped)?;
        let marker = markers.pop();
        for older in markers {
            folder.remove(older, State::Shipped)?;
        }
        Ok(Self { folder, marker })
    }

    /// The spool's folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The numbers of the batches that wait, in order.
    ///
    /// # Errors
    /// Of reading the folder.
    pub fn waiting(&self) -> io::Result<Vec<u64>> {
        self.folder.list(State::Batch)
    }

    /// Reads a batch. `None` when it was given up meanwhile.
    ///
    /// # Errors
    /// Of reading the file.
    pub fn read(&self, sequence: u64) -> io::Result<Option<Result<Batch, Damage>>> {
        match fs::read(self.folder.file(sequence, State::Batch)) {
            Ok(bytes) => Ok(Some(Batch::parse(&bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A batch is safe elsewhere, and so are all before it.
    ///
    /// # Errors
    /// Of renaming and removing.
    pub fn shipped(&mut self, sequence: u64) -> io::Result<()> {
        match self.folder.rename(sequence, State::Batch, State::Shipped) {
            Ok(()) => {}
            // Given up for want of room while it was on its way.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
        if let Some(older) = self.marker.replace(sequence) {
            self.folder.remove(older, State::Shipped)?;
        }
        Ok(())
    }

    /// Sets a damaged batch aside, for people to look at.
    ///
    /// # Errors
    /// Of renaming.
    pub fn set_aside(&self, sequence: u64) -> io::Result<()> {
        self.folder.rename(sequence, State::Batch, State::Damaged)
    }
}
