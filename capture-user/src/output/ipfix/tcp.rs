//! Messages over connections: each begins with the templates and counts its records anew (RFC 7011, sections 3.1 and
//! 10.4). While no collector is there messages wait, within bounds; one that a dying connection has cut is sent whole over
//! the next.

use std::collections::VecDeque;
use std::io;
use std::time::Instant;

use super::message::{Message, stamp};
use crate::output::Backlog;
use crate::output::contact::Contact;
use crate::output::destination::Destination;

/// Bytes of messages that may wait.
const QUEUE: usize = 8 * 1024 * 1024;

/// The way to a collector.
pub(super) struct Connections {
    contact: Contact,
    /// The message that a connection begins with.
    templates: Vec<u8>,
    /// Messages that are not wholly sent, with their records.
    queue: VecDeque<(Vec<u8>, u32)>,
    bytes: usize,
    waiting: u64,
    lost: u64,
    /// The message on its way over this connection, how much of it has gone, and whether it is the first of the queue.
    current: (Vec<u8>, usize, bool),
    /// Data records before the next message of this connection.
    sequence: u32,
}

impl Connections {
    /// Connects; that nobody is there yet is no failure.
    pub(super) fn to(host: &str, port: u16, live: bool, mut templates: Message) -> Self {
        let mut connections = Self {
            contact: Contact::with(Destination::Tcp { host: host.to_owned(), port }, live, "no collector"),
            templates: templates.bytes().to_vec(),
            queue: VecDeque::new(),
            bytes: 0,
            waiting: 0,
            lost: 0,
            current: (Vec::new(), 0, false),
            sequence: 0,
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
        while self.is_full(length) && self.contact.may_wait() {
            self.contact.wait();
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
        if self.contact.is_gone() {
            self.connect_anew(&io::ErrorKind::UnexpectedEof.into());
        }
        while self.take_next() && self.contact.is_open() {
            let (message, sent, _) = &mut self.current;
            match self.contact.send(message.get(*sent..).unwrap_or_default()) {
                Ok(count) => *sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => self.connect_anew(&error),
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
        if self.contact.reconnect(self.lost) {
            self.current = (self.templates.clone(), 0, false);
            self.sequence = 0;
        }
    }

    fn connect_anew(&mut self, error: &io::Error) {
        self.contact.disconnect(error);
        self.current = (Vec::new(), 0, false);
        self.reconnect();
    }

    /// Sends all that waits, or gives it up in bounded time.
    ///
    /// # Errors
    /// When it was given up.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        let begun = Instant::now();
        self.pump();
        while !self.contact.is_open() || self.take_next() {
            if !self.contact.may_drain(begun) {
                return Err(self.give_up());
            }
            self.contact.wait();
            self.pump();
        }
        Ok(())
    }

    fn give_up(&mut self) -> io::Error {
        let left = std::mem::take(&mut self.waiting);
        self.lost += left;
        self.queue.clear();
        self.bytes = 0;
        let state = if self.contact.close() { "the collector is too slow" } else { "no collector is there" };
        let message = format!("{state}; {left} records at the end are lost, {} in all", self.lost);
        io::Error::new(io::ErrorKind::NotConnected, message)
    }

    pub(super) fn backlog(&self) -> Backlog {
        Backlog { waiting: self.waiting, lost: self.lost }
    }
}
