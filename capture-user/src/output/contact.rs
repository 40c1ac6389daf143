//! Contact with whoever reads from a socket, who may come late, be slow, die, and come back.
//!
//! Frames of an interface wait for nobody. Those of a file wait for a reader that is behind, as long as it goes on reading.

use std::io;
use std::time::{Duration, Instant};

use super::destination::Destination;
use super::peer::Peer;

/// The pause after a failed attempt to connect: doubled each time, to at most the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// How long a reader may take nothing before a file's records no longer wait for it, and before the end of a run does
/// not.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the end of a run may wait for nobody to come back; and, of a live capture, for a reader that is behind.
const DRAIN: Duration = Duration::from_secs(2);
/// How long one look at a socket that has no room takes.
const LOOK: Duration = Duration::from_millis(50);

/// A connection, or what it takes to have one again.
pub(super) struct Contact {
    to: Destination,
    /// Whether records are of the present.
    live: bool,
    /// What is said of the reader when it is not there.
    absent: &'static str,
    peer: Option<Peer>,
    /// When to connect again, and the pause after that.
    retry: Instant,
    pause: Duration,
    /// When the reader was last known to be well.
    progress: Instant,
    /// Whether it was said that it is not there.
    said: bool,
}

impl Contact {
    /// With whoever reads there; nobody has tried to connect yet.
    pub(super) fn with(destination: Destination, live: bool, absent: &'static str) -> Self {
        let now = Instant::now();
        Self { to: destination, live, absent, peer: None, retry: now, pause: BACKOFF.0, progress: now, said: false }
    }

    /// Connects where there is no connection, and it is time to try. Whether there is a new one. So many records are
    /// `lost` so far.
    pub(super) fn reconnect(&mut self, lost: u64) -> bool {
        if self.is_open() || Instant::now() < self.retry {
            return false;
        }
        match Peer::connect(&self.to) {
            Ok(peer) => {
                if std::mem::take(&mut self.said) {
                    log::warn!("{}: connected, {lost} records were lost so far", self.to);
                }
                self.peer = Some(peer);
                (self.pause, self.progress) = (BACKOFF.0, Instant::now());
            }
            Err(error) => {
                self.say(&error);
                self.retry = Instant::now() + self.pause;
                self.pause = (self.pause * 2).min(BACKOFF.1);
            }
        }
        self.is_open()
    }

    /// The connection is of no use any more; the next may be had at once.
    pub(super) fn disconnect(&mut self, error: &io::Error) {
        self.peer = None;
        self.retry = Instant::now();
        self.say(error);
    }

    /// Once for each time that nobody is there.
    fn say(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.said, true) {
            log::warn!("{}: {} ({error}); trying again", self.to, self.absent);
        }
    }

    /// Whether there is a connection.
    pub(super) fn is_open(&self) -> bool {
        self.peer.is_some()
    }

    /// Whether there is one whose other end, of a stream, is closed.
    pub(super) fn is_gone(&self) -> bool {
        self.peer.as_ref().is_some_and(Peer::is_gone)
    }

    /// Sends what there is room for now: [`io::ErrorKind::WouldBlock`] where there is none.
    pub(super) fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let peer = self.peer.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let count = peer.send(bytes)?;
        self.progress = Instant::now();
        Ok(count)
    }

    /// Waits a moment for room, or for somebody to come.
    pub(super) fn wait(&self) {
        match &self.peer {
            Some(peer) => peer.wait(LOOK),
            None => std::thread::sleep(LOOK),
        }
    }

    /// Whether records may wait until there is room.
    pub(super) fn may_wait(&self) -> bool {
        !self.live && self.progress.elapsed() < PATIENCE
    }

    /// Whether the end of a run, which began then, may wait until all is sent.
    pub(super) fn may_drain(&self, begun: Instant) -> bool {
        match self.live || !self.is_open() {
            true => begun.elapsed() < DRAIN,
            false => self.progress.elapsed() < PATIENCE,
        }
    }

    /// Ends the connection; whether there was one.
    pub(super) fn close(&mut self) -> bool {
        self.peer.take().is_some()
    }
}
