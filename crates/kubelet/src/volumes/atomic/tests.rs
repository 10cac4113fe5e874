//! The writer against a real file system.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use super::*;
use crate::tests::TempDir;

fn payload(files: &[(&str, &str, u32)]) -> Payload {
    let file = |(path, data, mode): &(&str, &str, u32)| {
        ((*path).to_owned(), File { data: data.as_bytes().to_vec(), mode: *mode, owner: None })
    };
    files.iter().map(file).collect()
}

fn put(dir: &Path, files: &[(&str, &str, u32)], stamp: &str) -> bool {
    write(dir, &payload(files), stamp, &|_| Ok(())).unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn files_are_seen_through_links_and_swapped_together() {
    let dir = TempDir::new("atomic");
    assert!(put(&dir.0, &[("a", "1", 0o644), ("sub/b", "2", 0o600)], "one"));
    assert_eq!(names(&dir.0), ["..data", "..one", "a", "sub"]);
    assert_eq!(fs::read_to_string(dir.0.join("a")).unwrap(), "1");
    assert_eq!(fs::read_to_string(dir.0.join("sub/b")).unwrap(), "2");
    assert_eq!(fs::read_link(dir.0.join("a")).unwrap(), Path::new("..data/a"));
    let mode = |path: &str| fs::metadata(dir.0.join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("a"), mode("sub/b")), (0o644, 0o600));

    assert!(put(&dir.0, &[("a", "3", 0o644), ("c", "4", 0o644)], "two"));
    assert_eq!(names(&dir.0), ["..data", "..two", "a", "c"]);
    assert_eq!(fs::read_to_string(dir.0.join("a")).unwrap(), "3");
}

#[test]
fn what_did_not_change_is_not_written() {
    let dir = TempDir::new("unchanged");
    let files = [("a", "1", 0o644)];
    assert!(put(&dir.0, &files, "one"));
    let before = fs::metadata(dir.0.join("a")).unwrap().mtime_nsec();
    assert!(!put(&dir.0, &files, "two"));
    assert_eq!(names(&dir.0), ["..data", "..one", "a"]);
    assert_eq!(fs::metadata(dir.0.join("a")).unwrap().mtime_nsec(), before);
    assert!(put(&dir.0, &[("a", "1", 0o400)], "three"), "a mode is a change");
    assert!(put(&dir.0, &[], "four"));
    assert_eq!(names(&dir.0), ["..data", "..four"]);
    assert!(!put(&dir.0, &[], "five"));
}

#[test]
fn a_crash_in_between_is_mended() {
    let dir = TempDir::new("crash");
    put(&dir.0, &[("a", "1", 0o644)], "one");
    // After the new directory was made, and after the swap but before the links.
    fs::create_dir(dir.0.join("..two")).unwrap();
    fs::write(dir.0.join("..two/half"), "x").unwrap();
    symlink("..two", dir.0.join("..data_tmp")).unwrap();
    assert!(put(&dir.0, &[("a", "2", 0o644), ("b", "3", 0o644)], "two"));
    assert_eq!(names(&dir.0), ["..data", "..two", "a", "b"]);
    fs::remove_file(dir.0.join("b")).unwrap();
    assert!(!put(&dir.0, &[("a", "2", 0o644), ("b", "3", 0o644)], "three"));
    assert_eq!(fs::read_to_string(dir.0.join("b")).unwrap(), "3");
}

#[test]
fn paths_that_lead_out_are_refused() {
    let dir = TempDir::new("paths");
    for path in ["../x", "/x", "a/../../x", "", "..data", "..x", "."] {
        let result = write(&dir.0, &payload(&[(path, "x", 0o644)]), "one", &|_| Ok(()));
        assert!(result.is_err(), "{path}");
    }
    assert!(names(&dir.0).is_empty());
}

#[test]
fn a_failed_preparation_leaves_the_old_files() {
    let dir = TempDir::new("prepare");
    put(&dir.0, &[("a", "1", 0o644)], "one");
    let result = write(&dir.0, &payload(&[("a", "2", 0o644)]), "two", &|_| Err(io::Error::other("no")));
    assert!(result.is_err());
    assert_eq!(fs::read_to_string(dir.0.join("a")).unwrap(), "1");
}
