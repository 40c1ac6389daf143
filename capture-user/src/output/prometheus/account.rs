//! The ledger, the limits, and each sink's part.

use serde_json::{Map, Value};

use super::exposition::{Exposition, Type};
use crate::output::Account;
use crate::record::StatsFacts;

/// The ledger's counters: its name for each, the metric's, and what it counts.
const COUNTERS: &[(&str, &str, &str)] = &[
    ("seen", "padtap_frames_seen_total", "Frames that the interface or file brought."),
    ("passed", "padtap_frames_passed_total", "Frames given on to the kernel's own stack."),
    ("filtered", "padtap_frames_filtered_total", "Frames dropped because no filter asked for them."),
    ("shunted", "padtap_frames_shunted_total", "Frames dropped because their flow is shunted."),
    ("redirected", "padtap_frames_redirected_total", "Frames sent towards a socket."),
    ("redirect_errors", "padtap_frames_redirect_errors_total", "Frames meant for a socket that was not there."),
    ("rx_dropped", "padtap_frames_rx_dropped_total", "Frames lost for want of a free buffer."),
    ("rx_ring_full", "padtap_frames_rx_ring_full_total", "Frames lost because the receive ring was full."),
    ("delivered", "padtap_frames_delivered_total", "Frames taken from the receive ring or file."),
    ("bad_descriptors", "padtap_frames_bad_descriptors_total", "Frames that could not be read."),
    ("past_limit", "padtap_frames_past_limit_total", "Frames taken after the frame limit was reached."),
    ("unwanted", "padtap_frames_unwanted_total", "Frames that the filter expression does not ask for."),
    ("worker_queue_drops", "padtap_frames_worker_queue_drops_total", "Frames lost because a worker's queue was full."),
    ("dissected", "padtap_frames_dissected_total", "Frames dissected."),
    ("dissected_bytes", "padtap_dissected_bytes_total", "Bytes on the wire of the frames dissected."),
    ("duplicates", "padtap_frames_duplicates_total", "Second copies that the mirror made, among the frames dissected."),
    ("frames_to_write", "padtap_frames_to_write_total", "Frames to be written to a capture file."),
    ("frames_written", "padtap_frames_written_total", "Frames written to a capture file."),
    ("write_drops", "padtap_frames_write_drops_total", "Frames not written to a capture file."),
];

/// What a sink has to account for: the metric, what it counts, and how it is read.
type Part = (&'static str, &'static str, fn(&Account) -> u64);
const OF_SINKS: &[Part] = &[
    ("padtap_sink_records_total", "Records made for a sink.", |account| account.made),
    ("padtap_sink_written_total", "Records a sink took.", |account| account.written),
    ("padtap_sink_drops_total", "Records lost because a sink was too slow, or had failed.", |account| account.dropped),
];

/// The counters that a part of the account has, by name.
fn counters(part: &impl serde::Serialize) -> Map<String, Value> {
    match serde_json::to_value(part) {
        Ok(Value::Object(counters)) => counters,
        _ => Map::new(),
    }
}

pub(super) fn write(to: &mut Exposition, stats: &StatsFacts, sinks: &[(String, Account)]) {
    let ledger = counters(&stats.ledger);
    for (name, metric, help) in COUNTERS {
        if let Some(count) = ledger.get(*name) {
            to.family(metric, Type::Counter, help);
            to.sample(&[], count);
        }
    }
    to.family("padtap_limit_reached_total", Type::Counter, "What was given up because a limit was reached.");
    for (limit, count) in counters(&stats.limits) {
        to.sample(&[("limit", &limit)], count);
    }
    for (metric, help, count) in OF_SINKS {
        to.family(metric, Type::Counter, help);
        for (name, account) in sinks {
            to.sample(&[("sink", name)], count(account));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::ledger::Ledger;

    #[test]
    fn every_counter_of_the_ledger_is_a_metric() {
        let ledger: BTreeSet<String> = counters(&Ledger::default()).into_iter().map(|(name, _)| name).collect();
        // The sinks have these one by one.
        let by_sink = ["records", "records_written", "sink_drops"];
        let ours = COUNTERS.iter().map(|(name, ..)| *name).chain(by_sink);
        assert_eq!(ours.map(str::to_owned).collect::<BTreeSet<_>>(), ledger);
    }
}
