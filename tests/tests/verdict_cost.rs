//! What a verdict costs, on the table's frames:
//! `cargo test --release -p tests --test verdict_cost -- --ignored --nocapture`.

#[path = "verdicts/cases.rs"]
#[allow(dead_code, reason = "this looks at frames and filters only")]
mod cases;

use std::os::fd::AsFd as _;

use capture_common::steer::{Cause, Verdict};
use capture_user::source::xdp::program::Program;
use cases::{CASES, filter};
use rustix::net::{AddressFamily, SocketType, socket};
use tests::netns::{Cable, with_cable};

const FRAMES: u32 = 100_000;
const ROUNDS: usize = 5;

/// The kernel receives copies of a frame in batches, as from a driver, and times the runs of the program; reading its
/// clock is part of what it says.
#[test]
#[ignore = "measures, and asserts nothing"]
fn cost_of_each_verdict() {
    with_cable(Cable::default(), || {
        let mut program = Program::load(false).unwrap();
        // Bound to nothing, it takes no frames: what is measured is the program.
        let socket = socket(AddressFamily::XDP, SocketType::RAW, None).unwrap();
        program.register(0, socket.as_fd()).unwrap();
        let _timing = Program::time_runs().unwrap();
        let loaded = program.statistics().unwrap();
        println!("{} instructions, {} bytes of machine code", loaded.instructions, loaded.machine_code);
        println!("{:>4}  {:<13} {:<40} verdict", "ns", "filter", "frame");
        for case in CASES {
            let frame = case.frame();
            let passed = case.filter == "pass" && case.verdict == Verdict::Ignore(Cause::NoConsole);
            // Live frames fit in a page, and those that pass would enter the stack.
            if !(14..2_000).contains(&frame.len()) || passed {
                continue;
            }
            program.set_filter(&filter(case.filter)).unwrap();
            let mut costs = [0.0; ROUNDS];
            for cost in &mut costs {
                *cost = mean(&mut program, &frame);
            }
            costs.sort_by(f64::total_cmp);
            println!("{:>4.0}  {:<13} {:<40} {:?}", costs[ROUNDS / 2], case.filter, case.name, case.verdict);
        }
    });
}

/// Nanoseconds of one run.
fn mean(program: &mut Program, frame: &[u8]) -> f64 {
    let before = program.statistics().unwrap();
    program.inject(1, 0, frame, FRAMES).unwrap();
    let after = program.statistics().unwrap();
    (after.run_time - before.run_time).as_nanos() as f64 / (after.runs - before.runs) as f64
}
