//! When a file is full and when a capture is done, in dumpcap's words: `-b` and `-a` with `key:value`.

use std::time::Duration;

use crate::time::Timestamp;

/// Bounds of one file (`-b`) or of a whole capture (`-a`). Without a value there is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes. Reached by the packet that makes the file as long or longer.
    pub size: Option<u64>,
    /// Packet time since the first packet; a packet at or beyond it belongs to the next file.
    pub duration: Option<Duration>,
    /// Packets.
    pub packets: Option<u64>,
    /// `-b`: files that are kept, the oldest is deleted. `-a`: files after which the capture is done.
    pub files: Option<u64>,
}

/// A condition that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// There is no such key, or no colon.
    #[error("`{0}`: expected filesize:KB, duration:SECONDS, packets:N or files:N")]
    Unknown(String),
    /// The value is not a number that makes sense there.
    #[error("`{0}`: expected a number above 0 after the colon")]
    Value(String),
}

impl Limits {
    /// Adds a condition: `filesize:KB` (of 1000 bytes, as dumpcap has it), `duration:SECONDS` (a decimal fraction is
    /// allowed), `packets:N` or `files:N`.
    ///
    /// # Errors
    /// What is wrong with the text; the limits are as they were.
    pub fn add(&mut self, condition: &str) -> Result<(), LimitsError> {
        let wrong = || LimitsError::Value(condition.to_owned());
        let count = |value: &str| value.parse().ok().filter(|&count: &u64| count > 0).ok_or_else(wrong);
        match condition.split_once(':') {
            Some(("filesize", value)) => self.size = Some(count(value)?.checked_mul(1000).ok_or_else(wrong)?),
            Some(("duration", value)) => self.duration = Some(seconds(value).ok_or_else(wrong)?),
            Some(("packets", value)) => self.packets = Some(count(value)?),
            Some(("files", value)) => self.files = Some(count(value)?),
            _ => return Err(LimitsError::Unknown(condition.to_owned())),
        }
        Ok(())
    }

    /// Whether any of size, duration and packets is bounded, so that packets must be looked at one by one.
    pub(super) fn bound_packets(&self) -> bool {
        self.size.is_some() || self.duration.is_some() || self.packets.is_some()
    }

    /// Whether what was written so far leaves no place for a packet of that time.
    pub(super) fn reached(&self, extent: &Extent, time: Timestamp) -> bool {
        let since_first = extent.first.map(|first| u128::try_from(time.nanos_since(first)).unwrap_or(0));
        self.size.is_some_and(|size| extent.bytes >= size && extent.packets > 0)
            || self.packets.is_some_and(|packets| extent.packets >= packets)
            || self.duration.zip(since_first).is_some_and(|(limit, passed)| passed >= limit.as_nanos())
    }
}

fn seconds(value: &str) -> Option<Duration> {
    let seconds: f64 = value.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok().filter(|duration| !duration.is_zero())
}

/// What limits are compared with: how much a file, or a capture, holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Extent {
    pub(super) bytes: u64,
    pub(super) packets: u64,
    pub(super) first: Option<Timestamp>,
}

impl Extent {
    pub(super) fn add(&mut self, time: Timestamp, bytes: usize) {
        self.bytes += bytes as u64;
        self.packets += 1;
        self.first.get_or_insert(time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_in_dumpcaps_words() {
        let mut limits = Limits::default();
        for condition in ["filesize:100", "duration:2.5", "packets:7", "files:3"] {
            limits.add(condition).unwrap();
        }
        let expected = Limits {
            size: Some(100_000),
            duration: Some(Duration::from_millis(2500)),
            packets: Some(7),
            files: Some(3),
        };
        assert_eq!(limits, expected);
    }

    #[test]
    fn what_makes_no_sense_is_quoted() {
        for condition in ["", "7", "size:7", "interval:60", "filesize", "Packets:1"] {
            let error = Limits::default().add(condition).unwrap_err();
            assert_eq!(error, LimitsError::Unknown(condition.to_owned()));
        }
        for condition in [
            "packets:",
            "packets:0",
            "files:-1",
            "filesize:1e3",
            "duration:nan",
            "duration:-1",
            "duration:0",
            "duration:1e40",
            "filesize:18446744073709551615",
        ] {
            let error = Limits::default().add(condition).unwrap_err();
            assert_eq!(error, LimitsError::Value(condition.to_owned()));
            assert!(error.to_string().contains(condition));
        }
    }
}
