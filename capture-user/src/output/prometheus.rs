//! Metrics for Prometheus, in its text format (version 0.0.4), over HTTP.
//!
//! Three parts. [`Endpoint`] holds the port. [`Metrics`] is a sink as others are: it watches records go by and keeps of
//! them what a gauge or a counter can say. [`Board`] is what both share with whoever knows the account; it alone
//! knows how it is written. Who scrapes waits for nobody but the board, and nobody waits for who scrapes.
//!
//! Labels are bounded: sinks, stages, kinds and limits are as many as the program has, consoles as many as
//! [`MOST_CONSOLES`].

mod account;
mod consoles;
mod exposition;
mod http;
mod quantiles;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use self::consoles::Consoles;
use self::exposition::{Exposition, Type};
use self::quantiles::Quantiles;
use super::{Account, Sink};
use crate::dissect::app::Facts;
use crate::record::{Record, StatsFacts};

pub use self::consoles::MOST_CONSOLES;
pub use self::http::Endpoint;

/// What is known at this moment.
#[derive(Clone, Default)]
pub struct Board(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    kinds: BTreeMap<&'static str, u64>,
    consoles: Consoles,
    account: Option<StatsFacts>,
    sinks: Vec<(String, Account)>,
    quantiles: Quantiles,
}

/// The sink.
pub struct Metrics(Board);

impl Board {
    /// The account as a `stats` record has it, and what became of each sink's records.
    pub fn account<'a>(&self, stats: &Record, sinks: impl Iterator<Item = (&'a str, Account)>) {
        let facts: &dyn Facts = &*stats.facts;
        let Some(stats) = facts.as_any().downcast_ref::<StatsFacts>() else { return };
        let mut state = self.lock();
        state.quantiles.observe(&stats.latency_ns, Instant::now());
        state.account = Some(stats.clone());
        state.sinks = sinks.map(|(name, account)| (name.to_owned(), account)).collect();
    }

    /// All of it, as Prometheus reads it.
    pub fn text(&self) -> String {
        self.lock().text()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Counts are as good after a panic elsewhere as before.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn text(&self) -> String {
        let mut to = Exposition::default();
        to.family("padtap_build_info", Type::Gauge, "Always 1; the version is a label.");
        to.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
        if let Some(stats) = &self.account {
            account::write(&mut to, stats, &self.sinks);
            self.quantiles.write(&mut to, &stats.latency_ns);
        }
        to.family("padtap_records_by_kind_total", Type::Counter, "Records, by what they are about.");
        for (kind, count) in &self.kinds {
            to.sample(&[("kind", kind)], count);
        }
        self.consoles.write(&mut to);
        to.into_text()
    }
}

impl Metrics {
    /// Watches records for a board.
    pub fn new(board: Board) -> Self {
        Self(board)
    }
}

impl Sink for Metrics {
    fn record(&mut self, record: &Record) -> io::Result<()> {
        let mut state = self.0.lock();
        *state.kinds.entry(record.kind).or_default() += 1;
        state.consoles.observe(record);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::{Latency, Stage};
    use crate::ledger::Ledger;
    use crate::limits::Reached;
    use crate::time::Timestamp;

    fn stats() -> Record {
        let mut latency = Latency::default();
        latency.record(Stage::Dissect, 1_000);
        latency.record(Stage::Dissect, 3_000);
        let ledger = Ledger { dissected: 7, sink_drops: 1, ..Ledger::default() };
        let limits = Reached { names_evicted: 3, ..Reached::default() };
        Record::stats(Timestamp::default(), ledger, limits, latency)
    }

    #[test]
    fn the_board_shows_account_sinks_and_latency() {
        let board = Board::default();
        let lost = Account { made: 5, written: 4, dropped: 1 };
        board.account(&stats(), [("a \"file\"", lost)].into_iter());
        Metrics::new(board.clone()).record(&stats()).expect("a board takes all");
        let text = board.text();
        for line in [
            "padtap_frames_dissected_total 7",
            "padtap_limit_reached_total{limit=\"names_evicted\"} 3",
            "padtap_sink_drops_total{sink=\"a \\\"file\\\"\"} 1",
            "padtap_latency_seconds_count{stage=\"dissect\"} 2",
            "padtap_records_by_kind_total{kind=\"stats\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        let sum = text.lines().find_map(|line| line.strip_prefix("padtap_latency_seconds_sum{stage=\"dissect\"} "));
        let sum: f64 = sum.expect("a sum").parse().expect("a number");
        assert!((3.96e-6..4.04e-6).contains(&sum), "{sum}");
    }
}
