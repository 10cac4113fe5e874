//! Every kind, every encoding: what was read must be written again byte for byte.
//!
//! The reference objects of upstream are used where they are found (`REFERENCE_OBJECTS`, or beside the working tree);
//! a handful of own ones is always there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use api::Table;
use machinery::schema::TypeRef;
use machinery::{json, protobuf, yaml};

/// Folders with files `<group>.<version>.<Kind>.<json|pb|yaml>`.
fn folders() -> Vec<PathBuf> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![manifest.join("tests/golden")];
    if let Some(folder) = std::env::var_os("REFERENCE_OBJECTS") {
        folders.push(PathBuf::from(folder));
        return folders;
    }
    let beside = manifest
        .ancestors()
        .map(|folder| folder.join("shared/reference/golden-objects"))
        .find(|candidate| candidate.is_dir());
    folders.extend(beside);
    folders
}

/// All objects: name and content by extension.
fn objects() -> BTreeMap<PathBuf, BTreeMap<String, Vec<u8>>> {
    let mut objects: BTreeMap<PathBuf, BTreeMap<String, Vec<u8>>> = BTreeMap::new();
    for folder in folders() {
        for entry in std::fs::read_dir(&folder).expect("the folder was there") {
            let path = entry.expect("its entries can be read").path();
            let extension = path.extension().and_then(|text| text.to_str()).unwrap_or_default().to_owned();
            let content = std::fs::read(&path).expect("its files can be read");
            objects.entry(path.with_extension("")).or_default().insert(extension, content);
        }
    }
    assert!(!objects.is_empty());
    objects
}

fn type_of<'a>(table: &'a Table, name: &Path, body: &[u8]) -> TypeRef<'a> {
    let meta = json::type_meta(body).expect("golden objects are JSON");
    let kind = match meta.kind.as_str() {
        // Events of a watch do not say what they are.
        "" => table.kind("", "v1", "WatchEvent"),
        kind => table.kind_of(&meta.api_version, kind),
    };
    table.type_of(kind.unwrap_or_else(|| panic!("{} is no known kind", name.display())))
}

/// Reports all differences at once.
fn verdict(checked: usize, failures: Vec<String>) {
    assert!(failures.is_empty(), "{} of {checked} differ:\n{}", failures.len(), failures.join("\n"));
    println!("{checked} objects are the same");
}

fn first_difference(ours: &[u8], theirs: &[u8]) -> String {
    let at = ours.iter().zip(theirs).take_while(|(a, b)| a == b).count();
    let around = |bytes: &[u8]| {
        let from = at.saturating_sub(60);
        String::from_utf8_lossy(&bytes[from.min(bytes.len())..bytes.len().min(at + 60)]).into_owned()
    };
    format!("at {at}: {:?} is not {:?}", around(ours), around(theirs))
}

#[test]
fn json_is_the_same_again() {
    let table = Table::load();
    let mut failures = Vec::new();
    let objects = objects();
    for (name, forms) in &objects {
        let body = &forms["json"];
        let ty = type_of(&table, name, body);
        let mut report = json::Report::new();
        let mut again = Vec::new();
        match json::decode(body, ty, &mut report) {
            Ok(value) => json::encode_pretty(&value, &mut again),
            Err(error) => {
                failures.push(format!("{}: {error}", name.display()));
                continue;
            }
        }
        if !report.strict_errors().is_empty() {
            failures.push(format!("{}: {:?}", name.display(), report.strict_errors()));
        }
        if again != *body.trim_ascii_end() {
            failures.push(format!("{}: {}", name.display(), first_difference(&again, body)));
        }
    }
    verdict(objects.len(), failures);
}

#[test]
fn protobuf_is_the_same_again() {
    let table = Table::load();
    let mut failures = Vec::new();
    let mut checked = 0;
    for (name, forms) in &objects() {
        let Some(body) = forms.get("pb") else { continue };
        checked += 1;
        let ty = type_of(&table, name, &forms["json"]);
        let document =
            json::decode(&forms["json"], ty, &mut json::Report::new()).expect("JSON is tested elsewhere");
        let again = |document: &machinery::Value| {
            let (mut message, mut again) = (Vec::new(), Vec::new());
            protobuf::encode(document, ty, &mut message);
            let mut of_text = Vec::new();
            protobuf::transcode(&json::to_vec(document), ty, &mut of_text).expect("what was written is JSON");
            assert_eq!(of_text, message, "a text and its document have the same message");
            let meta = json::type_meta(&forms["json"]).expect("JSON");
            protobuf::seal(&meta, &message, &mut again);
            again
        };
        let from_json = again(&document);
        if from_json != *body {
            failures.push(format!("{} from JSON: {}", name.display(), first_difference(&from_json, body)));
        }
        let envelope = protobuf::open(body).expect("it is in an envelope");
        match protobuf::decode(envelope.raw, &envelope.meta, ty) {
            Ok(decoded) if json::to_string(&decoded) == json::to_string(&document) => {}
            Ok(decoded) => failures.push(format!(
                "{} to JSON: {}",
                name.display(),
                first_difference(&json::to_vec(&decoded), &json::to_vec(&document))
            )),
            Err(error) => failures.push(format!("{}: {error}", name.display())),
        }
    }
    verdict(checked, failures);
}

#[test]
fn yaml_is_the_same_again() {
    let mut failures = Vec::new();
    let mut checked = 0;
    for (name, forms) in &objects() {
        let Some(body) = forms.get("yaml") else { continue };
        checked += 1;
        let document = json::parse(&forms["json"]).expect("JSON is tested elsewhere");
        let written = yaml::encode(&document);
        if written.as_bytes() != body.as_slice() {
            failures.push(format!("{}: {}", name.display(), first_difference(written.as_bytes(), body)));
        }
        match yaml::decode(body) {
            Ok(read) if read == document => {}
            Ok(_) => failures.push(format!("{} reads differently", name.display())),
            Err(error) => failures.push(format!("{}: {error}", name.display())),
        }
    }
    verdict(checked, failures);
}
