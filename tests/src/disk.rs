//! Folders, and disks that are soon full.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::netns::may_run_live;
use crate::tool::output;

/// All that is in a folder, in the order of the names.
///
/// # Panics
/// When it cannot be read.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    files.sort();
    files
}

/// A file system of its own, for as long as it lives.
pub struct SmallDisk(TempDir);

impl SmallDisk {
    /// One of so many KiB; none without root.
    ///
    /// # Panics
    /// When it cannot be mounted.
    pub fn new(kib: u32) -> Option<Self> {
        if !may_run_live() {
            return None;
        }
        let directory = tempfile::tempdir().expect("a temporary directory");
        let size = format!("size={kib}k");
        output(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(directory.path()));
        Some(Self(directory))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The directory cannot be removed while it is mounted; there is nobody to tell.
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}
