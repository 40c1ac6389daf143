//! Loading and attaching the XDP program, and the events that it sends.

use std::process::Command;
use std::sync::Mutex;

use capture_user::source::policy::ConsoleFilter;
use capture_user::source::xdp::program::{Error, Mode, Program, Request};
use tests::frame::Frame;
use tests::netns::{Cable, NEAR, may_run_live, with_cable};

/// The index of the captured end of the cable.
fn near() -> u32 {
    ip_link(NEAR).split(':').next().unwrap().parse().unwrap()
}

/// What `ip` says of an interface, in one line.
fn ip_link(interface: &str) -> String {
    let output = Command::new("ip").args(["-o", "link", "show", "dev", interface]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn native_where_the_driver_can_and_gone_with_the_program() {
    with_cable(Cable::default(), || {
        let mut program = Program::load(false).unwrap();
        let interface = near();
        let attached = program.attach(interface, Request::Best).unwrap();
        assert_eq!(attached.mode, Mode::Native);
        assert!(attached.native_refused.is_none());
        assert!(ip_link(NEAR).contains("xdp"), "{}", ip_link(NEAR));
        // Once more is no conflict with itself.
        assert_eq!(program.attach(interface, Request::Generic).unwrap().mode, Mode::Generic);
        assert!(ip_link(NEAR).contains("xdpgeneric"), "{}", ip_link(NEAR));
        drop(program);
        assert!(!ip_link(NEAR).contains("xdp"), "{}", ip_link(NEAR));
    });
}

#[test]
fn generic_where_the_driver_cannot_and_says_why() {
    with_cable(Cable::default(), || {
        let mut program = Program::load(false).unwrap();
        let refusal = program.attach(1, Request::Native).unwrap_err();
        assert!(refusal.to_string().contains("no native XDP"), "{refusal}");
        let attached = program.attach(1, Request::Best).unwrap();
        assert_eq!(attached.mode, Mode::Generic);
        assert!(attached.native_refused.is_some());
    });
}

#[test]
fn another_program_is_not_pushed_aside() {
    with_cable(Cable::default(), || {
        let interface = near();
        for first in [Request::Native, Request::Generic] {
            let (mut theirs, mut ours) = (Program::load(false).unwrap(), Program::load(false).unwrap());
            theirs.attach(interface, first).unwrap();
            for request in [Request::Best, Request::Native, Request::Generic] {
                let refusal = ours.attach(interface, request);
                assert!(matches!(refusal, Err(Error::Occupied)), "{first:?}, {request:?}: {refusal:?}");
            }
            theirs.detach();
            ours.attach(interface, Request::Best).unwrap();
        }
    });
}

#[test]
fn an_interface_that_is_gone_is_an_error() {
    with_cable(Cable::default(), || {
        let refusal = Program::load(false).unwrap().attach(99_999, Request::Best).unwrap_err();
        assert!(refusal.to_string().contains("the interface is gone"), "{refusal}");
    });
}

/// Keeps what is logged.
struct Kept(Mutex<Vec<String>>);

static LOGGED: Kept = Kept(Mutex::new(Vec::new()));

impl log::Log for Kept {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        if record.target().contains("padtap") {
            self.0.lock().unwrap().push(format!("{} {}", record.level(), record.args()));
        }
    }

    fn flush(&self) {}
}

#[test]
fn events_name_new_consoles_once_and_malformed_headers() {
    if !may_run_live() {
        return;
    }
    log::set_logger(&LOGGED).unwrap();
    log::set_max_level(log::LevelFilter::Debug);
    let mut filter = ConsoleFilter::new();
    filter.add_console("bc:60:a7".parse().unwrap()).unwrap();
    let mut program = Program::load(true).unwrap();
    program.set_filter(&filter).unwrap();

    let frame =
        Frame::ethernet("bc:60:a7:00:00:40", "00:00:5e:00:53:01").ipv4("10.0.0.1", "10.0.0.2").udp(1, 2).build();
    for _ in 0..3 {
        program.test(&frame, 1).unwrap();
    }
    program.test(&Frame::ethernet("00:00:5e:00:53:01", "bc:60:a7:00:00:41").payload(46).build(), 1).unwrap();
    program.test(&frame[..40], 1).unwrap();
    program.flush_events();
    let logged = std::mem::take(&mut *LOGGED.0.lock().unwrap());
    assert_eq!(logged.len(), 2, "{logged:?}");
    assert!(logged[0].starts_with("DEBUG first frame of console bc:60:a7:00:00:40"), "{logged:?}");
    assert_eq!(logged[1], "DEBUG malformed headers after 34 of 40 bytes from bc:60:a7:00:00:40");

    // Without events that code is not even there.
    let without = Program::load(false).unwrap().statistics().unwrap().instructions;
    assert!((1..program.statistics().unwrap().instructions).contains(&without));
}
