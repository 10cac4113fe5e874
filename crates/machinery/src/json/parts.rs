//! Reading a few parts of a document: what is not wanted is passed over.

use std::ops::Range;

use super::Error;
use super::decode::Decoder;
use super::scan::Scanner;
use crate::Value;

/// Which parts of a document are wanted.
#[derive(Clone, Copy, Debug)]
pub enum Parts {
    /// All there is.
    All,
    /// Of an object these members, of a list these members of each of its items.
    Of(&'static [(&'static str, Parts)]),
}

impl Parts {
    /// What is wanted of a member whose name is written so; `None` if it is not. Names that are wanted have nothing to
    /// escape.
    pub(super) fn of(&self, name: &[u8]) -> Option<&(&'static str, Parts)> {
        match self {
            Parts::All => None,
            Parts::Of(members) => members.iter().find(|(member, _)| member.as_bytes() == name),
        }
    }
}

/// Reads the wanted parts of a document. Members keep their order; an object of which nothing is wanted is empty.
pub fn parse_parts(bytes: &[u8], parts: &Parts) -> Result<Value, Error> {
    Decoder::of_parts(bytes, parts)
}

/// The text of a member of an object, if there is one of that name.
pub fn member<'a>(object: &'a [u8], name: &str) -> Result<Option<&'a [u8]>, Error> {
    Ok(find(object, name)?.member.map(|place| &object[place]))
}

/// An object's text with a member's value replaced; the member comes last if there was none. The rest stays as it is
/// written.
pub fn with_member(object: &[u8], name: &str, value: &[u8]) -> Result<Vec<u8>, Error> {
    let found = find(object, name)?;
    let mut text = Vec::with_capacity(object.len() + name.len() + value.len() + 4);
    let (before, after) = match &found.member {
        Some(place) => (&object[..place.start], &object[place.end..]),
        None => object.split_at(found.end),
    };
    text.extend_from_slice(before);
    if found.member.is_none() {
        text.extend_from_slice(if found.is_empty { b"\"" } else { b",\"" });
        text.extend_from_slice(name.as_bytes());
        text.extend_from_slice(b"\":");
    }
    text.extend_from_slice(value);
    text.extend_from_slice(after);
    Ok(text)
}

/// Where things are in an object's text.
struct Found {
    /// The value of the member that was asked for.
    member: Option<Range<usize>>,
    /// The brace at the end.
    end: usize,
    is_empty: bool,
}

fn find(object: &[u8], name: &str) -> Result<Found, Error> {
    let mut scanner = Scanner::new(object);
    if scanner.begin_value()? != b'{' {
        return Err(scanner.unexpected("looking for beginning of object"));
    }
    scanner.bump();
    let mut found = Found { member: None, end: 0, is_empty: true };
    let mut more = scanner.first_member()?;
    while more {
        found.is_empty = false;
        let key = scanner.raw_key()?;
        scanner.begin_value()?;
        let start = scanner.position();
        scanner.skip_value(0)?;
        if key == name.as_bytes() {
            found.member = Some(start..scanner.position());
        }
        more = scanner.next_member()?;
    }
    found.end = scanner.position() - 1;
    scanner.end()?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::Parts::{All, Of};
    use super::*;

    #[test]
    fn only_what_is_wanted_is_read() {
        const NAMES: Parts = Of(&[("name", All)]);
        let cases: [(&str, Parts, &str); 9] = [
            (r#"{"a":1,"b":[{"c":2}]}"#, All, r#"{"a":1,"b":[{"c":2}]}"#),
            (r#"{"a":1,"b":2,"c":3}"#, Of(&[("b", All)]), r#"{"b":2}"#),
            (
                r#"{"list":[{"name":"x","n":{"m":[1]}},{"n":2}]}"#,
                Of(&[("list", NAMES)]),
                r#"{"list":[{"name":"x"},{}]}"#,
            ),
            (r#"{"list":[{"a":1},{"b":2}]}"#, Of(&[("list", Of(&[]))]), r#"{"list":[{},{}]}"#),
            (
                r#"{"a":"text","b":null,"c":true}"#,
                Of(&[("a", NAMES), ("b", NAMES), ("c", NAMES)]),
                r#"{"a":"text","b":null,"c":true}"#,
            ),
            (
                r#"{"a":{"b":{"c":"\"}","d":1}}}"#,
                Of(&[("a", Of(&[("b", Of(&[("d", All)]))]))]),
                r#"{"a":{"b":{"d":1}}}"#,
            ),
            (
                r#"{"\u0061":1,"a":2,"na\"me":3,"name":4}"#,
                Of(&[("a", All), ("name", All)]),
                r#"{"a":2,"name":4}"#,
            ),
            ("[]", NAMES, "[]"),
            ("{}", NAMES, "{}"),
        ];
        for (text, parts, expected) in cases {
            let read = parse_parts(text.as_bytes(), &parts).map(|value| super::super::to_string(&value));
            assert_eq!(read.as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn a_member_is_replaced_and_the_rest_stays_as_written() {
        let cases = [
            (
                r#"{"a":1,"status":{"b":[2,"}"]},"c":"x"}"#,
                Some(r#"{"b":[2,"}"]}"#),
                r#"{"a":1,"status":{},"c":"x"}"#,
            ),
            (r#"{ "a" : 1.0 , "status" : null }"#, Some("null"), r#"{ "a" : 1.0 , "status" : {} }"#),
            (r#"{"a":{"status":1}}"#, None, r#"{"a":{"status":1},"status":{}}"#),
            ("{}", None, r#"{"status":{}}"#),
            (r#"{"status":"\"","a":1}"#, Some(r#""\"""#), r#"{"status":{},"a":1}"#),
        ];
        for (text, found, expected) in cases {
            let text = text.as_bytes();
            assert_eq!(member(text, "status").unwrap(), found.map(str::as_bytes));
            assert_eq!(String::from_utf8(with_member(text, "status", b"{}").unwrap()).unwrap(), expected);
        }
        for text in ["", "[]", r#"{"a":1"#, r#"{"a"}"#, r#"{"a":1}x"#, "1"] {
            assert!(with_member(text.as_bytes(), "status", b"{}").is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_passed_over_is_json_too() {
        for text in [r#"{"a":}"#, r#"{"a":[1,]}"#, r#"{"a":1"#, r#"{"a":1}x"#, ""] {
            assert!(parse_parts(text.as_bytes(), &Of(&[])).is_err(), "{text}");
        }
    }
}
