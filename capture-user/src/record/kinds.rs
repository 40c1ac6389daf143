//! Which kinds of records are made.

use std::str::FromStr;
use std::sync::Arc;

use super::schema;

/// The kinds of records that somebody asks for: all of them, unless they are named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kinds(Option<Arc<[&'static str]>>);

/// A name that no kind has.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a kind of record; there are {known}", known = schema::names().join(", "))]
pub struct UnknownKind(String);

impl Kinds {
    /// Whether a kind is among them.
    #[inline]
    pub fn has(&self, kind: &str) -> bool {
        self.0.as_ref().is_none_or(|named| named.contains(&kind))
    }

    /// These and more.
    #[must_use]
    pub fn and(&self, more: &[&'static str]) -> Self {
        Self(self.0.as_ref().map(|named| named.iter().chain(more).copied().collect()))
    }
}

/// Names with commas between them.
impl FromStr for Kinds {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let known = schema::names();
        let find = |name: &str| known.iter().find(|known| **known == name).copied();
        let kinds = text.split(',').map(str::trim).map(|name| find(name).ok_or_else(|| UnknownKind(name.to_owned())));
        Ok(Self(Some(kinds.collect::<Result<_, _>>()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_named_with_commas_between_them() {
        let kinds: Kinds = "flow, match".parse().expect("both are there");
        assert!(kinds.has("flow") && kinds.has("match") && !kinds.has("dns"));
        assert!(kinds.and(&["dns"]).has("dns"));
        assert!(Kinds::default().has("dns") && Kinds::default().and(&["flow"]).has("dns"));
    }

    #[test]
    fn an_unknown_kind_is_named() {
        let error = "flow,flows".parse::<Kinds>().expect_err("no such kind").to_string();
        assert!(
            error.starts_with("`flows` is not a kind of record; there are a2s, ") && error.contains("stats"),
            "{error}"
        );
    }
}
