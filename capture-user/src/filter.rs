//! Filter expressions (`-f`): a subset of pcap-filter(7), answered as tcpdump answers it.
//!
//! An expression is compiled once, by [`Filter::parse`], to a flat program of tests and forward jumps, which
//! [`Filter::matches`] runs on the bytes of a frame. Like libpcap it looks at the outermost headers only and knows
//! nothing of flows, tunnels or reassembly, so a filter means here what it means there. `docs/filters.md` has the
//! grammar and the few differences.

mod cover;
mod error;
mod lex;
mod parse;
mod program;
mod value;

pub use cover::Cover;
pub use error::ParseError;

use crate::source::Frame;
use program::Program;

/// A compiled expression.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    program: Program,
    cover: Option<Cover>,
}

impl Filter {
    /// Compiles an expression; the empty one matches every frame.
    ///
    /// # Errors
    /// Anything outside the subset, by the token that is not understood and where it stands.
    pub fn parse(expression: &str) -> Result<Self, ParseError> {
        let (program, cover) = parse::parse(expression)?;
        Ok(Self { program, cover })
    }

    /// Whether the expression holds for a frame. Where it asks for a byte that was not captured it does not match,
    /// not even negated: so libpcap has it.
    pub fn matches(&self, frame: &Frame<'_>) -> bool {
        self.program.run(frame)
    }

    /// What the XDP program can be told to select on Ethernet so that no well-formed frame this filter matches is left
    /// out; `None` where the expression does not bound its frames by addresses. More frames than match may be
    /// selected: [`Filter::matches`] has the last word.
    pub fn console_rules(&self) -> Option<&Cover> {
        self.cover.as_ref()
    }
}

#[cfg(test)]
mod tests;
