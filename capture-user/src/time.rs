//! Time as it is on the wire: nanoseconds since the Unix epoch, UTC.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use arrayvec::ArrayString;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

/// A moment in UTC, in nanoseconds since the Unix epoch; years 1677 to 2262.
///
/// It prints, and serialises, as RFC 3339 with nine digits of fraction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The end of the range: later than anything that was seen.
    pub const MAX: Self = Self(i64::MAX);

    /// The moment `nanos` nanoseconds after the epoch.
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// Whole seconds plus nanoseconds, as capture files store them; saturates at the ends of the range.
    pub const fn new(seconds: i64, nanos: u32) -> Self {
        Self(seconds.saturating_mul(1_000_000_000).saturating_add(nanos as i64))
    }

    /// The present moment by the system's real-time clock.
    pub fn now() -> Self {
        let since_epoch = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
        Self(i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX))
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> i64 {
        self.0
    }

    /// Nanoseconds from `earlier` to `self`; negative when `earlier` is the later one.
    pub const fn nanos_since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// `self` moved back; saturates at the beginning of the range.
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// `self` moved forward; saturates at the end of the range.
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// Its text, as "2015-07-25T21:12:49.436349000Z". Every record has several, so they are made in a straight line.
    ///
    /// The date is reckoned in years that begin in March and days since 0000-03-01, of which the epoch is the 719,468th;
    /// 400 years have 146,097 days, and the months from March on begin at day (153 month + 2) / 5.
    pub(crate) fn text(self) -> ArrayString<30> {
        let seconds = self.0.div_euclid(1_000_000_000);
        // 1677 to 2262, so that all of this is positive and small from here on.
        let days = (seconds.div_euclid(86_400) + 719_468) as u32;
        let second = seconds.rem_euclid(86_400) as u32;
        let nanos = self.0.rem_euclid(1_000_000_000) as u32;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        let year = era * 400 + year + next;
        let mut text = *b"0000-00-00T00:00:00.000000000Z";
        for (at, number) in [
            (0, year / 100),
            (2, year % 100),
            (5, month),
            (8, day),
            (11, second / 3_600),
            (14, second / 60 % 60),
            (17, second % 60),
            (20, nanos / 10_000_000),
            (22, nanos / 100_000 % 100),
            (24, nanos / 1_000 % 100),
            (26, nanos / 10 % 100),
        ] {
            text[at..at + 2].copy_from_slice(&PAIRS[number as usize % PAIRS.len()]);
        }
        text[28] = b'0' + (nanos % 10) as u8;
        ArrayString::from_byte_string(&text).unwrap_or_default()
    }
}

/// The numbers up to 99, in two digits.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut number = 0;
    while number < pairs.len() {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
};

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prints_rfc_3339_with_nine_digits() {
        assert_eq!(Timestamp::new(1_437_858_769, 436_349_000).to_string(), "2015-07-25T21:12:49.436349000Z");
        assert_eq!(Timestamp::from_nanos(-1).to_string(), "1969-12-31T23:59:59.999999999Z");
    }

    proptest! {
        /// As the library has it that knows all calendars.
        #[test]
        fn every_moment_prints_as_in_jiff(nanos: i64) {
            let moment = jiff::Timestamp::from_nanosecond(i128::from(nanos)).expect("within its range");
            prop_assert_eq!(Timestamp::from_nanos(nanos).to_string(), format!("{moment:.9}"));
        }
    }

    #[test]
    fn days_around_the_ends_of_years_print_as_in_jiff() {
        for day in (-100_000..100_000).filter(|day| day % 365 < 3 || day % 1_461 < 3) {
            let moment = jiff::Timestamp::new(day * 86_400, 0).expect("within its range");
            assert_eq!(Timestamp::new(day * 86_400, 0).to_string(), format!("{moment:.9}"));
        }
    }

    #[test]
    fn the_ends_of_the_range_saturate() {
        assert_eq!(Timestamp::new(i64::MAX, 0), Timestamp::from_nanos(i64::MAX));
        assert_eq!(Timestamp::from_nanos(i64::MIN).nanos_since(Timestamp::from_nanos(1)), i64::MIN);
    }
}
