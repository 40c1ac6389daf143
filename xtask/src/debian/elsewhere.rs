//! What other releases of Debian have: fetched with lists and a cache of its own, so that the machine stays as it is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::run;

/// Where this machine has its packages from, and the release that it runs, as apt names them.
pub struct Mirror {
    pub address: String,
    pub release: String,
}

impl Mirror {
    /// The first that apt knows.
    ///
    /// # Errors
    /// Where there is no apt, or it knows no mirror of Debian.
    pub fn of_this_machine() -> Result<Self> {
        let mut apt = Command::new("apt-get");
        apt.args(["indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages", "Component: main"]);
        let (targets, _) = run::output(&mut apt)?;
        let mut pairs = targets.lines().filter_map(|line| line.split_once(' '));
        let of_debian = |address: &str| address.trim_end_matches('/').ends_with("/debian");
        let (address, release) =
            pairs.find(|(address, _)| of_debian(address)).context("apt knows no mirror of Debian")?;
        Ok(Self { address: address.to_owned(), release: release.to_owned() })
    }
}

/// An apt that sees only the lists it is given, and leaves what it fetches in a folder. It checks Debian's signatures.
pub struct Elsewhere {
    folder: PathBuf,
}

impl Elsewhere {
    /// Fetches what the lists, in the format of sources.list(5), say that there is.
    ///
    /// # Errors
    /// What apt cannot fetch, or the folder not hold.
    pub fn with_lists(folder: &Path, lists: &str) -> Result<Self> {
        for needed in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(needed))?;
        }
        fs::write(folder.join("sources.list"), lists)?;
        let this = Self { folder: folder.to_path_buf() };
        this.apt_get(&["update"])?;
        Ok(this)
    }

    /// Runs apt-get in the folder.
    ///
    /// # Errors
    /// When it fails.
    pub fn apt_get(&self, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new("apt-get");
        for (option, name) in
            [("Dir::Etc::SourceList", "sources.list"), ("Dir::State::Lists", "lists"), ("Dir::Cache", "cache")]
        {
            command.arg("-o").arg(format!("{option}={}", self.folder.join(name).display()));
        }
        // Nothing of the machine is locked, since nothing of it changes; the folder is of whoever runs this.
        let rest = ["Dir::Etc::SourceParts=/dev/null", "Debug::NoLocking=true", "APT::Sandbox::User=root"];
        command.args(rest.iter().flat_map(|option| ["-o", option])).arg("-qq").args(arguments);
        let status = command.current_dir(&self.folder).status().context("apt-get")?;
        ensure!(status.success(), "apt-get {} failed ({status})", arguments.join(" "));
        Ok(())
    }

    /// The packages that were fetched.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn packages(&self) -> Result<Vec<PathBuf>> {
        files(&self.folder.join("cache/archives"), ".deb")
    }

    /// The upstream sources that were fetched, by the end of their names.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn sources(&self) -> Result<Vec<PathBuf>> {
        let named = |kind| files(&self.folder, &format!(".orig.tar.{kind}"));
        Ok(["gz", "xz"].into_iter().map(named).collect::<Result<Vec<_>>>()?.concat())
    }
}

fn files(folder: &Path, end: &str) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    Ok(entries.into_iter().filter(|path| path.to_string_lossy().ends_with(end)).collect())
}
