//! Bursts: one console sends as long a first payload to several servers within seconds. That is how latency is probed.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use arrayvec::ArrayVec;
use hashbrown::HashMap;

use super::ends::Ends;
use crate::dissect::app::Direction;
use crate::flow::{Flow, Protocol};
use crate::time::Timestamp;

/// First payloads that are longer begin no probes.
const LONGEST: u32 = 128;
/// Silence that ends a burst.
const PAUSE: Duration = Duration::from_secs(5);
/// Servers of a burst that are told apart.
const MOST_SERVERS: usize = 4;
/// Bursts that are remembered; flows are reported minutes after they began.
const MOST_BURSTS: usize = 512;

/// Who sends, and how much.
type Key = (IpAddr, u32);

/// The latest bursts.
#[derive(Debug, Default)]
pub struct Bursts {
    bursts: VecDeque<Burst>,
    /// The number of the first of them.
    first: u32,
    current: HashMap<Key, u32>,
}

#[derive(Debug)]
struct Burst {
    key: Key,
    servers: ArrayVec<IpAddr, MOST_SERVERS>,
    latest: Timestamp,
}

impl Bursts {
    /// Counts a flow that has had its first payload to its burst.
    pub fn join(&mut self, flow: &mut Flow, direction: Direction, length: u32, now: Timestamp) {
        let ends = Ends::of(flow);
        let probes = flow.protocol() == Protocol::UDP && direction == ends.up && length <= LONGEST;
        if probes && !ends.server.ip().is_multicast() {
            flow.marks.burst = Some(self.place((ends.client.ip(), length), ends.server.ip(), now));
        }
    }

    fn place(&mut self, key: Key, server: IpAddr, now: Timestamp) -> u32 {
        if let Some(number) = self.current.get(&key).copied()
            && let Some(burst) = self.get_mut(number)
            && now.nanos_since(burst.latest) <= PAUSE.as_nanos() as i64
        {
            burst.latest = burst.latest.max(now);
            if !burst.servers.contains(&server) {
                // More are as good as many.
                let _ = burst.servers.try_push(server);
            }
            return number;
        }
        if self.bursts.len() >= MOST_BURSTS {
            self.forget();
        }
        let number = self.first.wrapping_add(self.bursts.len() as u32);
        self.bursts.push_back(Burst { key, servers: [server].into_iter().collect(), latest: now });
        self.current.insert(key, number);
        number
    }

    fn forget(&mut self) {
        if let Some(burst) = self.bursts.pop_front() {
            if self.current.get(&burst.key) == Some(&self.first) {
                self.current.remove(&burst.key);
            }
            self.first = self.first.wrapping_add(1);
        }
    }

    fn get_mut(&mut self, number: u32) -> Option<&mut Burst> {
        self.bursts.get_mut(number.wrapping_sub(self.first) as usize)
    }

    /// How many servers the burst of a flow reached.
    pub fn servers(&self, flow: &Flow) -> usize {
        let burst = flow.marks.burst.and_then(|number| self.bursts.get(number.wrapping_sub(self.first) as usize));
        burst.map_or(0, |burst| burst.servers.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        [198, 51, 100, last].into()
    }

    #[test]
    fn bursts_end_with_a_pause() {
        let mut bursts = Bursts::default();
        let mut place = |length, server, second| {
            let number = bursts.place((ip(1), length), ip(server), Timestamp::new(second, 0));
            let burst = bursts.get_mut(number).expect("the burst");
            (number, burst.servers.len())
        };
        assert_eq!(place(40, 10, 0), (0, 1));
        assert_eq!(place(40, 20, 4), (0, 2));
        assert_eq!(place(40, 20, 8), (0, 2));
        assert_eq!(place(41, 20, 8), (1, 1));
        assert_eq!(place(40, 10, 14), (2, 1));
    }

    #[test]
    fn memory_is_bounded() {
        let mut bursts = Bursts::default();
        for number in 0..3 * MOST_BURSTS as u32 {
            assert_eq!(bursts.place((IpAddr::from(number.to_be_bytes()), 40), ip(1), Timestamp::new(0, 0)), number);
        }
        assert_eq!((bursts.bursts.len(), bursts.current.len()), (MOST_BURSTS, MOST_BURSTS));
        assert!(bursts.get_mut(0).is_none());
    }
}
