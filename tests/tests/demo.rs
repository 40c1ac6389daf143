//! `padtap demo`: the same story live and from the file.

use tests::netns::may_run_live;
use tests::padtap::{of_kind, run};

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

#[test]
fn the_demo_has_records_too() {
    let records = run(["demo", "--offline", "--json"]).expect(0).records();
    assert_eq!(of_kind(&records, "match").count(), 1);
}
