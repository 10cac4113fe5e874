//! Rules about the rooms: which crate may know which, and that each inherits the workspace's lints.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

/// Each crate and the crates of ours it may depend on. A new edge is a decision: it is made here, in a diff.
const EDGES: &[(&str, &[&str])] = &[
    ("env", &[]),
    ("machinery", &[]),
    ("api", &["machinery"]),
    ("kinds", &["api", "machinery"]),
    ("store", &["env"]),
    ("client", &["api", "env", "machinery"]),
    ("cri", &[]),
    ("spdy", &[]),
    ("grpc", &["env"]),
    ("http2", &["env"]),
    ("apiserver", &["api", "client", "env", "grpc", "http2", "kinds", "machinery", "store"]),
    ("controllers", &["api", "client", "env", "kinds", "machinery"]),
    ("scheduler", &["api", "client", "env", "machinery"]),
    ("kubelet", &["api", "client", "cri", "env", "machinery", "spdy"]),
    ("remote", &["cri", "env", "grpc", "spdy"]),
    ("runtime", &["cri", "env"]),
    ("network", &["api", "client", "cri", "env", "machinery"]),
    ("cli", &["api", "client", "env", "machinery"]),
    (
        "ironclad",
        &[
            "api",
            "apiserver",
            "cli",
            "client",
            "controllers",
            "cri",
            "env",
            "kinds",
            "kubelet",
            "machinery",
            "network",
            "remote",
            "runtime",
            "scheduler",
            "store",
        ],
    ),
];

/// Crates that exist for tests and tools only; nothing of the product may depend on them.
const TEST_CRATES: [&str; 6] = ["testkit", "sim", "e2e", "bench", "fuzz", "xtask"];

/// Third-party crates that must not come in, with the reason.
const BANNED: &[(&str, &str)] = &[
    ("ring", "one TLS provider: aws-lc-rs"),
    ("openssl-sys", "one TLS provider: aws-lc-rs"),
    ("reqwest", "one HTTP stack: hyper"),
    ("chrono", "one calendar: jiff"),
    ("async-std", "one async runtime: tokio"),
];

/// Everything that is wrong with the crate graph, a line each.
pub fn check(root: &Path) -> anyhow::Result<Vec<String>> {
    let metadata = cargo(root, &["metadata", "--format-version", "1", "--no-deps", "--locked"])?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata")?;
    let mut broken = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        broken.extend(check_package(package));
    }
    let tree =
        cargo(root, &["tree", "--workspace", "--locked", "--prefix", "none", "--edges", "normal,build"])?;
    broken.extend(check_tree(&tree));
    Ok(broken)
}

fn cargo(root: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let what = format!("cargo {}", arguments.join(" "));
    let output = Command::new(program).args(arguments).current_dir(root).output().context(what.clone())?;
    ensure!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).context(what)
}

/// Third-party crates that came in although they are banned. Each line of `tree` begins with a crate's name.
fn check_tree(tree: &str) -> Vec<String> {
    let names: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    BANNED
        .iter()
        .filter(|(name, _)| names.contains(name))
        .map(|(name, why)| {
            format!("{name}: not in this house: {why}; `cargo tree -i {name}` shows who brings it")
        })
        .collect()
}

fn check_package(package: &Value) -> Vec<String> {
    let name = package["name"].as_str().unwrap_or_default();
    let mut broken = Vec::new();
    if TEST_CRATES.contains(&name) {
        return broken;
    }
    let Some((_, allowed)) = EDGES.iter().find(|(crate_name, _)| *crate_name == name) else {
        return vec![format!("{name}: a crate without a place; add it to the table of edges in xtask")];
    };
    for dependency in package["dependencies"].as_array().into_iter().flatten() {
        let target = dependency["name"].as_str().unwrap_or_default();
        let ours = dependency["path"].is_string();
        let for_tests = dependency["kind"] == "dev";
        if ours && !for_tests && !allowed.contains(&target) {
            broken.push(format!("{name} → {target}: this edge is not in the plan of the house"));
        }
    }
    let manifest = package["manifest_path"].as_str().unwrap_or_default();
    let inherits =
        std::fs::read_to_string(manifest).is_ok_and(|text| text.contains("[lints]\nworkspace = true"));
    if !inherits {
        broken.push(format!("{manifest}: add `[lints] workspace = true`"));
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_that_is_not_planned_is_found() {
        let package = serde_json::json!({
            "name": "scheduler",
            "manifest_path": "/nonexistent",
            "dependencies": [
                {"name": "store", "path": "/x", "kind": null},
                {"name": "testkit", "path": "/x", "kind": "dev"},
                {"name": "serde", "kind": null},
            ],
        });
        let broken = check_package(&package);
        assert!(broken[0].contains("scheduler → store"), "{broken:?}");
        assert_eq!(broken.len(), 2, "the edge and the missing lints, nothing else: {broken:?}");
    }

    #[test]
    fn rings_do_not_know_those_above_them() {
        let ring = |name: &str| match name {
            "env" | "machinery" | "api" | "kinds" => 0,
            "store" | "client" | "cri" | "grpc" | "http2" | "spdy" => 1,
            "ironclad" => 3,
            _ => 2,
        };
        for (name, allowed) in EDGES {
            for target in *allowed {
                let lower = ring(target) < ring(name) || (ring(name) == 0 && ring(target) == 0);
                assert!(lower, "{name} → {target}");
            }
        }
    }

    #[test]
    fn banned_crates_are_named_with_the_reason() {
        let broken = check_tree("rustls v0.23.46\nring v0.17.14\n");
        assert!(broken[0].contains("aws-lc-rs"), "{broken:?}");
        assert_eq!(check_tree("rustls v0.23.46\n"), Vec::<String>::new());
    }
}
