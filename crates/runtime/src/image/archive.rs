//! Images as files: docker's archives and OCI's, taken in and written.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use cri::RuntimeError;
use serde::{Deserialize, Serialize};

use super::document::{
    DOCKER_LIST, Descriptor, MAX_DOCUMENT, Manifest, OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST,
    digest_of, hex_of,
};
use super::layer_file::{self, Measured};
use super::reference::Reference;
use super::store::{Arrived, ImageStore};

/// One image of a docker archive, as its `manifest.json` says.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

/// The files of an archive, each spooled under a name of our own choosing.
struct Spooled {
    directory: PathBuf,
    files: BTreeMap<String, PathBuf>,
}

impl Drop for Spooled {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            tracing::warn!(path = %self.directory.display(), %error, "cannot delete");
        }
    }
}

fn failed(what: impl std::fmt::Display, error: impl std::fmt::Display) -> RuntimeError {
    RuntimeError::Image(format!("{what}: {error}"))
}

impl ImageStore {
    /// Takes the images of an archive. Answers their names, or ids where they have none. Blocks.
    pub fn import_archive(&self, archive: &Path) -> cri::Result<Vec<String>> {
        let what = || format!("cannot read archive {}", archive.display());
        let spooled = self.spool(archive).map_err(|error| failed(what(), error))?;
        if spooled.files.contains_key("manifest.json") {
            return self.import_docker(&spooled);
        }
        if spooled.files.contains_key("index.json") {
            return self.import_oci(&spooled);
        }
        Err(failed(what(), "it has neither manifest.json nor index.json, so it is no image archive"))
    }

    fn spool(&self, archive: &Path) -> io::Result<Spooled> {
        let directory = unused_directory(&self.scratch())?;
        let mut spooled = Spooled { directory, files: BTreeMap::new() };
        let mut links = Vec::new();
        let mut tar = tar::Archive::new(layer_file::open(archive)?);
        for (number, entry) in tar.entries()?.enumerate() {
            let mut entry = entry?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned();
            let kind = entry.header().entry_type();
            if kind.is_file() {
                let path = spooled.directory.join(number.to_string());
                io::copy(&mut entry, &mut fs::File::create(&path)?)?;
                spooled.files.insert(name, path);
            } else if kind.is_symlink() || kind.is_hard_link() {
                let to = entry.link_name_bytes().map(|to| String::from_utf8_lossy(&to).into_owned());
                links.push((name, to.unwrap_or_default(), kind.is_symlink()));
            }
        }
        // Old archives have one layer of two images once, and a link to it.
        for (name, to, is_relative) in links {
            let base =
                if is_relative { Path::new(&name).parent().unwrap_or(Path::new("")) } else { Path::new("") };
            let target = normalise(&base.join(to));
            if let Some(path) = spooled.files.get(&target).cloned() {
                spooled.files.insert(name, path);
            }
        }
        Ok(spooled)
    }

    fn import_docker(&self, spooled: &Spooled) -> cri::Result<Vec<String>> {
        let images: Vec<DockerImage> = spooled.document("manifest.json")?;
        let mut imported = Vec::new();
        for image in images {
            let config = spooled.read(&image.config)?;
            let (mut blobs, mut layers) = (BTreeMap::new(), Vec::new());
            for layer in &image.layers {
                let path = spooled.path(layer)?;
                let broken = |error| failed(layer, error);
                let size = fs::metadata(path).map_err(broken)?.len();
                let digest = Measured::new(fs::File::open(path).map_err(broken)?, u64::MAX)
                    .finish()
                    .map_err(broken)?;
                let suffix = layer_file::media_suffix(path).map_err(broken)?;
                let media_type = format!("{OCI_LAYER}{suffix}");
                layers.push(Descriptor { media_type, digest: digest.clone(), size, ..Descriptor::default() });
                // Two images of one archive may share a file, and the store takes files away.
                blobs.insert(digest, spooled.duplicate(path).map_err(broken)?);
            }
            let manifest = Manifest {
                schema_version: 2,
                media_type: OCI_MANIFEST.into(),
                config: Some(Descriptor {
                    media_type: OCI_CONFIG.into(),
                    digest: digest_of(&config),
                    size: config.len() as u64,
                    ..Descriptor::default()
                }),
                layers,
                manifests: Vec::new(),
            };
            let manifest = serde_json::to_vec(&manifest).map_err(|error| failed("manifest", error))?;
            let names = parse_names(&image.repo_tags.unwrap_or_default())?;
            let arrived = Arrived { manifest: &manifest, config: &config, blobs: &blobs, names: &names };
            let id = self.add(&arrived)?;
            imported.extend(shown(&names, &id));
        }
        Ok(imported)
    }

    fn import_oci(&self, spooled: &Spooled) -> cri::Result<Vec<String>> {
        let index: Manifest = spooled.document("index.json")?;
        let mut imported = Vec::new();
        for descriptor in &index.manifests {
            let name = ["io.containerd.image.name", "org.opencontainers.image.ref.name"]
                .iter()
                .find_map(|key| descriptor.annotations.get(*key))
                // A bare tag names nothing.
                .filter(|name| name.contains(['/', ':']));
            let mut bytes = spooled.blob(&descriptor.digest)?;
            let mut manifest = parse_manifest(&bytes)?;
            if manifest.is_list()
                || descriptor.media_type == OCI_INDEX
                || descriptor.media_type == DOCKER_LIST
            {
                let own = manifest
                    .for_this_machine()
                    .ok_or_else(|| failed("archive", "it has no image for this machine"))?;
                bytes = spooled.blob(&own.digest)?;
                manifest = parse_manifest(&bytes)?;
            }
            let config = manifest
                .config
                .as_ref()
                .ok_or_else(|| failed("archive", "a manifest has no configuration"))?;
            let config = spooled.blob(&config.digest)?;
            let mut blobs = BTreeMap::new();
            for layer in &manifest.layers {
                let path = spooled.path(&blob_name(&layer.digest)?)?;
                let broken = |error| failed(&layer.digest, error);
                let found = Measured::new(fs::File::open(path).map_err(broken)?, u64::MAX)
                    .finish()
                    .map_err(broken)?;
                if found != layer.digest {
                    return Err(failed(&layer.digest, format!("its content has the digest {found}")));
                }
                blobs.insert(layer.digest.clone(), spooled.duplicate(path).map_err(broken)?);
            }
            let mut names = parse_names(&name.cloned().into_iter().collect::<Vec<_>>())?;
            if let Some(first) = names.first().cloned() {
                names.push(Reference { digest: Some(descriptor.digest.clone()), ..first });
            }
            let id =
                self.add(&Arrived { manifest: &bytes, config: &config, blobs: &blobs, names: &names })?;
            imported.extend(shown(&names, &id));
        }
        Ok(imported)
    }

    /// Writes an image as an archive that docker and OCI tools both read. Blocks.
    pub fn export_archive(&self, name: &str, archive: &Path) -> cri::Result<()> {
        if self.is_builtin(name) {
            return Err(failed(name, "the built-in image is this program; there is nothing to export"));
        }
        let image = self.require(name)?;
        let (digest, manifest_bytes) = self.manifest(&image.id)?;
        let manifest = parse_manifest(&manifest_bytes)?;
        let what = || format!("cannot write {}", archive.display());
        let write = || -> io::Result<()> {
            let mut tar = tar::Builder::new(io::BufWriter::new(fs::File::create(archive)?));
            let config = fs::read(self.blob_path(&image.id).map_err(io::Error::other)?)?;
            append(&mut tar, "oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
            append(&mut tar, &blob_file(&digest), &manifest_bytes)?;
            append(&mut tar, &blob_file(&image.id), &config)?;
            let mut layers = Vec::new();
            for layer in &manifest.layers {
                let name = blob_file(&layer.digest);
                if !layers.contains(&name) {
                    let file = fs::File::open(self.blob_path(&layer.digest).map_err(io::Error::other)?)?;
                    append_from(&mut tar, &name, file.metadata()?.len(), file)?;
                }
                layers.push(name);
            }
            let docker =
                DockerImage { config: blob_file(&image.id), repo_tags: Some(image.tags.clone()), layers };
            append(&mut tar, "manifest.json", &serde_json::to_vec(&[docker])?)?;
            let named = |tag: &String| Descriptor {
                media_type: OCI_MANIFEST.into(),
                digest: digest.clone(),
                size: manifest_bytes.len() as u64,
                annotations: BTreeMap::from([("io.containerd.image.name".into(), tag.clone())]),
                ..Descriptor::default()
            };
            let index = Manifest {
                schema_version: 2,
                media_type: OCI_INDEX.into(),
                manifests: image.tags.iter().map(named).collect(),
                ..Manifest::default()
            };
            append(&mut tar, "index.json", &serde_json::to_vec(&index)?)?;
            tar.into_inner()?.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
        };
        write().map_err(|error| failed(what(), error))
    }
}

impl Spooled {
    fn path(&self, name: &str) -> cri::Result<&PathBuf> {
        self.files
            .get(name.trim_start_matches("./"))
            .ok_or_else(|| failed("archive", format!("{name} is missing")))
    }

    fn read(&self, name: &str) -> cri::Result<Vec<u8>> {
        let path = self.path(name)?;
        let mut bytes = Vec::new();
        let read = fs::File::open(path).and_then(|file| file.take(MAX_DOCUMENT).read_to_end(&mut bytes));
        read.map_err(|error| failed(name, error))?;
        Ok(bytes)
    }

    fn document<T: serde::de::DeserializeOwned>(&self, name: &str) -> cri::Result<T> {
        serde_json::from_slice(&self.read(name)?).map_err(|error| failed(name, error))
    }

    /// A document by digest, and no other.
    fn blob(&self, digest: &str) -> cri::Result<Vec<u8>> {
        let bytes = self.read(&blob_name(digest)?)?;
        let found = digest_of(&bytes);
        if found == digest {
            Ok(bytes)
        } else {
            Err(failed(digest, format!("its content has the digest {found}")))
        }
    }

    fn duplicate(&self, path: &Path) -> io::Result<PathBuf> {
        let copy = unused_path(&self.directory);
        fs::hard_link(path, &copy)?;
        Ok(copy)
    }
}

fn unused_path(directory: &Path) -> PathBuf {
    let unused = |number: &u32| !directory.join(format!("n{number}")).exists();
    directory.join(format!("n{}", (0..).find(unused).unwrap_or_default()))
}

fn unused_directory(parent: &Path) -> io::Result<PathBuf> {
    loop {
        let path = unused_path(parent);
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            // Another import was quicker.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// A path of an archive without `.` and `..`.
fn normalise(path: &Path) -> String {
    let mut parts: Vec<String> = Vec::new();
    for component in path.components() {
        match component {
            std::path::Component::Normal(name) => parts.push(name.to_string_lossy().into_owned()),
            std::path::Component::ParentDir => drop(parts.pop()),
            _ => {}
        }
    }
    parts.join("/")
}

fn blob_name(digest: &str) -> cri::Result<String> {
    let hex = hex_of(digest).ok_or_else(|| failed("archive", format!("{digest:?} is not a digest")))?;
    Ok(format!("blobs/sha256/{hex}"))
}

/// The name of a blob whose digest is known to be one.
fn blob_file(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

fn parse_manifest(bytes: &[u8]) -> cri::Result<Manifest> {
    serde_json::from_slice(bytes).map_err(|error| failed("a manifest is broken", error))
}

fn parse_names(names: &[String]) -> cri::Result<Vec<Reference>> {
    names.iter().map(|name| Reference::parse(name).map_err(RuntimeError::Image)).collect()
}

fn shown(names: &[Reference], id: &str) -> Vec<String> {
    let tagged: Vec<String> =
        names.iter().filter(|name| name.digest.is_none()).map(Reference::to_string).collect();
    if tagged.is_empty() { vec![id.to_owned()] } else { tagged }
}

fn append(tar: &mut tar::Builder<impl io::Write>, name: &str, bytes: &[u8]) -> io::Result<()> {
    append_from(tar, name, bytes.len() as u64, bytes)
}

fn append_from(
    tar: &mut tar::Builder<impl io::Write>,
    name: &str,
    size: u64,
    from: impl Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    tar.append_data(&mut header, name, from)
}
