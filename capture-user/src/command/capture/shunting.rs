//! `--shunt`: between the shards that find downloads and the XDP program that counts and drops their frames.

use std::time::{Duration, Instant};

use capture_user::shunt::{Request, Requests};
use capture_user::source::xdp::program::{Error, Program};

/// How often the shards are told what was counted.
const TELL: Duration = Duration::from_millis(500);

/// The thread of control's part.
pub struct Shunting {
    requests: Requests,
    told: Instant,
    /// Flows that are shunted.
    flows: usize,
}

impl Shunting {
    /// Serves these requests.
    pub fn new(requests: Requests) -> Self {
        Self { requests, told: Instant::now(), flows: 0 }
    }

    /// Does what the shards asked for since the last call, and tells them now and then what was counted.
    ///
    /// # Errors
    /// Where the program's map cannot be read or written.
    pub fn serve(&mut self, program: &mut Program) -> Result<(), Error> {
        while let Some(request) = self.requests.next() {
            match request {
                // Where the program's table is full, frames are captured as before.
                Request::Shunt(flow) => self.flows += usize::from(program.shunt(flow).is_ok()),
                Request::Unshunt(flow) => {
                    program.unshunt(&flow)?;
                    self.flows = self.flows.saturating_sub(1);
                }
            }
        }
        if self.flows > 0 && self.told.elapsed() >= TELL { self.tell(program) } else { Ok(()) }
    }

    /// Tells the shards what was counted so far.
    ///
    /// # Errors
    /// Where the program's map cannot be read.
    pub fn tell(&mut self, program: &Program) -> Result<(), Error> {
        self.told = Instant::now();
        self.requests.tell(program.shunted()?);
        Ok(())
    }
}
