//! Volumes against a real file system.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use serde_json::{Value, json};

use super::*;
use crate::amounts::Amounts;
use crate::downward::Myself;
use crate::environment::{Data, SourceKind};
use crate::tests::{TempDir, pod};
use content::{Materials, Objects, TokenWish};

fn objects() -> Objects {
    let data = Data::from([("a".to_owned(), b"one".to_vec()), ("b".to_owned(), b"two".to_vec())]);
    Objects::from([
        ((SourceKind::ConfigMap, "cfg".to_owned()), Some(data.clone())),
        ((SourceKind::Secret, "sec".to_owned()), Some(data)),
        ((SourceKind::ConfigMap, "none".to_owned()), None),
    ])
}

fn make_volume(dir: &TempDir, volume: Value, context: Value) -> Vec<VolumeError> {
    let mut volume = volume;
    volume["name"] = json!("v");
    let spec = json!({"containers": [{"name": "app", "resources": {"limits": {"cpu": "1500m"}}}], "volumes": [volume], "securityContext": context});
    let pod = pod(spec, json!({}));
    let (objects, allocatable) = (objects(), Amounts::new());
    let tokens =
        BTreeMap::from([(TokenWish { audience: String::new(), seconds: 3_600 }, "token".to_owned())]);
    let own = Myself { pod: &pod, pod_ips: &[], host_ips: &[], allocatable: &allocatable };
    let jobs =
        jobs(&Materials { own, objects: &objects, tokens: &tokens }, dir.0.clone(), crate::tests::START);
    make(&jobs)
}

fn read(dir: &TempDir, path: &str) -> String {
    fs::read_to_string(dir.0.join("volumes").join(path)).unwrap()
}

#[test]
fn config_maps_and_secrets_become_files() {
    let dir = TempDir::new("objects");
    assert_eq!(make_volume(&dir, json!({"configMap": {"name": "cfg"}}), json!({})), []);
    assert_eq!(read(&dir, "kubernetes.io~configmap/v/a"), "one");
    let items = json!([{"key": "b", "path": "deep/b", "mode": 256}]);
    assert_eq!(
        make_volume(
            &dir,
            json!({"secret": {"secretName": "sec", "items": items, "defaultMode": 420}}),
            json!({})
        ),
        []
    );
    assert_eq!(read(&dir, "kubernetes.io~secret/v/deep/b"), "two");
    let mode =
        fs::metadata(dir.0.join("volumes/kubernetes.io~secret/v/deep/b")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o400);
}

#[test]
fn what_is_missing_is_said() {
    let dir = TempDir::new("missing");
    for (volume, message) in [
        (json!({"configMap": {"name": "none"}}), Some("configmap \"none\" not found")),
        (json!({"secret": {"secretName": "other"}}), Some("secret \"other\" not found")),
        (json!({"configMap": {"name": "none", "optional": true}}), None),
        (
            json!({"configMap": {"name": "cfg", "items": [{"key": "x", "path": "x"}]}}),
            Some("references non-existent config key: x"),
        ),
        (json!({"configMap": {"name": "cfg", "optional": true, "items": [{"key": "x", "path": "x"}]}}), None),
        (
            json!({"secret": {"secretName": "sec", "items": [{"key": "x", "path": "x"}]}}),
            Some("references non-existent secret key: x"),
        ),
        (
            json!({"nfs": {"server": "s", "path": "/p"}}),
            Some("volumes of this type are not supported by this node"),
        ),
    ] {
        let errors = make_volume(&dir, volume.clone(), json!({}));
        let messages: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
        assert_eq!(messages, message.into_iter().collect::<Vec<_>>(), "{volume}");
    }
}

#[test]
fn projected_volumes_hold_all_of_it() {
    let dir = TempDir::new("projected");
    let sources = json!([
        {"configMap": {"name": "cfg", "items": [{"key": "a", "path": "a"}]}},
        {"secret": {"name": "sec", "items": [{"key": "b", "path": "s/b"}]}},
        {"serviceAccountToken": {"path": "token"}},
        {"downwardAPI": {"items": [
            {"path": "name", "fieldRef": {"fieldPath": "metadata.name"}},
            {"path": "cpu", "resourceFieldRef": {"containerName": "app", "resource": "limits.cpu", "divisor": "1m"}}]}},
    ]);
    assert_eq!(make_volume(&dir, json!({"projected": {"sources": sources}}), json!({"fsGroup": 77})), []);
    let root = "kubernetes.io~projected/v";
    for (path, text) in [("a", "one"), ("s/b", "two"), ("token", "token"), ("name", "web"), ("cpu", "1500")] {
        assert_eq!(read(&dir, &format!("{root}/{path}")), text);
    }
    let token = fs::metadata(dir.0.join("volumes").join(root).join("token")).unwrap();
    // 0600 for the owner, and the group's right to read.
    assert_eq!((token.gid(), token.permissions().mode() & 0o777), (77, 0o640));
    let point = fs::canonicalize(dir.0.join("volumes").join(root)).unwrap();
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(subpath::mount_points(&table).any(|there| there == point), "tokens are kept in memory");
    unmount(&dir.0).unwrap();
    assert!(!dir.0.join("volumes").exists());
}

#[test]
fn empty_directories_are_open_to_all_and_keep_what_is_in_them() {
    let dir = TempDir::new("empty");
    let path = dir.0.join("volumes/kubernetes.io~empty-dir/v");
    assert_eq!(make_volume(&dir, json!({"emptyDir": {}}), json!({})), []);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o777);
    fs::write(path.join("kept"), "x").unwrap();
    assert_eq!(make_volume(&dir, json!({"emptyDir": {}}), json!({"fsGroup": 88})), []);
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!((metadata.gid(), metadata.permissions().mode() & 0o7777), (88, 0o2777));
    assert_eq!(fs::metadata(path.join("kept")).unwrap().gid(), 88);
    assert_eq!(
        make_volume(&dir, json!({"emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}), json!({})),
        []
    );
    assert!(
        rustix::fs::statvfs(&path).unwrap().f_blocks * rustix::fs::statvfs(&path).unwrap().f_frsize
            <= 1 << 20
    );
    unmount(&dir.0).unwrap();
    unmount(&dir.0).unwrap();
}

#[test]
fn host_paths_are_what_they_claim_to_be() {
    let dir = TempDir::new("host");
    let file = dir.0.join("file");
    fs::write(&file, "x").unwrap();
    let at = |name: &str| dir.0.join(name);
    for (path, kind, good) in [
        (at("file"), "File", true),
        (at("file"), "Directory", false),
        (at("file"), "FileOrCreate", true),
        (at("new-file"), "FileOrCreate", true),
        (at("none"), "File", false),
        (at("none"), "Directory", false),
        (at("new/dir"), "DirectoryOrCreate", true),
        (at("file"), "DirectoryOrCreate", false),
        (at("file"), "Socket", false),
        ("/dev/null".into(), "CharDevice", true),
        ("/dev/null".into(), "BlockDevice", false),
        (at("file"), "", true),
        (at("made"), "", true),
        (at("file"), "Nonsense", false),
    ] {
        assert_eq!(hostpath::check(&path, kind).is_ok(), good, "{} {kind}", path.display());
    }
    assert_eq!(fs::metadata(at("new/dir")).unwrap().permissions().mode() & 0o777, 0o755);
}

#[test]
fn parts_of_volumes_stay_inside() {
    let dir = TempDir::new("subpath");
    let volume = dir.0.join("volume");
    fs::create_dir_all(volume.join("there")).unwrap();
    fs::set_permissions(&volume, fs::Permissions::from_mode(0o770)).unwrap();
    fs::write(volume.join("file"), "content").unwrap();
    fs::write(dir.0.join("secret"), "outside").unwrap();
    symlink("../secret", volume.join("out")).unwrap();
    symlink("/etc", volume.join("absolute")).unwrap();
    symlink("there", volume.join("inside")).unwrap();
    for (path, good) in [
        ("there", true),
        ("file", true),
        ("a/b/c", true),
        ("inside", true),
        ("out", false),
        ("absolute/passwd", false),
        ("../secret", false),
        ("/etc", false),
    ] {
        let target = dir.0.join("targets/x");
        let sub = subpath::SubPath { volume: &volume, path, target: &target };
        assert_eq!(subpath::bind(&sub).is_ok(), good, "{path}");
        if path == "file" {
            assert_eq!(fs::read_to_string(&target).unwrap(), "content");
        }
        if path == "a/b/c" {
            assert_eq!(fs::metadata(volume.join("a/b")).unwrap().permissions().mode() & 0o777, 0o770);
        }
        subpath::unbind(&target).unwrap();
        assert!(!target.exists());
    }
}

#[test]
fn mount_tables_are_read_with_their_escapes() {
    let table = "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw\n";
    let points: Vec<_> = subpath::mount_points(table).collect();
    assert_eq!(points, [std::path::PathBuf::from("/mnt 2")]);
}

#[test]
fn ownership_follows_its_policy() {
    let dir = TempDir::new("ownership");
    let tree = dir.0.join("tree");
    fs::create_dir_all(tree.join("sub")).unwrap();
    fs::write(tree.join("sub/file"), "x").unwrap();
    symlink("/nowhere", tree.join("link")).unwrap();
    ownership::give(&tree, 66, Access::Write, false).unwrap();
    let of = |path: &str| {
        let metadata = fs::symlink_metadata(tree.join(path)).unwrap();
        (metadata.gid(), metadata.permissions().mode() & 0o2070)
    };
    assert_eq!(of("sub"), (66, 0o2070));
    assert_eq!(of("sub/file"), (66, 0o060));
    assert_eq!(of("link").0, 66);
    fs::write(tree.join("new"), "x").unwrap();
    std::os::unix::fs::chown(tree.join("new"), None, Some(0)).unwrap();
    ownership::give(&tree, 66, Access::Write, true).unwrap();
    assert_eq!(of("new").0, 0, "the root is right, so nothing below was looked at");
}
