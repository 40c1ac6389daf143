//! An expression's tokens.

/// A word or a symbol, and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    /// As it was written.
    pub text: &'a str,
    /// Its first character, counted in characters from 1.
    pub position: usize,
}

impl Token<'_> {
    pub fn is_and(&self) -> bool {
        matches!(self.text, "and" | "&&")
    }

    pub fn is_or(&self) -> bool {
        matches!(self.text, "or" | "||")
    }

    pub fn is_not(&self) -> bool {
        matches!(self.text, "not" | "!")
    }
}

/// Symbols, each before its own prefixes.
const SYMBOLS: &[&str] = &["&&", "||", "!=", "==", "<=", ">=", "(", ")", "!", "&", "|", "=", "<", ">", "/"];

/// Splits an expression. Any text has tokens; whether they mean something is for the parser to say.
pub(super) fn tokens(expression: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut rest, mut position) = (expression, 1);
    while let Some(first) = rest.chars().next() {
        let length = if first.is_whitespace() { first.len_utf8() } else { token_length(rest) };
        let (text, following) = rest.split_at(length);
        if !first.is_whitespace() {
            tokens.push(Token { text, position });
        }
        position += text.chars().count();
        rest = following;
    }
    tokens
}

fn token_length(text: &str) -> usize {
    let symbol = SYMBOLS.iter().find(|symbol| text.starts_with(**symbol));
    symbol.map_or_else(|| text.find(ends_word).unwrap_or(text.len()), |symbol| symbol.len())
}

fn ends_word(character: char) -> bool {
    character.is_whitespace() || "()!&|=<>/".contains(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &str, expected: &[(&str, usize)]) {
        let found: Vec<_> = tokens(expression).iter().map(|token| (token.text, token.position)).collect();
        assert_eq!(found, expected, "{expression}");
    }

    #[test]
    fn symbols_need_no_space() {
        check("", &[]);
        check("  ip ", &[("ip", 3)]);
        check(
            "!ip&&(tcp||udp)",
            &[("!", 1), ("ip", 2), ("&&", 4), ("(", 6), ("tcp", 7), ("||", 10), ("udp", 12), (")", 15)],
        );
        check("len<=60", &[("len", 1), ("<=", 4), ("60", 6)]);
        check("net ::/0", &[("net", 1), ("::", 5), ("/", 7), ("0", 8)]);
    }

    #[test]
    fn positions_count_characters() {
        check("é\u{a0}ip \u{1f3ae}|", &[("é", 1), ("ip", 3), ("\u{1f3ae}", 6), ("|", 7)]);
    }
}
