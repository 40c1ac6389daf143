//! `padtap learn`: what is learned from one session recognises another, and nothing else.

use std::fs;
use std::path::{Path, PathBuf};

use tests::capture_file::write_pcap;
use tests::fixtures::{captures, frames, name};
use tests::padtap::{of_kind, run};

fn fixture(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(file)
}

/// A folder with what was learned from the match of profile A.
fn learned() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let capture = fixture("ps4-overwatch-2016/profile-a.pcap.gz");
    let arguments = ["learn", "--from", "38", "--to", "2016-09-10T19:01:38Z", "--console", "bc:60:a7", "--service"];
    let outcome = run(arguments.into_iter().chain(["tracer", capture.to_str().expect("a path")])).expect(0);
    assert!(outcome.text().contains("# Left out, rtp, voice-media"), "{}", outcome.text());
    fs::write(folder.path().join("signatures.toml"), outcome.stdout).expect("a table");
    folder
}

/// Profile B's session, with another server and other ports.
fn other_session(folder: &Path) -> PathBuf {
    let mut moved = 0;
    let mut other = Vec::new();
    for frame in frames(&fixture("ps4-overwatch-2016/profile-b.pcapng.gz")) {
        let mut data = frame.data;
        for place in [26, 30] {
            if data.get(place..place + 4) == Some(&[198, 51, 100, 50]) {
                data[place + 3] = 77;
                for place in [34, 36] {
                    let port = u16::from_be_bytes([data[place], data[place + 1]]);
                    let port = if port == 29_503 { 31_987 } else { 61_001 };
                    data[place..place + 2].copy_from_slice(&u16::to_be_bytes(port));
                }
                moved += 1;
            }
        }
        other.push(data);
    }
    assert!(moved > 5_000, "{moved}");
    let path = folder.join("other.pcap");
    write_pcap(&path, &other);
    path
}

#[test]
fn another_session_of_the_game_is_recognised() {
    let tables = learned();
    let folder = tables.path().to_str().expect("a path");
    run(["knowledge", "check", folder]).expect(0);
    let captures = tempfile::tempdir().expect("a folder");
    let path = other_session(captures.path());
    let records =
        run(["read", "-q", "--json", "--knowledge", folder, path.to_str().expect("a path")]).expect(0).records();
    let shown = |flow: &&serde_json::Value| flow["why"].to_string().contains("signature tracer-");
    let flows: Vec<_> = of_kind(&records, "flow").filter(shown).collect();
    assert_eq!(flows.len(), 1, "{flows:#?}");
    assert_eq!((&flows[0]["dst_ip"], &flows[0]["dst_port"]), (&"198.51.100.77".into(), &31_987.into()));
    assert_eq!((&flows[0]["service"], &flows[0]["role"]), (&"tracer".into(), &"game".into()), "{}", flows[0]);
}

#[test]
fn negatives_do_not_match() {
    let tables = learned();
    let folder = tables.path().to_str().expect("a path");
    for (path, _) in captures().into_iter().filter(|(path, _)| name(path).starts_with("negative-")) {
        let outcome = run(["read", "-q", "--json", "--knowledge", folder, path.to_str().expect("a path")]).expect(0);
        assert!(!outcome.text().contains("tracer"), "{}", name(&path));
    }
}

#[test]
fn what_cannot_be_is_said() {
    let capture = fixture("ps4-overwatch-2016/profile-a.pcap.gz");
    let capture = capture.to_str().expect("a path");
    for (from, to, said) in [
        ("38", "soon", "--to soon: neither seconds from the first packet nor a time such as 2016-09-10T19:00:38Z"),
        ("98", "38", "is not before"),
        ("9998", "9999", "nothing was said between"),
        ("-1", "9", "--from"),
    ] {
        let outcome = run(["learn", &format!("--from={from}"), "--to", to, capture]).expect(2);
        assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    }
}
