//! Reads type declarations out of Go source: only as much of the language as API packages use, and only their facts
//! (names, types, tags, markers), never their prose.

use std::collections::BTreeMap;

/// What one package declares.
#[derive(Debug, Default)]
pub struct Package {
    /// `GroupName` of its `register.go`, if it has one.
    pub group: Option<String>,
    /// Declarations by name.
    pub types: BTreeMap<String, Decl>,
    /// String constants by name.
    pub constants: BTreeMap<String, String>,
}

/// A declared type.
#[derive(Debug, Clone)]
pub struct Decl {
    /// Markers (`+name` or `+name=value`) in the comment above it.
    pub markers: Vec<(String, String)>,
    /// What it is.
    pub body: Body,
    /// What the names of packages mean in its file.
    pub imports: BTreeMap<String, String>,
}

/// The right side of a declaration.
#[derive(Debug, Clone)]
pub enum Body {
    /// `struct { … }`
    Struct(Vec<Member>),
    /// A type of its own that looks like another.
    Named(String),
    /// Another name of the same type.
    Alias(String),
}

/// A line of a struct.
#[derive(Debug, Clone)]
pub struct Member {
    /// The type as written.
    pub go_type: String,
    /// The name in JSON; empty if the members of its type are inlined.
    pub json: String,
    /// `omitempty`, `omitzero`, …
    pub json_options: Vec<String>,
    /// Its number in protobuf.
    pub protobuf: Option<u32>,
    /// `patchStrategy` of the tag.
    pub patch_strategy: String,
    /// `patchMergeKey` of the tag.
    pub patch_merge_key: String,
    /// Markers in the comment above.
    pub markers: Vec<(String, String)>,
}

impl Member {
    /// The value of a marker, under either of its spellings.
    pub fn marker(&self, name: &str) -> Option<&str> {
        marker(&self.markers, name)
    }

    /// All values of a marker that may come several times.
    pub fn all_markers(&self, name: &str) -> Vec<&str> {
        let new_name = format!("k8s:{name}");
        let mut values: Vec<&str> = Vec::new();
        for (key, value) in &self.markers {
            if (key == name || *key == new_name) && !values.contains(&value.as_str()) {
                values.push(value);
            }
        }
        values
    }
}

/// The value of a marker, under either of its spellings (`+listType`, `+k8s:listType`).
pub fn marker<'a>(markers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let find = |name: &str| markers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    find(name).or_else(|| find(&format!("k8s:{name}")))
}

/// Reads one file into the package.
pub fn read_file(source: &str, package: &mut Package) {
    let imports = read_imports(source);
    let mut markers = Vec::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        if let Some(comment) = line.trim_start().strip_prefix("//") {
            push_marker(comment, &mut markers);
            continue;
        }
        if let Some(rest) = line.strip_prefix("type ") {
            if let Some((name, body)) = read_declaration(rest, &mut lines) {
                let decl = Decl { markers: std::mem::take(&mut markers), body, imports: imports.clone() };
                package.types.insert(name, decl);
            }
        } else if let Some(rest) = line.trim_start().trim_start_matches("const ").strip_prefix("GroupName") {
            package.group = rest.split('"').nth(1).map(str::to_owned);
        }
        if let Some((name, value)) = read_constant(line) {
            package.constants.insert(name.to_owned(), value.to_owned());
        }
        // A blank line parts a comment from what follows, except that Go API files put marker blocks before it.
        if !line.trim().is_empty() {
            markers.clear();
        }
    }
}

/// `Name Type = "value"`
fn read_constant(line: &str) -> Option<(&str, &str)> {
    let (left, right) = line.trim().split_once('=')?;
    let value = right.trim().strip_prefix('"')?.split('"').next()?;
    let name = left.trim_start().trim_start_matches("const ").split_whitespace().next()?;
    Some((name, value))
}

fn read_declaration<'a>(rest: &str, lines: &mut impl Iterator<Item = &'a str>) -> Option<(String, Body)> {
    let (name, definition) = rest.split_once(' ')?;
    let definition = definition.split("//").next()?.trim();
    let body = if definition == "struct {" {
        Body::Struct(read_members(lines))
    } else if definition == "struct{}" {
        Body::Struct(Vec::new())
    } else if let Some(target) = definition.strip_prefix("= ") {
        Body::Alias(target.to_owned())
    } else if definition.ends_with('{') {
        return None;
    } else {
        Body::Named(definition.to_owned())
    };
    Some((name.to_owned(), body))
}

fn read_members<'a>(lines: &mut impl Iterator<Item = &'a str>) -> Vec<Member> {
    let mut members = Vec::new();
    let mut markers = Vec::new();
    for line in lines {
        let line = line.trim();
        if line == "}" {
            break;
        }
        if let Some(comment) = line.strip_prefix("//") {
            push_marker(comment, &mut markers);
            continue;
        }
        if line.is_empty() {
            markers.clear();
            continue;
        }
        if let Some(member) = read_member(line, std::mem::take(&mut markers)) {
            members.push(member);
        }
    }
    members
}

fn read_member(line: &str, markers: Vec<(String, String)>) -> Option<Member> {
    let mut parts = line.split('`');
    let words: Vec<&str> = parts.next()?.split_whitespace().collect();
    let tag = parts.next().unwrap_or("");
    let json_tag = tag_value(tag, "json")?;
    let mut json_parts = json_tag.split(',');
    let json = json_parts.next().unwrap_or("").to_owned();
    if json == "-" {
        return None;
    }
    let json_options: Vec<String> = json_parts.map(str::to_owned).collect();
    let inline = json.is_empty();
    let go_type = if words.len() == 1 { words[0] } else { words.get(1)? };
    let protobuf = tag_value(tag, "protobuf").and_then(|value| value.split(',').nth(1)?.parse().ok());
    Some(Member {
        go_type: go_type.to_owned(),
        json: if inline { String::new() } else { json },
        json_options,
        protobuf,
        patch_strategy: tag_value(tag, "patchStrategy").unwrap_or_default(),
        patch_merge_key: tag_value(tag, "patchMergeKey").unwrap_or_default(),
        markers,
    })
}

fn tag_value(tag: &str, key: &str) -> Option<String> {
    let start = tag.find(&format!("{key}:\""))? + key.len() + 2;
    let length = tag[start..].find('"')?;
    Some(tag[start..start + length].to_owned())
}

fn push_marker(comment: &str, markers: &mut Vec<(String, String)>) {
    let Some(marker) = comment.trim().strip_prefix('+') else { return };
    let (name, value) = marker.split_once('=').unwrap_or((marker, ""));
    markers.push((name.trim().to_owned(), value.trim().to_owned()));
}

fn read_imports(source: &str) -> BTreeMap<String, String> {
    let mut imports = BTreeMap::new();
    let mut inside = false;
    for line in source.lines() {
        let single = line.strip_prefix("import ");
        if single == Some("(") {
            inside = true;
        } else if line.starts_with(')') {
            inside = false;
        } else if inside || single.is_some() {
            let mut quoted = single.unwrap_or(line).split('"');
            let alias = quoted.next().unwrap_or("").trim();
            if let Some(path) = quoted.next() {
                let name = if alias.is_empty() { path.rsplit('/').next().unwrap_or(path) } else { alias };
                imports.insert(name.to_owned(), path.to_owned());
            }
        }
    }
    imports
}
