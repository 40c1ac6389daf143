//! Lines over a socket: to whoever reads there now, and to the next one when that is gone.
//!
//! Lines wait in a bounded queue while nobody reads, and those that find no room in it are lost and counted. A line
//! that a dying connection has cut is sent whole over the next one. What the system has taken for a reader counts as
//! written, though the reader may die before it reads it: only an answer could tell, and there is none.

use std::io;
use std::time::{Duration, Instant};

use super::Medium;
use super::outbox::Outbox;
use crate::output::Backlog;
use crate::output::destination::Destination;
use crate::output::peer::Peer;
use crate::time::Timestamp;

/// Bytes of lines that may wait.
const QUEUE: usize = 8 * 1024 * 1024;
/// Bytes that are worth a system call before a flush.
const BUNDLE: usize = 64 * 1024;
/// The pause after a failed attempt to connect: doubled each time, to at most the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// How long a reader may take nothing before a file's records no longer wait for it, and before the end of a run does
/// not. Frames of an interface never wait.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the end of a run may wait for nobody to come back; and, of a live capture, for a reader that is behind.
const DRAIN: Duration = Duration::from_secs(2);
/// How long one look at a socket that has no room takes.
const LOOK: Duration = Duration::from_millis(50);

/// What to connect to, and how.
#[derive(Clone, Debug)]
pub struct SocketConfig {
    /// The socket.
    pub destination: Destination,
    /// Whether records are of the present, and do not wait for a reader.
    pub live: bool,
}

/// Writes lines to a socket.
pub struct Socket {
    config: SocketConfig,
    peer: Option<Peer>,
    outbox: Outbox,
    lost: u64,
    /// When to connect again, and the pause after that.
    retry: Instant,
    pause: Duration,
    /// When a reader was last known to be well.
    progress: Instant,
    /// Whether it was said that nobody reads.
    said: bool,
}

impl Socket {
    /// Connects; that nobody is there yet is no failure.
    pub fn new(config: SocketConfig) -> Self {
        let now = Instant::now();
        let outbox = Outbox::new(QUEUE);
        let mut socket =
            Self { config, peer: None, outbox, lost: 0, retry: now, pause: BACKOFF.0, progress: now, said: false };
        socket.reconnect();
        socket
    }

    fn reconnect(&mut self) {
        if self.peer.is_some() || Instant::now() < self.retry {
            return;
        }
        match Peer::connect(&self.config.destination) {
            Ok(peer) => {
                if std::mem::take(&mut self.said) {
                    log::warn!("{}: connected, {} records were lost so far", self.config.destination, self.lost);
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
    }

    /// Once for each time that nobody reads.
    fn say(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.said, true) {
            log::warn!("{}: nobody reads ({error}); trying again", self.config.destination);
        }
    }

    fn disconnect(&mut self, error: &io::Error) {
        self.peer = None;
        self.outbox.rewind();
        self.retry = Instant::now();
        self.say(error);
    }

    /// Sends what there is room for.
    fn pump(&mut self) {
        self.reconnect();
        let datagrams = matches!(self.config.destination, Destination::Unixgram(_));
        if !datagrams && self.peer.as_ref().is_some_and(Peer::is_gone) {
            self.disconnect(&io::ErrorKind::UnexpectedEof.into());
            self.reconnect();
        }
        while let Some(peer) = &self.peer
            && self.outbox.unsent() > 0
        {
            let bytes = if datagrams { self.outbox.next_line() } else { self.outbox.next_bytes() };
            match peer.send(bytes) {
                Ok(count) => {
                    self.outbox.advance(count);
                    self.progress = Instant::now();
                }
                Err(error) if is_no_room(&error) => return,
                Err(error) if is_too_long(&error) => {
                    self.outbox.drop_line();
                    self.lost += 1;
                }
                Err(error) => {
                    self.disconnect(&error);
                    self.reconnect();
                }
            }
        }
    }

    /// Waits a moment for room, or for somebody to come.
    fn wait(&self) {
        match &self.peer {
            Some(peer) => peer.wait(LOOK),
            None => std::thread::sleep(LOOK),
        }
    }
}

/// The system has no room for more just now.
fn is_no_room(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(rustix::io::Errno::NOBUFS.raw_os_error())
}

/// No datagram may be so long.
fn is_too_long(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::MSGSIZE.raw_os_error())
}

impl Medium for Socket {
    fn put(&mut self, line: &[u8], _time: Timestamp) -> io::Result<()> {
        if !self.outbox.has_room(line.len()) {
            self.pump();
        }
        while !self.config.live && !self.outbox.has_room(line.len()) && self.progress.elapsed() < PATIENCE {
            self.wait();
            self.pump();
        }
        if self.outbox.has_room(line.len()) {
            self.outbox.push(line);
        } else {
            self.lost += 1;
        }
        if self.outbox.unsent() >= BUNDLE {
            self.pump();
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pump();
        Ok(())
    }

    fn settle(&mut self) -> io::Result<()> {
        let begun = Instant::now();
        self.pump();
        while self.outbox.unsent() > 0 || self.peer.is_none() {
            let enough = if self.config.live || self.peer.is_none() {
                begun.elapsed() >= DRAIN
            } else {
                self.progress.elapsed() >= PATIENCE
            };
            if enough {
                return self.give_up();
            }
            self.wait();
            self.pump();
        }
        Ok(())
    }

    fn backlog(&self) -> Backlog {
        Backlog { waiting: self.outbox.lines() as u64, lost: self.lost }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.settle()
    }
}

impl Socket {
    /// What is left is lost, and nobody gets more.
    fn give_up(&mut self) -> io::Result<()> {
        let left = self.outbox.clear() as u64;
        self.lost += left;
        let state = if self.peer.take().is_some() { "its reader is too slow" } else { "nobody reads it" };
        let message = format!("{state}; {left} records at the end are lost, {} in all", self.lost);
        Err(io::Error::new(io::ErrorKind::NotConnected, message))
    }
}
