//! How errors show structures: with the names and the order of the fields that the server's own types have, nothing left
//! out. Errors that say "field is immutable" or "pod updates may not change …" show whole structures that way.
//!
//! The layout of each type stands in `internal/layout.txt`, one line for each: its name, then its fields. A field is
//! `GoName[=member] type`; the member is the Go name with a small first letter unless it is given. The types are `s`
//! (text), `i` (number), `b` (truth value), `v` (a number or text), `p` (anything, null where there is none), `m`
//! (metadata, its members in place), `T`, `*T`, `[T]` (another type: always there, maybe null, a list of them), `+T`
//! (the fields of another type in place) and `^T` (another type, whose missing members are looked for one level up).

use std::fmt::Write;

use machinery::field::Shown;
use machinery::{Map, Value};

static LAYOUT: &str = include_str!("internal/layout.txt");

/// The structure `value` of the type `name`, on one line.
pub fn show(name: &str, value: &Value) -> String {
    let mut out = Printer { text: String::new(), indent: None };
    out.structure(name, value, &Value::Null);
    out.text
}

/// A list of structures, on one line.
pub fn show_list(name: &str, list: &Value) -> String {
    let mut out = Printer { text: String::new(), indent: None };
    out.list(name, list);
    out.text
}

/// The structure `value` of the type `name`, indented by one blank for each level.
pub fn show_indented(name: &str, value: &Value) -> String {
    let mut out = Printer { text: String::new(), indent: Some(0) };
    out.structure(name, value, &Value::Null);
    out.text
}

fn fields(name: &str) -> Vec<(&'static str, &'static str, &'static str)> {
    let line = LAYOUT.lines().find_map(|line| line.split_once(": ").filter(|(known, _)| *known == name));
    let fields = line.map_or("", |(_, fields)| fields).split(", ");
    let parsed = fields.filter_map(|field| {
        let (names, kind) = field.split_once(' ')?;
        let (go_name, member) = names.split_once('=').unwrap_or((names, ""));
        Some((go_name, member, kind))
    });
    parsed.collect()
}

fn member_of(go_name: &str, member: &str) -> String {
    if !member.is_empty() {
        return member.to_owned();
    }
    let mut letters = go_name.chars();
    letters.next().map(|first| first.to_ascii_lowercase().to_string() + letters.as_str()).unwrap_or_default()
}

struct Printer {
    text: String,
    indent: Option<usize>,
}

impl Printer {
    fn open(&mut self, bracket: char) {
        self.text.push(bracket);
        if let Some(indent) = &mut self.indent {
            *indent += 1;
        }
    }

    fn close(&mut self, bracket: char, empty: bool) {
        if let Some(indent) = &mut self.indent {
            *indent -= 1;
        }
        if !empty {
            self.line();
        }
        self.text.push(bracket);
    }

    fn line(&mut self) {
        if let Some(indent) = self.indent {
            self.text.push('\n');
            self.text.extend(std::iter::repeat_n(' ', indent));
        }
    }

    fn name(&mut self, name: &str, first: &mut bool) {
        if !std::mem::take(first) {
            self.text.push(',');
        }
        self.line();
        self.quoted(name);
        self.text.push_str(if self.indent.is_some() { ": " } else { ":" });
    }

    /// Text as Go's JSON has it: what would mean something in HTML is escaped.
    fn quoted(&mut self, text: &str) {
        self.text.push('"');
        for letter in text.chars() {
            match letter {
                '"' => self.text.push_str("\\\""),
                '\\' => self.text.push_str("\\\\"),
                '\n' => self.text.push_str("\\n"),
                '\r' => self.text.push_str("\\r"),
                '\t' => self.text.push_str("\\t"),
                '\u{8}' => self.text.push_str("\\b"),
                '\u{c}' => self.text.push_str("\\f"),
                '\0'..=' ' if letter != ' ' => self.escaped(letter),
                '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => self.escaped(letter),
                plain => self.text.push(plain),
            }
        }
        self.text.push('"');
    }

    fn escaped(&mut self, letter: char) {
        // Writing to a string cannot fail.
        let _ = write!(self.text, "\\u{:04x}", letter as u32);
    }

    fn structure(&mut self, name: &str, value: &Value, above: &Value) {
        self.open('{');
        let mut first = true;
        self.fields(name, value, above, &mut first);
        self.close('}', first);
    }

    fn fields(&mut self, name: &str, value: &Value, above: &Value, first: &mut bool) {
        for (go_name, member, kind) in fields(name) {
            if kind == "m" {
                for (name, member) in value.get("metadata").members().filter(|(_, value)| !value.is_empty()) {
                    self.name(name, first);
                    self.raw(member);
                }
                continue;
            }
            if let Some(embedded) = kind.strip_prefix('+') {
                self.fields(embedded, value, above, first);
                continue;
            }
            let member = member_of(go_name, member);
            let held = match value.get(&member) {
                Value::Null => above.get(&member),
                held => held,
            };
            self.name(go_name, first);
            self.field(kind, held, value);
        }
    }

    fn field(&mut self, kind: &str, value: &Value, around: &Value) {
        match (kind, value) {
            ("s", Value::Null) => self.quoted(""),
            ("i" | "v", Value::Null) => self.text.push('0'),
            ("b", Value::Null) => self.text.push_str("false"),
            ("p", value) if value.as_object().is_some_and(Map::is_empty) => self.text.push_str("null"),
            ("p", Value::Array(items)) if items.is_empty() => self.text.push_str("null"),
            ("s" | "i" | "v" | "b" | "p", value) => self.raw(value),
            _ => self.nested(kind, value, around),
        }
    }

    fn nested(&mut self, kind: &str, value: &Value, around: &Value) {
        if let Some(pointed) = kind.strip_prefix('*') {
            match value {
                Value::Null => self.text.push_str("null"),
                value => self.structure(pointed, value, &Value::Null),
            }
        } else if let Some(item) = kind.strip_prefix('[') {
            self.list(item.trim_end_matches(']'), value);
        } else if let Some(lifted) = kind.strip_prefix('^') {
            self.structure(lifted, value, around);
        } else {
            self.structure(kind, value, &Value::Null);
        }
    }

    fn list(&mut self, item: &str, list: &Value) {
        if list.items().is_empty() {
            self.text.push_str(if list.is_null() { "null" } else { "[]" });
            return;
        }
        self.open('[');
        for (position, value) in list.items().iter().enumerate() {
            if position > 0 {
                self.text.push(',');
            }
            self.line();
            self.structure(item, value, &Value::Null);
        }
        self.close(']', false);
    }

    fn raw(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.quoted(text),
            Value::Array(items) => {
                self.open('[');
                for (position, item) in items.iter().enumerate() {
                    if position > 0 {
                        self.text.push(',');
                    }
                    self.line();
                    self.raw(item);
                }
                self.close(']', items.is_empty());
            }
            Value::Object(map) => {
                self.open('{');
                let mut first = true;
                for (name, member) in map.iter() {
                    self.name(name, &mut first);
                    self.raw(member);
                }
                self.close('}', first);
            }
            plain => self.text.push_str(&plain.shown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn structures_are_shown_whole() {
        let strategy = Value::from([("type", Value::from("Magic"))]);
        assert_eq!(show("DaemonSetUpdateStrategy", &strategy), "{\"Type\":\"Magic\",\"RollingUpdate\":null}");
        let mount = Value::from([("name", Value::from("a<b")), ("mountPath", Value::from("/x"))]);
        assert_eq!(
            show("VolumeMount", &mount),
            "{\"Name\":\"a\\u003cb\",\"ReadOnly\":false,\"RecursiveReadOnly\":null,\"MountPath\":\"/x\",\"SubPath\":\"\",\
             \"MountPropagation\":null,\"SubPathExpr\":\"\"}"
        );
    }

    #[test]
    fn what_belongs_to_the_security_context_is_found_in_the_pod() {
        let spec = Value::from([("hostNetwork", Value::from(true)), ("containers", Value::Null)]);
        let text = show_indented("PodSpec", &spec);
        assert!(
            text.contains(" \"SecurityContext\": {\n  \"HostNetwork\": true,\n  \"HostPID\": false,"),
            "{text}"
        );
        assert!(
            text.starts_with("{\n \"Volumes\": null,\n \"InitContainers\": null,\n \"Containers\": null,"),
            "{text}"
        );
    }

    #[test]
    fn every_type_that_is_named_is_laid_out() {
        for line in LAYOUT.lines() {
            let (name, _) = line.split_once(": ").expect("a name and fields");
            for (go_name, _, kind) in fields(name) {
                let kind = kind.trim_start_matches(['*', '[', '+', '^']).trim_end_matches(']');
                let known = matches!(kind, "s" | "i" | "b" | "v" | "p" | "m") || !fields(kind).is_empty();
                assert!(known, "{name}.{go_name}: {kind}");
            }
        }
    }
}
