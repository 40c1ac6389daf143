//! One message: a header and sets of records (RFC 7011, section 3).

use crate::time::Timestamp;

/// The most bytes of a message, so that a datagram of it passes unbroken also where tunnels take their share.
pub(super) const LONGEST: usize = 1400;

const VERSION: u16 = 10;
const HEADER: usize = 16;
const SET_HEADER: usize = 4;

/// A message in the making.
#[derive(Debug)]
pub(super) struct Message {
    bytes: Vec<u8>,
    /// The set that is open: its number, and where it begins.
    set: Option<(u16, usize)>,
    /// Data records.
    records: u32,
}

impl Message {
    /// An empty message of this observation domain.
    pub(super) fn of(domain: u32) -> Self {
        let mut bytes = vec![0; HEADER];
        bytes[..2].copy_from_slice(&VERSION.to_be_bytes());
        bytes[12..].copy_from_slice(&domain.to_be_bytes());
        Self { bytes, set: None, records: 0 }
    }

    /// Whether nothing is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.len() <= HEADER
    }

    /// Data records in it. Those of templates do not count.
    pub(super) fn records(&self) -> u32 {
        self.records
    }

    /// Whether it has room for a record of this set.
    pub(super) fn fits(&self, set: u16, record: &[u8]) -> bool {
        let header = if self.set.is_some_and(|(open, _)| open == set) { 0 } else { SET_HEADER };
        self.bytes.len() + header + record.len() <= LONGEST
    }

    /// Appends a data record of the template that has the number `set`.
    pub(super) fn add(&mut self, set: u16, record: &[u8]) {
        self.put(set, record);
        self.records += 1;
    }

    /// Appends a record to the set of that number, which begins anew where another was open.
    pub(super) fn put(&mut self, set: u16, record: &[u8]) {
        if self.set.is_none_or(|(open, _)| open != set) {
            self.close_set();
            self.set = Some((set, self.bytes.len()));
            self.bytes.extend(set.to_be_bytes());
            self.bytes.extend([0, 0]);
        }
        self.bytes.extend_from_slice(record);
    }

    fn close_set(&mut self) {
        if let Some((_, start)) = self.set.take() {
            let length = (self.bytes.len() - start) as u16;
            self.bytes[start + 2..start + 4].copy_from_slice(&length.to_be_bytes());
        }
    }

    /// The message as it is sent, but for its number.
    pub(super) fn bytes(&mut self) -> &mut [u8] {
        self.close_set();
        let length = self.bytes.len() as u16;
        if let Some(place) = self.bytes.get_mut(2..4) {
            place.copy_from_slice(&length.to_be_bytes());
        }
        &mut self.bytes
    }

    /// Empties it for the next.
    pub(super) fn clear(&mut self) {
        self.bytes.truncate(HEADER);
        self.set = None;
        self.records = 0;
    }
}

/// Numbers a message that leaves now: by the data records before its own (RFC 7011, section 3.1).
pub(super) fn stamp(message: &mut [u8], sequence: u32) {
    let seconds = (Timestamp::now().as_nanos() / 1_000_000_000) as u32;
    if let Some(place) = message.get_mut(4..8) {
        place.copy_from_slice(&seconds.to_be_bytes());
    }
    if let Some(place) = message.get_mut(8..12) {
        place.copy_from_slice(&sequence.to_be_bytes());
    }
}
