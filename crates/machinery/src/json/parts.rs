//! Reading a few parts of a document: what is not wanted is passed over.

use super::Error;
use super::decode::Decoder;
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
    fn what_is_passed_over_is_json_too() {
        for text in [r#"{"a":}"#, r#"{"a":[1,]}"#, r#"{"a":1"#, r#"{"a":1}x"#, ""] {
            assert!(parse_parts(text.as_bytes(), &Of(&[])).is_err(), "{text}");
        }
    }
}
