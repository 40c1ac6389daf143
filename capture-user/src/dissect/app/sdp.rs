//! Session descriptions (RFC 8866), as offered and answered in calls (RFC 3264): which media, where, in which formats.
//!
//! What is kept is bounded whatever a description announces: [`MAX_MEDIA`] media of [`MAX_FORMATS`] formats each; the
//! rest is counted.

mod parse;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::memory::texts;
use super::rtp::assigned;

pub(super) use parse::parse;

/// Media kept of one description.
const MAX_MEDIA: usize = 16;
/// Formats kept of one medium.
const MAX_FORMATS: usize = 64;

/// What a description says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Description {
    /// What is offered or accepted, the first sixteen.
    pub media: Vec<Media>,
    /// Media beyond the first sixteen.
    #[serde(skip_serializing_if = "is_zero")]
    pub omitted: u32,
}

/// One medium: an `m=` line and what belongs to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Media {
    /// `audio`, `video`, `image`…
    pub kind: String,
    /// Where it is to be sent; 0 refuses it.
    pub port: u16,
    /// The address or name it is to be sent to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// `RTP/AVP`, `RTP/SAVPF`, `udptl`…
    #[serde(skip_serializing_if = "String::is_empty")]
    pub profile: String,
    /// Formats, the preferred first, at most sixty-four.
    pub formats: Vec<Format>,
    /// `sendrecv`, `sendonly`, `recvonly` or `inactive`, where it was stated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub direction: Option<&'static str>,
    /// Where its RTCP is to be sent (RFC 3605), if not to the next port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtcp_port: Option<u16>,
    /// Whether RTCP may share the port (RFC 5761).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub rtcp_mux: bool,
    /// Ports it asks for, where more than one (`m=video 49170/2`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ports: Option<u16>,
    /// Formats beyond the first sixty-four.
    #[serde(skip_serializing_if = "is_zero")]
    pub omitted: u32,
}

/// One payload type and what it means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Format {
    /// Payload type.
    pub pt: u8,
    /// The encoding's name, from `a=rtpmap` or because the type is assigned to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub codec: Option<String>,
    /// Rate of its timestamps in hertz.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<u32>,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl Media {
    /// Bytes it takes.
    pub fn memory(&self) -> usize {
        let codecs: usize = self.formats.iter().map(|format| texts([&format.codec])).sum();
        let formats = self.formats.capacity() * size_of::<Format>() + codecs;
        size_of::<Self>() + self.kind.capacity() + self.profile.capacity() + texts([&self.address]) + formats
    }

    /// Whether RTP will carry it.
    pub fn is_rtp(&self) -> bool {
        self.profile.contains("RTP/") && matches!(&*self.kind, "audio" | "video")
    }

    /// Where RTP will come to; none where it was refused, or the address is a name or says "nowhere" (hold).
    pub fn rtp_endpoint(&self) -> Option<SocketAddr> {
        let address: IpAddr = self.address.as_deref()?.parse().ok()?;
        (self.port != 0 && !address.is_unspecified()).then_some(SocketAddr::new(address, self.port))
    }

    /// Where RTCP will come to, if not to the port of RTP.
    pub fn rtcp_endpoint(&self) -> Option<SocketAddr> {
        let rtp = self.rtp_endpoint()?;
        let port = self.rtcp_port.or(rtp.port().checked_add(1))?;
        (port != rtp.port() && port != 0).then_some(SocketAddr::new(rtp.ip(), port))
    }
}

/// What a call agreed on for one medium: the context of its RTP and RTCP flows.
#[derive(Clone, Debug)]
pub(super) struct Negotiated {
    pub call_id: Arc<str>,
    pub kind: String,
    pub formats: Vec<Format>,
}

impl Negotiated {
    /// Whether the medium is sound.
    pub fn is_audio(&self) -> bool {
        self.kind == "audio"
    }

    /// Encoding and clock of a payload type: as negotiated, else as assigned.
    pub fn meaning(negotiated: Option<&Self>, payload_type: u8) -> (Option<&str>, Option<u32>) {
        let format = negotiated.and_then(|media| media.formats.iter().find(|format| format.pt == payload_type));
        match (format, assigned(payload_type)) {
            (Some(Format { codec: Some(codec), clock, .. }), _) => (Some(codec), *clock),
            (_, Some((codec, clock))) => (Some(codec), Some(clock)),
            _ => (None, None),
        }
    }
}
