//! From session descriptions to the flows they announce.

use std::sync::Arc;

use super::uri::clip;
use crate::dissect::app::sdp::{Description, Media, Negotiated};
use crate::dissect::app::{Direction, Expectation, Output, rtcp, rtp};

/// Media of a description that are remembered until the other side answers.
const MAX_REMEMBERED: usize = 4;

/// Announces the media of the calls on one flow.
///
/// A payload type means what the description of the receiver says, and each side may use its own. The latest
/// description of either side is kept, so that a media flow knows the formats of both, those of the side whose address
/// announced it first.
#[derive(Debug, Default)]
pub(super) struct Announcer {
    latest: [Option<Described>; 2],
}

/// What one side described last.
#[derive(Debug)]
struct Described {
    call_id: Arc<str>,
    media: Vec<Media>,
}

impl Announcer {
    /// Bytes of heap that the descriptions take.
    pub fn memory(&self) -> usize {
        let described = self.latest.iter().flatten();
        described.map(|one| one.call_id.len() + one.media.iter().map(Media::memory).sum::<usize>()).sum()
    }

    /// Announces every medium that RTP will carry; on an answer, those of the offer again.
    pub fn announce(&mut self, description: &Description, call_id: &str, from: Direction, out: &mut Output) {
        let call_id: Arc<str> = clip(call_id).into();
        let other = self.latest[from.reversed().index()].as_ref().filter(|other| other.call_id == call_id);
        let theirs = other.map_or(&[][..], |other| &other.media);
        announce_all(&description.media, theirs, &call_id, out);
        announce_all(theirs, &description.media, &call_id, out);
        let media = description.media.iter().take(MAX_REMEMBERED).cloned().collect();
        self.latest[from.index()] = Some(Described { call_id, media });
    }
}

fn announce_all(media: &[Media], counterparts: &[Media], call_id: &Arc<str>, out: &mut Output) {
    for (place, media) in media.iter().enumerate().filter(|(_, media)| media.is_rtp()) {
        let negotiated = Arc::new(negotiated(media, counterparts.get(place), call_id));
        if let Some(endpoint) = media.rtp_endpoint() {
            let open = rtp::opener(Arc::clone(&negotiated));
            out.expectations.push(Expectation { endpoint, protocol: &rtp::PROTOCOL, open });
        }
        if let Some(endpoint) = media.rtcp_endpoint() {
            let open = rtcp::announced(negotiated);
            out.expectations.push(Expectation { endpoint, protocol: &rtcp::PROTOCOL, open });
        }
    }
}

/// The formats of a medium, and those that only its counterpart has.
fn negotiated(media: &Media, counterpart: Option<&Media>, call_id: &Arc<str>) -> Negotiated {
    let mut formats = media.formats.clone();
    for format in counterpart.iter().flat_map(|other| &other.formats) {
        if formats.iter().all(|known| known.pt != format.pt) {
            formats.push(format.clone());
        }
    }
    Negotiated { call_id: Arc::clone(call_id), kind: media.kind.clone(), formats }
}
