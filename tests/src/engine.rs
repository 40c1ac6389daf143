//! The whole engine over one file, in this process.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

use capture_user::dissect::app::People;
use capture_user::ledger::Ledger;
use capture_user::output::lines::Encode;
use capture_user::output::{Handover, Sink, Writers, ndjson::Ndjson};
use capture_user::pipeline::{self, Config, Control};
use capture_user::record::Record;
use capture_user::shard;
use capture_user::source::policy::ConsoleFilter;
use capture_user::source::route::route;
use capture_user::source::{Source, pcap};
use serde_json::Value;

/// Lines in memory.
struct Memory {
    format: Ndjson,
    lines: Arc<Mutex<Vec<u8>>>,
}

impl Sink for Memory {
    fn record(&mut self, record: &Record) -> io::Result<()> {
        self.format.encode(record, &mut self.lines.lock().expect("no reader has panicked"))
    }
}

/// What came of one file.
pub struct Run {
    /// Every record, packets too, but no `stats`.
    pub records: Vec<Value>,
    /// Where its frames went, without the sinks' part.
    pub ledger: Ledger,
}

impl Run {
    /// Reads a capture file.
    ///
    /// # Panics
    /// When the file cannot be read to its end, or a record is lost.
    pub fn of(path: &Path, workers: usize, people: People) -> Self {
        let everything = ConsoleFilter::everything();
        let source = pcap::open([path], |frame| route(frame, &everything)).expect("the capture opens");
        Self::from_sources(vec![source], workers, people)
    }

    /// Takes in what sources bring until they end.
    ///
    /// # Panics
    /// When one cannot be read to its end, or a record is lost.
    pub fn from_sources<S: Source + Send>(sources: Vec<S>, workers: usize, people: People) -> Self {
        let lines = Arc::default();
        let sink = Memory { format: Ndjson::new("test".into()), lines: Arc::clone(&lines) };
        let writers = Writers::start(vec![("memory".to_owned(), Box::new(sink))]).expect("a thread starts");
        let shard = shard::Config { packets: true, people, ..shard::Config::default() };
        let (config, control) = (Config { workers, shard, ..Config::default() }, Control::default());
        let outcome = pipeline::run(sources, &config, &writers.outlet(Handover::Waiting), &control);
        outcome.unwrap_or_else(|error| panic!("{error}"));
        let (account, failures) = writers.finish();
        assert!(failures.is_empty(), "{failures:?}");
        assert_eq!((account.made, account.dropped), (account.written, 0));
        let bytes = lines.lock().expect("no writer has panicked");
        let records = serde_json::Deserializer::from_slice(&bytes).into_iter();
        Self { records: records.map(|line| line.expect("a record is JSON")).collect(), ledger: control.ledger() }
    }

    /// The records of a kind.
    pub fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        self.records.iter().filter(move |record| record["kind"] == kind)
    }
}
