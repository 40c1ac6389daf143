//! Python packages that tests read padtap's outputs with, in a virtual environment of their own.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Makes sure that `target/pypi` has these packages (`name==version`); the environment's directory. Debian's Python can
/// make no environment without a package of its own, which `install_venv` installs.
///
/// Without a network it says so, and the tests that need them skip.
pub fn prepare(packages: &[&str], install_venv: impl FnOnce()) -> PathBuf {
    let environment = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/pypi");
    let installed = environment.join("installed");
    let wanted = packages.join("\n");
    if std::fs::read_to_string(&installed).is_ok_and(|there| there == wanted) {
        return environment;
    }
    eprintln!("xtask: installing {} into target/pypi", packages.join(" "));
    if !make(&environment) {
        install_venv();
        make(&environment);
    }
    let mut pip = Command::new(environment.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).args(packages);
    if !succeeds(&mut pip) {
        eprintln!("xtask: could not install them; tests that need them skip, and say so");
    } else if let Err(error) = std::fs::write(&installed, wanted) {
        // They are there all the same; the next run asks pip again.
        eprintln!("xtask: {}: {error}", installed.display());
    }
    environment
}

/// Makes the environment, unless it is there; whether it works.
fn make(environment: &Path) -> bool {
    let works = || succeeds(Command::new(environment.join("bin/python")).args(["-c", "import pip"]));
    works() || succeeds(Command::new("python3").args(["-m", "venv", "--clear"]).arg(environment)) && works()
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}
