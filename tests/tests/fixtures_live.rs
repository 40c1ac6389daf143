//! The project's own captures through the real kernel: replayed over a cable, captured with XDP and AF_XDP, and told of
//! as from the file, to the last digit, with any number of workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use capture_user::dissect::app::People;
use capture_user::source::replayed::Replayed;
use capture_user::source::xdp::{Config, open};
use tests::engine::Run;
use tests::fixtures::{Captured, captures, frames, name};
use tests::netns::{Cable, NEAR, Sender, with_cable};
use tests::replay::Bounded;

/// Frames that may be under way: fewer than any ring or queue holds, even one by one.
const AHEAD: usize = 128;

fn lines(run: &Run) -> Vec<String> {
    let mut lines: Vec<String> = run.records.iter().map(ToString::to_string).collect();
    lines.sort_unstable();
    lines
}

/// Sends the frames over the cable and takes them through the engine.
fn live(frames: &[Captured], workers: usize) -> Run {
    let (sources, control) = open(&Config::new(NEAR)).expect("a capture");
    let originals: Arc<[_]> = frames.iter().map(|frame| frame.original).collect();
    let done = Arc::new(AtomicUsize::new(0));
    let replayed = |source| Bounded::new(Replayed::new(source, originals.clone()), frames.len(), done.clone());
    let sources = sources.into_iter().map(replayed).collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut sender = Sender::new();
            for (number, frame) in frames.iter().enumerate() {
                while number >= done.load(Ordering::Relaxed) + AHEAD {
                    thread::sleep(Duration::from_micros(50));
                }
                sender.send(&frame.data);
            }
        });
        let mut run = Run::from_sources(sources, workers, People::SHOWN);
        run.ledger.add_tally(&control.tally().expect("counters"));
        run
    })
}

#[test]
fn the_engine_says_live_what_it_says_of_the_file() {
    with_cable(Cable::default(), || {
        for (path, _) in captures() {
            let expected = lines(&Run::of(&path, 0, People::SHOWN));
            let frames = frames(&path);
            for workers in [0, 1, 4] {
                let run = live(&frames, workers);
                assert_eq!(run.ledger.source.seen, frames.len() as u64, "{}: {:?}", name(&path), run.ledger);
                assert_eq!(run.ledger.lost(), 0, "{}: {:?}", name(&path), run.ledger);
                let told = lines(&run);
                let first = expected.iter().zip(&told).find(|(file, live)| file != live);
                assert_eq!(first, None, "{} with {workers} workers", name(&path));
                assert_eq!(expected.len(), told.len(), "{} with {workers} workers", name(&path));
            }
        }
    });
}
