//! The whole engine over one file, in this process.

use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use capture_user::output::{Sink, Writers, ndjson::Ndjson};
use capture_user::pipeline::{self, Config, Control};
use capture_user::shard;
use capture_user::source::pcap;
use capture_user::source::policy::ConsoleFilter;
use capture_user::source::route::route;
use serde_json::Value;

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no writer has panicked").write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Every record of a file, packets too, but no `stats`.
pub fn records(path: &Path, workers: usize) -> Vec<Value> {
    let everything = ConsoleFilter::everything();
    let source = pcap::open([path], |frame| route(frame, &everything)).expect("the capture opens");
    let memory = Memory::default();
    let sink: Box<dyn Sink> = Box::new(Ndjson::new(memory.clone(), "oracle".into()));
    let writers = Writers::start(vec![("memory".to_owned(), sink)]).expect("a thread starts");
    let shard = shard::Config { packets: true, ..shard::Config::default() };
    let config = Config { workers, shard, ..Config::default() };
    let outcome = pipeline::run(vec![source], &config, &writers.outlet(true), &Control::default());
    outcome.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (account, failures) = writers.finish();
    assert!(failures.is_empty(), "{failures:?}");
    assert_eq!((account.made, account.dropped), (account.written, 0));
    let bytes = memory.0.lock().expect("no writer has panicked");
    serde_json::Deserializer::from_slice(&bytes).into_iter().map(|line| line.expect("a record is JSON")).collect()
}
