//! Flows that were announced: what is sent to or from an endpoint belongs to a conversation that another flow agreed on.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use hashbrown::HashMap;

use crate::dissect::app::{Expectation, Segment};
use crate::time::Timestamp;

/// Announced endpoints kept at most. A call announces four; one description at most 32.
const MOST: usize = 4_096;
/// How long an announcement holds unless it is repeated: as long as a call may go on without a sign of life in its
/// signalling (RFC 4028 section 4.2). By then its media flow, or nobody knows who has the port.
const HOLDS: Duration = Duration::from_secs(1_800);

/// Announcements by endpoint. One that is repeated counts from then on; of too many, the oldest goes.
#[derive(Debug, Default)]
pub(super) struct Expected {
    entries: HashMap<SocketAddr, Entry>,
    /// Endpoints in the order in which they were announced last.
    order: BTreeMap<u64, SocketAddr>,
    announced: u64,
    evicted: u64,
    expired: u64,
}

#[derive(Debug)]
struct Entry {
    place: u64,
    since: Timestamp,
    expectation: Expectation,
}

impl Expected {
    /// How many announcements there were: a flow that was checked against so many need not be checked again.
    pub(super) fn generation(&self) -> u64 {
        self.announced
    }

    /// Announcements that made room for newer ones.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Announcements that held no longer.
    pub(super) fn expired(&self) -> u64 {
        self.expired
    }

    /// Notes an announcement made at the time `now`.
    pub(super) fn announce(&mut self, expectation: Expectation, now: Timestamp) {
        self.expire(now);
        let endpoint = expectation.endpoint;
        let place = self.announced;
        self.announced += 1;
        if let Some(before) = self.entries.insert(endpoint, Entry { place, since: now, expectation }) {
            self.order.remove(&before.place);
        } else if self.entries.len() > MOST {
            self.evicted += u64::from(self.drop_oldest());
        }
        self.order.insert(place, endpoint);
    }

    /// What was announced for the segment's receiver, or else for its sender.
    pub(super) fn find(&self, segment: &Segment<'_>) -> Option<&Expectation> {
        let holding = |endpoint| self.entries.get(endpoint).filter(|entry| entry.holds(segment.time));
        let entry = holding(&segment.destination).or_else(|| holding(&segment.source))?;
        Some(&entry.expectation)
    }

    fn expire(&mut self, now: Timestamp) {
        while let Some((_, oldest)) = self.order.first_key_value()
            && self.entries.get(oldest).is_none_or(|entry| !entry.holds(now))
        {
            self.expired += u64::from(self.drop_oldest());
        }
    }

    fn drop_oldest(&mut self) -> bool {
        self.order.pop_first().is_some_and(|(_, endpoint)| self.entries.remove(&endpoint).is_some())
    }
}

impl Entry {
    fn holds(&self, now: Timestamp) -> bool {
        now <= self.since.after(HOLDS)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::dissect::app::{Direction, PROTOCOLS};

    fn endpoint(number: u32) -> SocketAddr {
        SocketAddr::new(std::net::Ipv4Addr::from(0x0a00_0000 + number).into(), 4_000)
    }

    fn announce(expected: &mut Expected, number: u32, second: i64) {
        let protocol = PROTOCOLS[0];
        let open = Arc::new(protocol.open);
        expected.announce(Expectation { endpoint: endpoint(number), protocol, open }, Timestamp::new(second, 0));
    }

    fn is_expected(expected: &Expected, number: u32, second: i64) -> bool {
        let segment = |source, destination| Segment {
            time: Timestamp::new(second, 0),
            direction: Direction::Out,
            source,
            destination,
            stream: false,
            bytes: &[],
            length: 0,
        };
        let (there, here) = (endpoint(number), endpoint(u32::MAX >> 8));
        let to = expected.find(&segment(here, there)).is_some();
        assert_eq!(to, expected.find(&segment(there, here)).is_some(), "either way");
        to
    }

    #[test]
    fn of_too_many_the_one_announced_longest_ago_goes() {
        let mut expected = Expected::default();
        announce(&mut expected, 0, 0);
        for number in 1..20_000 {
            announce(&mut expected, number, 1);
            // A SIP message that is sent again, or refreshes its session, announces again.
            announce(&mut expected, 0, 1);
        }
        assert_eq!((expected.entries.len(), expected.order.len()), (MOST, MOST));
        assert_eq!((expected.evicted(), expected.expired()), (20_000 - MOST as u64, 0));
        assert!(is_expected(&expected, 0, 2) && is_expected(&expected, 19_999, 2));
        assert!(is_expected(&expected, 20_001 - MOST as u32, 2) && !is_expected(&expected, 20_000 - MOST as u32, 2));
    }

    #[test]
    fn an_announcement_holds_half_an_hour_from_its_last_time() {
        let mut expected = Expected::default();
        announce(&mut expected, 1, 0);
        announce(&mut expected, 2, 0);
        announce(&mut expected, 1, 600);
        assert!(is_expected(&expected, 2, 1_800) && !is_expected(&expected, 2, 1_801));
        assert!(is_expected(&expected, 1, 2_400) && !is_expected(&expected, 1, 2_401));
        announce(&mut expected, 3, 2_000);
        assert_eq!((expected.entries.len(), expected.expired()), (2, 1));
    }
}
