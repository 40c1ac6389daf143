//! Start line and header fields of HTTP/1 (RFC 9112 sections 2 to 5), also as SSDP sends them in datagrams.

/// Bytes of the longest head that is read.
pub(in crate::dissect::app) const MAX_HEAD: usize = 32 * 1024;
/// Letters of the longest method.
const MAX_METHOD: usize = 20;

/// A start line and the fields that follow it.
#[derive(Clone, Copy, Debug)]
pub(in crate::dissect::app) struct Head<'a> {
    pub(in crate::dissect::app) start: Start<'a>,
    fields: &'a [u8],
    /// Bytes up to the end of the empty line.
    pub(in crate::dissect::app) length: usize,
}

/// The first line of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dissect::app) enum Start<'a> {
    Request { method: &'a [u8], target: &'a [u8] },
    Response { status: u16 },
}

/// What bytes of a stream begin with.
#[derive(Debug)]
pub(in crate::dissect::app) enum Found<'a> {
    Head(Head<'a>),
    /// Part of a head, as far as one can see.
    Part,
    /// No head.
    Nothing,
}

impl<'a> Head<'a> {
    /// The head that the bytes of a stream begin with. Empty lines before it are overlooked (section 2.2).
    pub(in crate::dissect::app) fn find(bytes: &'a [u8]) -> Found<'a> {
        let blank = bytes.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
        let message = bytes.get(blank..).unwrap_or_default();
        let Some((line, fields)) = split_line(message) else {
            return if could_start(message) { Found::Part } else { Found::Nothing };
        };
        let Some(start) = Start::parse(line) else { return Found::Nothing };
        match end_of_fields(fields) {
            Some((end, after)) => {
                let length = bytes.len() - fields.len() + after;
                Found::Head(Self { start, fields: fields.get(..end).unwrap_or(fields), length })
            }
            None if fields.len() > MAX_HEAD => Found::Nothing,
            None => Found::Part,
        }
    }

    /// The head that fills a datagram; the empty line at its end may be missing.
    pub(in crate::dissect::app) fn datagram(bytes: &'a [u8]) -> Option<Self> {
        if !begins_like_a_start(bytes) {
            return None;
        }
        let (line, fields) = split_line(bytes).unwrap_or((bytes, &[]));
        Some(Self { start: Start::parse(line)?, fields, length: bytes.len() })
    }

    /// The value of the first field of this name, blanks around it gone.
    pub(in crate::dissect::app) fn field(&self, name: &str) -> Option<&'a [u8]> {
        let mut rest = self.fields;
        while let Some((line, following)) = split_line(rest).or((!rest.is_empty()).then_some((rest, &[]))) {
            rest = following;
            let colon = line.iter().position(|byte| *byte == b':');
            let Some((key, value)) = colon.and_then(|colon| line.split_at_checked(colon)) else { continue };
            if key.eq_ignore_ascii_case(name.as_bytes()) {
                return value.get(1..).map(<[u8]>::trim_ascii);
            }
        }
        None
    }

    /// The value of a field that is a number.
    pub(in crate::dissect::app) fn number(&self, name: &str) -> Option<u64> {
        let value = self.field(name)?;
        if !value.iter().all(u8::is_ascii_digit) {
            return None;
        }
        std::str::from_utf8(value).ok()?.parse().ok()
    }

    /// Whether a field's comma-separated list ends with `token`.
    pub(super) fn ends_with(&self, name: &str, token: &str) -> bool {
        let value = self.field(name).unwrap_or_default();
        value
            .rsplit(|byte| *byte == b',')
            .next()
            .is_some_and(|last| last.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
    }
}

impl<'a> Start<'a> {
    fn parse(line: &'a [u8]) -> Option<Self> {
        let mut words = line.splitn(3, |byte| *byte == b' ');
        let (first, second, third) = (words.next()?, words.next()?, words.next());
        if is_version(first) {
            let digits: &[u8; 3] = second.trim_ascii_end().try_into().ok()?;
            let status = digits.iter().try_fold(0, |number: u16, digit| {
                digit.is_ascii_digit().then(|| number * 10 + u16::from(digit - b'0'))
            })?;
            return Some(Self::Response { status });
        }
        let request = is_method(first) && could_be_target(first, second) && is_version(third?);
        request.then_some(Self::Request { method: first, target: second })
    }
}

/// Whether the first bytes may be a method's or a version's: what is not text at all need not be searched for words.
fn begins_like_a_start(bytes: &[u8]) -> bool {
    bytes.first_chunk::<3>().is_some_and(|first| first.iter().all(is_method_letter))
}

fn is_method_letter(byte: &u8) -> bool {
    byte.is_ascii_uppercase() || matches!(byte, b'-' | b'_')
}

fn is_version(word: &[u8]) -> bool {
    matches!(word, b"HTTP/1.1" | b"HTTP/1.0")
}

fn is_method(word: &[u8]) -> bool {
    (3..=MAX_METHOD).contains(&word.len()) && word.iter().all(is_method_letter)
}

/// A target is a path, an asterisk, or a whole address; of CONNECT a host and a port. Other protocols that look like
/// HTTP (SIP, RTSP) name theirs otherwise.
fn could_be_target(method: &[u8], target: &[u8]) -> bool {
    match target {
        [b'/' | b'*', ..] => true,
        _ if method == b"CONNECT" => target.contains(&b':'),
        _ => target.starts_with(b"http://") || target.starts_with(b"https://"),
    }
}

/// Whether an unfinished first line may become one of HTTP.
fn could_start(line: &[u8]) -> bool {
    let mut words = line.splitn(3, |byte| *byte == b' ');
    let (Some(first), second) = (words.next(), words.next()) else { return true };
    match second {
        None => b"HTTP/1.1".starts_with(first) || is_version(first) || first.len() < 3 || is_method(first),
        Some(_) if is_version(first) => line.len() < MAX_HEAD,
        Some(target) => {
            let schemes: [&[u8]; 2] = [b"http://", b"https://"];
            let begun = could_be_target(first, target) || schemes.iter().any(|scheme| scheme.starts_with(target));
            is_method(first) && (begun || first == b"CONNECT") && line.len() < MAX_HEAD
        }
    }
}

/// The first line, without its end, and what follows it.
fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = bytes.split_at_checked(end)?;
    Some((line.strip_suffix(b"\r").unwrap_or(line), rest.get(1..).unwrap_or_default()))
}

/// Where the fields end, and where the empty line behind them does.
fn end_of_fields(fields: &[u8]) -> Option<(usize, usize)> {
    let mut at = 0;
    while let Some((line, rest)) = split_line(fields.get(at..)?) {
        let after = fields.len() - rest.len();
        if line.is_empty() {
            return Some((at, after));
        }
        at = after;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_found_whole_or_in_part() {
        let bytes = b"\r\nGET /a HTTP/1.1\r\nHost: x\r\nX-Empty:\r\ncontent-length: 12\r\n\r\nbody";
        let Found::Head(head) = Head::find(bytes) else { panic!("a head") };
        assert_eq!(head.start, Start::Request { method: b"GET", target: b"/a" });
        assert_eq!(head.length, bytes.len() - 4);
        assert_eq!(head.field("HOST"), Some(b"x".as_slice()));
        assert_eq!(head.field("x-empty"), Some(b"".as_slice()));
        assert_eq!(head.number("Content-Length"), Some(12));
        assert_eq!(head.field("body"), None);
        for end in 0..head.length {
            assert!(matches!(Head::find(&bytes[..end]), Found::Part), "{end}");
        }
    }

    #[test]
    fn start_lines() {
        let check = |line: &str, expected| assert_eq!(Start::parse(line.as_bytes()), expected, "{line}");
        check("HTTP/1.0 404 Not Found", Some(Start::Response { status: 404 }));
        check("HTTP/1.1 200", Some(Start::Response { status: 200 }));
        check("CONNECT a.example:443 HTTP/1.1", Some(Start::Request { method: b"CONNECT", target: b"a.example:443" }));
        for other in [
            "OPTIONS sip:a@example.org SIP/2.0",
            "SIP/2.0 200 OK",
            "OPTIONS rtsp://example.org/ RTSP/1.0",
            "PRI * HTTP/2.0",
            "get / HTTP/1.1",
            "GET HTTP/1.1",
            "HTTP/1.1 2000 OK",
            "HTTP/1.1 -20 OK",
        ] {
            check(other, None);
        }
    }

    /// Found by fuzzing: whole it was read, cut behind the scheme it was none of HTTP.
    #[test]
    fn a_start_line_may_be_cut_anywhere() {
        for line in
            ["GET http:///update HTTP/1.1\r\n", "GET https://a HTTP/1.1\r\n", "CONNECT a.example:443 HTTP/1.1\r\n"]
        {
            for end in 0..=line.len() {
                assert!(matches!(Head::find(&line.as_bytes()[..end]), Found::Part), "{line} to {end}");
            }
        }
    }

    #[test]
    fn what_cannot_become_a_head() {
        for bytes in [b"SIP/2.0 20".as_slice(), b"\x16\x03\x01", b"OPTIONS sip:", b"hello there", b"GET x"] {
            assert!(matches!(Head::find(bytes), Found::Nothing), "{bytes:?}");
        }
        let endless = [b"GET / HTTP/1.1\r\n".as_slice(), &b"a: b\r\n".repeat(MAX_HEAD / 6 + 1)].concat();
        assert!(matches!(Head::find(&endless), Found::Nothing));
    }

    #[test]
    fn a_datagram_may_end_without_an_empty_line() {
        let head = Head::datagram(b"NOTIFY * HTTP/1.1\nNT: a:b\nUSN: c").expect("a head");
        assert_eq!((head.field("nt"), head.field("usn")), (Some(b"a:b".as_slice()), Some(b"c".as_slice())));
    }
}
