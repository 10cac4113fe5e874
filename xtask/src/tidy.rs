//! `cargo xtask tidy`: the house rules that no compiler checks, each with its reason in the message.

mod edges;
mod source;

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Checks every rule on the whole tree and reports all that is broken at once.
pub fn run() -> anyhow::Result<()> {
    let root = root()?;
    let files = rust_files(&root)?;
    let mut broken = Vec::new();
    for file in &files {
        let text = std::fs::read_to_string(root.join(file)).with_context(|| format!("{}", file.display()))?;
        broken.extend(source::check(file, &text));
    }
    broken.extend(edges::check(&root)?);
    if broken.is_empty() {
        println!("tidy: {} files and all crate edges are in order", files.len());
        return Ok(());
    }
    for line in &broken {
        eprintln!("{line}");
    }
    bail!("tidy: {} rules are broken", broken.len())
}

fn root() -> anyhow::Result<PathBuf> {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").context("run this as `cargo xtask tidy`")?;
    Ok(Path::new(&manifest).parent().context("xtask lies in the workspace")?.to_owned())
}

/// All Rust files of the workspace, relative to its root, in a fixed order.
fn rust_files(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut open: Vec<PathBuf> =
        ["crates", "xtask", "bench", "tests"].iter().map(|dir| root.join(dir)).collect();
    while let Some(folder) = open.pop() {
        if !folder.is_dir() {
            continue;
        }
        for entry in std::fs::read_dir(&folder).with_context(|| format!("{}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() && !path.ends_with("target") {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path.strip_prefix(root)?.to_owned());
            }
        }
    }
    found.sort();
    Ok(found)
}
