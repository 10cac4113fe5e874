//! Regular expressions, in the dialect of RE2.

use regex::Regex;

use super::super::failure::{Failure, Outcome};
use super::super::value::Val;
use super::{Row, misfit};

pub(super) const ROWS: &[Row] = &[
    ("matches", "matches(string, string) bool", matches),
    ("matches_string", "(string).matches(string) bool", matches),
    ("string_find_string", "(string).find(string) string", find),
    ("string_find_all_string", "(string).findAll(string) list(string)", find_all),
    ("string_find_all_string_int", "(string).findAll(string, int) list(string)", find_all),
];

/// How much memory the program of an expression may take.
const PROGRAM_MAX: usize = 2 << 20;

/// Compiles a regular expression as RE2 reads it.
pub(in super::super) fn compile(pattern: &str) -> Result<Regex, Failure> {
    let compiled = regex::RegexBuilder::new(&translate(pattern)).size_limit(PROGRAM_MAX).build();
    compiled.map_err(|error| {
        let why = error.to_string();
        let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
        let (why, part) = words_of_go(why, pattern);
        Failure::new(format!("error parsing regexp: {why}: `{part}`"))
    })
}

/// What is wrong in the words that Go has for it, with the part of the pattern that it shows.
fn words_of_go<'a>(why: &'a str, pattern: &'a str) -> (&'a str, &'a str) {
    match why {
        "unclosed character class" => {
            ("missing closing ]", pattern.rfind('[').map_or(pattern, |at| &pattern[at..]))
        }
        "unclosed group" => ("missing closing )", pattern),
        "unopened group" => ("unexpected )", pattern),
        "repetition operator missing expression" => {
            let operators = pattern.char_indices().filter(|(_, letter)| "*+?".contains(*letter));
            let alone = operators
                .map(|(at, _)| at)
                .find(|at| pattern[..*at].is_empty() || pattern[..*at].ends_with(['(', '|']));
            ("missing argument to repetition operator", alone.map_or(pattern, |at| &pattern[at..=at]))
        }
        other => (other, pattern),
    }
}

/// Says in our engine's dialect what RE2 means: classes of letters are those of ASCII, `\Q…\E` quotes, and brackets
/// hold letters, not further sets.
pub(in super::super) fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut letters = pattern.chars().peekable();
    // Inside brackets: how many letters of the set were read.
    let mut set: Option<usize> = None;
    while let Some(letter) = letters.next() {
        let position = set;
        set = set.map(|count| count + 1);
        match (letter, position) {
            ('\\', None) if letters.next_if_eq(&'Q').is_some() => {
                let mut quoted = String::new();
                while let Some(letter) = letters.next() {
                    if letter == '\\' && letters.next_if_eq(&'E').is_some() {
                        break;
                    }
                    quoted.push(letter);
                }
                out.push_str(&regex::escape(&quoted));
            }
            ('\\', position) => escape(letters.next(), position.is_some(), &mut out),
            ('[', None) => {
                out.push('[');
                set = Some(0);
                if letters.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
            }
            ('[', Some(_)) if letters.peek() == Some(&':') => {
                out.push('[');
                for letter in letters.by_ref() {
                    out.push(letter);
                    if letter == ']' {
                        break;
                    }
                }
            }
            (']', Some(count)) if count > 0 => {
                out.push(']');
                set = None;
            }
            ('[' | ']' | '&' | '~', Some(_)) => {
                out.push('\\');
                out.push(letter);
            }
            (letter, _) => out.push(letter),
        }
    }
    out
}

fn escape(letter: Option<char>, in_set: bool, out: &mut String) {
    let (inner, is_negated) = match letter {
        Some('d') => ("0-9", false),
        Some('D') => ("0-9", true),
        Some('w') => ("0-9A-Za-z_", false),
        Some('W') => ("0-9A-Za-z_", true),
        Some('s') => (r"\t\n\x0c\r ", false),
        Some('S') => (r"\t\n\x0c\r ", true),
        Some('b') if !in_set => return out.push_str(r"(?-u:\b)"),
        Some('B') if !in_set => return out.push_str(r"(?-u:\B)"),
        Some(letter) => {
            out.push('\\');
            return out.push(letter);
        }
        None => return out.push('\\'),
    };
    match (in_set, is_negated) {
        (true, false) => out.push_str(inner),
        (_, true) => {
            out.push_str("[^");
            out.push_str(inner);
            out.push(']');
        }
        (false, false) => {
            out.push('[');
            out.push_str(inner);
            out.push(']');
        }
    }
}

/// What is found, with a compiled expression in place of the argument.
pub(in super::super) fn run<'a>(function: &str, arguments: &[Val<'a>], regex: &Regex) -> Outcome<'a> {
    match (function, arguments) {
        ("matches", [Val::String(text), _]) => Ok(Val::Bool(regex.is_match(text))),
        ("find", [Val::String(text), _]) => {
            Ok(Val::string(regex.find(text).map_or("", |found| found.as_str())))
        }
        ("findAll", [Val::String(text), _]) => Ok(all(regex, text, -1)),
        ("findAll", [Val::String(text), _, Val::Int(limit)]) => Ok(all(regex, text, *limit)),
        _ => misfit(),
    }
}

fn all<'a>(regex: &Regex, text: &str, limit: i64) -> Val<'a> {
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    Val::list(regex.find_iter(text).take(most).map(|found| Val::string(found.as_str())).collect())
}

fn compiled<'a>(function: &str, arguments: &[Val<'a>]) -> Outcome<'a> {
    match arguments.get(1) {
        Some(Val::String(pattern)) => run(function, arguments, &compile(pattern)?),
        _ => misfit(),
    }
}

fn matches<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    compiled("matches", arguments)
}

fn find<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    compiled("find", arguments)
}

fn find_all<'a>(arguments: &[Val<'a>]) -> Outcome<'a> {
    compiled("findAll", arguments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_mean_what_re2_means() {
        for (pattern, text, expected) in [
            ("^[a-z]+$", "abc", true),
            (r"^\d+$", "٣", false),
            (r"^[\d]+$", "12", true),
            (r"^[^\w]$", "-", true),
            (r"^\W$", "é", true),
            (r"^[[a]$", "[", true),
            (r"^[]a]+$", "]a", true),
            (r"^[&&a]+$", "&a", true),
            (r"^[[:alpha:]]+$", "ab", true),
            (r"\Qa.b\E+", "a.bb", true),
            (r"\Qa.b\E", "axb", false),
            (r"\bfoo\b", "a foo b", true),
            (r"(?i)FOO", "foo", true),
            (r"^\pL+$", "né", true),
        ] {
            assert_eq!(compile(pattern).unwrap().is_match(text), expected, "{pattern}");
        }
        for pattern in ["(", "a(?=b)", r"\1", "[", "a{1001}{1001}"] {
            assert!(compile(pattern).is_err(), "{pattern}");
        }
    }
}
