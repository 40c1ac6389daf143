//! The payload types that need no negotiation (RFC 3551 section 6, RFC 3389 for comfort noise).

/// The encoding name and clock rate in hertz of a static payload type.
pub(in crate::dissect::app) fn assigned(payload_type: u8) -> Option<(&'static str, u32)> {
    Some(match payload_type {
        0 => ("PCMU", 8_000),
        3 => ("GSM", 8_000),
        4 => ("G723", 8_000),
        5 => ("DVI4", 8_000),
        6 => ("DVI4", 16_000),
        7 => ("LPC", 8_000),
        8 => ("PCMA", 8_000),
        9 => ("G722", 8_000),
        10 | 11 => ("L16", 44_100),
        12 => ("QCELP", 8_000),
        13 | 19 => (COMFORT_NOISE, 8_000),
        14 => ("MPA", 90_000),
        15 => ("G728", 8_000),
        16 => ("DVI4", 11_025),
        17 => ("DVI4", 22_050),
        18 => ("G729", 8_000),
        25 => ("CelB", 90_000),
        26 => ("JPEG", 90_000),
        28 => ("nv", 90_000),
        31 => ("H261", 90_000),
        32 => ("MPV", 90_000),
        33 => ("MP2T", 90_000),
        34 => ("H263", 90_000),
        _ => return None,
    })
}

/// The encoding name of comfort noise.
pub(super) const COMFORT_NOISE: &str = "CN";
/// The encoding name of named telephone events (RFC 4733).
const TELEPHONE_EVENT: &str = "telephone-event";

/// Whether a static payload type carries sound.
pub(super) fn is_sound(payload_type: u8) -> bool {
    matches!(payload_type, 0..=19)
}

/// Whether an encoding is comfort noise: packets between talk spurts.
pub(super) fn is_comfort_noise(codec: &str) -> bool {
    codec.eq_ignore_ascii_case(COMFORT_NOISE)
}

/// Whether an encoding is named events, whose packets repeat the timestamp of the event's start.
pub(super) fn is_event(codec: &str) -> bool {
    codec.eq_ignore_ascii_case(TELEPHONE_EVENT)
}
