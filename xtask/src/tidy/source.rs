//! Rules about one file: its header, its length, the length of its functions, words that do not belong.

use std::path::Path;

/// Lines of a file without its test module.
const FILE_LINES_MAX: usize = 800;
/// Lines of a function, from its signature to its closing brace.
const FUNCTION_LINES_MAX: usize = 70;
/// Lines of a test module inside a file; longer ones get a file of their own.
const INLINE_TEST_LINES_MAX: usize = 160;

/// Where code may touch the file system: the rooms whose business it is.
const DISK_ROOMS: [&str; 9] = [
    "crates/store/",
    "crates/runtime/",
    "crates/kubelet/",
    "crates/network/",
    "crates/ironclad/",
    "crates/cli/",
    "crates/client/src/kubeconfig",
    "xtask/",
    "bench/",
];

/// Everything that is wrong with one file, a line each.
pub fn check(file: &Path, text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    let name = file.display().to_string();
    let is_test = is_test_file(file);
    let (code, tests) = split_tests(text);
    // The subject of `foo/tests.rs` is `foo`.
    if !text.starts_with("//!") && !file.ends_with("tests.rs") {
        broken.push(format!("{name}:1: begin the file with `//!`: what is it about?"));
    }
    if file.ends_with("mod.rs") {
        broken.push(format!("{name}: use `foo.rs` beside `foo/`, so that editor tabs have names"));
    }
    if ["utils.rs", "util.rs", "helpers.rs", "common.rs", "misc.rs"].iter().any(|bad| file.ends_with(bad)) {
        broken.push(format!("{name}: name the file after its subject"));
    }
    let lines = code.lines().count();
    if !is_test && lines > FILE_LINES_MAX {
        broken.push(format!("{name}: {lines} lines of code; split the file below {FILE_LINES_MAX}"));
    }
    let test_lines = tests.lines().count();
    if test_lines > INLINE_TEST_LINES_MAX {
        broken.push(format!("{name}: {test_lines} lines of tests; move them to a `tests.rs` of their own"));
    }
    if !is_test {
        broken.extend(long_functions(&name, code));
        broken.extend(words(&name, code));
    }
    broken
}

fn is_test_file(file: &Path) -> bool {
    let name = file.display().to_string();
    name.ends_with("tests.rs")
        || name.contains("/tests/")
        || name.starts_with("tests/")
        || name.contains("_tests/")
}

/// Splits a file before its test module.
fn split_tests(text: &str) -> (&str, &str) {
    match text.find("\n#[cfg(test)]\nmod tests {") {
        Some(position) => text.split_at(position),
        None => (text, ""),
    }
}

/// A signature line without its visibility and qualifiers, if it begins a function.
fn function_name(line: &str) -> Option<&str> {
    let mut rest = line.trim_start();
    for qualifier in ["pub(crate) ", "pub(super) ", "pub ", "const ", "async ", "unsafe ", "extern \"C\" "] {
        rest = rest.strip_prefix(qualifier).unwrap_or(rest);
    }
    let rest = rest.strip_prefix("fn ")?;
    rest.split(['(', '<']).next()
}

fn long_functions(name: &str, code: &str) -> Vec<String> {
    let lines: Vec<&str> = code.lines().collect();
    let mut broken = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(function) = function_name(line) else { continue };
        let indent = line.len() - line.trim_start().len();
        let closing = format!("{}}}", " ".repeat(indent));
        let length = lines[start..].iter().position(|line| *line == closing).map_or(1, |end| end + 1);
        let ends_signature = |line: &&&str| line.trim_end().ends_with(['{', ';']);
        let is_declaration =
            lines[start..].iter().find(ends_signature).is_some_and(|line| line.ends_with(';'));
        if length > FUNCTION_LINES_MAX && !is_declaration {
            broken.push(format!(
                "{name}:{}: `{function}` has {length} lines; the limit is {FUNCTION_LINES_MAX}, name its parts",
                start + 1
            ));
        }
    }
    broken
}

fn words(name: &str, code: &str) -> Vec<String> {
    let disk_room = DISK_ROOMS.iter().any(|room| name.starts_with(room));
    let mut broken = Vec::new();
    let lines: Vec<&str> = code.lines().collect();
    for (index, line) in lines.iter().enumerate() {
        let mut report = |why: &str| broken.push(format!("{name}:{}: {why}", index + 1));
        let trimmed = line.trim_start();
        if trimmed.starts_with("pub use ") && trimmed.contains("::") && re_exports_a_crate(trimmed) {
            report("no re-exports across crates: one way to name a thing");
        }
        if trimmed.starts_with("//") {
            continue;
        }
        if !disk_room && (line.contains("std::fs::") || line.contains("tokio::fs::")) {
            report("only the rooms whose business is the disk touch it");
        }
        if line.contains(concat!(".unwrap", "()")) {
            report("no `unwrap`: return an error, or `expect` with the reason why it cannot fail");
        }
        if line.contains("select! {") && !lines.get(index + 1).is_some_and(|next| next.contains("biased;")) {
            report("`select!` begins with `biased;`: write down what wins when two things are ready");
        }
    }
    broken
}

/// Whether a `pub use` names another crate of ours or a third party's, and not a module of the same crate.
fn re_exports_a_crate(line: &str) -> bool {
    const OTHERS: [&str; 20] = [
        "api",
        "apiserver",
        "bytes",
        "cli",
        "client",
        "controllers",
        "cri",
        "env",
        "http",
        "hyper",
        "k8s_openapi",
        "kinds",
        "kubelet",
        "machinery",
        "network",
        "runtime",
        "scheduler",
        "serde",
        "store",
        "tokio",
    ];
    let path = line.trim_start_matches("pub use ").trim_start_matches("::");
    OTHERS.iter().any(|other| path.starts_with(&format!("{other}::")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(file: &str, text: &str) -> Vec<String> {
        check(Path::new(file), text)
    }

    #[test]
    fn a_tidy_file_passes() {
        assert_eq!(
            broken("crates/a/src/lib.rs", "//! About.\n\nfn short() {\n    work();\n}\n"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn each_rule_has_teeth() {
        let body = "    step();\n".repeat(80);
        assert!(broken("crates/a/src/lib.rs", "fn f() {}\n")[0].contains("begin the file"));
        assert!(broken("crates/a/src/utils.rs", "//! x\n")[0].contains("subject"));
        let long = format!("//! x\npub async fn long(a: u8) {{\n{body}}}\n");
        assert!(broken("crates/a/src/lib.rs", &long)[0].contains("`long` has 82 lines"));
        let huge = format!("//! x\n{}", "const A: u8 = 1;\n".repeat(900));
        assert!(broken("crates/a/src/lib.rs", &huge)[0].contains("split the file"));
        assert!(
            broken("crates/api/src/lib.rs", "//! x\nfn f() {\n    std::fs::read(p);\n}\n")[0]
                .contains("disk")
        );
        assert!(
            broken("crates/a/src/lib.rs", "//! x\nfn f() {\n    g().unwrap();\n}\n")[0].contains("unwrap")
        );
        assert!(
            broken("crates/a/src/lib.rs", "//! x\nfn f() {\n    tokio::select! {\n        a => {}\n")[0]
                .contains("biased")
        );
        assert!(broken("crates/a/src/lib.rs", "//! x\npub use store::Store;\n")[0].contains("re-exports"));
    }
}
