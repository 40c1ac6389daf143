//! Names of people: shown only on request.

use sha2::{Digest, Sha256};

/// How records show the names of people seen on the wire (SIP users, player names).
#[derive(Clone, Copy, Debug, Default)]
pub struct People {
    key: Option<[u8; 16]>,
}

impl People {
    /// As they are.
    pub const SHOWN: Self = Self { key: None };

    /// As `~` and sixteen hex digits: the same name gives the same digits under the same key, and only then.
    pub const fn hashed(key: [u8; 16]) -> Self {
        Self { key: Some(key) }
    }

    /// `name` as a record may show it.
    pub fn show(&self, name: &str) -> String {
        let Some(key) = self.key else { return name.to_owned() };
        let digest = Sha256::new().chain_update(key).chain_update(name).finalize();
        let mut shown = String::with_capacity(17);
        shown.push('~');
        for byte in digest.iter().take(8) {
            shown.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
            shown.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_depends_on_name_and_key_alone() {
        let (one, other) = (People::hashed([1; 16]), People::hashed([2; 16]));
        assert_eq!(one.show("alice"), one.show("alice"));
        assert_ne!(one.show("alice"), one.show("bob"));
        assert_ne!(one.show("alice"), other.show("alice"));
        assert_eq!(one.show("alice").len(), 17);
        assert_eq!(People::SHOWN.show("alice"), "alice");
    }
}
