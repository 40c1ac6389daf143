//! SIP messages (RFC 3261 sections 7 and 25): start line, header fields, body.

use std::borrow::Cow;

/// Bytes of start line and header fields that a message may have.
pub(super) const MAX_HEAD: usize = 32 * 1024;
/// Header fields kept of a message.
const MAX_FIELDS: usize = 256;
/// The version that every start line carries.
const VERSION: &str = "SIP/2.0";

/// What stands at the start of some bytes.
#[derive(Debug)]
pub(super) enum Parsed<'a> {
    /// The head of a message, and how many bytes it takes.
    Head(Head<'a>, usize),
    /// It may become one, once more bytes are there.
    Incomplete,
    /// Something else.
    Other,
}

/// The first line of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start<'a> {
    Request { method: &'a str, uri: &'a str },
    Response { status: u16, reason: &'a str },
}

/// Start line and header fields.
#[derive(Debug)]
pub(super) struct Head<'a> {
    pub start: Start<'a>,
    fields: Vec<(&'a str, Cow<'a, str>)>,
}

impl<'a> Head<'a> {
    /// Reads the head of a message; `whole` says that no more bytes will come, so that the head may end without the
    /// empty line.
    pub fn parse(bytes: &'a [u8], whole: bool) -> Parsed<'a> {
        let line_end = bytes.iter().position(|byte| *byte == b'\n');
        let Some(line) = line_end.and_then(|end| bytes.get(..end)) else {
            let hopeful = !whole && bytes.len() < MAX_HEAD && may_start(bytes);
            return if hopeful { Parsed::Incomplete } else { Parsed::Other };
        };
        let Some(start) = text(line).and_then(|line| start_line(line.trim_end())) else { return Parsed::Other };
        let rest = bytes.get(line.len() + 1..).unwrap_or_default();
        let (fields, length) = match end_of_head(rest.get(..MAX_HEAD).unwrap_or(rest)) {
            Some(ends) => ends,
            None if whole => (rest.len(), rest.len()),
            None if rest.len() < MAX_HEAD => return Parsed::Incomplete,
            None => return Parsed::Other,
        };
        let fields = fields_of(rest.get(..fields).unwrap_or(rest));
        Parsed::Head(Self { start, fields }, line.len() + 1 + length)
    }

    /// The first value of a field, by its name in lower case; its compact form (section 7.3.3) counts as the name.
    pub fn field(&self, name: &'static str) -> Option<&str> {
        self.values(name).next()
    }

    /// The values of all fields of a name, as they stand.
    pub fn values(&self, name: &'static str) -> impl Iterator<Item = &str> {
        let is = move |field: &str| full_name(field).eq_ignore_ascii_case(name);
        self.fields.iter().filter(move |(field, _)| is(field)).map(|(_, value)| &**value)
    }

    /// The values of all fields of a name whose values are comma-separated lists (section 7.3.1).
    pub fn list(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.values(name).flat_map(split_list).map(str::trim).filter(|value| !value.is_empty())
    }

    /// Length of the body, where the message says so.
    pub fn content_length(&self) -> Option<usize> {
        self.field("content-length")?.trim().parse().ok()
    }
}

/// Whether bytes without a line end may begin a message: whatever [`start_line`] takes does, wherever it is cut.
fn may_start(bytes: &[u8]) -> bool {
    let first = bytes.split(|byte| *byte == b' ').next().unwrap_or_default();
    let is_version = first.len() <= VERSION.len()
        && VERSION.as_bytes().iter().zip(first).all(|(known, byte)| known.eq_ignore_ascii_case(byte));
    !bytes.is_empty() && (is_version || is_method(first)) && !bytes.iter().any(is_control)
}

/// A token of RFC 3261 section 25.1; the longest method in use has ten letters.
fn is_method(word: &[u8]) -> bool {
    word.len() <= 32 && word.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(byte))
}

/// What no start line has; the carriage return belongs to its end.
fn is_control(byte: &u8) -> bool {
    byte.is_ascii_control() && !matches!(byte, b'\r' | b'\t')
}

/// Whether bytes look like a start line: one of a message that is whole, or as much of it as there is.
pub(super) fn looks_like_start(bytes: &[u8]) -> bool {
    // Most payloads are no text: they need not be searched for the end of a line.
    if bytes.iter().take(2).any(|byte| !byte.is_ascii() || byte.is_ascii_control()) {
        return false;
    }
    match bytes.iter().position(|byte| *byte == b'\n').and_then(|end| bytes.get(..end)) {
        Some(line) => text(line).is_some_and(|line| start_line(line.trim_end()).is_some()),
        None => false,
    }
}

/// Whether bytes are the beginning of a start line that is not whole yet: a method that SIP alone has, or its version.
pub(super) fn begins_start(bytes: &[u8]) -> bool {
    const OWN: [&[u8]; 8] = [
        b"INVITE sip",
        b"REGISTER sip",
        b"SUBSCRIBE sip",
        b"NOTIFY sip",
        b"MESSAGE sip",
        b"OPTIONS sip",
        b"PUBLISH sip",
        b"SIP/2.0 ",
    ];
    !bytes.contains(&b'\n') && OWN.iter().any(|own| bytes.starts_with(own))
}

fn start_line(line: &str) -> Option<Start<'_>> {
    if line.bytes().any(|byte| is_control(&byte)) {
        return None;
    }
    let (first, rest) = line.split_once(' ')?;
    if first.eq_ignore_ascii_case(VERSION) {
        let (code, reason) = rest.split_once(' ').unwrap_or((rest, ""));
        let status = code.parse().ok().filter(|status| (100..700).contains(status))?;
        return Some(Start::Response { status, reason });
    }
    let (uri, version) = rest.rsplit_once(' ')?;
    let is_uri = uri.contains(':') && !uri.contains(' ');
    let is_request =
        !first.is_empty() && is_method(first.as_bytes()) && is_uri && version.eq_ignore_ascii_case(VERSION);
    is_request.then_some(Start::Request { method: first, uri })
}

/// Where the fields end, and where the empty line after them ends.
fn end_of_head(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut line_start = 0;
    while let Some(length) = bytes.get(line_start..)?.iter().position(|byte| *byte == b'\n') {
        let end = line_start + length;
        if matches!(bytes.get(line_start..end)?, b"" | b"\r") {
            return Some((line_start, end + 1));
        }
        line_start = end + 1;
    }
    None
}

/// The fields, with folded lines joined by one space (section 7.3.1).
fn fields_of(bytes: &[u8]) -> Vec<(&str, Cow<'_, str>)> {
    let mut fields: Vec<(&str, Cow<'_, str>)> = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some(line) = text(line) else { continue };
        let line = line.trim_end();
        if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                let value = value.to_mut();
                value.push(' ');
                value.push_str(line.trim_start());
            }
        } else if let Some((name, value)) = line.split_once(':')
            && fields.len() < MAX_FIELDS
        {
            fields.push((name.trim_end(), Cow::Borrowed(value.trim_start())));
        }
    }
    fields
}

/// A line that is not UTF-8 up to where it ceases to be.
fn text(line: &[u8]) -> Option<&str> {
    match std::str::from_utf8(line) {
        Ok(line) => Some(line),
        Err(error) => line.get(..error.valid_up_to()).and_then(|line| std::str::from_utf8(line).ok()),
    }
}

fn full_name(name: &str) -> &str {
    match name {
        "v" | "V" => "via",
        "f" | "F" => "from",
        "t" | "T" => "to",
        "i" | "I" => "call-id",
        "m" | "M" => "contact",
        "l" | "L" => "content-length",
        "c" | "C" => "content-type",
        "e" | "E" => "content-encoding",
        "s" | "S" => "subject",
        "k" | "K" => "supported",
        "o" | "O" => "event",
        "r" | "R" => "refer-to",
        "u" | "U" => "allow-events",
        "x" | "X" => "session-expires",
        _ => name,
    }
}

/// The members of a comma-separated list; commas in quotes and angle brackets separate nothing, unless the quotes are
/// never closed.
fn split_list(value: &str) -> impl Iterator<Item = &str> {
    let quotes = is_quoted_well(value);
    let (mut quoted, mut bracketed, mut escaped) = (false, false, false);
    value.split(move |character| {
        let was_escaped = std::mem::take(&mut escaped);
        match character {
            '\\' if quoted && !was_escaped => escaped = true,
            '"' if quotes && !was_escaped => quoted = !quoted,
            '<' if !quoted => bracketed = true,
            '>' if !quoted => bracketed = false,
            ',' => return !quoted && !bracketed,
            _ => {}
        }
        false
    })
}

fn is_quoted_well(value: &str) -> bool {
    let (mut quoted, mut escaped) = (false, false);
    for byte in value.bytes() {
        let was_escaped = std::mem::take(&mut escaped);
        match byte {
            b'\\' if quoted && !was_escaped => escaped = true,
            b'"' if !was_escaped => quoted = !quoted,
            _ => {}
        }
    }
    !quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(text: &str) -> Head<'_> {
        match Head::parse(text.as_bytes(), true) {
            Parsed::Head(head, _) => head,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_are_compact_or_of_any_case_and_lines_fold() {
        let head = head(
            "INVITE sip:b@example.com SIP/2.0\r\nv: SIP/2.0/UDP a;branch=1,\r\n  SIP/2.0/TCP b\r\nVIA:SIP/2.0/UDP c\r\n\
             i : x@y\r\nM: \"Doe, J\" <sip:j@h;q=1,2>, <sip:k@h>\r\nl: 5\r\n\r\nhello",
        );
        assert_eq!(head.start, Start::Request { method: "INVITE", uri: "sip:b@example.com" });
        let via: Vec<_> = head.list("via").collect();
        assert_eq!(via, ["SIP/2.0/UDP a;branch=1", "SIP/2.0/TCP b", "SIP/2.0/UDP c"]);
        let contact: Vec<_> = head.list("contact").collect();
        assert_eq!(contact, ["\"Doe, J\" <sip:j@h;q=1,2>", "<sip:k@h>"]);
        assert_eq!(head.field("call-id"), Some("x@y"));
        assert_eq!(head.content_length(), Some(5));
    }

    #[test]
    fn the_head_ends_at_the_empty_line() {
        let text = b"SIP/2.0 200 OK\r\nCSeq: 1 BYE\r\n\r\nbody";
        let Parsed::Head(head, length) = Head::parse(text, false) else { panic!("a head") };
        assert_eq!((head.start, length), (Start::Response { status: 200, reason: "OK" }, text.len() - 4));
        for end in 0..length {
            assert!(!matches!(Head::parse(&text[..end], false), Parsed::Head(..)), "{end} bytes");
        }
        assert!(matches!(Head::parse(&text[..20], false), Parsed::Incomplete));
    }

    #[test]
    fn other_protocols_have_other_start_lines() {
        for other in
            ["GET /index.html HTTP/1.1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "M-SEARCH * HTTP/1.1\r\n", "\0\0\0\0", ""]
        {
            assert!(matches!(Head::parse(other.as_bytes(), false), Parsed::Other), "{other:?}");
            assert!(!looks_like_start(other.as_bytes()) && !begins_start(other.as_bytes()), "{other:?}");
        }
        assert!(begins_start(b"REGISTER sip:exam"));
    }

    /// Found by fuzzing: whole it was read, in two segments it was none of SIP.
    #[test]
    fn a_start_line_may_be_cut_anywhere() {
        for line in
            ["x-Long.Method-Of-Somebody sip:a@b SIP/2.0\r\n", "sip/2.0 200 Fine\tindeed\r\n", "jaK sip:a@b SIP/2.0\n"]
        {
            assert!(looks_like_start(line.as_bytes()), "{line}");
            for end in 1..line.len() {
                assert!(matches!(Head::parse(&line.as_bytes()[..end], false), Parsed::Incomplete), "{line} to {end}");
            }
        }
        for line in ["INVITE sip:acme\x01\0oice.example.net SIP/2.0\r\n", "SIP/2.0 200 O\x08K\r\n"] {
            assert!(!looks_like_start(line.as_bytes()), "{line}");
        }
    }

    #[test]
    fn quotes_that_never_close_hide_nothing() {
        let list: Vec<_> = split_list(r#"\"arik\" <sip:1@h>, <sip:2@h>"#).collect();
        assert_eq!(list.len(), 2);
    }
}
