//! Where the body of a message ends (RFC 9112 sections 6 and 7), without looking at what is in it.

use super::head::{Head, Start};

/// Bytes of the longest line that gives the size of a chunk.
const MAX_SIZE_LINE: usize = 4096;

/// How much of a direction's current message is still to come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Body {
    /// Nothing: a head is next.
    #[default]
    Over,
    /// So many bytes.
    Bytes(u64),
    /// A line with the size of the next chunk.
    ChunkSize,
    /// So many bytes of a chunk and of the line end behind it.
    Chunk(u64),
    /// The fields behind the last chunk.
    Trailer,
    /// Everything up to the end of the connection.
    Rest,
}

/// The body makes no sense.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl Body {
    /// The body that follows a head; `bodiless` for an answer that has none whatever its fields say.
    pub(super) fn after(head: &Head<'_>, bodiless: bool) -> Self {
        if bodiless {
            return Self::Over;
        }
        if head.ends_with("Transfer-Encoding", "chunked") {
            return Self::ChunkSize;
        }
        match (head.number("Content-Length"), head.start) {
            (Some(0), _) | (None, Start::Request { .. }) => Self::Over,
            (Some(length), _) => Self::Bytes(length),
            (None, Start::Response { .. }) => Self::Rest,
        }
    }

    /// Goes past as much of `bytes` as belongs to the body and says how many that were. When it is not over then,
    /// more bytes are needed.
    pub(super) fn skip(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let mut at = 0;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            match *self {
                Self::Over => return Ok(at),
                Self::Rest => return Ok(bytes.len()),
                Self::Bytes(wanted) | Self::Chunk(wanted) => {
                    let here = wanted.min(rest.len() as u64);
                    at += here as usize;
                    *self = self.less(here);
                    if wanted > here {
                        return Ok(at);
                    }
                }
                Self::ChunkSize | Self::Trailer => {
                    let Some(end) = rest.iter().take(MAX_SIZE_LINE).position(|byte| *byte == b'\n') else {
                        return if rest.len() < MAX_SIZE_LINE { Ok(at) } else { Err(Malformed) };
                    };
                    let line = rest.get(..end).unwrap_or_default().trim_ascii();
                    at += end + 1;
                    *self = match *self {
                        Self::Trailer if line.is_empty() => Self::Over,
                        Self::Trailer => Self::Trailer,
                        _ => chunk(line)?,
                    };
                }
            }
        }
    }

    /// Goes past bytes that were lost; whether they all lay in the body, so that its end is still known.
    pub(super) fn lose(&mut self, count: u64) -> bool {
        match *self {
            Self::Bytes(wanted) | Self::Chunk(wanted) if count <= wanted => {
                *self = self.less(count);
                true
            }
            Self::Rest => true,
            _ => false,
        }
    }

    fn less(self, count: u64) -> Self {
        match self {
            Self::Bytes(wanted) if wanted > count => Self::Bytes(wanted - count),
            Self::Bytes(_) => Self::Over,
            Self::Chunk(wanted) if wanted > count => Self::Chunk(wanted - count),
            Self::Chunk(_) => Self::ChunkSize,
            other => other,
        }
    }
}

/// What follows a line with the size of a chunk: hexadecimal, maybe with extensions behind a semicolon.
fn chunk(line: &[u8]) -> Result<Body, Malformed> {
    let size = line.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let plain = !size.is_empty() && size.iter().all(u8::is_ascii_hexdigit);
    let size = std::str::from_utf8(size).ok().filter(|_| plain).and_then(|size| u64::from_str_radix(size, 16).ok());
    match size {
        Some(0) => Ok(Body::Trailer),
        Some(size) => Ok(Body::Chunk(size.checked_add(2).ok_or(Malformed)?)),
        None => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(mut body: Body, bytes: &[u8], expected: Result<usize, Malformed>, then: Body) {
        assert_eq!(body.skip(bytes), expected);
        assert_eq!(body, then);
    }

    #[test]
    fn bodies_end_where_they_say() {
        check(Body::Bytes(4), b"bodyGET", Ok(4), Body::Over);
        check(Body::Bytes(9), b"bod", Ok(3), Body::Bytes(6));
        check(Body::ChunkSize, b"3\r\nabc\r\n0\r\nX: y\r\n\r\nGET", Ok(19), Body::Over);
        check(Body::ChunkSize, b"a;x=y\r\nabc", Ok(10), Body::Chunk(9));
        check(Body::ChunkSize, b"3", Ok(0), Body::ChunkSize);
        check(Body::ChunkSize, b"x\r\n", Err(Malformed), Body::ChunkSize);
        check(Body::ChunkSize, b"ffffffffffffffff\r\n", Err(Malformed), Body::ChunkSize);
        check(Body::ChunkSize, &[b'1'; MAX_SIZE_LINE], Err(Malformed), Body::ChunkSize);
        check(Body::Rest, b"anything", Ok(8), Body::Rest);
    }

    #[test]
    fn losses_inside_a_body_do_no_harm() {
        let mut body = Body::Bytes(10);
        assert!(body.lose(4) && body == Body::Bytes(6));
        assert!(body.lose(6) && body == Body::Over);
        assert!(!body.lose(1));
        assert!(!Body::Chunk(3).lose(4));
    }
}
