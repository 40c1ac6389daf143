//! The session description in a message's body, alone or as a part of a multipart body (RFC 2046 section 5.1).

use std::borrow::Cow;

use crate::dissect::app::sdp::{self, Description};

/// Parts of a multipart body that are looked at.
const MAX_PARTS: usize = 16;

/// The description in `body`, whose type the message gives as `content_type`.
pub(super) fn description(content_type: Option<&str>, body: &[u8]) -> Option<Description> {
    if body.is_empty() {
        return None;
    }
    let content_type = content_type.unwrap_or("application/sdp");
    if is_type(content_type, "application/sdp") {
        return sdp::parse(&String::from_utf8_lossy(body));
    }
    if !content_type.trim_start().to_ascii_lowercase().starts_with("multipart/") {
        return None;
    }
    let body = String::from_utf8_lossy(body);
    parts(&body, &boundary(content_type)?).find_map(part)
}

fn is_type(content_type: &str, wanted: &str) -> bool {
    content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(wanted)
}

fn boundary(content_type: &str) -> Option<String> {
    let parameters = content_type.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let (_, value) = parameters.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("boundary"))?;
    let value = value.trim().trim_matches('"');
    (!value.is_empty()).then(|| format!("--{value}"))
}

fn parts<'a>(body: &'a str, boundary: &'a str) -> impl Iterator<Item = &'a str> {
    body.split(boundary).skip(1).take(MAX_PARTS).take_while(|part| !part.starts_with("--"))
}

/// The description in one part: its own fields, an empty line, its content.
fn part(text: &str) -> Option<Description> {
    let text: Cow<'_, str> = if text.contains("\r\n") { text.replace("\r\n", "\n").into() } else { text.into() };
    let (fields, content) = text.split_once("\n\n")?;
    let is_description = fields.lines().filter_map(|line| line.split_once(':')).any(|(name, value)| {
        matches!(&*name.trim().to_ascii_lowercase(), "content-type" | "c") && is_type(value, "application/sdp")
    });
    if is_description { sdp::parse(content) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SDP: &str = "v=0\r\nc=IN IP4 192.0.2.9\r\nm=audio 4000 RTP/AVP 0\r\n";

    #[test]
    fn alone_or_among_others() {
        let alone = description(Some("Application/SDP;charset=utf-8"), SDP.as_bytes()).expect("a description");
        assert_eq!(alone.media[0].port, 4_000);
        let mixed = format!(
            "--b1\r\nContent-Type: text/plain\r\n\r\nv=0\r\nm=audio 1 RTP/AVP 0\r\n--b1\r\nContent-Type: application/sdp\r\n\r\n{SDP}--b1--\r\n"
        );
        assert_eq!(description(Some("multipart/mixed; boundary=\"b1\""), mixed.as_bytes()), Some(alone));
        assert_eq!(description(Some("multipart/mixed"), mixed.as_bytes()), None);
        assert_eq!(description(Some("text/plain"), SDP.as_bytes()), None);
        assert_eq!(description(None, b""), None);
    }
}
