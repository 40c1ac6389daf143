//! Handshakes as a packet list shows them.

use std::fmt::Write;

use super::handshake::kind;
use super::hello::ClientHello;
use super::record::content;

/// A list that is appended to a line, its items separated by commas.
#[derive(Debug)]
pub struct Items<'a> {
    line: &'a mut String,
    start: usize,
}

impl<'a> Items<'a> {
    /// A list that begins at the end of `line`.
    pub const fn new(line: &'a mut String) -> Self {
        Self { start: line.len(), line }
    }

    /// Appends an item.
    pub fn push(&mut self, item: &str) {
        if self.line.len() > self.start {
            self.line.push_str(", ");
        }
        self.line.push_str(item);
    }

    /// Appends a handshake message, and of a hello the name it asks for.
    pub fn push_message(&mut self, name: &str, hello: Option<ClientHello<'_>>) {
        self.push(name);
        if let Some(name) = hello.and_then(|hello| hello.server_name) {
            let _ = write!(self.line, " (SNI={name})");
        }
    }
}

/// A record by its content type.
pub const fn content_name(content: u8) -> &'static str {
    match content {
        content::CHANGE_CIPHER_SPEC => "Change Cipher Spec",
        content::ALERT => "Alert",
        content::HANDSHAKE => "Handshake",
        content::APPLICATION_DATA => "Application Data",
        content::HEARTBEAT => "Heartbeat",
        _ => "Unknown Record",
    }
}

/// A handshake message by its type.
pub const fn message_name(kind: u8) -> Option<&'static str> {
    Some(match kind {
        0 => "Hello Request",
        kind::CLIENT_HELLO => "Client Hello",
        kind::SERVER_HELLO => "Server Hello",
        kind::HELLO_VERIFY_REQUEST => "Hello Verify Request",
        4 => "New Session Ticket",
        8 => "Encrypted Extensions",
        kind::CERTIFICATE => "Certificate",
        12 => "Server Key Exchange",
        kind::CERTIFICATE_REQUEST => "Certificate Request",
        kind::SERVER_HELLO_DONE => "Server Hello Done",
        15 => "Certificate Verify",
        kind::CLIENT_KEY_EXCHANGE => "Client Key Exchange",
        20 => "Finished",
        22 => "Certificate Status",
        _ => return None,
    })
}
