//! AF_XDP on a real kernel: frames that a packet socket sends at one end of a veth cable are captured at the other.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use capture_user::source::xdp::link::Link;
use capture_user::source::xdp::program::{Mode, Request};
use capture_user::source::xdp::{self, Config, Control, Copying, Sizes, XdpSource};
use capture_user::source::{Error, Received, Source, Tally, View};
use tests::netns::{self, Cable, FAR, NEAR, Sender, with_cable};

/// A UDP frame of `length` bytes in a flow and with contents of its own.
fn frame(number: u32, length: usize) -> Vec<u8> {
    const HEADERS: usize = 42;
    let mut frame = vec![0; length];
    frame[..12].copy_from_slice(&[0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2]);
    frame[12..14].copy_from_slice(&[0x08, 0x00]);
    let ip_length = (length - 14) as u16;
    frame[14..24].copy_from_slice(&[0x45, 0, (ip_length >> 8) as u8, ip_length as u8, 0, 0, 0x40, 0, 64, 17]);
    frame[26..34].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
    frame[34..36].copy_from_slice(&(1024 + (number % 60_000) as u16).to_be_bytes());
    frame[36..38].copy_from_slice(&3074_u16.to_be_bytes());
    frame[38..40].copy_from_slice(&(ip_length - 20).to_be_bytes());
    for (place, byte) in frame[HEADERS..].iter_mut().enumerate() {
        *byte = (place as u32).wrapping_mul(31).wrapping_add(number).wrapping_mul(0x9e37_79b1).to_be_bytes()[0];
    }
    frame[HEADERS..HEADERS + 4].copy_from_slice(&number.to_be_bytes());
    frame
}

fn open(config: &Config) -> (Vec<XdpSource>, Control) {
    xdp::open(config).unwrap_or_else(|error| panic!("{error}"))
}

/// Small enough that many captures fit side by side.
fn small() -> Config {
    Config { sizes: Sizes { rx: 256, fill: 256, held: 256, chunk_size: Some(4096) }, ..Config::new(NEAR) }
}

/// Receives until nothing comes for a while, or `count` frames are there; recycles them and gives their bytes.
fn receive(source: &mut XdpSource, count: usize) -> Vec<Vec<u8>> {
    const QUIET: u32 = 10;
    let (mut tokens, mut scratch, mut frames, mut quiet) = (Vec::new(), Vec::new(), Vec::new(), 0);
    let view = source.view();
    while frames.len() < count && quiet < QUIET {
        match source.receive(64, Duration::from_millis(100), &mut tokens).unwrap() {
            Received::Frames => quiet = 0,
            _ => quiet += 1,
        }
        frames.extend(tokens.iter().map(|token| {
            let frame = view.frame(token, &mut scratch);
            assert_eq!(frame.length as usize, frame.data.len());
            frame.data.to_vec()
        }));
        source.recycle(&mut tokens);
    }
    frames
}

/// Stops the capture, takes what is in the rings, and gives the sum of all tallies.
fn finish(sources: &mut [XdpSource], control: &Control) -> Tally {
    control.stop();
    let mut tally = control.tally().unwrap();
    for source in sources {
        let mut tokens = Vec::new();
        while source.receive(64, Duration::ZERO, &mut tokens).is_ok_and(|received| received == Received::Frames) {
            source.recycle(&mut tokens);
        }
        assert_eq!(source.outstanding(), 0, "every chunk came back");
        tally = tally + source.tally();
    }
    tally
}

#[track_caller]
fn assert_balanced(tally: &Tally) {
    let verdicts = tally.passed + tally.filtered + tally.shunted + tally.redirected + tally.redirect_errors;
    assert_eq!(tally.seen, verdicts, "{tally:?}");
    assert_eq!(tally.redirected, tally.delivered + tally.rx_dropped + tally.rx_ring_full, "{tally:?}");
}

fn check_byte_for_byte(config: &Config, mode: Mode) {
    let lengths = [60, 61, 64, 300, 1514, 3840, 3841, 7680, 7681, 9000, 9014];
    let (mut sources, control) = open(config);
    assert_eq!((control.granted().mode, control.granted().zero_copy), (mode, false), "{:?}", control.granted());
    assert!(control.granted().scatter_gather);
    let mut sender = Sender::new();
    for (number, &length) in lengths.iter().cycle().take(200).enumerate() {
        let sent = frame(number as u32, length);
        sender.send(&sent);
        let received = receive(&mut sources[0], 1);
        assert!(received == [sent], "frame {number} of {length} bytes");
    }
    let tally = finish(&mut sources, &control);
    assert_balanced(&tally);
    assert_eq!((tally.seen, tally.delivered, tally.bad_descriptors), (200, 200, 0));
}

#[test]
fn frames_arrive_byte_for_byte_in_the_driver() {
    with_cable(Cable { mtu: 9000, queues: 1 }, || check_byte_for_byte(&small(), Mode::Native));
}

#[test]
fn frames_arrive_byte_for_byte_in_the_stack() {
    let config = Config { attach: Request::Generic, ..small() };
    with_cable(Cable { mtu: 9000, queues: 1 }, || check_byte_for_byte(&config, Mode::Generic));
}

#[test]
fn frames_arrive_byte_for_byte_in_small_chunks() {
    let config = Config { sizes: Sizes { chunk_size: Some(2048), ..small().sizes }, ..small() };
    with_cable(Cable { mtu: 9000, queues: 1 }, || check_byte_for_byte(&config, Mode::Native));
}

#[test]
fn every_queue_is_bound_and_counts_for_itself() {
    const FRAMES: u32 = 2_000;
    with_cable(Cable { queues: 4, ..Cable::default() }, || {
        let config =
            Config { sizes: Sizes { rx: 2048, fill: 2048, held: 64, chunk_size: Some(2048) }, ..Config::new(NEAR) };
        let (mut sources, control) = open(&config);
        assert_eq!((sources.len(), control.granted().queues), (4, 4));
        let mut sender = Sender::new();
        (0..FRAMES).for_each(|number| sender.send(&frame(number, 128)));
        let mut numbers = Vec::new();
        for source in &mut sources {
            let received = receive(source, FRAMES as usize);
            assert_eq!(received.len() as u64, source.tally().delivered);
            assert!(!received.is_empty(), "queue {} got no flow of {FRAMES}", source.queue());
            numbers.extend(received.iter().map(|frame| u32::from_be_bytes(frame[42..46].try_into().unwrap())));
        }
        numbers.sort_unstable();
        assert!(numbers.iter().copied().eq(0..FRAMES), "each frame once");
        assert_balanced(&finish(&mut sources, &control));
    });
}

#[test]
fn a_reader_that_pauses_loses_frames_and_every_loss_is_counted() {
    const FRAMES: u32 = 3_000;
    with_cable(Cable { mtu: 9000, queues: 1 }, || {
        // The RX ring is the shorter, then the chunks are; then frames of three chunks want more than there are.
        for (rx, fill, length) in [(64, 1024, 64), (1024, 64, 64), (64, 64, 9014)] {
            let config = Config { sizes: Sizes { rx, fill, held: 0, chunk_size: Some(4096) }, ..Config::new(NEAR) };
            let (mut sources, control) = open(&config);
            let mut sender = Sender::new();
            (0..FRAMES).for_each(|number| sender.send(&frame(number, length)));
            let tally = finish(&mut sources, &control);
            assert_balanced(&tally);
            assert!(tally.rx_dropped + tally.rx_ring_full > 0, "{tally:?}");
            assert!(tally.delivered > 0 && tally.seen <= u64::from(FRAMES), "{tally:?}");
        }
    });
}

#[test]
fn all_that_is_injected_is_delivered_or_counted_while_reading() {
    const FRAMES: u32 = 100_000;
    with_cable(Cable::default(), || {
        let (mut sources, control) = open(&small());
        let reader = std::thread::scope(|scope| {
            let source = &mut sources[0];
            let reader = scope.spawn(move || receive(source, FRAMES as usize).len());
            // A test run ends early when anything interrupts the thread; the program has counted how far it came.
            while let left @ 1.. = u64::from(FRAMES) - control.tally().unwrap().seen {
                let injected = control.program().inject(control.link().index, 0, &frame(1, 64), left as u32);
                assert!(injected.map_or_else(|error| error.to_string().contains("Interrupted"), |_| true));
            }
            reader.join().unwrap()
        });
        let tally = finish(&mut sources, &control);
        assert_balanced(&tally);
        assert_eq!(tally.seen, u64::from(FRAMES));
        assert!(reader > 0 && tally.delivered >= reader as u64);
    });
}

#[test]
fn an_alternative_name_will_do() {
    with_cable(Cable::default(), || {
        let name = "the-mirror-port-in-the-living-room";
        netns::ip(&format!("link property add dev {NEAR} altname {name}"));
        let (mut sources, control) = open(&Config { interface: name.to_owned(), ..small() });
        assert_eq!(control.link().alternative_names, [name]);
        Sender::new().send(&frame(1, 60));
        assert_eq!(receive(&mut sources[0], 1).len(), 1);
    });
}

#[test]
fn an_interface_says_what_it_is() {
    with_cable(Cable { mtu: 4000, queues: 2 }, || {
        let link = Link::find(NEAR).unwrap();
        assert_eq!((link.mtu, link.queues().rx, link.queues().tx), (4000, 2, 2));
        assert_eq!((link.driver().as_deref(), link.promiscuity, link.up), (Some("veth"), 0, true));
        netns::ip(&format!("link set {NEAR} promisc on address 02:00:00:00:00:09"));
        let link = Link::find(NEAR).unwrap();
        assert_eq!((link.mac, link.promiscuity), (Some([2, 0, 0, 0, 0, 9]), 1));
        assert!(link.offloads().gro.is_some());
        let features = link.xdp_features().unwrap();
        assert!(features.native && features.scatter_gather && !features.zero_copy, "{features:?}");
    });
}

/// What can prevent a capture, each said in words that help.
#[test]
fn a_refusal_says_why() {
    with_cable(Cable::default(), || {
        let refusal = |config: Config| match xdp::open(&config) {
            Ok(_) => panic!("this must not work: {config:?}"),
            Err(error) => error.to_string(),
        };
        for (config, part) in [
            (Config::new("padtap-nothing"), "No such device"),
            (Config { copying: Copying::ZeroCopy, ..small() }, "padtap0 queue 0: cannot bind"),
            (Config { sizes: Sizes { rx: 1000, ..small().sizes }, ..small() }, "power of two"),
            (Config { sizes: Sizes { chunk_size: Some(8192), ..small().sizes }, ..small() }, "2048 or 4096"),
            (Config { attach: Request::Native, ..Config::new("lo") }, "lo"),
        ] {
            let refusal = refusal(config);
            assert!(refusal.contains(part), "{refusal}");
        }
        netns::ip(&format!("link set {NEAR} down"));
        assert!(refusal(small()).contains("ip link set dev padtap0 up"));
        assert_eq!(Link::find(NEAR).unwrap().promiscuity, 0);
    });
}

#[test]
fn another_program_on_the_interface_is_left_alone() {
    with_cable(Cable::default(), || {
        let (mut sources, control) = open(&small());
        let refusal = xdp::open(&small()).err().expect("the second must be refused").to_string();
        assert!(refusal.contains("another XDP program") && refusal.contains("ip link set dev padtap0 xdp off"));
        Sender::new().send(&frame(1, 60));
        assert_eq!(receive(&mut sources[0], 1).len(), 1, "the first goes on");
        drop((sources, control));
        open(&small());
    });
}

#[test]
fn whatever_is_dropped_first_the_interface_is_as_before() {
    with_cable(Cable { queues: 2, ..Cable::default() }, || {
        let before = Link::find(NEAR).unwrap();
        for round in 0..6 {
            let (mut sources, control) = open(&small());
            let during = Link::find(NEAR).unwrap();
            assert!(during.xdp.is_some_and(|xdp| !xdp.generic) && during.promiscuity == 1);
            match round % 3 {
                0 => drop(control),
                1 => drop(sources.pop()),
                _ => drop(std::mem::take(&mut sources)),
            }
            assert_eq!(Link::find(NEAR).unwrap().xdp, None, "a part is gone, so the program is");
        }
        let after = Link::find(NEAR).unwrap();
        assert_eq!((after.xdp, after.promiscuity), (before.xdp, before.promiscuity));
    });
}

#[test]
fn an_interface_that_goes_ends_the_capture_with_its_frames_kept() {
    for (command, part) in [(format!("link del {FAR}"), "removed"), (format!("link set {NEAR} down"), "set down")] {
        with_cable(Cable::default(), || {
            let (mut sources, _control) = open(&small());
            let mut sender = Sender::new();
            (0..5).for_each(|number| sender.send(&frame(number, 60)));
            netns::ip(&command);
            let (mut tokens, mut frames) = (Vec::new(), 0);
            let error = loop {
                match sources[0].receive(64, Duration::from_millis(20), &mut tokens) {
                    Ok(_) => frames += tokens.len(),
                    Err(error) => break error,
                }
                sources[0].recycle(&mut tokens);
            };
            assert!(matches!(&error, Error::Gone { reason, .. } if reason.contains(part)), "{error}");
            assert_eq!(frames, 5);
        });
    }
}

/// Set for the process that a test starts in order to kill it.
const VICTIM: &str = "PADTAP_TEST_VICTIM";

#[test]
fn a_killed_capture_leaves_nothing_behind() {
    if std::env::var_os(VICTIM).is_some() {
        return be_the_victim();
    }
    with_cable(Cable { queues: 2, ..Cable::default() }, || {
        netns::ip(&format!("link set {NEAR} promisc on"));
        let before = Link::find(NEAR).unwrap();
        for _ in 0..3 {
            let mut victim = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "a_killed_capture_leaves_nothing_behind", "--nocapture"])
                .env(VICTIM, "1")
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
            assert!(lines.map_while(Result::ok).any(|line| line.contains("capturing")), "the victim starts");
            let during = Link::find(NEAR).unwrap();
            assert!(during.xdp.is_some() && during.promiscuity == before.promiscuity + 1, "{during:?}");
            victim.kill().unwrap();
            victim.wait().unwrap();
            let (mut sources, control) = open(&small());
            Sender::new().send(&frame(1, 60));
            assert!(sources.iter_mut().any(|source| receive(source, 1).len() == 1), "a second capture starts at once");
            drop((sources, control));
            let after = Link::find(NEAR).unwrap();
            assert_eq!((after.xdp, after.promiscuity), (None, before.promiscuity));
        }
    });
}

/// Captures until it is killed.
fn be_the_victim() {
    let (mut sources, _control) = open(&small());
    println!("capturing");
    let mut tokens = Vec::new();
    loop {
        sources[0].receive(64, Duration::from_secs(1), &mut tokens).unwrap();
        sources[0].recycle(&mut tokens);
    }
}
