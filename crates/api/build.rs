//! Collects what kinds and their fields are said to be, for OpenAPI and `kubectl explain`, out of the documentation of
//! the `k8s-openapi` dependency: this project carries none of that prose itself.
//!
//! The result is a text: a line for each type (its name and what it is), followed by a line for each of its fields that
//! begins with a space. Line feeds are written as `\n`, backslashes as `\\`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

const MARK: &str = "// Generated from definition ";

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../../Cargo.lock");
    let mut types = BTreeMap::new();
    read_folder(&source(), &mut types)?;
    assert!(types.len() > 500, "k8s-openapi documents only {} types", types.len());
    let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo says where to write"));
    fs::write(folder.join("descriptions.txt"), written(&types))
}

/// Where the sources of `k8s-openapi` are.
fn source() -> PathBuf {
    let cargo = env::var_os("CARGO").expect("cargo says how to call it");
    // Not offline: a first build has fetched only what it compiles, and cargo describes nothing that it has not fetched.
    let target = env::var("TARGET").expect("cargo says what it builds for");
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", &target])
        .output()
        .expect("cargo can be called");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata = String::from_utf8_lossy(&output.stdout);
    let manifest = metadata
        .split("\"manifest_path\":\"")
        .filter_map(|rest| rest.split('"').next())
        .find(|path| path.contains("/k8s-openapi-"))
        .expect("k8s-openapi is a dependency of the workspace");
    Path::new(manifest).with_file_name("src").join("v1_36")
}

/// A type: what it is, and what its fields are.
#[derive(Default)]
struct Type {
    about: String,
    fields: BTreeMap<String, String>,
}

fn read_folder(folder: &Path, types: &mut BTreeMap<String, Type>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            read_folder(&path, types)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            read_file(&fs::read_to_string(&path)?, types);
        }
    }
    Ok(())
}

fn read_file(text: &str, types: &mut BTreeMap<String, Type>) {
    let Some(name) = text.strip_prefix(MARK).and_then(|rest| rest.lines().next()) else { return };
    let mut found = Type::default();
    let mut named = BTreeMap::new();
    let (mut about, mut inside) = (Vec::new(), false);
    for line in text.lines().map(str::trim) {
        if let Some(comment) = line.strip_prefix("///") {
            about.push(comment.strip_prefix(' ').unwrap_or(comment));
            continue;
        }
        if line.starts_with("pub struct ") && found.about.is_empty() {
            found.about = prose(&about);
            inside = true;
        } else if let Some((field, _)) = line.strip_prefix("pub ").and_then(|rest| rest.split_once(": "))
            && inside
        {
            named.insert(field.trim_start_matches("r#").to_owned(), prose(&about));
        } else if let Some((json, field)) = line.split_once(" => Field::Key_") {
            // How the field is called in documents.
            let about = named.remove(field.trim_end_matches(','));
            found.fields.extend(about.map(|about| (json.trim_matches('"').to_owned(), about)));
        }
        inside &= line != "}";
        if !line.starts_with("#[") {
            about.clear();
        }
    }
    types.insert(name.to_owned(), found);
}

/// The text of comments, without what only the documentation of Rust needs.
fn prose(lines: &[&str]) -> String {
    let mut out = String::new();
    let mut letters = lines.join("\n").chars().collect::<Vec<_>>().into_iter().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if letters.peek().is_some_and(char::is_ascii_punctuation) => {}
            letter => out.push(letter),
        }
    }
    out
}

fn written(types: &BTreeMap<String, Type>) -> String {
    let mut out = String::new();
    for (name, found) in types {
        let mut line = |start: &str, name: &str, about: &str| {
            let about = about.replace('\\', "\\\\").replace('\n', "\\n");
            out.push_str(&format!("{start}{name} {about}\n"));
        };
        line("", name, &found.about);
        for (field, about) in &found.fields {
            line(" ", field, about);
        }
    }
    out
}
