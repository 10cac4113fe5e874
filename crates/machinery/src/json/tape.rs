//! A document as it is written: where each of its values begins and ends. Whoever passes documents on in another form
//! reads them so; nothing of them is copied.

use std::borrow::Cow;

use super::Error;
use super::scan::{Scanner, check_depth};

/// Bytes of JSON for each value, about: less than documents have.
const BYTES_A_MARK: usize = 8;

/// Where the values of a document are, in the order in which they begin. A member is two of them: its name and its value.
#[derive(Debug)]
pub(crate) struct Tape<'a> {
    text: &'a str,
    marks: Vec<Mark>,
}

/// A value.
#[derive(Clone, Copy, Debug)]
struct Mark {
    start: usize,
    end: usize,
    /// Whether it is a text that does not stand for itself.
    escaped: bool,
    /// The place on the tape after the value and all that is in it.
    next: usize,
}

/// A value on a tape.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Node<'a> {
    /// None at all, which is as good as null.
    Null,
    /// The value at a place.
    At(&'a Tape<'a>, usize),
}

impl<'a> Tape<'a> {
    /// Reads a document, which must be JSON and nothing else.
    pub(crate) fn read(text: &'a str) -> Result<Tape<'a>, Error> {
        let mut tape = Tape { text, marks: Vec::with_capacity(text.len() / BYTES_A_MARK) };
        let mut scanner = Scanner::new(text.as_bytes());
        tape.value(&mut scanner, 0)?;
        scanner.end()?;
        Ok(tape)
    }

    /// The whole document.
    pub(crate) fn root(&'a self) -> Node<'a> {
        Node::At(self, 0)
    }

    fn value(&mut self, scanner: &mut Scanner<'a>, depth: usize) -> Result<(), Error> {
        let first = scanner.begin_value()?;
        let (at, start) = (self.marks.len(), scanner.position());
        self.marks.push(Mark { start, end: start, escaped: false, next: at + 1 });
        let mut escaped = false;
        match first {
            b'{' => {
                check_depth(depth)?;
                scanner.bump();
                let mut more = scanner.first_member()?;
                while more {
                    self.name(scanner)?;
                    self.value(scanner, depth + 1)?;
                    more = scanner.next_member()?;
                }
            }
            b'[' => {
                check_depth(depth)?;
                scanner.bump();
                let mut more = scanner.first_item();
                while more {
                    self.value(scanner, depth + 1)?;
                    more = scanner.next_item()?;
                }
            }
            b'"' => escaped = scanner.skip_string()?,
            _ => scanner.skip_value(depth)?,
        }
        let next = self.marks.len();
        self.marks[at] = Mark { start, end: scanner.position(), escaped, next };
        Ok(())
    }

    /// The name of a member.
    #[inline]
    fn name(&mut self, scanner: &mut Scanner<'a>) -> Result<(), Error> {
        scanner.peek();
        let start = scanner.position();
        let escaped = scanner.skip_string()?;
        let (end, next) = (scanner.position(), self.marks.len() + 1);
        self.marks.push(Mark { start, end, escaped, next });
        scanner.colon()
    }

    /// The text of a mark.
    #[inline]
    fn text(&self, mark: Mark) -> Cow<'a, str> {
        if mark.escaped {
            // It was passed over as a text, so it can be read as one.
            return Scanner::new(&self.text.as_bytes()[mark.start..]).string().unwrap_or_default();
        }
        Cow::Borrowed(&self.text[mark.start + 1..mark.end - 1])
    }
}

impl<'a> Node<'a> {
    /// As it is written.
    pub(crate) fn raw(self) -> &'a str {
        match self {
            Node::Null => "null",
            Node::At(tape, at) => {
                let mark = tape.marks[at];
                &tape.text[mark.start..mark.end]
            }
        }
    }

    /// Its first byte, which says what it is.
    pub(crate) fn first(self) -> u8 {
        match self {
            Node::Null => b'n',
            Node::At(tape, at) => tape.text.as_bytes()[tape.marks[at].start],
        }
    }

    /// The text, if this is one.
    pub(crate) fn text(self) -> Option<Cow<'a, str>> {
        match self {
            Node::At(tape, at) if self.first() == b'"' => Some(tape.text(tape.marks[at])),
            _ => None,
        }
    }

    /// The whole number, if this is one.
    pub(crate) fn int(self) -> Option<i64> {
        self.raw().parse().ok()
    }

    /// The items; none if this is no list.
    pub(crate) fn items(self) -> impl Iterator<Item = Node<'a>> {
        let mut rest = self.inside(b'[');
        std::iter::from_fn(move || {
            let (tape, range) = rest.as_mut()?;
            let at = range.start;
            if at >= range.end {
                return None;
            }
            range.start = tape.marks[at].next;
            Some(Node::At(tape, at))
        })
    }

    /// The members; none if this is no object.
    pub(crate) fn members(self) -> impl Iterator<Item = (Cow<'a, str>, Node<'a>)> {
        let mut rest = self.inside(b'{');
        std::iter::from_fn(move || {
            let (tape, range) = rest.as_mut()?;
            let at = range.start;
            if at >= range.end {
                return None;
            }
            let name = tape.marks[at];
            range.start = tape.marks[at + 1].next;
            Some((tape.text(name), Node::At(tape, at + 1)))
        })
    }

    /// The places on the tape of what is in it, if it begins so.
    fn inside(self, first: u8) -> Option<(&'a Tape<'a>, std::ops::Range<usize>)> {
        match self {
            Node::At(tape, at) if self.first() == first => Some((tape, at + 1..tape.marks[at].next)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Value;

    /// The document of a tape, made from its parts.
    fn value(node: Node<'_>) -> Value {
        match node.first() {
            b'{' => node.members().map(|(name, member)| (name.into_owned(), value(member))).fold(
                Value::object(),
                |mut object, (name, member)| {
                    object.set(&name, member);
                    object
                },
            ),
            b'[' => Value::from(node.items().map(value).collect::<Vec<_>>()),
            b'"' => Value::from(node.text().unwrap().into_owned()),
            b't' | b'f' => Value::Bool(node.raw() == "true"),
            b'n' => Value::Null,
            _ => node.int().map_or_else(|| super::super::parse(node.raw().as_bytes()).unwrap(), Value::Int),
        }
    }

    #[test]
    fn a_tape_has_all_of_a_document() {
        for text in [
            "{}",
            "[]",
            "null",
            " { \"a\" : [ 1 , -2.5e3 , true , false , null , \"x\" ] , \"b\" : { \"c\" : {} , \"d\" : [] } } ",
            r#"{"esc\"aped\u00e9\\":"a\n\"b\\","é":"ü\ud83d\ude00"}"#,
            r#"[[[[1,2],[3]],[]],[{"a":[{"b":1},{}]}]]"#,
            r#""text""#,
            "9223372036854775807",
        ] {
            let tape = Tape::read(text).unwrap();
            let expected = super::super::parse(text.as_bytes()).unwrap();
            assert_eq!(
                super::super::to_string(&value(tape.root())),
                super::super::to_string(&expected),
                "{text}"
            );
        }
        assert_eq!(Node::Null.members().count() + Node::Null.items().count(), 0);
    }

    #[test]
    fn what_is_no_json_is_refused_in_the_same_words() {
        let deep = "[".repeat(500);
        for text in
            ["", "{", "{\"a\"", "{\"a\":}", "[1,]", "{}x", "\"\u{1}\"", "{a:1}", "nul", "01", deep.as_str()]
        {
            let expected = super::super::parse(text.as_bytes()).unwrap_err();
            assert_eq!(Tape::read(text).unwrap_err().text, expected.text, "{text}");
        }
    }
}
