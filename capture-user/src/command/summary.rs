//! The account of a run, for people.

use std::io::{self, Write};

use capture_user::latency::Latency;
use capture_user::ledger::Ledger;
use capture_user::limits::Reached;
use capture_user::source::Tally;

/// Writes where the frames went and how long each stage took.
pub fn write(to: &mut impl Write, ledger: &Ledger, latency: &Latency) -> io::Result<()> {
    let Ledger { source: Tally { seen, passed, filtered, shunted, delivered, .. }, dissected, duplicates, .. } =
        *ledger;
    writeln!(to, "frames   {seen} seen, {delivered} delivered, {dissected} dissected, {} lost", ledger.lost())?;
    let kept_out = [
        (passed, "passed to the stack"),
        (filtered, "filtered"),
        (shunted, "shunted"),
        (ledger.unwanted, "not matching the expression"),
        (ledger.past_limit, "past the limit"),
        (duplicates, "second copies"),
    ];
    list(to, "", &kept_out)?;
    let lost = [
        (ledger.source.redirect_errors, "without a socket"),
        (ledger.source.rx_dropped, "without a free buffer"),
        (ledger.source.rx_ring_full, "at a full receive ring"),
        (ledger.source.bad_descriptors, "unreadable"),
        (ledger.worker_queue_drops, "at a full worker queue"),
    ];
    list(to, "lost", &lost)?;
    let written = [
        (ledger.records_written, "records written"),
        (ledger.sink_drops, "records lost"),
        (ledger.frames_written, "frames written"),
        (ledger.write_drops, "frames not written"),
    ];
    list(to, "output", &written)?;
    let mut heading = Some("latency             count        p50        p90        p99      p99.9        max  (ns)");
    for (stage, figures) in latency.percentiles() {
        if let Some(heading) = heading.take() {
            writeln!(to, "{heading}")?;
        }
        writeln!(
            to,
            "  {:<14} {:>8} {:>10} {:>10} {:>10} {:>10} {:>10}",
            stage.name(),
            figures.count,
            figures.p50,
            figures.p90,
            figures.p99,
            figures.p99_9,
            figures.max
        )?;
    }
    Ok(())
}

/// Writes which sum of the account does not come out. Only at the end: before it, what the threads and the kernel say
/// is of different moments.
pub fn write_imbalance(to: &mut impl Write, ledger: &Ledger) -> io::Result<()> {
    match ledger.imbalance() {
        Some(words) => writeln!(to, "ledger   {words}: please report this"),
        None => Ok(()),
    }
}

/// Writes what was given up because a limit was reached.
pub fn write_limits(to: &mut impl Write, reached: &Reached) -> io::Result<()> {
    let given_up = [
        (reached.flows_evicted + reached.flows_evicted_for_memory, "flows"),
        (reached.fragments_timed_out + reached.fragments_evicted + reached.fragments_overflowed, "datagrams in pieces"),
        (reached.segments_refused, "segments out of order"),
        (reached.streams_given_up, "streams without an end"),
        (reached.names_evicted, "names"),
        (reached.expectations_evicted, "announced flows"),
    ];
    list(to, "given up", &given_up)
}

/// One line of those counts that are not zero; nothing when all are.
fn list(to: &mut impl Write, heading: &str, counts: &[(u64, &str)]) -> io::Result<()> {
    let parts: Vec<_> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    if parts.is_empty() { Ok(()) } else { writeln!(to, "{heading:<8} {}", parts.join(", ")) }
}
