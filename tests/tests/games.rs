//! Games in the captures of others: which flows are recognised, and that no other flow is taken for a game's.
//!
//! Streams are offered a payload at a time, without reassembly: the openings of games fit into one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use capture_user::dissect::app::{Direction, Segment};
use capture_user::dissect::{Transport, dissect};
use capture_user::flow::{Application, Surroundings};
use capture_user::source::{Frame, Received, Source, View, pcap};

/// What the protocols of games call their flows.
const GAMES: &[&str] = &[
    "a2s",
    "battlenet",
    "battlenet_probe",
    "ddp",
    "demonware",
    "discord",
    "enet",
    "epicgames",
    "natcheck",
    "overwatch",
    "overwatch_lobby",
    "photon",
    "pia",
    "raknet",
    "remoteplay",
    "wow",
];

/// Flows of each game, by file; of every other file none.
const EXPECTED: &[(&str, &str, usize)] = &[
    ("ndpi-discord-voice.pcap", "discord", 33),
    ("ndpi-epicgames.pcapng", "epicgames", 4),
    ("ndpi-roblox.pcapng", "raknet", 3),
    ("ndpi-source_engine.pcap", "a2s", 17),
    ("ndpi-wow.pcap", "wow", 3),
];

#[derive(Default)]
struct Flows {
    around: Surroundings,
    flows: HashMap<(bool, SocketAddr, SocketAddr), Application>,
    /// What each flow has been called, ever: media takes over the flow of a voice service.
    called: BTreeSet<(&'static str, SocketAddr, SocketAddr)>,
}

impl Flows {
    fn frame(&mut self, frame: &Frame<'_>) {
        let packet = dissect(frame);
        let (Some((from, to)), Some((from_port, to_port))) = (packet.addresses(), packet.ports()) else { return };
        if packet.payload.is_empty() {
            return;
        }
        let stream = matches!(packet.transport, Transport::Tcp(_));
        let (source, destination) = (SocketAddr::new(from, from_port), SocketAddr::new(to, to_port));
        let back = self.flows.contains_key(&(stream, destination, source));
        let (out, key) = match back {
            true => (Direction::In, (stream, destination, source)),
            false => (Direction::Out, (stream, source, destination)),
        };
        let length = packet.payload_length;
        let segment =
            Segment { time: frame.time, direction: out, source, destination, stream, bytes: packet.payload, length };
        let flow = self.flows.entry(key).or_default();
        flow.read(&segment, &mut self.around);
        self.around.settle(frame.time);
        if let Some(game) = flow.label.app.filter(|app| GAMES.contains(app)) {
            self.called.insert((game, key.1, key.2));
        }
    }
}

/// Flows of each game in a capture.
fn games(path: &Path) -> BTreeMap<&'static str, usize> {
    let mut source = pcap::open([path], |_| Some(0)).expect("the capture opens");
    let view = source.view();
    let (mut tokens, mut scratch, mut flows) = (Vec::new(), Vec::new(), Flows::default());
    while source.receive(64, Duration::ZERO, &mut tokens).expect("the capture is sound") != Received::End {
        for token in &tokens {
            flows.frame(&view.frame(token, &mut scratch));
        }
        source.recycle(&mut tokens);
    }
    let mut counts = BTreeMap::new();
    for (game, ..) in flows.called {
        *counts.entry(game).or_default() += 1;
    }
    counts
}

#[test]
fn captures_of_others() {
    let Some(folder) = std::env::var_os("PADTAP_PCAPS") else {
        eprintln!("SKIPPED: PADTAP_PCAPS is not set");
        return;
    };
    let mut found = 0;
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if !path.extension().is_some_and(|extension| extension == "pcap" || extension == "pcapng") {
            continue;
        }
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let here = EXPECTED.iter().filter(|(file, ..)| *file == name);
        let expected: BTreeMap<_, _> = here.map(|(_, game, flows)| (*game, *flows)).collect();
        assert_eq!(games(&path), expected, "{name}");
        found += expected.len();
    }
    assert_eq!(found, EXPECTED.len(), "captures are missing");
}
