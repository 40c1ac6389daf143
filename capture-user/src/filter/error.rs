//! Why an expression is refused.

use std::fmt;

use super::lex::Token;

/// The token of an expression that is not understood, where it stands, and what would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The token as it was written; empty where the expression ended too soon.
    pub token: String,
    /// The place of its first character, counted in characters from 1.
    pub position: usize,
    /// What is wrong and what is understood.
    pub problem: String,
}

impl ParseError {
    pub(super) fn at(token: &Token<'_>, problem: impl Into<String>) -> Self {
        Self { token: token.text.to_owned(), position: token.position, problem: problem.into() }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.token.is_empty() {
            write!(f, "filter ends at character {}: {}", self.position, self.problem)
        } else {
            write!(f, "filter: `{}` at character {}: {}", self.token.escape_debug(), self.position, self.problem)
        }
    }
}

impl std::error::Error for ParseError {}
