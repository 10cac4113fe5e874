//! Texts. Positions count characters.

use smol_str::SmolStr;

use super::super::failure::{Failure, Outcome};
use super::super::value::Val;
use super::{Row, misfit};

pub(super) const ROWS: &[Row] = &[
    ("contains_string", "(string).contains(string) bool", contains),
    ("ends_with_string", "(string).endsWith(string) bool", ends_with),
    ("starts_with_string", "(string).startsWith(string) bool", starts_with),
    ("string_char_at_int", "(string).charAt(int) string", char_at),
    ("string_index_of_string", "(string).indexOf(string) int", index_of),
    ("string_index_of_string_int", "(string).indexOf(string, int) int", index_of),
    ("string_last_index_of_string", "(string).lastIndexOf(string) int", last_index_of),
    ("string_last_index_of_string_int", "(string).lastIndexOf(string, int) int", last_index_of),
    ("string_lower_ascii", "(string).lowerAscii() string", lower_ascii),
    ("string_upper_ascii", "(string).upperAscii() string", upper_ascii),
    ("string_replace_string_string", "(string).replace(string, string) string", replace),
    ("string_replace_string_string_int", "(string).replace(string, string, int) string", replace),
    ("string_split_string", "(string).split(string) list(string)", split),
    ("string_split_string_int", "(string).split(string, int) list(string)", split),
    ("string_substring_int", "(string).substring(int) string", substring),
    ("string_substring_int_int", "(string).substring(int, int) string", substring),
    ("string_trim", "(string).trim() string", trim),
    ("strings_quote", "strings.quote(string) string", quote),
    ("list_join", "(list(string)).join() string", join),
    ("list_join_string", "(list(string)).join(string) string", join),
];

fn contains<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [Val::String(text), Val::String(part)] => Ok(Val::Bool(text.contains(part.as_str()))),
        _ => misfit(),
    }
}

fn ends_with<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [Val::String(text), Val::String(part)] => Ok(Val::Bool(text.ends_with(part.as_str()))),
        _ => misfit(),
    }
}

fn starts_with<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [Val::String(text), Val::String(part)] => Ok(Val::Bool(text.starts_with(part.as_str()))),
        _ => misfit(),
    }
}

fn out_of_range(index: i64) -> Failure {
    Failure::new(format!("index out of range: {index}"))
}

/// The byte at which a character stands; the end counts as one.
fn byte_of(text: &str, index: i64) -> Result<usize, Failure> {
    let position = usize::try_from(index).map_err(|_| out_of_range(index))?;
    let mut places = text.char_indices().map(|(byte, _)| byte).chain([text.len()]);
    places.nth(position).ok_or_else(|| out_of_range(index))
}

fn count(text: &str) -> i64 {
    text.chars().count() as i64
}

fn char_at<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let [Val::String(text), Val::Int(index)] = arguments else { return misfit() };
    let rest = &text[byte_of(text, *index)?..];
    Ok(Val::String(rest.chars().next().map(|letter| SmolStr::new(letter.to_string())).unwrap_or_default()))
}

fn index_of<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let (text, part, from) = match arguments {
        [Val::String(text), Val::String(part)] => (text, part, 0),
        [Val::String(text), Val::String(part), Val::Int(from)] => (text, part, *from),
        _ => return misfit(),
    };
    if part.is_empty() && (0..=count(text)).contains(&from) {
        return Ok(Val::Int(from));
    }
    if from > count(text) && from >= 0 {
        return Ok(Val::Int(-1));
    }
    let start = byte_of(text, from)?;
    let found = text[start..].find(part.as_str());
    Ok(Val::Int(found.map_or(-1, |byte| from + count(&text[start..start + byte]))))
}

fn last_index_of<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let (text, part, from) = match arguments {
        [Val::String(text), Val::String(part)] => (text, part, None),
        [Val::String(text), Val::String(part), Val::Int(from)] => (text, part, Some(*from)),
        _ => return misfit(),
    };
    let length = count(text);
    if from.is_some_and(|from| from < 0 || from > length) {
        return Err(out_of_range(from.unwrap_or_default()));
    }
    let last = length - count(part);
    if last < 0 {
        return Ok(Val::Int(-1));
    }
    let from = from.map_or(last, |from| from.min(last));
    let starts: Vec<usize> = text.char_indices().map(|(byte, _)| byte).chain([text.len()]).collect();
    let found = (0..=from).rev().find(|index| {
        let start = usize::try_from(*index).ok().and_then(|index| starts.get(index));
        start.is_some_and(|start| text[*start..].starts_with(part.as_str()))
    });
    Ok(Val::Int(found.unwrap_or(-1)))
}

fn lower_ascii<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [Val::String(text)] => Ok(Val::string(text.to_ascii_lowercase())),
        _ => misfit(),
    }
}

fn upper_ascii<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [Val::String(text)] => Ok(Val::string(text.to_ascii_uppercase())),
        _ => misfit(),
    }
}

/// A text may not grow beyond this by replacing: the estimate of costs does not see it coming.
const REPLACED_MAX: usize = 16 << 20;

fn replace<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let (text, old, new, count) = match arguments {
        [Val::String(text), Val::String(old), Val::String(new)] => (text, old, new, -1),
        [Val::String(text), Val::String(old), Val::String(new), Val::Int(count)] => (text, old, new, *count),
        _ => return misfit(),
    };
    let most = usize::try_from(count).unwrap_or(usize::MAX);
    let found = text.matches(old.as_str()).take(most).count();
    if text.len().saturating_add(found.saturating_mul(new.len())) > REPLACED_MAX {
        return Err(Failure::new("the result of replace is too large"));
    }
    Ok(Val::string(text.replacen(old.as_str(), new, most)))
}

fn split<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let (text, separator, limit) = match arguments {
        [Val::String(text), Val::String(separator)] => (text, separator, -1),
        [Val::String(text), Val::String(separator), Val::Int(limit)] => (text, separator, *limit),
        _ => return misfit(),
    };
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    if most == 0 {
        return Ok(Val::list(Vec::new()));
    }
    if !separator.is_empty() {
        return Ok(Val::list(text.splitn(most, separator.as_str()).map(Val::string).collect()));
    }
    let mut parts = Vec::new();
    let mut rest = text.as_str();
    while let Some(letter) = rest.chars().next() {
        if parts.len() + 1 == most {
            parts.push(Val::string(rest));
            break;
        }
        let (first, others) = rest.split_at(letter.len_utf8());
        parts.push(Val::string(first));
        rest = others;
    }
    Ok(Val::list(parts))
}

fn substring<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let (text, start, end) = match arguments {
        [Val::String(text), Val::Int(start)] => (text, *start, count(text)),
        [Val::String(text), Val::Int(start), Val::Int(end)] => (text, *start, *end),
        _ => return misfit(),
    };
    if start > end {
        return Err(Failure::new(format!("invalid substring range. start: {start}, end: {end}")));
    }
    Ok(Val::string(&text[byte_of(text, start)?..byte_of(text, end)?]))
}

fn trim<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments {
        [Val::String(text)] => Ok(Val::string(text.trim())),
        _ => misfit(),
    }
}

fn quote<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let [Val::String(text)] = arguments else { return misfit() };
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    Ok(Val::string(quoted))
}

fn join<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    let (list, separator) = match arguments {
        [Val::List(list)] => (list, ""),
        [Val::List(list), Val::String(separator)] => (list, separator.as_str()),
        _ => return misfit(),
    };
    let mut joined = String::new();
    for (position, item) in list.items().enumerate() {
        let Val::String(text) = item? else { return misfit() };
        if position > 0 {
            joined.push_str(separator);
        }
        joined.push_str(&text);
    }
    Ok(Val::string(joined))
}
