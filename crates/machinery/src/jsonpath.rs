//! JSONPath as kubectl knows it: `{.items[*].metadata.name}`, ranges, filters, text between braces.

use crate::{Value, json};

/// A template, ready to be filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Path(Vec<Step>),
    Range(Vec<Step>, Vec<Part>),
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Member(String),
    /// Every member or item.
    All,
    /// Any depth below.
    Below(String),
    Index(i64),
    Slice(Option<i64>, Option<i64>),
    Filter(Vec<Step>, Comparison, String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    Unequal,
    Exists,
}

impl Template {
    /// Reads a template; a bare path (`.metadata.name`, `metadata.name`) is taken as if it stood in braces.
    pub fn parse(text: &str) -> Result<Template, String> {
        let braced = if text.contains('{') {
            text.to_owned()
        } else {
            format!("{{{}{text}}}", if text.starts_with(['.', '[', '$']) { "" } else { "." })
        };
        let mut blocks = split_blocks(&braced)?.into_iter();
        let parts = parse_parts(&mut blocks, false)?;
        Ok(Template { parts })
    }

    /// Fills it in.
    pub fn fill(&self, document: &Value) -> Result<String, String> {
        let mut text = String::new();
        fill_parts(&self.parts, document, &mut text)?;
        Ok(text)
    }

    /// What the first path finds.
    pub fn find<'a>(&self, document: &'a Value) -> Vec<&'a Value> {
        match self.parts.first() {
            Some(Part::Path(steps)) => walk(steps, document),
            _ => Vec::new(),
        }
    }
}

enum Block {
    Text(String),
    Code(String),
}

fn split_blocks(text: &str) -> Result<Vec<Block>, String> {
    let mut blocks = Vec::new();
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        if open > 0 {
            blocks.push(Block::Text(rest[..open].to_owned()));
        }
        let close = rest[open..].find('}').ok_or("unclosed action")? + open;
        blocks.push(Block::Code(rest[open + 1..close].trim().to_owned()));
        rest = &rest[close + 1..];
    }
    if !rest.is_empty() {
        blocks.push(Block::Text(rest.to_owned()));
    }
    Ok(blocks)
}

fn parse_parts(blocks: &mut std::vec::IntoIter<Block>, inside: bool) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    while let Some(block) = blocks.next() {
        match block {
            Block::Text(text) => parts.push(Part::Text(text)),
            Block::Code(code) if code == "end" && inside => return Ok(parts),
            Block::Code(code) if code == "end" => return Err("not in range, nothing to end".to_owned()),
            Block::Code(code) => match code.strip_prefix("range ") {
                Some(path) => parts.push(Part::Range(parse_path(path.trim())?, parse_parts(blocks, true)?)),
                None if code.starts_with(['"', '\'']) => parts.push(Part::Text(unquote(&code)?)),
                None => parts.push(Part::Path(parse_path(&code)?)),
            },
        }
    }
    if inside { Err("unclosed range".to_owned()) } else { Ok(parts) }
}

fn unquote(code: &str) -> Result<String, String> {
    let quote = code.chars().next().unwrap_or('"');
    let inner = code
        .strip_prefix(quote)
        .and_then(|rest| rest.strip_suffix(quote))
        .ok_or_else(|| format!("unterminated quoted string {code}"))?;
    let mut text = String::new();
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        match (letter, letter == '\\') {
            (_, true) => match letters.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some('r') => text.push('\r'),
                other => text.extend(other),
            },
            (plain, false) => text.push(plain),
        }
    }
    Ok(text)
}

fn parse_path(code: &str) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let mut rest = code.trim_start_matches(['$', '@']);
    while !rest.is_empty() {
        if let Some(below) = rest.strip_prefix("..") {
            let (name, after) = take_name(below);
            steps.push(Step::Below(name));
            rest = after;
        } else if let Some(member) = rest.strip_prefix('.') {
            if member.is_empty() {
                break;
            }
            if member.starts_with('[') {
                rest = member;
                continue;
            }
            let (name, after) = take_name(member);
            if name.is_empty() {
                return Err(format!("unrecognized character in action: {member:?}"));
            }
            steps.push(if name == "*" { Step::All } else { Step::Member(name) });
            rest = after;
        } else if let Some(bracket) = rest.strip_prefix('[') {
            let close = closing(bracket).ok_or("unterminated array")?;
            steps.push(parse_bracket(&bracket[..close])?);
            rest = &bracket[close + 1..];
        } else {
            return Err(format!("unrecognized character in action: {rest:?}"));
        }
    }
    Ok(steps)
}

/// A member's name up to the next `.` or `[`; `\.` stands for a dot in it.
fn take_name(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut letters = text.char_indices();
    while let Some((position, letter)) = letters.next() {
        match letter {
            '.' | '[' => return (name, &text[position..]),
            '\\' => name.extend(letters.next().map(|(_, literal)| literal)),
            plain => name.push(plain),
        }
    }
    (name, "")
}

fn closing(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    let mut quote = None;
    for (position, letter) in text.char_indices() {
        match (letter, quote) {
            (letter, Some(open)) if letter == open => quote = None,
            (_, Some(_)) => {}
            ('"' | '\'', None) => quote = Some(letter),
            ('[', None) => depth += 1,
            (']', None) if depth == 0 => return Some(position),
            (']', None) => depth -= 1,
            _ => {}
        }
    }
    None
}

fn parse_bracket(inner: &str) -> Result<Step, String> {
    let number = |text: &str| text.parse::<i64>().map_err(|_| format!("invalid array index {text}"));
    if inner == "*" {
        return Ok(Step::All);
    }
    if inner.starts_with(['"', '\'']) {
        return Ok(Step::Member(unquote(inner)?));
    }
    if let Some(filter) = inner.strip_prefix("?(").and_then(|filter| filter.strip_suffix(')')) {
        for (sign, comparison) in [("==", Comparison::Equal), ("!=", Comparison::Unequal)] {
            if let Some((left, right)) = filter.split_once(sign) {
                let right = right.trim();
                let right = if right.starts_with(['"', '\'']) { unquote(right)? } else { right.to_owned() };
                return Ok(Step::Filter(parse_path(left.trim())?, comparison, right));
            }
        }
        return Ok(Step::Filter(parse_path(filter.trim())?, Comparison::Exists, String::new()));
    }
    if let Some((from, to)) = inner.split_once(':') {
        let bound = |text: &str| if text.is_empty() { Ok(None) } else { number(text).map(Some) };
        return Ok(Step::Slice(bound(from)?, bound(to)?));
    }
    number(inner).map(Step::Index)
}

fn walk<'a>(steps: &[Step], document: &'a Value) -> Vec<&'a Value> {
    steps
        .iter()
        .fold(vec![document], |nodes, step| nodes.into_iter().flat_map(|node| one_step(step, node)).collect())
}

fn one_step<'a>(step: &Step, node: &'a Value) -> Vec<&'a Value> {
    let children = |node: &'a Value| -> Vec<&'a Value> {
        match node {
            Value::Array(items) => items.iter().collect(),
            other => other.members().map(|(_, value)| value).collect(),
        }
    };
    match step {
        Step::Member(name) => Some(node.get(name)).into_iter().filter(|found| !found.is_null()).collect(),
        Step::All => children(node),
        Step::Below(name) => {
            let mut found = one_step(&Step::Member(name.clone()), node);
            found.extend(children(node).into_iter().flat_map(|child| one_step(step, child)));
            found
        }
        Step::Index(index) => {
            let items = node.items();
            position(*index, items.len()).and_then(|index| items.get(index)).into_iter().collect()
        }
        Step::Slice(from, to) => {
            let items = node.items();
            let bound = |bound: Option<i64>, default: usize| {
                bound.map_or(default, |index| position(index, items.len()).unwrap_or(0)).min(items.len())
            };
            let (from, to) = (bound(*from, 0), bound(*to, items.len()));
            items.get(from..to).unwrap_or_default().iter().collect()
        }
        Step::Filter(path, comparison, wanted) => children(node)
            .into_iter()
            .filter(|child| {
                let found = walk(path, child);
                match comparison {
                    Comparison::Exists => !found.is_empty(),
                    Comparison::Equal => found.iter().any(|value| plain(value) == *wanted),
                    Comparison::Unequal => !found.iter().any(|value| plain(value) == *wanted),
                }
            })
            .collect(),
    }
}

/// Negative indexes count from the end.
fn position(index: i64, length: usize) -> Option<usize> {
    let index = if index < 0 { index + i64::try_from(length).ok()? } else { index };
    usize::try_from(index).ok()
}

fn fill_parts(parts: &[Part], document: &Value, text: &mut String) -> Result<(), String> {
    for part in parts {
        match part {
            Part::Text(literal) => text.push_str(literal),
            Part::Path(steps) => {
                let found: Vec<String> = walk(steps, document).into_iter().map(plain).collect();
                text.push_str(&found.join(" "));
            }
            Part::Range(steps, inner) => {
                for node in walk(steps, document) {
                    fill_parts(inner, node, text)?;
                }
            }
        }
    }
    Ok(())
}

/// A value as JSONPath prints it: text bare, the rest as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.to_string(),
        other => {
            let mut bytes = Vec::new();
            json::encode(other, &mut bytes);
            String::from_utf8_lossy(&bytes).into_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pods() -> Value {
        let pod = |name: &str, phase: &str| {
            Value::from([
                ("metadata", Value::from([("name", Value::from(name))])),
                ("status", Value::from([("phase", Value::from(phase))])),
            ])
        };
        Value::from([("items", Value::from(vec![pod("a", "Running"), pod("b", "Pending")]))])
    }

    fn fill(template: &str) -> String {
        Template::parse(template).and_then(|template| template.fill(&pods())).expect("a right template")
    }

    #[test]
    fn paths_find_what_kubectl_finds() {
        assert_eq!(fill("{.items[*].metadata.name}"), "a b");
        assert_eq!(fill("{.items[-1:].metadata.name}"), "b");
        assert_eq!(fill("{.items[0]['metadata'].name}"), "a");
        assert_eq!(fill("{..name}"), "a b");
        assert_eq!(fill("{.items[?(@.status.phase==\"Pending\")].metadata.name}"), "b");
        assert_eq!(fill("items[1].status.phase"), "Pending");
        assert_eq!(fill("{.nothing}"), "");
    }

    #[test]
    fn ranges_repeat_their_text() {
        assert_eq!(
            fill("{range .items[*]}{.metadata.name}{\"\\t\"}{.status.phase}{\"\\n\"}{end}"),
            "a\tRunning\nb\tPending\n"
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(Template::parse("{.a").is_err());
        assert!(Template::parse("{range .a}").is_err());
        assert!(Template::parse("{.a[x]}").is_err());
    }
}
