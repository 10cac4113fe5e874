//! `cargo xtask extract`: writes `crates/api/src/table.txt`, the facts about all kinds, from the public definitions.
//!
//! The format is described in `crates/api/src/reader.rs`, which reads it.

mod discovery;
mod go;
mod openapi;
mod types;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Reads the definitions and writes the table.
pub fn run(arguments: &[String]) -> anyhow::Result<()> {
    let [reference, sources] = arguments else { bail!("usage: cargo xtask extract REFERENCE GO") };
    let (reference, sources) = (PathBuf::from(reference), PathBuf::from(sources));
    let packages = read_packages(&sources)?;
    let definitions = openapi::read(&reference.join("openapi"))?;
    let mut types = types::Writer::new(&packages, &definitions);
    let kinds = types.kinds()?;
    let body = types.write()?;
    let resources = discovery::write(&reference)?;
    let text = format!("{HEADER}{kinds}\n{body}\n{resources}");
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/api/src/table.txt");
    std::fs::write(&target, &text).with_context(|| target.display().to_string())?;
    println!("{} bytes, {} lines", text.len(), text.lines().count());
    for difference in types.differences() {
        println!("differs from OpenAPI: {difference}");
    }
    Ok(())
}

const HEADER: &str =
    "# Written by `cargo xtask extract`; the format is described in reader.rs. Do not edit.\n";

/// The packages whose kinds are known, by import path.
fn read_packages(sources: &Path) -> anyhow::Result<BTreeMap<String, go::Package>> {
    let mut packages = BTreeMap::new();
    let mut folders = vec![
        "k8s.io/apimachinery/pkg/apis/meta/v1".to_owned(),
        "k8s.io/apimachinery/pkg/apis/meta/v1beta1".to_owned(),
        "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1".to_owned(),
        "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1".to_owned(),
    ];
    for group in list(&sources.join("k8s.io/api"))? {
        for version in list(&sources.join("k8s.io/api").join(&group))? {
            let folder = format!("k8s.io/api/{group}/{version}");
            if sources.join(&folder).join("types.go").exists() {
                folders.push(folder);
            }
        }
    }
    for folder in folders {
        let mut package = go::Package::default();
        for file in list(&sources.join(&folder))? {
            if file.starts_with("types_swagger") || !file.ends_with(".go") {
                continue;
            }
            let path = sources.join(&folder).join(&file);
            let source = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            go::read_file(&source, &mut package);
        }
        packages.insert(folder, package);
    }
    Ok(packages)
}

fn list(folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}
