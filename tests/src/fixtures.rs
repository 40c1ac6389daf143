//! The project's own captures.

use std::path::{Path, PathBuf};
use std::time::Duration;

use capture_user::source::replayed::Original;
use capture_user::source::{Frame, Received, Source, View, pcap};
use serde_json::Value;

/// Every capture of every case, with what is true of it.
///
/// # Panics
/// When they cannot be read.
pub fn captures() -> Vec<(PathBuf, Value)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
    let mut captures = Vec::new();
    for case in std::fs::read_dir(root).expect("the fixtures are there") {
        let case = case.expect("a readable folder").path();
        let Ok(truth) = std::fs::read_to_string(case.join("truth.json")) else { continue };
        let truth: Value = serde_json::from_str(&truth).expect("the truth is JSON");
        let files = truth["captures"].as_object().expect("captures by file");
        captures.extend(files.iter().map(|(file, truth)| (case.join(file), truth.clone())));
    }
    captures.sort_by(|(one, _), (other, _)| one.cmp(other));
    assert!(captures.len() >= 18, "only {} captures", captures.len());
    captures
}

/// The case and the file.
pub fn name(path: &Path) -> String {
    let parts: Vec<_> = path.iter().rev().take(2).map(|part| part.to_string_lossy()).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join("/")
}

/// A frame of a capture.
pub struct Captured {
    /// When, where and how long.
    pub original: Original,
    /// The bytes that were captured.
    pub data: Vec<u8>,
}

/// The frames of a capture.
///
/// # Panics
/// When it cannot be read.
pub fn frames(path: &Path) -> Vec<Captured> {
    let mut source = pcap::open([path], |_| Some(0)).expect("the capture opens");
    let view = source.view();
    let (mut frames, mut tokens, mut scratch) = (Vec::new(), Vec::new(), Vec::new());
    while source.receive(64, Duration::ZERO, &mut tokens).expect("a whole file") != Received::End {
        for token in &tokens {
            let frame = view.frame(token, &mut scratch);
            let Frame { time, length, interface, data, .. } = frame;
            frames.push(Captured { original: Original { time, length, interface }, data: data.to_vec() });
        }
        source.recycle(&mut tokens);
    }
    frames
}
