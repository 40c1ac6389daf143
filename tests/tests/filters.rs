//! Filters against tcpdump: for every expression and every frame the same answer.
//!
//! The frames are made here (all link layers, whole and cut short) and, with PADTAP_PCAPS, read from the captures
//! there. tcpdump is asked once per expression and link layer, over a file that holds all frames of that link layer;
//! each frame's timestamp is its place in the list.

#[path = "filters/expressions.rs"]
mod expressions;
#[path = "filters/frames.rs"]
mod frames;
#[path = "filters/tcpdump.rs"]
mod tcpdump;

use capture_user::filter::Filter;
use capture_user::source::{Frame, LinkType};
use capture_user::time::Timestamp;
use expressions::{TABLE, combinations};
use frames::Raw;
use tcpdump::Answer;
use tests::tool::have;

const LINKS: [LinkType; 6] =
    [LinkType::Ethernet, LinkType::RawIp, LinkType::Null, LinkType::Loop, LinkType::LinuxSll, LinkType::LinuxSll2];

fn ours(link: LinkType, expression: &str, frames: &[Raw]) -> Vec<usize> {
    let filter = Filter::parse(expression).unwrap_or_else(|error| panic!("{expression}: {error}"));
    let matches = |raw: &Raw| {
        let time = Timestamp::default();
        filter.matches(&Frame { number: 1, time, length: raw.length, link, interface: 0, data: &raw.data })
    };
    frames.iter().enumerate().filter(|(_, raw)| matches(raw)).map(|(index, _)| index).collect()
}

/// Compares every expression; returns how many were compared on this link layer.
fn compare(link: LinkType, expressions: &[String], frames: &[Raw], optimised: bool) -> usize {
    let file = tcpdump::write(link, frames);
    let mut compared = 0;
    for expression in expressions {
        let expected = match tcpdump::ask(&file, expression, optimised) {
            Answer::Frames(indices) => indices,
            Answer::NotHere if link != LinkType::Ethernet => continue,
            Answer::NotHere => panic!("tcpdump refuses `{expression}`"),
        };
        let found = ours(link, expression, frames);
        if let Some(wrong) = first_difference(&found, &expected) {
            panic!(
                "`{expression}` on {link:?}: {} frames here, {} to tcpdump; the first that differs is {} bytes of {}: {:02x?}",
                found.len(),
                expected.len(),
                frames[wrong].data.len(),
                frames[wrong].length,
                &frames[wrong].data[..frames[wrong].data.len().min(80)],
            );
        }
        compared += 1;
    }
    compared
}

/// The smallest index that is in one of two ascending lists only.
fn first_difference(one: &[usize], other: &[usize]) -> Option<usize> {
    let same = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    one.get(same).into_iter().chain(other.get(same)).min().copied()
}

fn table() -> Vec<String> {
    TABLE.iter().map(|expression| (*expression).to_owned()).collect()
}

#[test]
fn whole_frames_of_every_link_layer() {
    if !have(&["tcpdump"]) {
        return;
    }
    let expressions = [table(), combinations(150)].concat();
    for link in LINKS {
        let compared = compare(link, &expressions, &frames::made(link), true);
        assert!(compared > expressions.len() / 4, "only {compared} expressions apply to {link:?}");
    }
}

/// Unoptimised, because libpcap's optimiser leaves out loads, and with them some of the refusals of short frames.
#[test]
fn frames_cut_at_every_length() {
    if !have(&["tcpdump"]) {
        return;
    }
    let expressions = [table(), combinations(20)].concat();
    for link in LINKS {
        compare(link, &expressions, &frames::cut(&frames::made(link)), false);
    }
}

#[test]
fn captures_of_others() {
    let Some(folder) = std::env::var_os("PADTAP_PCAPS") else {
        eprintln!("SKIPPED: PADTAP_PCAPS is not set");
        return;
    };
    if !have(&["tcpdump"]) {
        return;
    }
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "pcap" || extension == "pcapng"));
    paths.sort();
    let read: Vec<_> = paths.iter().map(|path| tcpdump::read(path)).collect();
    let expressions = [table(), combinations(60)].concat();
    for link in LINKS {
        let frames: Vec<Raw> =
            read.iter().filter(|(of, _)| *of == link).flat_map(|(_, frames)| frames).cloned().collect();
        if !frames.is_empty() {
            let compared = compare(link, &expressions, &frames, true);
            eprintln!("{link:?}: {} frames, {compared} expressions", frames.len());
        }
    }
    assert!(!read.is_empty(), "no captures in PADTAP_PCAPS");
}
