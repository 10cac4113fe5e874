//! Documents from files: YAML or JSON, several in one file, folders, standard input, lists taken apart.

use std::io::Read;
use std::path::{Path, PathBuf};

use machinery::Value;

use crate::Failure;
use crate::args::Files;

/// Largest file that is read: what the server would refuse anyway.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Reads every document the flags name, in order.
pub fn read(files: &Files) -> Result<Vec<Value>, Failure> {
    let mut documents = Vec::new();
    for name in &files.filenames {
        for path in expand(name, files.recursive)? {
            let shown = path.display().to_string();
            let text = read_text(&path).map_err(|error| Failure::client(format!("{shown}: {error}")))?;
            let parsed =
                parse(&text).map_err(|error| Failure::client(format!("error parsing {shown}: {error}")))?;
            documents.extend(parsed);
        }
    }
    if documents.is_empty() {
        return Err(Failure::client("no objects passed"));
    }
    Ok(documents)
}

/// The documents of a text.
pub fn parse(text: &str) -> Result<Vec<Value>, String> {
    let mut documents = Vec::new();
    for document in machinery::yaml::decode_all(text.as_bytes()).map_err(|error| error.to_string())? {
        flatten(document, &mut documents)?;
    }
    Ok(documents)
}

fn flatten(document: Value, documents: &mut Vec<Value>) -> Result<(), String> {
    if document.is_null() {
        return Ok(());
    }
    let kind = document.get("kind").str_or_empty();
    if kind.is_empty() || document.get("apiVersion").str_or_empty().is_empty() {
        return Err("Object 'Kind' or 'apiVersion' is missing".to_owned());
    }
    if kind == "List" || (kind.ends_with("List") && matches!(document.get("items"), Value::Array(_))) {
        for item in document.get("items").items() {
            flatten(item.clone(), documents)?;
        }
        return Ok(());
    }
    documents.push(document);
    Ok(())
}

fn read_text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    if path == Path::new("-") {
        std::io::stdin().take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    } else {
        std::fs::File::open(path)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    }
    Ok(text)
}

/// The files of a folder (in the order of their names), or the file itself.
fn expand(path: &Path, recursive: bool) -> Result<Vec<PathBuf>, Failure> {
    if path == Path::new("-") || !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path)? {
        entries.push(entry?.path());
    }
    entries.sort();
    let mut found = Vec::new();
    for entry in entries {
        let is_document =
            entry.extension().is_some_and(|kind| kind == "yaml" || kind == "yml" || kind == "json");
        if entry.is_dir() && recursive {
            found.extend(expand(&entry, true)?);
        } else if entry.is_file() && is_document {
            found.push(entry);
        }
    }
    Ok(found)
}
