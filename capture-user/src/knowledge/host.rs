//! What a server is for, by its name.

use std::sync::Arc;

use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::file::Text;
use super::{Confidence, Error, Role};

/// How a rule's name is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Match {
    /// `*` stands for any characters, `?` for one.
    Glob,
    /// The name and all below it.
    Suffix,
    /// The name alone.
    Exact,
}

/// One rule.
#[derive(Clone, Debug)]
pub struct HostRule {
    /// How its name is compared.
    pub kind: Match,
    /// The name, in lower case.
    pub name: Box<str>,
    /// Whose server it is.
    pub service: Arc<str>,
    /// What it is for.
    pub role: Option<Role>,
    /// How well that is known.
    pub confidence: Confidence,
    /// Where from.
    pub sources: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    host: Vec<Entry>,
    #[serde(default, rename = "schema")]
    _schema: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(rename = "match")]
    kind: Match,
    name: Spanned<String>,
    service: Arc<str>,
    role: Option<Role>,
    #[serde(default)]
    confidence: Confidence,
    #[serde(default)]
    src: Vec<String>,
    #[serde(default, rename = "note")]
    _note: Option<String>,
}

/// All rules, found through the labels at the end of their names that hold no wildcard.
#[derive(Debug, Default)]
pub struct Hosts {
    rules: Vec<HostRule>,
    anchors: HashMap<Box<str>, Vec<u32>>,
}

impl Hosts {
    pub(super) fn from_texts<'a>(texts: impl Iterator<Item = &'a Text>) -> Result<Self, Error> {
        let mut hosts = Self::default();
        for text in texts {
            for entry in text.toml::<File>()?.host {
                let span = entry.name.span();
                let rule = entry.rule().map_err(|message| text.error_at(span, message))?;
                hosts.insert(rule);
            }
        }
        Ok(hosts)
    }

    fn insert(&mut self, rule: HostRule) {
        let anchor = anchor(&rule.name).into();
        self.anchors.entry(anchor).or_default().push(self.rules.len() as u32);
        self.rules.push(rule);
    }

    /// The rule that says most of a name: the one with the most characters that are no wildcards, of equals the exact
    /// one, of equals the one read last.
    pub fn find(&self, name: &str) -> Option<&HostRule> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let rules = ends(&name).filter_map(|end| self.anchors.get(end)).flatten();
        rules
            .filter_map(|place| self.rules.get(*place as usize))
            .filter(|rule| rule.covers(&name))
            .max_by_key(|rule| (rule.literals(), rule.kind))
    }

    /// All rules.
    pub fn iter(&self) -> impl Iterator<Item = &HostRule> {
        self.rules.iter()
    }

    /// Rules known.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }
}

impl Entry {
    fn rule(self) -> Result<HostRule, String> {
        let name = self.name.into_inner().to_ascii_lowercase();
        let wild = |character| matches!(character, '*' | '?');
        let allowed = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
        if name.is_empty() || !name.chars().all(|character| allowed(character) || wild(character)) {
            return Err(format!(
                "`{name}` is not a host name: letters, digits, `-`, `_`, `.`, in a glob also `*`, `?`"
            ));
        }
        if self.kind != Match::Glob && name.contains(wild) {
            return Err(format!("`{name}` has wildcards: match = \"glob\" allows them"));
        }
        let Self { kind, service, role, confidence, src, .. } = self;
        Ok(HostRule { kind, name: name.into(), service, role, confidence, sources: src })
    }
}

impl HostRule {
    fn covers(&self, name: &str) -> bool {
        match self.kind {
            Match::Exact => *self.name == *name,
            Match::Suffix => {
                name.strip_suffix(&*self.name).is_some_and(|before| before.is_empty() || before.ends_with('.'))
            }
            Match::Glob => glob(self.name.as_bytes(), name.as_bytes()),
        }
    }

    fn literals(&self) -> usize {
        self.name.bytes().filter(|byte| !matches!(byte, b'*' | b'?')).count()
    }
}

/// The labels behind the last one with a wildcard.
fn anchor(name: &str) -> &str {
    match name.rfind(['*', '?']) {
        None => name,
        Some(wild) => {
            let rest = name.get(wild..).unwrap_or_default();
            rest.split_once('.').map_or("", |(_, labels)| labels)
        }
    }
}

/// A name, what is left of it without its first label, and so on to nothing.
fn ends(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| {
        if name.is_empty() { None } else { Some(name.split_once('.').map_or("", |(_, rest)| rest)) }
    })
}

/// Whether a pattern covers a name. A `*` that turns out too short is made one longer, so the time is at most the
/// product of both lengths.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut in_name) = (0, 0);
    let mut star = None;
    loop {
        match (pattern.get(at), name.get(in_name)) {
            (Some(b'*'), _) => {
                star = Some((at, in_name));
                at += 1;
            }
            (Some(wanted), Some(byte)) if *wanted == b'?' || wanted == byte => {
                at += 1;
                in_name += 1;
            }
            (None, None) => return true,
            _ => match star {
                Some((place, begun)) if begun < name.len() => {
                    star = Some((place, begun + 1));
                    (at, in_name) = (place + 1, begun + 1);
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::knowledge::Knowledge;

    #[test]
    fn patterns() {
        for (pattern, name, covers) in [
            ("*", "", true),
            ("*", "abc", true),
            ("a*c", "abbc", true),
            ("a*c", "abcb", false),
            ("*.a.*.b", "x.a.y.a.z.b", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*aab", "aaaab", true),
            ("", "a", false),
        ] {
            assert_eq!(glob(pattern.as_bytes(), name.as_bytes()), covers, "{pattern} {name}");
        }
    }

    #[track_caller]
    fn check(name: &str, expected: Option<(&str, Role)>) {
        let knowledge = Knowledge::embedded();
        let found = knowledge.hosts.find(name).map(|rule| (&*rule.service, rule.role.expect("a role")));
        assert_eq!(found, expected, "{name}");
    }

    #[test]
    fn the_rule_that_says_most() {
        check("overwatch.ingest.gdp.blizzard.com", Some(("overwatch", Role::Result)));
        check("eu.ingest.gdp.blizzard.com", Some(("overwatch", Role::Telemetry)));
        check("EU.actual.battle.net.", Some(("battlenet", Role::Login)));
        check("shop.battle.net", Some(("battlenet", Role::Platform)));
        check("gs2.ww.prod.dl.playstation.net", Some(("psn", Role::Download)));
        check("g2df33d01-lp1.s.n.srv.nintendo.net", Some(("nintendo", Role::Matchmaking)));
        check("notbattle.net", None);
        check("battle.net.example", None);
        check("", None);
    }

    #[test]
    fn where_a_rule_is_looked_for() {
        assert_eq!(anchor("*lobby*.prod.example.net"), "prod.example.net");
        assert_eq!(anchor("a.example.net"), "a.example.net");
        assert_eq!(anchor("a.*"), "");
        assert_eq!(ends("a.b.c").collect::<Vec<_>>(), ["a.b.c", "b.c", "c", ""]);
    }
}
