//! Messages over connections: each begins with the templates and counts its records anew (RFC 7011, sections 3.1 and
//! 10.4). While no collector is there messages wait, within bounds; one that a dying connection has cut is sent whole over
//! the next.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use super::message::{Message, stamp};
use crate::output::Backlog;
use crate::output::destination::Destination;
use crate::output::peer::Peer;

/// Bytes of messages that may wait.
const QUEUE: usize = 8 * 1024 * 1024;
/// The pause after a failed attempt to connect: doubled each time, to at most the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// How long a collector may take nothing before a file's flows no longer wait for it. Those of an interface never do.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the end of a run may wait for a collector to come back, or, live, for one that is behind.
const DRAIN: Duration = Duration::from_secs(2);
/// How long one look at a collector that has no room takes.
const LOOK: Duration = Duration::from_millis(50);

/// The way to a collector.
pub(super) struct Connections {
    to: Destination,
    /// Whether flows are of the present.
    live: bool,
    /// The message that a connection begins with.
    templates: Vec<u8>,
    peer: Option<Peer>,
    /// Messages that are not wholly sent, with their records.
    queue: VecDeque<(Vec<u8>, u32)>,
    bytes: usize,
    waiting: u64,
    lost: u64,
    /// The message on its way over this connection, how much of it has gone, and whether it is the first of the queue.
    current: (Vec<u8>, usize, bool),
    /// Data records before the next message of this connection.
    sequence: u32,
    /// When to connect again, and the pause after that.
    retry: Instant,
    pause: Duration,
    /// When the collector was last known to be well.
    progress: Instant,
    /// Whether it was said that none is there.
    said: bool,
}

impl Connections {
    /// Connects; that nobody is there yet is no failure.
    pub(super) fn to(host: &str, port: u16, live: bool, mut templates: Message) -> Self {
        let now = Instant::now();
        let mut connections = Self {
            to: Destination::Tcp { host: host.to_owned(), port },
            live,
            templates: templates.bytes().to_vec(),
            peer: None,
            queue: VecDeque::new(),
            bytes: 0,
            waiting: 0,
            lost: 0,
            current: (Vec::new(), 0, false),
            sequence: 0,
            retry: now,
            pause: BACKOFF.0,
            progress: now,
            said: false,
        };
        connections.pump();
        connections
    }

    /// Puts a message into the queue; where there is no room its records are lost.
    pub(super) fn send(&mut self, message: &mut Message) {
        let (records, length) = (message.records(), message.bytes().len());
        if self.is_full(length) {
            self.pump();
        }
        while !self.live && self.is_full(length) && self.progress.elapsed() < PATIENCE {
            self.wait();
            self.pump();
        }
        if self.is_full(length) {
            self.lost += u64::from(records);
            return;
        }
        self.queue.push_back((message.bytes().to_vec(), records));
        self.bytes += length;
        self.waiting += u64::from(records);
    }

    fn is_full(&self, length: usize) -> bool {
        self.bytes + length > QUEUE
    }

    /// Sends what the collector takes now.
    pub(super) fn pump(&mut self) {
        self.reconnect();
        if self.peer.as_ref().is_some_and(Peer::is_gone) {
            self.disconnect(&io::ErrorKind::UnexpectedEof.into());
            self.reconnect();
        }
        while self.take_next()
            && let Some(peer) = &self.peer
        {
            let (message, sent, _) = &mut self.current;
            match peer.send(message.get(*sent..).unwrap_or_default()) {
                Ok(count) => {
                    *sent += count;
                    self.progress = Instant::now();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    self.disconnect(&error);
                    self.reconnect();
                }
            }
        }
    }

    /// Sees to it that there is something on its way; `false` when all is sent.
    fn take_next(&mut self) -> bool {
        let (message, sent, of_queue) = &mut self.current;
        if *sent < message.len() {
            return true;
        }
        if std::mem::take(of_queue)
            && let Some((message, records)) = self.queue.pop_front()
        {
            self.bytes -= message.len();
            self.waiting -= u64::from(records);
            self.sequence = self.sequence.wrapping_add(records);
        }
        let Some((next, _)) = self.queue.front() else { return false };
        message.clone_from(next);
        stamp(message, self.sequence);
        (*sent, *of_queue) = (0, true);
        true
    }

    fn reconnect(&mut self) {
        if self.peer.is_some() || Instant::now() < self.retry {
            return;
        }
        match Peer::connect(&self.to) {
            Ok(peer) => {
                if std::mem::take(&mut self.said) {
                    log::warn!("{}: connected, {} records were lost so far", self.to, self.lost);
                }
                self.peer = Some(peer);
                (self.pause, self.progress) = (BACKOFF.0, Instant::now());
                self.current = (self.templates.clone(), 0, false);
                self.sequence = 0;
            }
            Err(error) => {
                self.say(&error);
                self.retry = Instant::now() + self.pause;
                self.pause = (self.pause * 2).min(BACKOFF.1);
            }
        }
    }

    fn disconnect(&mut self, error: &io::Error) {
        self.peer = None;
        self.current = (Vec::new(), 0, false);
        self.retry = Instant::now();
        self.say(error);
    }

    /// Once for each time that nobody is there.
    fn say(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.said, true) {
            log::warn!("{}: no collector ({error}); trying again", self.to);
        }
    }

    /// Waits a moment for room, or for somebody to come.
    fn wait(&self) {
        match &self.peer {
            Some(peer) => peer.wait(LOOK),
            None => std::thread::sleep(LOOK),
        }
    }

    /// Sends all that waits, or gives it up in bounded time.
    ///
    /// # Errors
    /// When it was given up.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        let begun = Instant::now();
        self.pump();
        while self.peer.is_none() || self.take_next() {
            let enough = match self.live || self.peer.is_none() {
                true => begun.elapsed() >= DRAIN,
                false => self.progress.elapsed() >= PATIENCE,
            };
            if enough {
                return Err(self.give_up());
            }
            self.wait();
            self.pump();
        }
        Ok(())
    }

    fn give_up(&mut self) -> io::Error {
        let left = std::mem::take(&mut self.waiting);
        self.lost += left;
        self.queue.clear();
        self.bytes = 0;
        let state = if self.peer.take().is_some() { "the collector is too slow" } else { "no collector is there" };
        let message = format!("{state}; {left} records at the end are lost, {} in all", self.lost);
        io::Error::new(io::ErrorKind::NotConnected, message)
    }

    pub(super) fn backlog(&self) -> Backlog {
        Backlog { waiting: self.waiting, lost: self.lost }
    }
}
