//! Captures that nobody here made, read by the whole engine, against what independent tools say of them.
//!
//! The captures and `expected.json`, which holds those tools' answers, lie in the folder that PADTAP_PCAPS names. Both
//! sides are brought to the same form, a map from facts to values, and every difference between the maps must be in
//! [`differences::TABLE`] with its reason: a new one fails the test, and so does one that is no longer there.

#[path = "oracle/capture.rs"]
mod capture;
#[path = "oracle/container.rs"]
mod container;
#[path = "oracle/differences.rs"]
mod differences;
#[path = "oracle/flows.rs"]
mod flows;
#[path = "oracle/lan.rs"]
mod lan;
#[path = "oracle/names.rs"]
mod names;
#[path = "oracle/repositories.rs"]
mod repositories;
#[path = "oracle/tls.rs"]
mod tls;
#[path = "oracle/tunnels.rs"]
mod tunnels;
#[path = "oracle/voice.rs"]
mod voice;
#[path = "oracle/workers.rs"]
mod workers;

use std::path::PathBuf;

use capture::Capture;
use differences::{Difference, TABLE};
use serde_json::Value;
use tests::facts::{self, Facts};

/// One kind of facts: how padtap tells them, and how the other tools do.
type Check = (fn(&Capture, &Value) -> Facts, fn(&Value) -> Facts);

const CHECKS: &[Check] = &[
    (container::ours, container::theirs),
    (flows::ours, flows::theirs),
    (tunnels::ours, tunnels::theirs),
    (tls::ours, tls::theirs),
    (repositories::ours, repositories::theirs),
    (voice::ours, voice::theirs),
    (names::ours, names::theirs),
    (lan::ours, lan::theirs),
];

/// The folder of captures, or `None`, said aloud.
fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("PADTAP_PCAPS").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: PADTAP_PCAPS names no folder of captures");
    }
    folder
}

/// What the other tools say, by file.
fn expected(folder: &std::path::Path) -> serde_json::Map<String, Value> {
    let text = std::fs::read_to_string(folder.join("expected.json")).expect("expected.json lies beside the captures");
    let mut all: Value = serde_json::from_str(&text).expect("it is JSON");
    match all["files"].take() {
        Value::Object(files) => files,
        other => panic!("no list of files but {other}"),
    }
}

#[test]
fn every_capture_says_what_other_tools_say_of_it() {
    let Some(folder) = folder() else { return };
    let (mut compared, mut found) = (0, Vec::new());
    for (file, expected) in expected(&folder) {
        let capture = Capture::read(&folder.join(&file));
        for (ours, theirs) in CHECKS {
            let theirs = theirs(&expected);
            compared += theirs.len();
            found.extend(facts::differences(&file, &ours(&capture, &expected), &theirs));
        }
    }
    eprintln!("{compared} facts compared, {} differences", found.len());
    let new: Vec<_> = found.iter().filter(|difference| !TABLE.iter().any(|known| known.is(difference))).collect();
    let gone: Vec<_> = TABLE.iter().filter(|known| !found.iter().any(|difference| known.is(difference))).collect();
    let list = |all: Vec<String>| all.join("\n");
    assert!(
        new.is_empty() && gone.is_empty(),
        "differences without a reason:\n{}\nno longer there:\n{}",
        list(new.into_iter().map(ToString::to_string).collect()),
        list(gone.into_iter().map(Difference::to_string).collect()),
    );
    assert!(compared > 1_000, "only {compared} facts were compared");
}

#[test]
fn the_documentation_shows_the_same_table() {
    let page = include_str!("../../docs/differences.md");
    let shown: String = page
        .lines()
        .skip_while(|line| !line.starts_with("|---"))
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(|line| format!("{line}\n"))
        .collect();
    let wanted = differences::rows();
    assert!(shown == wanted, "the rows of docs/differences.md should be:\n{wanted}");
}
