//! Information elements: what a template says of one, and how its value is encoded. Both stand in one entry, so that a
//! record cannot differ from its template.

/// The enterprise number under which an element describes the reverse direction of a biflow (RFC 5103, section 6.1).
const REVERSE: u32 = 29_305;

/// The length that stands for a variable one (RFC 7011, section 7).
const VARIABLE: u16 = 65_535;

/// The most bytes of a text: its length fits one byte, and a record of such texts fits a message.
const LONGEST_TEXT: usize = 254;

/// One element of records about a `T`.
pub(super) struct Element<T> {
    id: u16,
    /// 0: IANA's.
    enterprise: u32,
    length: u16,
    put: fn(&T, &mut Vec<u8>),
}

impl<T> Element<T> {
    /// An element of IANA's registry, of `length` bytes.
    pub(super) const fn iana(id: u16, length: u16, put: fn(&T, &mut Vec<u8>)) -> Self {
        Self { id, enterprise: 0, length, put }
    }

    /// The same, of the reverse direction.
    pub(super) const fn reverse(id: u16, length: u16, put: fn(&T, &mut Vec<u8>)) -> Self {
        Self { id, enterprise: REVERSE, length, put }
    }

    /// An element of IANA's registry of variable length, to be encoded by [`text`].
    pub(super) const fn iana_text(id: u16, put: fn(&T, &mut Vec<u8>)) -> Self {
        Self { id, enterprise: 0, length: VARIABLE, put }
    }

    /// An element of an enterprise, of `length` bytes.
    pub(super) const fn own(enterprise: u32, id: u16, length: u16, put: fn(&T, &mut Vec<u8>)) -> Self {
        Self { id, enterprise, length, put }
    }

    /// An element of an enterprise of variable length, to be encoded by [`text`].
    pub(super) const fn own_text(enterprise: u32, id: u16, put: fn(&T, &mut Vec<u8>)) -> Self {
        Self { id, enterprise, length: VARIABLE, put }
    }

    /// Appends what a template says of it (RFC 7011, section 3.2).
    pub(super) fn describe(&self, bytes: &mut Vec<u8>) {
        let flag = if self.enterprise == 0 { 0 } else { 0x8000 };
        bytes.extend((self.id | flag).to_be_bytes());
        bytes.extend(self.length.to_be_bytes());
        if self.enterprise != 0 {
            bytes.extend(self.enterprise.to_be_bytes());
        }
    }

    /// Appends its value.
    pub(super) fn put(&self, of: &T, bytes: &mut Vec<u8>) {
        let start = bytes.len();
        (self.put)(of, bytes);
        debug_assert!(
            self.length == VARIABLE || bytes.len() - start == usize::from(self.length),
            "element {}",
            self.id
        );
    }
}

/// Appends a text of variable length; unknown is empty.
pub(super) fn text(bytes: &mut Vec<u8>, text: Option<&str>) {
    let text = text.unwrap_or_default();
    let text = text.get(..text.floor_char_boundary(LONGEST_TEXT)).unwrap_or_default();
    bytes.push(text.len() as u8);
    bytes.extend_from_slice(text.as_bytes());
}
