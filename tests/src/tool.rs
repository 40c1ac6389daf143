//! Other people's programs, as witnesses.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Says that a test skips, and why. With PADTAP_REQUIRE_LIVE=1 that is a failure.
///
/// # Panics
/// When it is.
#[track_caller]
pub fn skip(reason: &str) {
    let required = std::env::var("PADTAP_REQUIRE_LIVE").is_ok_and(|value| value == "1");
    assert!(!required, "PADTAP_REQUIRE_LIVE=1, but {reason}");
    eprintln!("SKIPPED: {reason}");
}

/// Whether these programs are installed. Where one is missing the test skips.
///
/// # Panics
/// When one is missing and must not be.
#[track_caller]
pub fn have(tools: &[&str]) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let missing = tools.iter().find(|tool| !std::env::split_paths(&path).any(|folder| folder.join(tool).is_file()));
    if let Some(missing) = missing {
        skip(&format!("{missing} is not installed"));
    }
    missing.is_none()
}

/// What a program prints; it must succeed.
///
/// # Panics
/// When it does not.
pub fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// These fields of every packet of a file, as tshark prints them.
pub fn tshark(file: &Path, fields: &[&str]) -> Vec<Vec<String>> {
    tshark_with(&["-n"], file, fields)
}

/// These fields of the packets that tshark prints with these options.
pub fn tshark_with(options: &[&str], file: &Path, fields: &[&str]) -> Vec<Vec<String>> {
    let fields = fields.iter().flat_map(|field| ["-e", field]);
    let text = output(Command::new("tshark").args(options).args(["-T", "fields"]).args(fields).arg("-r").arg(file));
    text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// What the Interface Statistics Blocks at the end of a pcapng file say, as tshark prints it: received, dropped by the
/// interface, dropped by the system, delivered; of several interfaces with commas between.
pub fn interface_statistics(file: &Path) -> Vec<String> {
    let counts = ["received", "dropped", "dropped_by_os", "delivered_to_user"];
    let fields = counts.map(|count| format!("pcapng.options.option.data.interface.{count}"));
    tshark_with(&["-X", "read_format:MIME Files Format"], file, &fields.each_ref().map(String::as_str)).concat()
}

/// Waits until `condition` holds: for as long as the busiest machine may need.
///
/// # Panics
/// When it does not, after a minute; the message says `what`.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(60), "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
