//! One message: a header and sets of records (RFC 7011, section 3).

use crate::time::Timestamp;

/// The most bytes of a message, so that a datagram of it passes unbroken also where tunnels take their share.
pub(super) const LONGEST: usize = 1400;

const VERSION: u16 = 10;
const HEADER: usize = 16;
const SET_HEADER: usize = 4;

/// A message in the making.
#[derive(Debug, Default)]
pub(super) struct Message {
    bytes: Vec<u8>,
    /// The set that is open: its number, and where it begins.
    set: Option<(u16, usize)>,
    /// Data records.
    records: u32,
}

impl Message {
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
        if self.bytes.is_empty() {
            self.bytes.resize(HEADER, 0);
        }
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

    /// The message as it is sent: `sequence` is the number of data records before its own.
    pub(super) fn finish(&mut self, sequence: u32, domain: u32) -> &[u8] {
        self.close_set();
        let seconds = (Timestamp::now().as_nanos() / 1_000_000_000) as u32;
        let length = self.bytes.len() as u16;
        self.bytes[..2].copy_from_slice(&VERSION.to_be_bytes());
        self.bytes[2..4].copy_from_slice(&length.to_be_bytes());
        self.bytes[4..8].copy_from_slice(&seconds.to_be_bytes());
        self.bytes[8..12].copy_from_slice(&sequence.to_be_bytes());
        self.bytes[12..HEADER].copy_from_slice(&domain.to_be_bytes());
        &self.bytes
    }

    /// Empties it for the next.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.set = None;
        self.records = 0;
    }
}
