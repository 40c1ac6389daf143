//! Time in inputs: files may say anything.

use capture_user::time::Timestamp;

/// A moment that follows `before`: usually by some milliseconds, but a step may lead as far as time goes, both ways.
pub fn after(before: Timestamp, step: u8) -> Timestamp {
    let nanos = before.as_nanos();
    Timestamp::from_nanos(match step {
        0..200 => nanos.saturating_add(i64::from(step) * 4_000_000),
        200..228 => nanos.saturating_add(far(step - 200)),
        228.. => nanos.saturating_sub(far(step - 228)),
    })
}

/// A minute to 292 years.
fn far(exponent: u8) -> i64 {
    1_i64.checked_shl(36 + u32::from(exponent)).filter(|nanos| *nanos > 0).unwrap_or(i64::MAX)
}
