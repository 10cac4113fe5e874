//! The image that needs no registry: this program itself, presented as `ironclad.local/hello`.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::document::{ImageConfig, digest_of};
use super::stored::StoredImage;
use crate::state::Layout;

/// Images of this registry are never fetched: they are in the binary.
const REGISTRY: &str = "ironclad.local/";
const NAME: &str = "ironclad.local/hello";

/// The image and where its one layer is.
#[derive(Debug)]
pub(super) struct Builtin {
    image: Arc<StoredImage>,
}

/// Whether a name is of the registry that is in the binary.
pub(super) fn is_local(name: &str) -> bool {
    name.starts_with(REGISTRY)
}

impl Builtin {
    /// Makes the layer, unless an earlier start of the same program did.
    pub fn make(layout: &Layout, program: &Path, tools: &[String]) -> io::Result<Builtin> {
        let found = fs::metadata(program)?;
        let identity = (found.dev(), found.ino(), found.size(), found.mtime(), found.mtime_nsec(), tools);
        let key = digest_of(format!("{identity:?}").as_bytes());
        let layer = format!("l/b{}", &key[7..19]);
        let path = layout.root.join(&layer);
        if !path.exists() {
            let making = layout.images().join("tmp").join("builtin");
            if making.exists() {
                fs::remove_dir_all(&making)?;
            }
            fill(&making, program, tools)?;
            fs::rename(&making, &path)?;
        }
        let config = ImageConfig {
            env: vec!["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()],
            entrypoint: vec!["/ironclad".into(), "hello".into()],
            working_dir: "/".into(),
            ..ImageConfig::default()
        };
        let image = StoredImage {
            id: key.clone(),
            config,
            layers: vec![layer],
            tags: vec![format!("{NAME}:latest")],
            digests: vec![format!("{NAME}@{key}")],
            size: found.size(),
            pinned: true,
        };
        Ok(Builtin { image: Arc::new(image) })
    }

    /// Whether a name or id stands for this image. All its tags are the same.
    pub fn is_meant(&self, name: &str) -> bool {
        let rest = name.strip_prefix(NAME);
        name == self.image.id
            || self.image.id.strip_prefix("sha256:") == Some(name)
            || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':') || rest.starts_with('@'))
    }

    pub fn image(&self) -> Arc<StoredImage> {
        self.image.clone()
    }

    pub fn layer(&self) -> &str {
        &self.image.layers[0]
    }
}

fn fill(root: &Path, program: &Path, tools: &[String]) -> io::Result<()> {
    for (directory, mode) in [
        ("", 0o755),
        ("bin", 0o755),
        ("etc", 0o755),
        ("root", 0o700),
        ("tmp", 0o1777),
        ("var", 0o755),
        ("usr", 0o755),
    ] {
        let path = if directory.is_empty() { root.to_owned() } else { root.join(directory) };
        fs::create_dir(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    }
    symlink("../bin", root.join("usr/bin"))?;
    let to = root.join("ironclad");
    // A second name for the same file where that is possible: no copy on disk, none in memory. Containers cannot
    // write to it, for it is a lower layer.
    let real = fs::canonicalize(program).unwrap_or_else(|_| PathBuf::from(program));
    if fs::hard_link(&real, &to).is_err() {
        fs::copy(program, &to)?;
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755))?;
    }
    for tool in ["sh".to_owned()].iter().chain(tools).collect::<std::collections::BTreeSet<_>>() {
        symlink("../ironclad", root.join("bin").join(tool))?;
    }
    let files = [
        ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
        ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
        ("etc/nsswitch.conf", "hosts: files dns\n"),
    ];
    files.iter().try_for_each(|(name, text)| fs::write(root.join(name), text))?;
    files
        .iter()
        .try_for_each(|(name, _)| fs::set_permissions(root.join(name), fs::Permissions::from_mode(0o644)))
}
