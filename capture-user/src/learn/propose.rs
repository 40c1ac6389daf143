//! From flows to signatures.

use std::net::SocketAddr;

use super::{Ends, Pattern, Way, Ways};
use crate::knowledge::Transport;

/// Payloads in a span from which on a direction says something of the game.
const BUSY: u64 = 16;
/// Payloads that must open flows alike.
const LEAST: u64 = 3;
/// Payloads a second of a direction from which on a flow is taken for the match itself.
const TICKS: f64 = 9.0;

/// A signature.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// What carries it.
    pub transport: Transport,
    /// `Some(true)` from the console, `Some(false)` to it; `None` both ways.
    pub up: Option<bool>,
    /// Whether it is how flows open; else how they go on.
    pub opens: bool,
    /// What payloads have in common.
    pub pattern: Pattern,
    /// The servers of the flows it rests on.
    pub servers: Vec<SocketAddr>,
    /// Payloads it was seen in.
    pub payloads: u64,
    /// Payloads a second, of the busiest.
    pub rate: Option<f64>,
}

/// A flow of which nothing can be proposed.
#[derive(Clone, Debug)]
pub struct Rest {
    /// Which.
    pub ends: Ends,
    /// Payloads within the span.
    pub payloads: u64,
}

/// Proposes signatures for flows whose console's end `is_up` knows; also tells of which flows it cannot.
pub fn propose(flows: &[(Ends, Ways)], is_up: impl Fn(&Ends) -> bool) -> (Vec<Proposal>, Vec<Rest>) {
    let (mut proposals, mut rest) = (Vec::new(), Vec::new());
    for (ends, ways) in flows {
        let before = proposals.len();
        let from_source = is_up(ends);
        let server = if from_source { ends.2 } else { ends.1 };
        let mut met = false;
        for (way, out) in ways.iter().zip([true, false]) {
            for proposal in of_way(ends.0, way, out == from_source, server) {
                met |= join(&mut proposals, proposal);
            }
        }
        if proposals.len() == before && !met {
            let payloads = ways.iter().map(|way| way.running.count()).sum();
            rest.push(Rest { ends: *ends, payloads });
        }
    }
    proposals.retain(|proposal| proposal.payloads >= LEAST);
    (proposals, rest)
}

/// What one direction of a flow has to propose.
fn of_way(transport: Transport, way: &Way, up: bool, server: SocketAddr) -> Vec<Proposal> {
    let mut kinds = vec![(true, &way.opening)];
    if transport == Transport::Udp && way.running.count() >= BUSY {
        kinds.push((false, &way.running));
    }
    let proposal = |(opens, samples): (bool, &super::Samples)| {
        let pattern = Pattern::of(samples.kept());
        pattern.is_telling().then(|| Proposal {
            transport,
            up: Some(up),
            opens,
            pattern,
            servers: vec![server],
            payloads: samples.count(),
            rate: way.running.rate(),
        })
    };
    kinds.into_iter().filter_map(proposal).collect()
}

/// Adds a proposal, or lets it narrow one that is alike; whether there was one.
fn join(proposals: &mut Vec<Proposal>, new: Proposal) -> bool {
    let alike = |known: &Proposal| known.transport == new.transport && known.opens == new.opens;
    for known in proposals.iter_mut().filter(|known| alike(known)) {
        let Some(common) = known.pattern.meet(&new.pattern) else { continue };
        known.pattern = common;
        known.payloads += new.payloads;
        known.rate = known.rate.into_iter().chain(new.rate).reduce(f64::max);
        if known.up != new.up {
            known.up = None;
        }
        for server in new.servers {
            if !known.servers.contains(&server) {
                known.servers.push(server);
            }
        }
        return true;
    }
    proposals.push(new);
    false
}

impl Proposal {
    /// Whether it is the match itself, as far as its rate tells.
    pub fn ticks(&self) -> bool {
        self.transport == Transport::Udp && self.rate.is_some_and(|rate| rate >= TICKS)
    }
}
