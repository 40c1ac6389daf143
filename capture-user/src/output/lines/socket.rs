//! Lines over a socket: to whoever reads there now, and to the next one when that is gone.
//!
//! Lines wait in a bounded queue while nobody reads, and those that find no room in it are lost and counted. A line
//! that a dying connection has cut is sent whole over the next one. What the system has taken for a reader counts as
//! written, though the reader may die before it reads it: only an answer could tell, and there is none.

use std::io;
use std::time::Instant;

use super::Medium;
use super::outbox::Outbox;
use crate::output::Backlog;
use crate::output::contact::Contact;
use crate::output::destination::Destination;
use crate::time::Timestamp;

/// Bytes of lines that may wait.
const QUEUE: usize = 8 * 1024 * 1024;
/// Bytes that are worth a system call before a flush.
const BUNDLE: usize = 64 * 1024;

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
    contact: Contact,
    /// Whether a datagram is a line.
    datagrams: bool,
    outbox: Outbox,
    lost: u64,
}

impl Socket {
    /// Connects; that nobody is there yet is no failure.
    pub fn new(config: SocketConfig) -> Self {
        let datagrams = matches!(config.destination, Destination::Unixgram(_));
        let contact = Contact::with(config.destination, config.live, "nobody reads");
        let mut socket = Self { contact, datagrams, outbox: Outbox::new(QUEUE), lost: 0 };
        socket.contact.reconnect(socket.lost);
        socket
    }

    fn connect_anew(&mut self, error: &io::Error) {
        self.contact.disconnect(error);
        self.outbox.rewind();
        self.contact.reconnect(self.lost);
    }

    /// Sends what there is room for.
    fn pump(&mut self) {
        self.contact.reconnect(self.lost);
        if !self.datagrams && self.contact.is_gone() {
            self.connect_anew(&io::ErrorKind::UnexpectedEof.into());
        }
        while self.contact.is_open() && self.outbox.unsent() > 0 {
            let bytes = if self.datagrams { self.outbox.next_line() } else { self.outbox.next_bytes() };
            match self.contact.send(bytes) {
                Ok(count) => self.outbox.advance(count),
                Err(error) if is_no_room(&error) => return,
                Err(error) if is_too_long(&error) => {
                    self.outbox.drop_line();
                    self.lost += 1;
                }
                Err(error) => self.connect_anew(&error),
            }
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
        while !self.outbox.has_room(line.len()) && self.contact.may_wait() {
            self.contact.wait();
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
        while self.outbox.unsent() > 0 || !self.contact.is_open() {
            if !self.contact.may_drain(begun) {
                return self.give_up();
            }
            self.contact.wait();
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
        let state = if self.contact.close() { "its reader is too slow" } else { "nobody reads it" };
        let message = format!("{state}; {left} records at the end are lost, {} in all", self.lost);
        Err(io::Error::new(io::ErrorKind::NotConnected, message))
    }
}
