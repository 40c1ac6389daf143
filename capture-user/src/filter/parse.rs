//! From an expression to a program, in one pass over its tokens.
//!
//! ```text
//! expression = operand { ("and" | "or") operand }        equal precedence, from left to right
//! operand    = { "not" } ( "(" expression ")" | primitive )
//! ```
//!
//! As in libpcap a value without a keyword (`port 80 or 443`) takes the qualifiers of the primitive before it.

mod address;
mod primitive;
mod qualifier;

use super::cover::Cover;
use super::error::ParseError;
use super::lex::{Token, tokens};
use super::program::{Program, Tags, Test};
use qualifier::Qualifiers;

/// Parentheses within parentheses, so that no expression exhausts the stack.
const MAX_DEPTH: usize = 100;

/// The program of an expression, and what covers it.
pub(super) fn parse(expression: &str) -> Result<(Program, Option<Cover>), ParseError> {
    let mut parser = Parser {
        tokens: tokens(expression),
        next: 0,
        end: expression.chars().count() + 1,
        depth: 0,
        program: Program::default(),
        tags: 0,
        recent: None,
        values_only: false,
    };
    if parser.tokens.is_empty() {
        return Ok((parser.program, None));
    }
    let cover = parser.expression()?;
    match parser.peek() {
        None => Ok((parser.program, cover)),
        Some(token) => Err(ParseError::at(&token, "`and`, `or` or the end was expected here")),
    }
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    next: usize,
    /// The position behind the last character.
    end: usize,
    depth: usize,
    program: Program,
    /// VLAN tags that the primitives so far have moved all later ones behind.
    tags: Tags,
    /// What the last primitive with a value said of it; a value that stands alone means the same.
    recent: Option<Qualifiers<'a>>,
    /// Whether only values may come: directly behind `host`, `port` and so on, parentheses included.
    values_only: bool,
}

impl<'a> Parser<'a> {
    fn expression(&mut self) -> Result<Option<Cover>, ParseError> {
        let mut cover = self.operand()?;
        loop {
            if self.accept(Token::is_and) {
                let jump = self.program.unless();
                cover = Cover::both(cover, self.operand()?);
                self.program.land(jump);
            } else if self.accept(Token::is_or) {
                let jump = self.program.when();
                cover = Cover::either(cover, self.operand()?);
                self.program.land(jump);
            } else {
                return Ok(cover);
            }
        }
    }

    fn operand(&mut self) -> Result<Option<Cover>, ParseError> {
        let mut negated = false;
        while self.accept(Token::is_not) {
            negated = !negated;
        }
        let cover = match self.peek() {
            Some(token) if token.text == "(" => self.group(token)?,
            _ => self.primitive()?,
        };
        if !negated {
            return Ok(cover);
        }
        self.program.not();
        Ok(None)
    }

    fn group(&mut self, open: Token<'a>) -> Result<Option<Cover>, ParseError> {
        self.next += 1;
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(ParseError::at(&open, format!("more than {MAX_DEPTH} parentheses within each other")));
        }
        let cover = self.expression()?;
        self.depth -= 1;
        if self.accept(|token| token.text == ")") {
            return Ok(cover);
        }
        Err(match self.peek() {
            Some(token) => ParseError::at(&token, "`and`, `or` or `)` was expected here"),
            None => self.ended(&format!("the `(` at character {} is not closed", open.position)),
        })
    }

    /// What follows the qualifiers of a primitive: one value, or several in parentheses.
    fn values(&mut self, qualifiers: Qualifiers<'a>) -> Result<Option<Cover>, ParseError> {
        self.recent = Some(qualifiers);
        let outer = std::mem::replace(&mut self.values_only, true);
        let cover = self.operand();
        self.values_only = outer;
        cover
    }

    fn test(&mut self, test: Test) {
        self.program.test(test, self.tags);
    }

    fn peek(&self) -> Option<Token<'a>> {
        self.tokens.get(self.next).copied()
    }

    /// The next token, which has to be there.
    fn take(&mut self, wanted: &str) -> Result<Token<'a>, ParseError> {
        let token = self.peek().ok_or_else(|| self.ended(&format!("{wanted} was expected")))?;
        self.next += 1;
        Ok(token)
    }

    fn accept(&mut self, is_it: impl Fn(&Token<'a>) -> bool) -> bool {
        let found = self.peek().is_some_and(|token| is_it(&token));
        self.next += usize::from(found);
        found
    }

    fn accept_word(&mut self, word: &str) -> bool {
        self.accept(|token| token.text == word)
    }

    fn ended(&self, problem: &str) -> ParseError {
        ParseError { token: String::new(), position: self.end, problem: problem.to_owned() }
    }
}
