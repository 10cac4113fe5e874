//! The images of this node: their documents by digest, their layers unpacked once, and their names.
//!
//! An index is the only truth: what it does not name is rubbish of an interrupted fetch, swept at the next start.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cri::RuntimeError;
use serde::{Deserialize, Serialize};

use super::builtin::{self, Builtin};
use super::document::{ConfigDocument, Manifest, digest_of, hex_of};
use super::layer_file::{self, Measured};
use super::reference::Reference;
use super::stored::StoredImage;
use super::unpack;
use crate::engine::Config;
use crate::state::{self, Durability, Layout};

const INDEX: &str = "index.json";

/// No layer may unpack to more, however it is compressed…
const MAX_LAYER: u64 = 64 << 30;
/// …nor to more than this many times its size (gzip reaches 1032), beyond a floor for small ones.
const MAX_RATIO: u64 = 1_100;
const RATIO_FLOOR: u64 = 1 << 30;

/// What is known of all images.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Index {
    /// By id: the digest of the configuration.
    images: BTreeMap<String, ImageEntry>,
    /// Ids by whole name with tag.
    tags: BTreeMap<String, String>,
    /// Ids by whole name with digest.
    digests: BTreeMap<String, String>,
    /// Unpacked layers by chain: the digest of a layer and all below it.
    layers: BTreeMap<String, LayerEntry>,
    next_layer: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct ImageEntry {
    manifest: String,
    /// The chains of its layers, the bottommost first.
    chains: Vec<String>,
    /// Files of layers as they came.
    blobs: Vec<String>,
    /// Bytes it takes.
    size: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct LayerEntry {
    /// Relative to the runtime's directory: short, because an overlay's options are.
    directory: String,
    size: u64,
}

/// An image whose parts have all arrived as files.
pub(super) struct Arrived<'a> {
    pub manifest: &'a [u8],
    pub config: &'a [u8],
    /// By digest, files that the store takes for itself.
    pub blobs: &'a BTreeMap<String, PathBuf>,
    /// Whole names it is to have.
    pub names: &'a [Reference],
}

/// A layer to be unpacked.
struct Layer<'a> {
    blob: &'a str,
    diff_id: &'a str,
    chain: &'a str,
}

/// The store.
#[derive(Debug)]
pub(crate) struct ImageStore {
    root: PathBuf,
    directory: PathBuf,
    index: Mutex<Index>,
    /// One image is unpacked at a time: they share layers.
    adding: Mutex<()>,
    builtin: Option<Builtin>,
    /// Layers that come in are fetched once, however many images wait for them.
    fetching: Mutex<BTreeMap<String, std::sync::Weak<tokio::sync::Mutex<()>>>>,
    pub(super) registries: BTreeMap<String, super::RegistryConfig>,
    pub(super) authorities: super::registry::Authorities,
}

fn failed(what: impl std::fmt::Display, error: impl std::fmt::Display) -> RuntimeError {
    RuntimeError::Image(format!("{what}: {error}"))
}

impl ImageStore {
    /// Opens the store, and removes what an interrupted fetch left.
    pub fn open(layout: &Layout, config: &Config) -> cri::Result<ImageStore> {
        let directory = layout.images();
        let broken = |error: io::Error| failed("cannot open the image store", error);
        fs::create_dir_all(directory.join("blobs")).map_err(broken)?;
        fs::create_dir_all(directory.join("partial")).map_err(broken)?;
        let index: Index = state::read(&directory, INDEX).map_err(broken)?.unwrap_or_default();
        let scratch = directory.join("tmp");
        if scratch.exists() {
            fs::remove_dir_all(&scratch).map_err(broken)?;
        }
        fs::create_dir_all(&scratch).map_err(broken)?;
        let builtin = Builtin::make(layout, &config.helper_exe, &config.builtin_tools)
            .inspect_err(|error| tracing::warn!(%error, "the built-in image is not available"))
            .ok();
        let store = ImageStore {
            root: layout.root.clone(),
            directory,
            index: Mutex::new(index),
            adding: Mutex::new(()),
            builtin,
            fetching: Mutex::default(),
            registries: config.registries.clone(),
            authorities: super::registry::Authorities::default(),
        };
        Ok(store)
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn blob_path(&self, digest: &str) -> cri::Result<PathBuf> {
        let hex = hex_of(digest).ok_or_else(|| RuntimeError::Image(format!("{digest:?} is not a digest")))?;
        Ok(self.directory.join("blobs").join(hex))
    }

    /// Where a layer's file grows while it comes in. Kept across restarts.
    pub(super) fn partial(&self, digest: &str) -> cri::Result<PathBuf> {
        let hex = hex_of(digest).ok_or_else(|| RuntimeError::Image(format!("{digest:?} is not a digest")))?;
        Ok(self.directory.join("partial").join(hex))
    }

    /// Held by whoever fetches a layer.
    pub(super) fn turn(&self, digest: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut fetching = self.fetching.lock().unwrap_or_else(PoisonError::into_inner);
        fetching.retain(|_, turn| turn.strong_count() > 0);
        let known = fetching.get(digest).and_then(std::sync::Weak::upgrade);
        known.unwrap_or_else(|| {
            let turn = Arc::new(tokio::sync::Mutex::new(()));
            fetching.insert(digest.to_owned(), Arc::downgrade(&turn));
            turn
        })
    }

    /// A place for files that are on their way in; emptied at each start.
    pub(super) fn scratch(&self) -> PathBuf {
        self.directory.join("tmp")
    }

    /// The image a name or id stands for.
    pub fn find(&self, name: &str) -> cri::Result<Option<Arc<StoredImage>>> {
        if let Some(builtin) = &self.builtin
            && builtin.is_meant(name)
        {
            return Ok(Some(builtin.image()));
        }
        let index = self.index();
        let id = match hex_of(name).or_else(|| hex_of(&format!("sha256:{name}")).map(|_| name)) {
            Some(hex) => Some(format!("sha256:{hex}")).filter(|id| index.images.contains_key(id)),
            None => {
                let whole = Reference::parse(name).map_err(RuntimeError::Invalid)?.to_string();
                index.tags.get(&whole).or_else(|| index.digests.get(&whole)).cloned()
            }
        };
        let Some(id) = id else { return Ok(None) };
        self.load(&index, &id).map(Some)
    }

    /// The image a name or id stands for, which must be there.
    pub fn require(&self, name: &str) -> cri::Result<Arc<StoredImage>> {
        self.find(name)?.ok_or_else(|| RuntimeError::NotFound { what: "image", id: name.to_owned() })
    }

    fn load(&self, index: &Index, id: &str) -> cri::Result<Arc<StoredImage>> {
        let entry = index.images.get(id).ok_or_else(|| failed(id, "it is not in the index"))?;
        let text = fs::read(self.blob_path(id)?)
            .map_err(|error| failed(format!("cannot read image {id}"), error))?;
        let document: ConfigDocument = serde_json::from_slice(&text)
            .map_err(|error| failed(format!("cannot read image {id}"), error))?;
        let directory = |chain: &String| {
            let layer = index.layers.get(chain).ok_or_else(|| failed(id, "a layer is missing"))?;
            Ok(layer.directory.clone())
        };
        let layers = entry.chains.iter().rev().map(directory).collect::<cri::Result<_>>()?;
        let named = |names: &BTreeMap<String, String>| {
            names.iter().filter(|(_, named)| *named == id).map(|(name, _)| name.clone()).collect()
        };
        Ok(Arc::new(StoredImage {
            id: id.to_owned(),
            config: document.config,
            layers,
            tags: named(&index.tags),
            digests: named(&index.digests),
            size: entry.size,
            pinned: false,
        }))
    }

    /// All images.
    pub fn list(&self) -> Vec<cri::Image> {
        let index = self.index();
        let stored = index.images.keys().filter_map(|id| {
            self.load(&index, id).inspect_err(|error| tracing::error!(%error, "an image is damaged")).ok()
        });
        stored.chain(self.builtin.as_ref().map(Builtin::image)).map(|image| image.describe()).collect()
    }

    /// Bytes all images take.
    pub fn usage(&self) -> u64 {
        let index = self.index();
        let layers: u64 = index.layers.values().map(|layer| layer.size).sum();
        let blobs: BTreeSet<&String> = index.images.values().flat_map(|image| &image.blobs).collect();
        let size = |digest: &&String| {
            self.blob_path(digest)
                .ok()
                .and_then(|path| fs::metadata(path).ok())
                .map_or(0, |found| found.len())
        };
        layers + blobs.iter().map(size).sum::<u64>()
    }

    /// Whether all of an image but its names is there already.
    pub(super) fn has(&self, id: &str) -> bool {
        self.index().images.contains_key(id)
    }

    /// Whether a layer's file is there already.
    pub(super) fn has_blob(&self, digest: &str) -> bool {
        self.index().images.values().any(|image| image.blobs.iter().any(|blob| blob == digest))
    }

    /// Takes an image in: unpacks its layers and gives it its names. Answers its id. Blocks.
    pub(super) fn add(&self, arrived: &Arrived<'_>) -> cri::Result<String> {
        let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let id = digest_of(arrived.config);
        let manifest: Manifest = serde_json::from_slice(arrived.manifest)
            .map_err(|error| failed("the manifest is broken", error))?;
        let document: ConfigDocument = serde_json::from_slice(arrived.config)
            .map_err(|error| failed("the configuration is broken", error))?;
        if manifest.layers.len() != document.rootfs.diff_ids.len() {
            return Err(failed(
                "the image is broken",
                "manifest and configuration differ in the number of layers",
            ));
        }
        if !self.has(&id) {
            let mut chains: Vec<String> = Vec::new();
            for (layer, diff_id) in manifest.layers.iter().zip(&document.rootfs.diff_ids) {
                let chain = chain_of(chains.last(), diff_id);
                self.unpack(&Layer { blob: &layer.digest, diff_id, chain: &chain }, &chains, arrived)?;
                chains.push(chain);
            }
            self.keep_documents(arrived, &id)?;
            let mut blobs = Vec::new();
            let mut size = 0;
            for layer in &manifest.layers {
                size += self.keep_blob(&layer.digest, arrived)?;
                blobs.push(layer.digest.clone());
            }
            let manifest = digest_of(arrived.manifest);
            let mut index = self.index();
            size += chains
                .iter()
                .filter_map(|chain| index.layers.get(chain))
                .map(|layer| layer.size)
                .sum::<u64>();
            index.images.insert(id.clone(), ImageEntry { manifest, chains, blobs, size });
        }
        let mut index = self.index();
        for name in arrived.names {
            let names = if name.digest.is_some() { &mut index.digests } else { &mut index.tags };
            names.insert(name.to_string(), id.clone());
        }
        self.save(&mut index)?;
        Ok(id)
    }

    /// Gives an image one more name.
    pub(super) fn name(&self, id: &str, names: &[Reference]) -> cri::Result<()> {
        let mut index = self.index();
        for name in names {
            let table = if name.digest.is_some() { &mut index.digests } else { &mut index.tags };
            table.insert(name.to_string(), id.to_owned());
        }
        self.save(&mut index)
    }

    fn unpack(&self, layer: &Layer<'_>, below: &[String], arrived: &Arrived<'_>) -> cri::Result<()> {
        let Layer { blob, diff_id, chain } = layer;
        let (number, below) = {
            let mut index = self.index();
            if index.layers.contains_key(*chain) {
                return Ok(());
            }
            index.next_layer += 1;
            let directory =
                |chain: &String| index.layers.get(chain).map(|layer| self.root.join(&layer.directory));
            (index.next_layer, below.iter().rev().filter_map(directory).collect::<Vec<PathBuf>>())
        };
        let file = match arrived.blobs.get(*blob) {
            Some(file) => file.clone(),
            None => self.blob_path(blob)?,
        };
        let making = self.scratch().join(format!("layer-{number}"));
        let what = || format!("cannot unpack layer {blob}");
        let unpacked = unpack_file(&file, &making, &below).map_err(|error| failed(what(), error))?;
        if unpacked != *diff_id {
            return Err(failed(what(), format!("it unpacks to {unpacked}, and should to {diff_id}")));
        }
        let (size, _) = super::disk_usage(&making);
        let directory = format!("l/{number}");
        sync_file_system(&making).map_err(|error| failed(what(), error))?;
        fs::rename(&making, self.root.join(&directory)).map_err(|error| failed(what(), error))?;
        let mut index = self.index();
        index.layers.insert((*chain).to_owned(), LayerEntry { directory, size });
        self.save(&mut index)
    }

    fn keep_documents(&self, arrived: &Arrived<'_>, id: &str) -> cri::Result<()> {
        for (digest, bytes) in
            [(id.to_owned(), arrived.config), (digest_of(arrived.manifest), arrived.manifest)]
        {
            let (scratch, path) = (self.scratch().join("document"), self.blob_path(&digest)?);
            let written = fs::write(&scratch, bytes)
                .and_then(|()| fs::File::open(&scratch)?.sync_data())
                .and_then(|()| fs::rename(&scratch, &path));
            written.map_err(|error| failed(format!("cannot write {digest}"), error))?;
        }
        Ok(())
    }

    fn keep_blob(&self, digest: &str, arrived: &Arrived<'_>) -> cri::Result<u64> {
        let path = self.blob_path(digest)?;
        let kept = match arrived.blobs.get(digest) {
            Some(file) if !path.exists() => fs::rename(file, &path),
            _ => Ok(()),
        };
        let size = kept
            .and_then(|()| fs::metadata(&path))
            .map_err(|error| failed(format!("cannot keep {digest}"), error))?;
        Ok(size.len())
    }

    fn save(&self, index: &mut Index) -> cri::Result<()> {
        state::write(&self.directory, INDEX, index, Durability::Power)
            .map_err(|error| failed("cannot write the image index", error))
    }

    /// Takes a name away, or with an id all of an image's; without names it goes, unless it is used. Blocks.
    pub fn remove(&self, name: &str, used: &BTreeSet<String>) -> cri::Result<()> {
        let Some(image) = self.find(name)? else { return Ok(()) };
        if image.pinned {
            return Ok(());
        }
        let mut index = self.index();
        let by_id = name.contains(&image.id) || image.id.ends_with(name);
        let whole = Reference::parse(name).map(|name| name.to_string()).unwrap_or_default();
        let others = |names: &BTreeMap<String, String>| {
            names.iter().any(|(known, id)| *id == image.id && *known != whole)
        };
        if !by_id && others(&index.tags) {
            index.tags.remove(&whole);
            index.digests.remove(&whole);
            return self.save(&mut index);
        }
        if image.layers.iter().any(|layer| used.contains(layer)) {
            return Err(failed(format!("cannot remove image {name}"), "a container uses it"));
        }
        index.tags.retain(|_, id| *id != image.id);
        index.digests.retain(|_, id| *id != image.id);
        index.images.remove(&image.id);
        let kept: BTreeSet<String> = index.images.values().flat_map(|image| image.chains.clone()).collect();
        // Layers in use outlive their image: another tag may have moved while containers of the old one run.
        index.layers.retain(|chain, layer| kept.contains(chain) || used.contains(&layer.directory));
        self.save(&mut index)?;
        drop(index);
        self.sweep(used);
        Ok(())
    }

    /// Deletes layers and documents that no image and no container has.
    pub fn sweep(&self, used: &BTreeSet<String>) {
        let _adding = self.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let (layers, blobs) = {
            let index = self.index();
            let mut layers: BTreeSet<String> =
                index.layers.values().map(|layer| layer.directory.clone()).collect();
            layers.extend(used.iter().cloned());
            layers.extend(self.builtin.as_ref().map(|builtin| builtin.layer().to_owned()));
            let of = |(id, image): (&String, &ImageEntry)| {
                [id.clone(), image.manifest.clone()]
                    .into_iter()
                    .chain(image.blobs.clone())
                    .collect::<Vec<_>>()
            };
            let blobs: BTreeSet<String> = index.images.iter().flat_map(of).collect();
            (layers, blobs)
        };
        delete_others(&self.root.join("l"), |name| layers.contains(&format!("l/{name}")));
        delete_others(&self.directory.join("blobs"), |name| blobs.contains(&format!("sha256:{name}")));
    }

    /// An image's manifest, with its digest.
    pub(super) fn manifest(&self, id: &str) -> cri::Result<(String, Vec<u8>)> {
        let digest = self.index().images.get(id).map(|image| image.manifest.clone());
        let digest = digest.ok_or_else(|| RuntimeError::NotFound { what: "image", id: id.to_owned() })?;
        let bytes = fs::read(self.blob_path(&digest)?).map_err(|error| failed(&digest, error))?;
        Ok((digest, bytes))
    }

    /// Whether the built-in image is meant.
    pub(super) fn is_builtin(&self, name: &str) -> bool {
        builtin::is_local(name)
    }
}

/// A layer's content depends on those below it too: they give directories their looks.
fn chain_of(below: Option<&String>, diff_id: &str) -> String {
    match below {
        None => diff_id.to_owned(),
        Some(below) => digest_of(format!("{below} {diff_id}").as_bytes()),
    }
}

/// Unpacks a file and answers the digest of its decompressed content.
fn unpack_file(file: &Path, directory: &Path, below: &[PathBuf]) -> io::Result<String> {
    fs::create_dir(directory)?;
    std::os::unix::fs::chown(directory, Some(0), Some(0))?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(directory, mode)?;
    let limit = fs::metadata(file)?.len().saturating_mul(MAX_RATIO).clamp(RATIO_FLOOR, MAX_LAYER);
    let mut content = Measured::new(layer_file::open(file)?, limit);
    unpack::unpack(&mut content, directory, below)?;
    content.finish()
}

/// What is unpacked must be on the disk before the index says so: a layer that is torn by a power cut would be
/// believed for ever.
fn sync_file_system(directory: &Path) -> io::Result<()> {
    Ok(rustix::fs::syncfs(fs::File::open(directory)?)?)
}

fn delete_others(directory: &Path, keep: impl Fn(&str) -> bool) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if keep(&entry.file_name().to_string_lossy()) {
            continue;
        }
        let path = entry.path();
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let deleted = if is_directory { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        if let Err(error) = deleted {
            tracing::warn!(path = %path.display(), %error, "cannot delete what no image has");
        }
    }
}
