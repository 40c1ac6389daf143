//! The XDP program's verdicts: the kernel runs the committed object on a table of frames (BPF_PROG_TEST_RUN), and user
//! space must give the same answer for each, and for what random changes make of them.

#[path = "verdicts/cases.rs"]
mod cases;

use std::os::fd::AsFd as _;

use capture_common::config::{Address, Class, FlowCount, FlowKey, MAX_MACS, MAX_PREFIXES, flag, mac_key};
use capture_common::counters::{Count, Counter, Counters};
use capture_common::meta::Meta;
use capture_common::steer::{self, Cause, Packet as _, Policy as _, Steered, Verdict, steer};
use capture_user::source::policy::ConsoleFilter;
use capture_user::source::policy::rule::Console;
use capture_user::source::xdp::program::{OBJECT, Program};
use cases::{CASES, Case, filter};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rustix::net::{AddressFamily, SocketType, socket};
use tests::frame::Frame;
use tests::netns::may_run_live;

const DROP: u32 = 1;
const PASS: u32 = 2;
const REDIRECT: u32 = 4;

/// The program with a socket for queue 0, where test runs take place.
fn program() -> Option<(Program, rustix::fd::OwnedFd)> {
    if !may_run_live() {
        return None;
    }
    let mut program = Program::load(false).unwrap();
    let socket = socket(AddressFamily::XDP, SocketType::RAW, None).unwrap();
    program.register(0, socket.as_fd()).unwrap();
    Some((program, socket))
}

/// Runs the program on a frame and compares all it did with what user space says it should do.
fn compare(program: &mut Program, filter: &ConsoleFilter, frame: &[u8], name: &str) -> Steered {
    let expected = steer(frame, filter);
    let before = program.counters().unwrap();
    let started = monotonic();
    let tested = program.test(frame, 1).unwrap();
    let (action, data) = match expected.verdict {
        Verdict::Capture(class) => {
            let meta = Meta::read(tested.data.get(..Meta::SIZE).unwrap_or_default()).expect(name);
            assert!((started..=monotonic()).contains(&meta.time), "{name}: time {}", meta.time);
            assert_eq!(meta, expected.meta(class, meta.time, frame.len() as u32), "{name}");
            let keep = expected.keep(filter.config().snap(class)) as usize;
            (REDIRECT, [&meta.to_bytes()[..], &frame[..keep.min(frame.len())]].concat())
        }
        Verdict::Shunt => (DROP, frame.to_vec()),
        Verdict::Ignore(_) if filter.config().has(flag::PASS_UNMATCHED) => (PASS, frame.to_vec()),
        Verdict::Ignore(_) => (DROP, frame.to_vec()),
    };
    assert_eq!(tested.action, action, "{name}");
    assert_eq!(tested.data, data, "{name}");
    assert_eq!(program.counters().unwrap(), counted(before, &expected, filter, frame), "{name}");
    expected
}

/// What the counters must be after one more frame.
fn counted(mut counters: Counters, steered: &Steered, filter: &ConsoleFilter, frame: &[u8]) -> Counters {
    let mut add = |counter| counters.add(counter, frame.len() as u32);
    add(Counter::Seen);
    if steered.flags & steer::flag::MALFORMED != 0 {
        add(Counter::Malformed);
    }
    match steered.verdict {
        Verdict::Capture(class) => {
            add(class.counter());
            add(Counter::Redirected);
            if steered.keep(filter.config().snap(class)) < frame.len() as u32 {
                add(Counter::Snapped);
            }
        }
        Verdict::Shunt => add(Counter::Shunted),
        Verdict::Ignore(cause) => {
            add(cause.counter());
            let pass = filter.config().has(flag::PASS_UNMATCHED);
            add(if pass { Counter::Passed } else { Counter::Filtered });
        }
    }
    counters
}

fn monotonic() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

#[test]
fn the_table_in_user_space() {
    assert!(CASES.len() >= 60, "{} cases", CASES.len());
    for case in CASES {
        let frame = case.frame();
        check(case, &steer(&frame[..], &filter(case.filter)), frame.len());
    }
}

/// The answer that the table expects.
fn check(case: &Case, steered: &Steered, length: usize) {
    let name = case.name;
    assert_eq!(steered.verdict, case.verdict, "{name}");
    assert_eq!(steered.flags, case.flags, "{name}: flags {:#x}", steered.flags);
    if let (Some(keep), Verdict::Capture(class)) = (case.keep, case.verdict) {
        let kept = steered.keep(filter(case.filter).config().snap(class)).min(length as u32);
        assert_eq!(kept, keep, "{name}: bytes kept");
    }
}

#[test]
fn the_table_in_the_kernel() {
    let Some((mut program, _socket)) = program() else { return };
    for case in CASES {
        let filter = filter(case.filter);
        program.set_filter(&filter).unwrap();
        let frame = case.frame();
        if frame.len() >= 14 {
            check(case, &compare(&mut program, &filter, &frame, case.name), frame.len());
        }
    }
    let counters = program.counters().unwrap();
    assert!(counters.balances(), "{counters:?}");
    assert_eq!(counters.of(Counter::NoMeta), Count::default());
    assert_eq!(counters.of(Counter::SnapErrors), Count::default());
}

#[test]
fn every_truncation_of_every_case() {
    let Some((mut program, _socket)) = program() else { return };
    let mut runs = 0;
    for case in CASES {
        let filter = filter(case.filter);
        program.set_filter(&filter).unwrap();
        let frame = case.frame();
        // Headers end before byte 200 in all cases but those that say so by their payload.
        for length in (14..frame.len()).take(200) {
            compare(&mut program, &filter, &frame[..length], case.name);
            runs += 1;
        }
    }
    assert!(runs > 3_000, "{runs}");
    assert!(program.counters().unwrap().balances());
}

/// One of the table's frames with some bytes overwritten, cut or extended; or noise.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let change = (0..120_usize, any::<u8>());
    let changed = (0..CASES.len(), prop::collection::vec(change, 0..6), 14..400_usize);
    let changed = changed.prop_map(|(case, changes, length)| {
        let mut frame = CASES[case].frame();
        for (at, byte) in changes {
            if let Some(place) = frame.get_mut(at) {
                *place = byte;
            }
        }
        frame.resize(length, 0);
        frame
    });
    prop_oneof![8 => changed, 1 => prop::collection::vec(any::<u8>(), 14..400)]
}

#[test]
fn kernel_and_user_space_agree_on_random_frames() {
    let Some((mut program, _socket)) = program() else { return };
    let program = std::cell::RefCell::new(&mut program);
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(4_000);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    let result = runner.run(&(any_frame(), 0..CASES.len()), |(frame, case)| {
        let filter = filter(CASES[case].filter);
        let mut program = program.borrow_mut();
        program.set_filter(&filter).unwrap();
        compare(&mut program, &filter, &frame, "random");
        Ok(())
    });
    result.unwrap();
    assert!(program.borrow().counters().unwrap().balances());
}

#[test]
fn a_new_filter_replaces_the_old_one_entirely() {
    let Some((mut program, _socket)) = program() else { return };
    for first in cases::FILTERS {
        for second in cases::FILTERS {
            program.set_filter(&filter(first)).unwrap();
            let filter = filter(second);
            program.set_filter(&filter).unwrap();
            for case in CASES.iter().step_by(7).filter(|case| case.frame().len() >= 14) {
                compare(&mut program, &filter, &case.frame(), &format!("{first} then {second}: {}", case.name));
            }
        }
    }
}

#[test]
fn a_full_filter_replaces_a_full_filter() {
    let Some((mut program, _socket)) = program() else { return };
    for block in 0..3_u64 {
        let mut filter = ConsoleFilter::new();
        for host in 0..u64::from(MAX_MACS) {
            filter.add_console(Console::Mac(mac_key(0xbc60_a700_0000 + (block << 12) + host, 48))).unwrap();
        }
        for net in 0..MAX_PREFIXES {
            filter.add_console(format!("10.{}.{}.{block}", net / 256, net % 256).parse().unwrap()).unwrap();
        }
        program.set_filter(&filter).unwrap();
        for (other, class) in [(block, Some(Class::Console)), (block + 1, None)] {
            let by_mac = Frame::ethernet(&format!("bc:60:a7:00:{:02x}:ff", other << 4), "00:00:5e:00:53:01");
            let by_address = Frame::ethernet("00:00:5e:00:53:02", "00:00:5e:00:53:01")
                .ipv4(&format!("10.3.255.{other}"), "203.0.113.9")
                .udp(1, 2);
            for frame in [by_mac, by_address] {
                let steered = compare(&mut program, &filter, &frame.build(), "full");
                let expected = class.map_or(Verdict::Ignore(Cause::NoConsole), Verdict::Capture);
                assert_eq!(steered.verdict, expected, "{block}, {other}");
            }
        }
    }
}

#[test]
fn a_shunted_flow_is_counted_exactly_and_captured_again() {
    let Some((mut program, _socket)) = program() else { return };
    let console = filter("mac");
    program.set_filter(&console).unwrap();
    for six in [false, true] {
        let [up, down] = [false, true].map(|back| cases::download(six, back));
        let ends = if six { ["2001:db8:c::40", "2606:4700::1"] } else { ["192.168.1.40", "203.0.113.9"] };
        let [console_ip, server_ip] = ends.map(|text| Address::from(text.parse::<std::net::IpAddr>().unwrap()));
        let (flow, direction) = FlowKey::new((console_ip, 50_000), (server_ip, 443), 6);
        program.shunt(flow).unwrap();
        for _ in 0..10 {
            assert_eq!(program.test(&up, 1).unwrap().action, DROP);
        }
        program.shunt(flow).unwrap();
        for _ in 0..5 {
            assert_eq!(program.test(&down, 1).unwrap().action, DROP);
        }
        // Another flow of the same console, and the same ports over UDP.
        for other in cases::not_the_download(six) {
            assert_eq!(program.test(&other, 1).unwrap().action, REDIRECT);
        }
        let mut expected = FlowCount::default();
        for (way, frame, packets) in [(direction as usize, &up, 10), (1 - direction as usize, &down, 5)] {
            expected.packets[way] = packets;
            expected.bytes[way] = packets * frame.len() as u64;
            expected.ip_bytes[way] = packets * (frame.len() as u64 - 14 - 4);
        }
        assert_eq!(program.shunted().unwrap(), [(flow, expected)]);
        assert_eq!(program.unshunt(&flow).unwrap(), Some(expected));
        assert_eq!(program.unshunt(&flow).unwrap(), None);
        compare(&mut program, &console, &up, "unshunted");
    }
    let counters = program.counters().unwrap();
    assert_eq!(counters.of(Counter::Shunted).packets, 30);
    assert!(counters.balances());
}

#[test]
fn a_queue_without_a_socket_is_a_redirect_error() {
    let Some((mut program, _socket)) = program() else { return };
    program.unregister(0).unwrap();
    program.set_filter(&ConsoleFilter::everything()).unwrap();
    let frame = cases::download(false, false);
    assert_eq!(program.test(&frame, 1).unwrap().action, DROP);
    let counters = program.counters().unwrap();
    assert_eq!(counters.of(Counter::RedirectErrors), Count { packets: 1, bytes: frame.len() as u64 });
    assert_eq!(counters.of(Counter::Redirected), Count::default());
    assert!(counters.balances());
}

#[test]
fn runts_are_for_user_space_only() {
    // The kernel hands no frame of less than 14 bytes to a program.
    let frame = Frame::ethernet("bc:60:a7:00:00:40", "00:00:5e:00:53:01").build();
    assert_eq!(steer(&frame[..13], &filter("mac")).verdict, Verdict::Ignore(Cause::Runt));
    assert_eq!(frame[..13].length(), 13);
}

/// Needs no privilege: what the loader will look for is in the object.
#[test]
fn the_object_has_its_program_and_maps() {
    let object = aya_obj::Object::parse(OBJECT).unwrap();
    let program = &object.programs["padtap"];
    assert!(matches!(program.section, aya_obj::ProgramSection::Xdp { frags: true, .. }));
    assert_eq!(program.license.to_str(), Ok("Dual MIT/GPL"));
    let mut maps: Vec<&str> = object.maps.keys().map(String::as_str).filter(|name| !name.starts_with('.')).collect();
    maps.sort_unstable();
    let expected =
        ["ANNOUNCED", "AYA_LOGS", "CONFIG", "COUNTERS", "MACS", "PORTS", "PREFIXES_4", "PREFIXES_6", "SHUNTED", "XSKS"];
    assert_eq!(maps, expected);
}
