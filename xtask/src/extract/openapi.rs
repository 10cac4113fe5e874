//! The definitions of an OpenAPI v2 document, for what Go sources do not say in one place: enums, unions, and as a
//! check of everything else.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::Value;

/// The `definitions` of `v2.json.xz` in this folder.
pub fn read(folder: &Path) -> anyhow::Result<Value> {
    let path = folder.join("v2.json.xz");
    let output = Command::new("xz").arg("-dc").arg(&path).output().context("xz")?;
    if !output.status.success() {
        bail!("xz {}: {}", path.display(), String::from_utf8_lossy(&output.stderr));
    }
    let mut document: Value = serde_json::from_slice(&output.stdout)?;
    Ok(document["definitions"].take())
}

/// `k8s.io/api/core/v1` and `Pod` as OpenAPI names it: `io.k8s.api.core.v1.Pod`.
pub fn definition_name(package: &str, name: &str) -> String {
    format!("{}.{name}", package_name(package))
}

/// `k8s.io/api/core/v1` as OpenAPI names it: `io.k8s.api.core.v1`.
pub fn package_name(package: &str) -> String {
    let (domain, rest) = package.split_once('/').unwrap_or((package, ""));
    let mut parts: Vec<&str> = domain.split('.').rev().collect();
    parts.extend(rest.split('/'));
    parts.join(".")
}
