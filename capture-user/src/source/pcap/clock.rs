//! Units of time in capture files, turned into nanoseconds.

use crate::time::Timestamp;

/// How an interface counts time: pcapng's if_tsresol and if_tsoffset (draft-ietf-opsawg-pcapng, section 4.2).
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    unit: Unit,
    /// Added to every time, in nanoseconds.
    offset: i64,
}

#[derive(Clone, Copy, Debug)]
enum Unit {
    /// So many nanoseconds each.
    Nanos(u64),
    /// So many of them in a nanosecond.
    PerNano(u128),
    /// 2^-n seconds each.
    Binary(u8),
}

impl Clock {
    /// The clock of an if_tsresol byte: with its high bit clear a negative power of ten, else a negative power of two.
    pub(super) fn new(resolution: u8, offset_seconds: i64) -> Self {
        let exponent = u32::from(resolution & 0x7f);
        let unit = if resolution & 0x80 != 0 {
            Unit::Binary(resolution & 0x7f)
        } else if exponent <= 9 {
            Unit::Nanos(10_u64.pow(9 - exponent))
        } else {
            Unit::PerNano(10_u128.checked_pow(exponent - 9).unwrap_or(u128::MAX))
        };
        Self { unit, offset: offset_seconds.saturating_mul(1_000_000_000) }
    }

    /// The moment of `ticks`; saturates at the ends of what a timestamp holds.
    #[inline]
    pub(super) fn at(self, ticks: u64) -> Timestamp {
        let nanos = match self.unit {
            Unit::Nanos(each) => i64::try_from(ticks.saturating_mul(each)).unwrap_or(i64::MAX),
            Unit::PerNano(many) => i64::try_from(u128::from(ticks) / many).unwrap_or(i64::MAX),
            Unit::Binary(n) => i64::try_from((u128::from(ticks) * 1_000_000_000) >> n).unwrap_or(i64::MAX),
        };
        Timestamp::from_nanos(nanos.saturating_add(self.offset))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_every_kind() {
        for (resolution, offset, ticks, expected) in [
            (0, 0, 3, 3_000_000_000),
            (3, 0, 1_500, 1_500_000_000),
            (6, 0, 1_500_000, 1_500_000_000),
            (9, 0, 1_500_000_001, 1_500_000_001),
            (12, 0, 1_500_000_001_999, 1_500_000_001),
            (127, 0, u64::MAX, 0),
            (0x80, 0, 2, 2_000_000_000),
            (0x80 | 10, 0, 1_536, 1_500_000_000),
            (0x80 | 32, 0, 3 << 31, 1_500_000_000),
            (0xff, 0, u64::MAX, 0),
            (6, 1_000, 1, 1_000_000_001_000),
            (6, -1, 500_000, -500_000_000),
            (0, 0, u64::MAX, i64::MAX),
            (9, 0, u64::MAX, i64::MAX),
            (6, i64::MIN, 1, i64::MIN + 1_000),
        ] {
            let clock = Clock::new(resolution, offset);
            assert_eq!(clock.at(ticks).as_nanos(), expected, "resolution {resolution} offset {offset} ticks {ticks}");
        }
    }
}
