//! Round trips from reports (RFC 3550 section 6.4.1), seen from the middle of the path.
//!
//! A sender report that passes at `t1` is answered by a report that passes the other way at `t2` and says how long the
//! answerer held it: `t2 - t1 - DLSR` is the round trip between the place of the capture and the answerer. With the
//! same from the other side, the sum is the round trip between the two ends.

use super::packet::ReportBlock;
use crate::dissect::app::Direction;
use crate::time::Timestamp;

/// Sender reports remembered per direction: an answer refers to the latest that arrived.
const REMEMBERED: usize = 8;
/// Round trips above this are clocks gone wrong, in milliseconds.
const MAX_ROUND_TRIP: f64 = 60_000.0;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RoundTrip {
    /// Per direction, the sender reports that passed: the middle of their NTP time, and when.
    sent: [[Option<(u32, Timestamp)>; REMEMBERED]; 2],
    next: [usize; 2],
    /// Per direction of the answer, the latest round trip between the capture and the answerer.
    halves: [Option<f64>; 2],
}

impl RoundTrip {
    /// A sender report passed.
    pub fn report_sent(&mut self, direction: Direction, ntp_middle: u32, time: Timestamp) {
        let way = direction.index();
        self.sent[way][self.next[way]] = Some((ntp_middle, time));
        self.next[way] = (self.next[way] + 1) % REMEMBERED;
    }

    /// A report block passed; the round trip to the one who sent it, in milliseconds, where it answers a report that
    /// passed.
    pub fn answered(&mut self, direction: Direction, block: &ReportBlock, time: Timestamp) -> Option<f64> {
        let mut reports = self.sent[direction.reversed().index()].iter().flatten();
        let (_, sent) = reports.find(|(ntp, _)| block.last_report != 0 && *ntp == block.last_report)?;
        let held_ms = f64::from(block.delay) * 1_000.0 / 65_536.0;
        let half = time.nanos_since(*sent) as f64 / 1e6 - held_ms;
        if !(0.0..=MAX_ROUND_TRIP).contains(&half) {
            return None;
        }
        self.halves[direction.index()] = Some(half);
        Some(half)
    }

    /// Between the two ends, once both halves are known, in milliseconds.
    pub fn whole(&self) -> Option<f64> {
        Some(self.halves[0]? + self.halves[1]?)
    }
}
