//! Texts that signatures look for, all of them in one go over a payload.

use aho_corasick::{AhoCorasick, PatternID, packed};

/// Texts that may stand anywhere in a payload.
#[derive(Debug, Default)]
pub(super) struct Texts {
    finder: Finder,
    /// The signature of each.
    signatures: Vec<u16>,
}

#[derive(Debug, Default)]
enum Finder {
    #[default]
    Nothing,
    /// Goes over 16 bytes at once.
    Few(packed::Searcher),
    /// For so many texts, or on such a processor, that this is faster, or all there is.
    Many(AhoCorasick),
}

impl Texts {
    /// Of texts and the place of the signature that each belongs to.
    pub(super) fn of(texts: &[(&str, u16)]) -> Self {
        let strings = || texts.iter().map(|(text, _)| text);
        let finder = match packed::Searcher::new(strings()) {
            Some(finder) => Finder::Few(finder),
            // Texts are short: the automaton cannot be too large.
            None if !texts.is_empty() => AhoCorasick::new(strings()).map_or(Finder::Nothing, Finder::Many),
            None => Finder::Nothing,
        };
        Self { finder, signatures: texts.iter().map(|(_, signature)| *signature).collect() }
    }

    /// Calls `found` with the signature of each text that is there.
    pub(super) fn find(&self, bytes: &[u8], mut found: impl FnMut(u16)) {
        let mut tell = |text: PatternID| {
            if let Some(signature) = self.signatures.get(text.as_usize()) {
                found(*signature);
            }
        };
        match &self.finder {
            Finder::Nothing => {}
            Finder::Few(finder) => finder.find_iter(bytes).for_each(|text| tell(text.pattern())),
            Finder::Many(finder) => finder.find_iter(bytes).for_each(|text| tell(text.pattern())),
        }
    }
}
