//! Reading a description line by line: `x=value`, first of the session, then of each medium.

use super::{Description, Format, MAX_FORMATS, MAX_MEDIA, Media};
use crate::dissect::app::rtp::assigned;

/// Reads a description; none if nothing in it is one. Lines it does not know, or that make no sense, say nothing.
pub(in crate::dissect::app) fn parse(text: &str) -> Option<Description> {
    let mut reader = Reader::default();
    let mut seen = false;
    for line in text.lines() {
        let Some((key, value)) = line.trim_end().split_once('=') else { continue };
        seen |= matches!(key, "v" | "o" | "m");
        match key {
            "c" => reader.connection(value),
            "m" => reader.medium(value),
            "a" => reader.attribute(value),
            _ => {}
        }
    }
    seen.then(|| reader.finish())
}

/// The description so far, and what the session said for all its media.
#[derive(Default)]
struct Reader {
    description: Description,
    address: Option<String>,
    direction: Option<&'static str>,
    /// Inside a medium that is not kept.
    omitting: bool,
}

impl Reader {
    fn current(&mut self) -> Option<&mut Media> {
        self.description.media.last_mut()
    }

    /// `IN IP4 192.0.2.1`, or with a time to live and a count for multicast: `IN IP4 224.2.1.1/127/3`.
    fn connection(&mut self, value: &str) {
        let Some(address) = value.split_ascii_whitespace().nth(2) else { return };
        let address = address.split_once('/').map_or(address, |(address, _)| address);
        let address = Some(clip(address));
        if self.omitting {
            return;
        }
        match self.current() {
            Some(media) => media.address = address,
            None => self.address = address,
        }
    }

    /// `audio 49170/2 RTP/AVP 0 8 97`.
    fn medium(&mut self, value: &str) {
        self.omitting = self.description.media.len() == MAX_MEDIA;
        if self.omitting {
            self.description.omitted += 1;
            return;
        }
        let mut words = value.split_ascii_whitespace();
        let (Some(kind), Some(port)) = (words.next(), words.next()) else { return };
        let (port, ports) = port.split_once('/').map_or((port, None), |(port, count)| (port, count.parse().ok()));
        let mut media = Media {
            kind: clip(kind).to_ascii_lowercase(),
            port: port.parse().unwrap_or(0),
            profile: words.next().map(clip).unwrap_or_default(),
            ports: ports.filter(|count| *count > 1),
            ..Media::default()
        };
        for pt in words.filter_map(|word| word.parse::<u8>().ok()).filter(|pt| *pt < 128) {
            if media.formats.len() == MAX_FORMATS {
                media.omitted += 1;
            } else {
                let (codec, clock) = assigned(pt).unzip();
                media.formats.push(Format { pt, codec: codec.map(str::to_owned), clock });
            }
        }
        self.description.media.push(media);
    }

    fn attribute(&mut self, value: &str) {
        let (name, value) = value.split_once(':').unwrap_or((value, ""));
        if self.omitting {
            return;
        }
        if let Some(direction) = direction(name) {
            match self.current() {
                Some(media) => media.direction = Some(direction),
                None => self.direction = Some(direction),
            }
        }
        let Some(media) = self.current() else { return };
        match name {
            "rtpmap" => map(media, value),
            "rtcp-mux" => media.rtcp_mux = true,
            "rtcp" => media.rtcp_port = value.split_ascii_whitespace().next().and_then(|port| port.parse().ok()),
            _ => {}
        }
    }

    /// What the session said holds for the media that said nothing.
    fn finish(self) -> Description {
        let mut description = self.description;
        for media in &mut description.media {
            media.address = media.address.take().or_else(|| self.address.clone());
            media.direction = media.direction.or(self.direction);
        }
        description
    }
}

fn direction(name: &str) -> Option<&'static str> {
    ["sendrecv", "sendonly", "recvonly", "inactive"].into_iter().find(|known| *known == name)
}

/// `97 iLBC/8000/1`: what a listed payload type means.
fn map(media: &mut Media, value: &str) {
    let Some((pt, encoding)) = value.trim().split_once(' ') else { return };
    let Ok(pt) = pt.parse::<u8>() else { return };
    let Some(format) = media.formats.iter_mut().find(|format| format.pt == pt) else { return };
    let mut parts = encoding.trim().split('/');
    format.codec = parts.next().filter(|codec| !codec.is_empty()).map(clip);
    format.clock = parts.next().and_then(|clock| clock.parse().ok()).filter(|clock| *clock > 0);
}

/// At most 64 characters: no name in a description needs more.
fn clip(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(pt: u8, codec: &str, clock: u32) -> Format {
        Format { pt, codec: Some(codec.to_owned()), clock: Some(clock) }
    }

    #[test]
    fn media_inherit_from_the_session() {
        let text = "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\na=sendonly\r\n\
                    m=audio 49170 RTP/AVP 0 115 101\r\na=rtpmap:115 G7221/32000\r\na=rtpmap:101 telephone-event/8000\r\n\
                    m=video 51372/2 RTP/AVP 99\r\nc=IN IP6 2001:db8::9\r\na=inactive\r\na=rtcp:53020 IN IP4 192.0.2.9\r\n\
                    m=audio 0 RTP/AVP 8\r\n";
        let description = parse(text).expect("a description");
        let [audio, video, refused] = &*description.media else { panic!("three media: {description:?}") };
        assert_eq!(
            audio.formats,
            [format(0, "PCMU", 8_000), format(115, "G7221", 32_000), format(101, "telephone-event", 8_000)]
        );
        assert_eq!((audio.direction, video.direction), (Some("sendonly"), Some("inactive")));
        assert_eq!(audio.rtp_endpoint(), Some("192.0.2.9:49170".parse().unwrap()));
        assert_eq!(audio.rtcp_endpoint(), Some("192.0.2.9:49171".parse().unwrap()));
        assert_eq!(video.rtcp_endpoint(), Some("[2001:db8::9]:53020".parse().unwrap()));
        assert_eq!((video.ports, &video.formats[0]), (Some(2), &Format { pt: 99, codec: None, clock: None }));
        assert_eq!(refused.rtp_endpoint(), None);
    }

    #[test]
    fn hold_and_names_lead_nowhere() {
        for address in ["0.0.0.0", "media.example.com"] {
            let text = format!("v=0\nc=IN IP4 {address}\nm=audio 4000 RTP/AVP 0\n");
            let description = parse(&text).expect("a description");
            assert_eq!(description.media[0].rtp_endpoint(), None);
            assert_eq!(description.media[0].address.as_deref(), Some(address));
        }
    }

    #[test]
    fn floods_are_counted_not_kept() {
        let mut text = "v=0\nc=IN IP4 192.0.2.9\n".to_owned();
        let formats: String = (0..200).map(|index| format!(" {}", index % 128)).collect();
        for port in 0..5_000 {
            text.push_str(&format!("m=audio {} RTP/AVP{formats}\na=sendonly\n", 10_000 + port));
        }
        let description = parse(&text).expect("a description");
        assert_eq!((description.media.len(), description.omitted), (16, 4_984));
        assert_eq!((description.media[15].formats.len(), description.media[15].omitted), (64, 136));
    }

    #[test]
    fn nonsense_is_no_description() {
        assert_eq!(parse(""), None);
        assert_eq!(parse("hello\nworld"), None);
        let odd =
            parse("v=0\nm=\nm=audio\nm=audio x RTP/AVP\na=rtpmap:\na=rtpmap:300 X/1\nc=\n").expect("a description");
        assert_eq!(odd.media.len(), 1);
        assert_eq!(odd.media[0].port, 0);
    }
}
