//! What literals stand for.

use std::sync::Arc;

use smol_str::SmolStr;

use super::super::syntax::Literal;

/// A whole number; `None` if it does not fit.
pub(super) fn int(text: &str, is_negative: bool) -> Option<Literal> {
    let signed = match text.strip_prefix("0x") {
        Some(hex) => i128::from_str_radix(hex, 16),
        None => text.parse(),
    };
    let value = signed.ok().map(|value: i128| if is_negative { -value } else { value })?;
    i64::try_from(value).ok().map(Literal::Int)
}

/// A whole number without sign; `None` if it does not fit.
pub(super) fn uint(text: &str) -> Option<Literal> {
    let digits = text.trim_end_matches(['u', 'U']);
    let value = match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => digits.parse(),
    };
    value.ok().map(Literal::Uint)
}

/// A number with a fraction; `None` if it is too large.
pub(super) fn double(text: &str, is_negative: bool) -> Option<Literal> {
    let value: f64 = text.parse().ok().filter(|value: &f64| value.is_finite())?;
    Some(Literal::Double(if is_negative { -value } else { value }))
}

/// Text in quotes; `None` if an escape in it stands for nothing.
pub(super) fn string(text: &str) -> Option<Literal> {
    let bytes = unquote(text, false)?;
    String::from_utf8(bytes).ok().map(|text| Literal::String(SmolStr::from(text)))
}

/// Bytes in quotes; `None` if an escape in it stands for nothing.
pub(super) fn bytes(text: &str) -> Option<Literal> {
    unquote(text, true).map(|bytes| Literal::Bytes(Arc::from(bytes)))
}

/// Takes prefix, quotes and escapes away. Numeric escapes are bytes in bytes, and characters in text.
fn unquote(text: &str, is_bytes: bool) -> Option<Vec<u8>> {
    let inner = text.trim_start_matches(|letter: char| letter.is_ascii_alphabetic());
    let is_raw = text[..text.len() - inner.len()].contains(['r', 'R']);
    let is_triple = inner.len() >= 6 && (inner.starts_with("\"\"\"") || inner.starts_with("'''"));
    let quotes = if is_triple { 3 } else { 1 };
    let body = inner.get(quotes..inner.len().checked_sub(quotes)?)?;
    if is_raw {
        return Some(body.as_bytes().to_vec());
    }
    let mut out = Vec::with_capacity(body.len());
    let mut letters = body.chars();
    while let Some(letter) = letters.next() {
        let mut buffer = [0; 4];
        if letter != '\\' {
            // Line ends are one letter, however they are written.
            let is_line_end = letter == '\r' && letters.as_str().starts_with('\n');
            if !is_line_end {
                out.extend_from_slice(letter.encode_utf8(&mut buffer).as_bytes());
            }
            continue;
        }
        let (digits, base, first) = match letters.next()? {
            'x' | 'X' => (2, 16, None),
            'u' if !is_bytes => (4, 16, None),
            'U' if !is_bytes => (8, 16, None),
            first @ '0'..='3' => (2, 8, Some(first)),
            other => {
                out.push(simple(other)?);
                continue;
            }
        };
        let rest: String = letters.by_ref().take(digits).collect();
        let number = first.into_iter().collect::<String>() + &rest;
        let code = u32::from_str_radix(&number, base).ok()?;
        if is_bytes {
            out.push(u8::try_from(code).ok()?);
        } else {
            out.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut buffer).as_bytes());
        }
    }
    Some(out)
}

fn simple(letter: char) -> Option<u8> {
    Some(match letter {
        'a' => 7,
        'b' => 8,
        'f' => 12,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 11,
        '\\' | '\'' | '"' | '`' | '?' => letter as u8,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_stand_for_letters_or_bytes() {
        for (source, expected) in [
            ("'a'", Some("a")),
            ("\"\"", Some("")),
            ("'''it's'''", Some("it's")),
            (r"'\n\t\\\''", Some("\n\t\\'")),
            (r"r'\n'", Some("\\n")),
            (r"'\x41\u00e9\U0001F600\101'", Some("Aé😀A")),
            (r"'\ud800'", None),
            (r"'\U00110000'", None),
        ] {
            let expected = expected.map(|text| Literal::String(text.into()));
            assert_eq!(string(source), expected, "{source}");
        }
        assert_eq!(bytes(r"b'\xff\377é'"), Some(Literal::Bytes(Arc::from([255, 255, 195, 169]))));
        assert_eq!(bytes(r"b'\u0041'"), None);
    }

    #[test]
    fn numbers_fit_or_are_refused() {
        assert_eq!(int("9223372036854775807", false), Some(Literal::Int(i64::MAX)));
        assert_eq!(int("9223372036854775808", false), None);
        assert_eq!(int("9223372036854775808", true), Some(Literal::Int(i64::MIN)));
        assert_eq!(int("0x10", true), Some(Literal::Int(-16)));
        assert_eq!(uint("18446744073709551615u"), Some(Literal::Uint(u64::MAX)));
        assert_eq!(uint("18446744073709551616u"), None);
        assert_eq!(double("1e999", false), None);
        assert_eq!(double(".5", true), Some(Literal::Double(-0.5)));
    }
}
