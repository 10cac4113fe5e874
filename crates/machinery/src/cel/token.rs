//! The words of an expression.

use super::source::Issue;

/// What kind of word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An operator or a bracket.
    Sign(&'static str),
    /// A name; also `in`, `true`, `false` and `null`.
    Name,
    /// A whole number.
    Int,
    /// A whole number with `u` behind it.
    Uint,
    /// A number with fraction or exponent.
    Float,
    /// Text in quotes.
    String,
    /// Bytes in quotes.
    Bytes,
    /// Nothing more.
    End,
}

/// A word.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    /// What kind.
    pub kind: Kind,
    /// As it is written.
    pub text: &'a str,
    /// Where it begins: characters from the start.
    pub offset: usize,
}

/// Longest first.
const SIGNS: &[&str] = &[
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "[", "]", "{", "}", "(", ")", ".", ",", "-", "!", "?", ":",
    "+", "*", "/", "%",
];

/// Splits an expression into words. What is none is told and left out.
pub(super) fn split<'a>(source: &'a str, issues: &mut Vec<Issue>) -> Vec<Token<'a>> {
    let mut tokens = Vec::new();
    let mut rest = source;
    let mut offset = 0;
    loop {
        let blank = blank(rest);
        offset += count(&rest[..blank]);
        rest = &rest[blank..];
        if rest.is_empty() {
            tokens.push(Token { kind: Kind::End, text: "<EOF>", offset });
            return tokens;
        }
        let length = match word(rest) {
            Ok((kind, length)) => {
                tokens.push(Token { kind, text: &rest[..length], offset });
                length
            }
            Err(length) => {
                let message =
                    format!("Syntax error: token recognition error at: '{}'", shown(&rest[..length]));
                issues.push(Issue { offset, message });
                length
            }
        };
        offset += count(&rest[..length]);
        rest = &rest[length..];
    }
}

fn count(text: &str) -> usize {
    text.chars().count()
}

fn shown(text: &str) -> String {
    text.replace('\n', "\\n").replace('\t', "\\t").replace('\r', "\\r")
}

/// Bytes of white space and comments at the start.
fn blank(text: &str) -> usize {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n', '\u{c}']);
        if !rest.starts_with("//") {
            return text.len() - rest.len();
        }
        rest = rest.find('\n').map_or("", |end| &rest[end..]);
    }
}

/// The word at the start and its length in bytes, or the length of what is no word.
fn word(text: &str) -> Result<(Kind, usize), usize> {
    let bytes = text.as_bytes();
    if let Some((kind, prefix)) = quoted(bytes) {
        return string(text, prefix, kind);
    }
    if bytes[0].is_ascii_alphabetic() || bytes[0] == b'_' {
        let is_inner = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        return Ok((Kind::Name, bytes.iter().take_while(|byte| is_inner(byte)).count()));
    }
    if bytes[0].is_ascii_digit() || (bytes[0] == b'.' && bytes.get(1).is_some_and(u8::is_ascii_digit)) {
        return Ok(number(bytes));
    }
    match SIGNS.iter().find(|sign| text.starts_with(*sign)) {
        Some(sign) => Ok((Kind::Sign(sign), sign.len())),
        None => {
            // A sign of two letters of which only the first is there takes what follows with it.
            let letters = if matches!(bytes[0], b'|' | b'&' | b'=') { 2 } else { 1 };
            Err(text.chars().take(letters).map(char::len_utf8).sum())
        }
    }
}

/// Whether a string begins here: its kind, and the bytes in front of its quotes.
fn quoted(bytes: &[u8]) -> Option<(Kind, usize)> {
    let prefix = bytes.iter().take(2).take_while(|byte| byte.is_ascii_alphabetic()).count();
    if !matches!(bytes.get(prefix), Some(b'"' | b'\'')) {
        return None;
    }
    match bytes[..prefix].to_ascii_lowercase().as_slice() {
        b"" | b"r" => Some((Kind::String, prefix)),
        b"b" | b"br" => Some((Kind::Bytes, prefix)),
        _ => None,
    }
}

fn string(text: &str, prefix: usize, kind: Kind) -> Result<(Kind, usize), usize> {
    let is_raw = text[..prefix].contains(['r', 'R']);
    let quote = &text[prefix..=prefix];
    let triple = quote.repeat(3);
    let quotes = if text[prefix..].starts_with(&triple) { triple.as_str() } else { quote };
    let mut at = prefix + quotes.len();
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with(quotes) {
            return Ok((kind, at + quotes.len()));
        }
        if quotes.len() == 1 && rest.starts_with(['\n', '\r']) {
            return Err(at + 1);
        }
        if rest.starts_with('\\') && !is_raw {
            match escape(rest.as_bytes()) {
                Ok(length) => at += length,
                Err(length) => return Err(text.len().min(ceil(text, at + length))),
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    Err(text.len())
}

/// The next boundary of characters at or after a byte.
fn ceil(text: &str, mut at: usize) -> usize {
    while at < text.len() && !text.is_char_boundary(at) {
        at += 1;
    }
    at
}

/// The length of an escape, or where it goes wrong.
fn escape(bytes: &[u8]) -> Result<usize, usize> {
    let digits = |count: usize, base: u32| {
        for at in 2..2 + count {
            if !bytes.get(at).is_some_and(|byte| char::from(*byte).is_digit(base)) {
                return Err(at + 1);
            }
        }
        Ok(2 + count)
    };
    match bytes.get(1) {
        Some(b'a' | b'b' | b'f' | b'n' | b'r' | b't' | b'v' | b'"' | b'\'' | b'\\' | b'?' | b'`') => Ok(2),
        Some(b'x' | b'X') => digits(2, 16),
        Some(b'u') => digits(4, 16),
        Some(b'U') => digits(8, 16),
        Some(b'0'..=b'3') => digits(2, 8),
        _ => Err(2),
    }
}

fn number(bytes: &[u8]) -> (Kind, usize) {
    let digits = |from: usize| bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let with_unsigned = |end: usize| match bytes.get(end) {
        Some(b'u' | b'U') => (Kind::Uint, end + 1),
        _ => (Kind::Int, end),
    };
    if bytes.starts_with(b"0x") {
        let hex = bytes[2..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        if hex > 0 {
            return with_unsigned(2 + hex);
        }
    }
    let mut end = digits(0);
    let mut is_float = false;
    if bytes.get(end) == Some(&b'.') && bytes.get(end + 1).is_some_and(u8::is_ascii_digit) {
        end += 1 + digits(end + 1);
        is_float = true;
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        if bytes.get(end + 1 + sign).is_some_and(u8::is_ascii_digit) {
            end += 1 + sign + digits(end + 1 + sign);
            is_float = true;
        }
    }
    if is_float { (Kind::Float, end) } else { with_unsigned(end) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> String {
        let mut issues = Vec::new();
        let tokens = split(source, &mut issues);
        let mut shown: Vec<String> = tokens.iter().map(|token| token.text.to_owned()).collect();
        shown.extend(issues.iter().map(|issue| format!("{}: {}", issue.offset, issue.message)));
        shown.join(" ¦ ")
    }

    #[test]
    fn expressions_are_split_into_words() {
        let error = "Syntax error: token recognition error at:";
        for (source, expected) in [
            ("a.b", "a ¦ . ¦ b ¦ <EOF>".to_owned()),
            ("1u+0x1F - .5e-3", "1u ¦ + ¦ 0x1F ¦ - ¦ .5e-3 ¦ <EOF>".to_owned()),
            ("1.e", "1 ¦ . ¦ e ¦ <EOF>".to_owned()),
            ("1e5 1.5 0xz", "1e5 ¦ 1.5 ¦ 0 ¦ xz ¦ <EOF>".to_owned()),
            ("'a\\'b' // tail", "'a\\'b' ¦ <EOF>".to_owned()),
            ("r'a\\' b''", "r'a\\' ¦ b'' ¦ <EOF>".to_owned()),
            ("'''a\n'b''' x", "'''a\n'b''' ¦ x ¦ <EOF>".to_owned()),
            ("a || b && c", "a ¦ || ¦ b ¦ && ¦ c ¦ <EOF>".to_owned()),
            ("a | b", format!("a ¦ b ¦ <EOF> ¦ 2: {error} '| '")),
            ("a = b", format!("a ¦ b ¦ <EOF> ¦ 2: {error} '= '")),
            ("1 + $", format!("1 ¦ + ¦ <EOF> ¦ 4: {error} '$'")),
            ("\"ab", format!("<EOF> ¦ 0: {error} '\"ab'")),
            ("'ü' ä", format!("'ü' ¦ <EOF> ¦ 4: {error} 'ä'")),
        ] {
            assert_eq!(words(source), expected, "{source}");
        }
    }
}
