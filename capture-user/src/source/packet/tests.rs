//! Against the real kernel: a veth pair in a network namespace of its own, which this thread enters.

use std::process::Command;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::*;
use crate::source::View as _;

/// An EtherType for local experiments (IEEE 802): nothing else on the veth pair sends it.
const EXPERIMENT: [u8; 2] = [0x88, 0xb5];

/// A namespace with the interfaces `padtap-a` and `padtap-b`, while this lives.
struct Lab {
    name: String,
}

impl Lab {
    /// `None`, and a word on stderr, where it cannot be made; a failure where live tests are required.
    fn new(test: &str) -> Option<Self> {
        let name = format!("padtap-files-{test}-{}", std::process::id());
        if !ip(&["netns", "add", &name]) {
            assert_ne!(
                std::env::var("PADTAP_REQUIRE_LIVE").as_deref(),
                Ok("1"),
                "a network namespace must be possible"
            );
            eprintln!("SKIPPED: a network namespace needs root and `ip`");
            return None;
        }
        let lab = Self { name };
        let namespace = std::fs::File::open(format!("/run/netns/{}", lab.name)).unwrap();
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        assert!(ip(&["link", "add", "padtap-a", "type", "veth", "peer", "name", "padtap-b"]));
        assert!(ip(&["link", "set", "padtap-a", "up"]) && ip(&["link", "set", "padtap-b", "up"]));
        // Until the kernel has noticed that both ends are up, frames are thrown away unseen.
        let up = |interface| show(interface)["operstate"] == "UP";
        while !(up("padtap-a") && up("padtap-b")) {
            std::thread::yield_now();
        }
        Some(lab)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.name]);
    }
}

fn ip(arguments: &[&str]) -> bool {
    Command::new("ip").args(arguments).output().is_ok_and(|output| output.status.success())
}

/// What `ip` says of an interface.
fn show(interface: &str) -> serde_json::Value {
    let output = Command::new("ip").args(["-d", "-j", "link", "show", "dev", interface]).output().unwrap();
    let links: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    links[0].clone()
}

fn promiscuity(interface: &str) -> u64 {
    show(interface)["promiscuity"].as_u64().unwrap()
}

/// The `n`-th frame: not addressed to anybody here, of a length of its own.
fn frame(n: usize) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 9, 9, 2, 0, 0, 0, 9, 8];
    bytes.extend(EXPERIMENT);
    bytes.extend(n.to_be_bytes());
    bytes.resize(60 + n % 1400, n as u8);
    bytes
}

fn send(from: &str, frames: impl Iterator<Item = usize>) {
    let device = datalink::interfaces().into_iter().find(|device| device.name == from).unwrap();
    let config = datalink::Config { promiscuous: false, ..datalink::Config::default() };
    let Ok(Channel::Ethernet(mut sender, _)) = datalink::channel(&device, config) else { panic!("no channel") };
    for n in frames {
        sender.send_to(&frame(n), None).unwrap().unwrap();
    }
}

/// Lets the frames of [`send`] through, and nothing that the kernel sends by itself.
fn ours(frame: &Frame<'_>) -> Option<u32> {
    (frame.data.get(12..14) == Some(&EXPERIMENT[..])).then_some(1)
}

/// Receives until nothing comes any more.
fn drain<R: FnMut(&Frame<'_>) -> Option<u32>>(source: &mut PacketSource<R>) -> Vec<Vec<u8>> {
    let (mut tokens, mut scratch, mut frames) = (Vec::new(), Vec::new(), Vec::new());
    while source.receive(32, Duration::from_millis(500), &mut tokens).unwrap() == Received::Frames {
        for token in &tokens {
            let frame = View.frame(token, &mut scratch);
            assert_eq!((frame.length as usize, frame.link), (frame.data.len(), LinkType::Ethernet));
            frames.push(frame.data.to_vec());
        }
        source.recycle(&mut tokens);
    }
    frames
}

#[test]
fn every_frame_comes_as_it_was_sent() {
    let Some(_lab) = Lab::new("bytes") else { return };
    let mut source = PacketSource::open("padtap-b", ours).unwrap();
    assert_eq!(promiscuity("padtap-b"), 1);
    send("padtap-a", 0..3000);
    // What this side sends is not what came in.
    send("padtap-b", 5000..5010);
    assert!(drain(&mut source).into_iter().eq((0..3000).map(frame)));
    let tally = source.tally();
    assert_eq!((tally.delivered, tally.rx_dropped), (3000, 0));
    assert_eq!(tally.seen, 3000 + tally.filtered);
    assert_eq!(source.interfaces()[0].name.as_deref(), Some("padtap-b"));
    drop(source);
    // A child that another test is just starting holds our descriptors for a moment longer.
    for _ in 0..1000 {
        if promiscuity("padtap-b") == 0 {
            return;
        }
    }
    panic!("still promiscuous");
}

#[test]
fn what_the_socket_cannot_hold_is_counted() {
    let Some(_lab) = Lab::new("drops") else { return };
    let mut source = PacketSource::open("padtap-b", ours).unwrap();
    sockopt::set_socket_recv_buffer_size(&source.socket, 100_000).unwrap();
    send("padtap-a", 0..2000);
    let received = drain(&mut source).len() as u64;
    let tally = source.tally();
    assert!(tally.rx_dropped > 0 && received > 0);
    assert_eq!(tally.delivered, received);
    assert_eq!(tally.seen, tally.filtered + tally.redirected);
    assert_eq!(tally.redirected, tally.delivered + tally.rx_dropped);
    // The kernel may have added frames of its own; none of ours is unaccounted for.
    assert!(tally.seen >= 2000 && received + tally.rx_dropped >= 2000);
}

#[test]
fn an_interface_that_goes_down_or_away_is_told_after_its_frames() {
    for (test, gone) in [("down", &["link", "set", "padtap-b", "down"][..]), ("gone", &["link", "del", "padtap-b"])] {
        let Some(_lab) = Lab::new(test) else { return };
        let mut source = PacketSource::open("padtap-b", ours).unwrap();
        send("padtap-a", 0..10);
        assert!(ip(gone));
        let (mut tokens, mut error) = (Vec::new(), None);
        while error.is_none() {
            error = source.receive(4, Duration::from_secs(5), &mut tokens).err();
        }
        assert_eq!(tokens.len(), 10);
        assert!(matches!(error, Some(Error::Gone { .. })), "{error:?}");
        assert!(error.unwrap().to_string().starts_with("padtap-b: the interface went down or away"));
    }
}

#[test]
fn an_interface_that_is_not_there_is_named() {
    let Err(error) = PacketSource::open("padtap-none", |_| Some(0)) else { panic!("opened") };
    assert!(error.to_string().starts_with("padtap-none: no such interface"), "{error}");
}

#[test]
fn tokens_carry_their_frames() {
    let time = Timestamp::from_nanos(9);
    let token = Token { number: 3, time, link: LinkType::Ethernet, shard: 7, bytes: vec![1, 2] };
    let mut scratch = Vec::new();
    let frame = View.frame(&token, &mut scratch);
    assert_eq!((frame.number, frame.time, frame.length, frame.data), (3, time, 2, &[1, 2][..]));
    assert_eq!((View.shard(&token), View.stamped(&token)), (7, None));
}
