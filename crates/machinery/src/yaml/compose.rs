//! From the events of the YAML scanner to documents: anchors, merge keys, limits.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::value::Name;
use libyaml_safer::{Event, EventData, Parser, ScalarStyle};

use super::{plain, scalar};
use crate::json::MAX_DEPTH;
use crate::{Map, Value};

/// Nodes of a text, those repeated through anchors counted each time: what a body of three megabytes can hold.
const NODES_MAX: usize = 3_000_000;

/// Why a text is not YAML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The line, counted from one; zero if it is not known.
    pub line: u64,
    /// What is wrong there.
    pub problem: String,
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(out, "yaml: {}", self.problem),
            line => write!(out, "yaml: line {line}: {}", self.problem),
        }
    }
}

impl std::error::Error for Error {}

/// The documents of a text, and what a strict reader would not have taken.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Composed {
    /// The documents.
    pub documents: Vec<Value>,
    /// Keys that came twice in a mapping (the last one counts): `line 3: key "a" already set in map`.
    pub duplicates: Vec<String>,
}

/// Reads a text.
pub fn compose(text: &[u8]) -> Result<Composed, Error> {
    match plain::read(text) {
        Some(document) => Ok(Composed { documents: vec![document], duplicates: Vec::new() }),
        None => compose_any(text),
    }
}

/// Reads any text.
pub(super) fn compose_any(text: &[u8]) -> Result<Composed, Error> {
    let (whole, added_at) = prepared(text);
    let mut input: &[u8] = &whole;
    let mut parser = Parser::new();
    parser.set_input_string(&mut input);
    let mut composer =
        Composer { parser, added_at, anchors: BTreeMap::new(), nodes: 0, duplicates: Vec::new() };
    let mut documents = Vec::new();
    loop {
        match composer.next()?.data {
            EventData::StreamEnd => break,
            EventData::DocumentStart { .. } => {
                composer.anchors.clear();
                let first = composer.next()?;
                documents.push(composer.node(first, 0)?.0);
            }
            _ => {}
        }
    }
    Ok(Composed { documents, duplicates: composer.duplicates })
}

/// A text as the scanner bears it, and where the end of a line was added, if it was. The scanner panics where a text
/// ends in the middle of a line, and takes any letter that begins like a byte order mark for a broken one.
fn prepared(text: &[u8]) -> (Cow<'_, [u8]>, Option<u64>) {
    const MARK: &[u8] = &[0xef, 0xbb, 0xbf];
    let is_wide = text.starts_with(&[0xff, 0xfe]) || text.starts_with(&[0xfe, 0xff]);
    let ends_early = !(is_wide || text.is_empty() || text.ends_with(b"\n"));
    let is_marked = text.starts_with(MARK);
    let begins_ill = text.first() == MARK.first() && !is_marked;
    // The scanner does not count the mark.
    let length = text.len() - if is_marked { MARK.len() } else { 0 };
    if !(ends_early || begins_ill) {
        return (Cow::Borrowed(text), None);
    }
    let before = if begins_ill { MARK } else { b"" };
    let after: &[u8] = if ends_early { b"\n" } else { b"" };
    (Cow::Owned([before, text, after].concat()), ends_early.then_some(length as u64))
}

struct Composer<'a> {
    parser: Parser<&'a mut &'a [u8]>,
    /// Where the end of a line was added that the text does not have.
    added_at: Option<u64>,
    /// What each anchor names, and how many nodes that is.
    anchors: BTreeMap<String, (Value, usize)>,
    nodes: usize,
    duplicates: Vec<String>,
}

/// The line that Go's library names: it counts from one only for what cannot be split into tokens, and names none where
/// its own count says zero.
fn line_of(error: &libyaml_safer::Error) -> u64 {
    let at = |mark: Option<libyaml_safer::Mark>| mark.map_or(0, |mark| mark.line);
    match (at(error.problem_mark()), error.kind()) {
        (0, _) => at(error.context_mark()),
        (line, libyaml_safer::ErrorKind::Scanner) => line + 1,
        (line, _) => line,
    }
}

impl Composer<'_> {
    fn next(&mut self) -> Result<Event, Error> {
        // The scanner panics at a few texts that are no YAML (a tag before a comma, say); what strangers send must not
        // stop whoever reads it. After that it is not asked again.
        let parsed = catch_unwind(AssertUnwindSafe(|| self.parser.parse()));
        let parsed = parsed.map_err(|_| Error { line: 0, problem: "could not be scanned".to_owned() })?;
        let mut event =
            parsed.map_err(|error| Error { line: line_of(&error), problem: error.problem().to_owned() })?;
        self.take_back(&mut event);
        Ok(event)
    }

    /// Takes the end of a line that was added back out of a text that reaches to it.
    fn take_back(&self, event: &mut Event) {
        let reaches_end = self.added_at.is_some_and(|at| event.end_mark.index > at);
        if let EventData::Scalar { value, style: ScalarStyle::Literal | ScalarStyle::Folded, .. } =
            &mut event.data
            && reaches_end
            && value.ends_with('\n')
        {
            value.pop();
        }
    }

    fn count(&mut self, nodes: usize, line: u64) -> Result<(), Error> {
        self.nodes += nodes;
        if self.nodes > NODES_MAX {
            return Err(Error { line, problem: "document contains excessive aliasing".to_owned() });
        }
        Ok(())
    }

    /// The node that begins with `event`, and how many nodes it has.
    fn node(&mut self, event: Event, depth: usize) -> Result<(Value, usize), Error> {
        let line = event.start_mark.line + 1;
        if depth > MAX_DEPTH {
            return Err(Error { line, problem: "exceeded max depth of 400".to_owned() });
        }
        self.count(1, line)?;
        let (anchor, value, size) = match event.data {
            EventData::Alias { anchor } => {
                let Some((value, size)) = self.anchors.get(&anchor).cloned() else {
                    return Err(Error { line, problem: format!("unknown anchor '{anchor}' referenced") });
                };
                self.count(size, line)?;
                return Ok((value, size));
            }
            EventData::Scalar { anchor, tag, value, style, .. } => {
                let plain = style == ScalarStyle::Plain;
                let value = scalar::resolve(tag.as_deref(), &value, plain)
                    .map_err(|problem| Error { line, problem })?;
                (anchor, value, 1)
            }
            EventData::SequenceStart { anchor, .. } => {
                let (items, size) = self.sequence(depth)?;
                (anchor, Value::from(items), size)
            }
            EventData::MappingStart { anchor, .. } => {
                let (map, size) = self.mapping(depth)?;
                (anchor, Value::Object(map), size)
            }
            _ => return Err(Error { line, problem: "did not find expected node content".to_owned() }),
        };
        if let Some(anchor) = anchor {
            self.anchors.insert(anchor, (value.clone(), size));
        }
        Ok((value, size))
    }

    fn sequence(&mut self, depth: usize) -> Result<(Vec<Value>, usize), Error> {
        let (mut items, mut size) = (Vec::new(), 1);
        loop {
            let event = self.next()?;
            if event.data == EventData::SequenceEnd {
                return Ok((items, size));
            }
            let (item, nodes) = self.node(event, depth + 1)?;
            items.push(item);
            size += nodes;
        }
    }

    fn mapping(&mut self, depth: usize) -> Result<(Map, usize), Error> {
        let mut members: Vec<(Name, Value)> = Vec::new();
        let mut places: BTreeMap<Name, usize> = BTreeMap::new();
        let mut merged: Vec<Value> = Vec::new();
        let mut size = 1;
        loop {
            let event = self.next()?;
            if event.data == EventData::MappingEnd {
                break;
            }
            let line = event.start_mark.line + 1;
            let merges = matches!(&event.data, EventData::Scalar { value, style: ScalarStyle::Plain, .. } if value == "<<");
            let (key, _) = self.node(event, depth + 1)?;
            let after = self.next()?;
            let (value, nodes) = self.node(after, depth + 1)?;
            size += nodes + 1;
            if merges {
                merged.push(value);
                continue;
            }
            let key = Name::from(scalar::key(&key).map_err(|problem| Error { line, problem })?);
            if let Some(place) = places.get(&key) {
                self.duplicates
                    .push(format!("line {line}: key {} already set in map", crate::field::go_quote(&key)));
                members[*place].1 = value;
            } else {
                places.insert(key.clone(), members.len());
                members.push((key, value));
            }
        }
        for source in merged {
            merge(source, &mut members, &mut places)?;
        }
        Ok((Map::from_entries(members), size))
    }
}

/// `<<`: members of another mapping (or of several) that are not set here.
fn merge(
    source: Value,
    members: &mut Vec<(Name, Value)>,
    places: &mut BTreeMap<Name, usize>,
) -> Result<(), Error> {
    match source {
        Value::Object(map) => {
            for (name, value) in map.into_entries() {
                if !places.contains_key(&name) {
                    places.insert(name.clone(), members.len());
                    members.push((name, value));
                }
            }
            Ok(())
        }
        Value::Array(items) => items.into_iter().try_for_each(|item| merge(item, members, places)),
        _ => Err(Error {
            line: 0,
            problem: "map merge requires map or sequence of maps as the value".to_owned(),
        }),
    }
}
