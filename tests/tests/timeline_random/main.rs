//! 200 sessions drawn at random: how many of their matches are told of, how many others, and how well their edges are met.
//!
//! The seed is fixed; `PADTAP_SEED` draws other sessions, `PADTAP_SESSIONS` more or fewer. The figures are printed:
//! `cargo test -p tests --test timeline_random -- --nocapture`.

mod chance;
mod noise;
mod session;

use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use capture_user::shard::Config;
use capture_user::timeline::MatchFacts;
use chance::Chance;
use session::{Session, Truth};
use tests::bench::Bench;
use tests::talk::Message;

/// A match that was told of.
struct Told {
    console: IpAddr,
    facts: MatchFacts,
}

/// What came of some sessions.
#[derive(Default)]
struct Score {
    packets: u64,
    matches: usize,
    told: usize,
    right: usize,
    /// In seconds: start, end.
    edges: [Vec<f64>; 2],
    /// Of the rate, as a share of it.
    ticks: Vec<f64>,
    ticks_missing: usize,
    searches: [usize; 2],
    stalls: [usize; 2],
    voices: [usize; 2],
}

/// What the engine tells of a session.
fn listen(session: &Session) -> Vec<Told> {
    let noise: Vec<u8> = (0..4_096_u32).map(|n| (n.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect();
    let mut bench = Bench::new(&Config::default());
    let (mut clock, mut told, mut payload) = (0, Vec::new(), Vec::new());
    for (number, packet) in session.packets.iter().enumerate() {
        bench.wait(packet.at - clock);
        clock = packet.at;
        let flow = &session.flows[packet.flow];
        let (from, to) = if packet.up { (flow.local, flow.remote) } else { (flow.remote, flow.local) };
        payload.clear();
        payload.extend_from_slice(&packet.head[..packet.head_length]);
        let rest = usize::from(packet.size).saturating_sub(payload.len());
        let offset = number * 37 % 2_048;
        payload.extend_from_slice(&noise[offset..offset + rest]);
        bench.udp(Message { from, to, id: number as u16, payload: &payload });
        take(&mut bench, &mut told);
    }
    bench.finish();
    take(&mut bench, &mut told);
    told
}

fn take(bench: &mut Bench, told: &mut Vec<Told>) {
    for record in bench.records().drain(..) {
        if let Some(facts) = record.facts.as_any().downcast_ref::<MatchFacts>() {
            let ends = [record.subject.src_ip, record.subject.dst_ip].into_iter().flatten();
            let console = ends.into_iter().find(|ip| *ip != facts.server_ip).expect("a console");
            told.push(Told { console, facts: facts.clone() });
        }
    }
}

/// Where the clock of [`Bench`] begins.
const BEGINNING: i64 = 1_700_000_000_000_000_000;

impl Score {
    fn add(&mut self, number: u64, session: &Session, told: &[Told]) {
        self.packets += session.packets.len() as u64;
        self.matches += session.truth.len();
        self.told += told.len();
        let mut used = vec![false; told.len()];
        for truth in &session.truth {
            let found = told.iter().enumerate().position(|(index, told)| !used[index] && is_same(truth, told));
            match found {
                Some(index) => {
                    used[index] = true;
                    self.compare(truth, &told[index].facts);
                }
                None => println!("session {number}: missed {truth:?}"),
            }
        }
        for (told, _) in told.iter().zip(used).filter(|(_, used)| !used) {
            if session.scraps.iter().any(|scrap| is_same(scrap, told)) {
                self.told -= 1;
                continue;
            }
            println!("session {number}: no match: {} {:?}", told.console, told.facts);
        }
    }

    fn compare(&mut self, truth: &Truth, facts: &MatchFacts) {
        self.right += 1;
        let edges = [(truth.start, facts.start), (truth.end, facts.end)];
        for (errors, (truth, told)) in self.edges.iter_mut().zip(edges) {
            errors.push((told.as_nanos() - BEGINNING - truth).abs() as f64 / 1e9);
        }
        for (hz, way) in truth.hz.iter().zip([&facts.up, &facts.down]) {
            match way.tick_hz {
                Some(told) => self.ticks.push((told / hz - 1.0).abs()),
                None => self.ticks_missing += 1,
            }
        }
        let close = |told: i64, truth: i64, within: i64| (told - truth).abs() <= within;
        if let Some(search) = truth.search {
            let told = facts.search_start.map(|start| start.as_nanos() - BEGINNING);
            count(&mut self.searches, told.is_some_and(|told| close(told, search, 1_000_000_000)));
        }
        if let Some((start, length, direction)) = truth.stall {
            let found = facts.stalls.iter().any(|stall| {
                stall.direction == direction
                    && close(stall.start.as_nanos() - BEGINNING, start, 200_000_000)
                    && (stall.duration_ms * 1e6 - length as f64).abs() <= 0.1 * length as f64
            });
            count(&mut self.stalls, found);
        }
        if let Some(ssrc) = truth.voice {
            count(&mut self.voices, facts.voice.contains(&ssrc));
        }
    }

    fn absorb(&mut self, other: Self) {
        self.packets += other.packets;
        self.matches += other.matches;
        self.told += other.told;
        self.right += other.right;
        for (errors, more) in self.edges.iter_mut().zip(other.edges) {
            errors.extend(more);
        }
        self.ticks.extend(other.ticks);
        self.ticks_missing += other.ticks_missing;
        for (mine, others) in
            [(&mut self.searches, other.searches), (&mut self.stalls, other.stalls), (&mut self.voices, other.voices)]
        {
            mine[0] += others[0];
            mine[1] += others[1];
        }
    }
}

fn count(of: &mut [usize; 2], right: bool) {
    of[0] += usize::from(right);
    of[1] += 1;
}

/// The same console, and more than half of what either says is in both.
fn is_same(truth: &Truth, told: &Told) -> bool {
    let (start, end) = (told.facts.start.as_nanos() - BEGINNING, told.facts.end.as_nanos() - BEGINNING);
    let shared = end.min(truth.end) - start.max(truth.start);
    told.console == truth.console && shared * 2 > end.max(truth.end) - start.min(truth.start)
}

fn quantile(errors: &mut [f64], share: f64) -> f64 {
    errors.sort_by(f64::total_cmp);
    errors.get((errors.len() as f64 * share) as usize).copied().unwrap_or(f64::NAN)
}

fn setting(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().map_or(otherwise, |text| text.parse().expect("a number"))
}

#[test]
fn matches_of_random_sessions() {
    let (seed, sessions) = (setting("PADTAP_SEED", 2016), setting("PADTAP_SESSIONS", 200));
    let (next, total) = (AtomicU64::new(0), Mutex::new(Score::default()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= sessions {
                        break;
                    }
                    let session = Session::draw(&mut Chance::new(seed.wrapping_mul(1_000_003).wrapping_add(number)));
                    let mut score = Score::default();
                    score.add(number, &session, &listen(&session));
                    total.lock().expect("no panic").absorb(score);
                }
            });
        }
    });
    let mut score = total.into_inner().expect("no panic");
    let (precision, recall) = (score.right as f64 / score.told as f64, score.right as f64 / score.matches as f64);
    println!("{sessions} sessions, {} packets, {} matches, {} told", score.packets, score.matches, score.told);
    println!("precision {precision:.4}, recall {recall:.4}");
    let mut medians = Vec::new();
    for (edge, errors) in ["start", "end"].iter().zip(&mut score.edges) {
        let [median, p95, p99, max] = [0.5, 0.95, 0.99, 1.0].map(|share| quantile(errors, f64::min(share, 0.999_999)));
        println!("{edge}: median error {median:.4} s, 95 % {p95:.3} s, 99 % {p99:.3} s, max {max:.3} s");
        medians.push(median);
    }
    let within = score.ticks.iter().filter(|error| **error <= 0.02).count() as f64 / score.ticks.len() as f64;
    let median = quantile(&mut score.ticks, 0.5);
    println!("tick rates: {within:.4} within 2 %, median error {median:.5}, {} not told", score.ticks_missing);
    let share = |of: [usize; 2]| format!("{} of {}", of[0], of[1]);
    println!("searches {}, stalls {}, voices {}", share(score.searches), share(score.stalls), share(score.voices));
    assert!(score.matches > sessions as usize, "{} matches", score.matches);
    assert!(precision >= 0.98 && recall >= 0.98, "precision {precision}, recall {recall}");
    assert!(medians.iter().all(|median| *median < 0.5), "{medians:?}");
    assert!(within >= 0.95, "{within}");
}
