//! Paths into documents as definitions write them: `.spec.replicas`, `.spec['a key']`.

use super::{Additional, Structural};
use crate::Value;
use crate::field::Path;

/// A path of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldPath {
    /// As errors write it.
    pub path: Path,
    names: Vec<String>,
}

/// Why a path leads nowhere, in upstream's words.
pub type PathFault = String;

const NOWHERE: &str = "does not refer to a valid field";

impl FieldPath {
    /// Follows a path through a schema; answers it with the schema of where it leads.
    pub fn follow<'s>(
        text: &str,
        schema: &'s Structural,
        brackets: bool,
    ) -> Result<(FieldPath, &'s Structural), PathFault> {
        let mut tokens = tokens(text).into_iter();
        let (mut path, mut names, mut node) = (Path::root(), Vec::new(), schema);
        while let Some(token) = tokens.next() {
            let mut next = || tokens.next().ok_or_else(|| "unexpected end of JSON path".to_owned());
            let name = match token.as_str() {
                "[" if !brackets => return Err("array notation is not allowed".to_owned()),
                "[" => {
                    let name = unquote(&next()?)?;
                    match next()?.as_str() {
                        "]" => name,
                        other => return Err(format!("expected ] but got {other}")),
                    }
                }
                "." => next()?,
                other => return Err(format!("expected [ or . but got: {other}")),
            };
            (path, node) = step(path, node, &name)?;
            names.push(name);
        }
        Ok((FieldPath { path, names }, node))
    }

    /// A path of which the schema is not asked.
    pub fn plain(text: &str) -> FieldPath {
        let names: Vec<String> = text.trim_start_matches('.').split('.').map(str::to_owned).collect();
        let path = names.iter().fold(Path::root(), |path, name| path.child(name));
        FieldPath { path, names }
    }

    /// The first name.
    pub fn root(&self) -> &str {
        self.names.first().map_or("", |name| name)
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// What stands at the end of the path; `Null` if nothing does.
    pub fn find<'v>(&self, document: &'v Value) -> &'v Value {
        self.names.iter().fold(document, |node, name| node.get(name))
    }

    /// Puts a value at the end of the path.
    pub fn put(&self, document: &mut Value, value: Value) {
        let names: Vec<&str> = self.names().collect();
        *document.at_mut(&names) = value;
    }
}

fn step<'s>(path: Path, node: &'s Structural, name: &str) -> Result<(Path, &'s Structural), PathFault> {
    if !node.properties.is_empty() {
        let property = node.property(name).ok_or_else(|| NOWHERE.to_owned())?;
        return Ok((path.child(name), property));
    }
    match &node.additional {
        Additional::Each(each) => Ok((path.key(name), each)),
        _ => Err(NOWHERE.to_owned()),
    }
}

/// Dots, brackets, and what stands between them; quoted text is one piece.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '.' | '[' | ']' => 1,
            '\'' => end_of_quote(rest),
            _ => rest.find(['.', '[', ']']).unwrap_or(rest.len()),
        };
        tokens.push(rest[..length].to_owned());
        rest = &rest[length..];
    }
    tokens
}

fn end_of_quote(text: &str) -> usize {
    let mut escaped = false;
    for (position, letter) in text.char_indices().skip(1) {
        match letter {
            '\'' if !escaped => return position + 1,
            letter => escaped = letter == '\\',
        }
    }
    text.len()
}

fn unquote(token: &str) -> Result<String, PathFault> {
    let inner = (token.len() >= 2).then(|| token.strip_prefix('\'')?.strip_suffix('\'')).flatten();
    let inner = inner.ok_or_else(|| format!("expected single quoted string but got {token}"))?;
    let mut text = String::new();
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            text.push(letter);
            continue;
        }
        match letters.next() {
            Some('a') => text.push('\u{7}'),
            Some('b') => text.push('\u{8}'),
            Some('f') => text.push('\u{c}'),
            Some('n') => text.push('\n'),
            Some('r') => text.push('\r'),
            Some('t') => text.push('\t'),
            Some('v') => text.push('\u{b}'),
            Some(plain @ ('\'' | '\\')) => text.push(plain),
            other => {
                let shown: String = other.into_iter().collect();
                return Err(format!("invalid string literal: invalid escape char \\{shown}"));
            }
        }
    }
    Ok(text)
}
