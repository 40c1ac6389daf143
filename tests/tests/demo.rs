//! `padtap demo`: the same story live and from the file.

use rustix::process::Signal;
use serde_json::Value;
use tests::netns::may_run_live;
use tests::padtap::{Running, of_kind, padtap, run};

#[test]
fn the_demo_tells_the_session() {
    let offline = run(["demo", "--offline"]).expect(0);
    let story = offline.text();
    for line in [
        "PlayStation (ps4)  bc:60:a7:00:00:40  192.168.1.40",
        "0:38.0 –  1:37.9  in match",
        "server  198.51.100.50:29503 (EC2), confidence 0.99",
        "probed  198.51.100.10 in 24 ms, 198.51.100.20 in 38 ms",
        "up      62.5 ticks a second",
        "down    20.8 ticks a second",
        "stall   the server fell silent at 1:09.9 for 338 ms",
        "voice   up, 829 packets, 1 lost (0.12 %), jitter 0.2 ms",
        "result  sent to overwatch.ingest.gdp.blizzard.com",
        "6a 61 4b 00 from the console, 7 times, every 17.0 s",
        "00 00 00 00 from the server, 12 times, every 10.0 s",
    ] {
        assert!(story.contains(line), "{line:?} is not in:\n{story}");
    }
    assert!(offline.stderr.contains("7278 seen, 7278 delivered, 7278 dissected, 0 lost"), "{}", offline.stderr);
    if may_run_live() {
        let live = run(["demo"]).expect(0);
        assert!(live.stderr.contains("native XDP"), "{}", live.stderr);
        assert_eq!(live.text(), story);
    }
}

/// Whose the game's server is, as flow and match have it, when the tables are read again before the match.
fn owner_after_a_reload(options: &[&str], change: impl FnOnce()) -> [Value; 2] {
    let mut demo = Running::start(padtap(["demo", "--json"]).args(options));
    demo.wait_to_hear("replaying a session", &[]);
    change();
    demo.signal(Signal::HUP);
    demo.wait_to_hear("padtap: reloaded", &[]);
    let records = demo.end().expect(0).records();
    let game = of_kind(&records, "flow").find(|flow| flow["role"] == "game").expect("its flow");
    let played = of_kind(&records, "match").next().expect("a match");
    [game["network"].clone(), played["server_network"].clone()]
}

#[test]
fn a_reload_keeps_what_the_demo_alone_knows_and_takes_what_is_new() {
    if !may_run_live() {
        return;
    }
    assert_eq!(owner_after_a_reload(&[], || {}), ["EC2", "EC2"]);
    let folder = tempfile::tempdir().expect("a temporary directory");
    let write = |owner: &str| {
        let table = include_str!("../../fixtures/networks.toml").replace("\"EC2\"", &format!("\"{owner}\""));
        std::fs::write(folder.path().join("networks.toml"), table).expect("a file");
    };
    write("Somebody");
    let own = ["--knowledge", folder.path().to_str().expect("a path")];
    assert_eq!(owner_after_a_reload(&own, || write("Another")), ["Another", "Another"]);
}

#[test]
fn the_demo_has_records_too() {
    let records = run(["demo", "--offline", "--json"]).expect(0).records();
    assert_eq!(of_kind(&records, "match").count(), 1);
}
