//! Fetching an image: its manifest, its configuration, its layers side by side, each checked while it comes in and taken
//! up again where it broke off.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::digest::{Context, SHA256};
use cri::{Credentials, RuntimeError};
use futures_util::{StreamExt, TryStreamExt, stream};
use http::StatusCode;

use super::document::{Descriptor, Manifest, digest_of, format_digest};
use super::reference::Reference;
use super::registry::{Registry, RegistryError};
use super::store::{Arrived, ImageStore};

/// How often what may pass is tried.
const TRIES: u32 = 5;

/// Layers that come in at the same time: more do not come sooner.
const PARALLEL: usize = 3;

/// Fetches an image, unless it is built in. Answers its id.
pub(crate) async fn pull(
    store: &Arc<ImageStore>,
    name: &str,
    credentials: &[Credentials],
    env: &env::Env,
) -> cri::Result<String> {
    if store.is_builtin(name) {
        return store.require(name).map(|image| image.id.clone());
    }
    let reference = Reference::parse(name).map_err(RuntimeError::Image)?;
    let own = store.registries.get(&reference.registry).cloned().unwrap_or_default();
    let mut error = RegistryError::NotFound;
    for host in own.mirrors.iter().chain([&reference.registry]) {
        let config = store.registries.get(host).cloned().unwrap_or_default();
        // Without credentials last: what is public is public to all.
        for credentials in credentials.iter().map(Some).chain([None]) {
            let registry = Registry {
                host: host.clone(),
                repository: reference.repository.clone(),
                config: config.clone(),
                credentials,
                authorities: &store.authorities,
                env,
                token: Mutex::default(),
            };
            match fetch(store, &registry, &reference).await {
                Ok(id) => return Ok(id),
                Err(denied @ RegistryError::Denied(_)) => error = denied,
                Err(other) => {
                    error = other;
                    break;
                }
            }
        }
    }
    Err(RuntimeError::Image(format!("failed to pull and unpack image {:?}: {error}", reference.to_string())))
}

async fn fetch(
    store: &Arc<ImageStore>,
    registry: &Registry<'_>,
    reference: &Reference,
) -> Result<String, RegistryError> {
    let resolve = |error| match error {
        RegistryError::NotFound => {
            RegistryError::Final(format!("failed to resolve reference \"{reference}\": not found"))
        }
        other => other,
    };
    let (bytes, kind) =
        retry(registry.env, || registry.manifest(reference.target())).await.map_err(resolve)?;
    let digest = digest_of(&bytes);
    if reference.digest.as_ref().is_some_and(|wanted| *wanted != digest) {
        return Err(RegistryError::Final(format!("the registry's manifest has the digest {digest}")));
    }
    let (mut manifest, mut bytes) = (parse(&bytes, &kind)?, bytes);
    if manifest.is_list() {
        let own = manifest.for_this_machine().cloned();
        let own = own.ok_or_else(|| RegistryError::Final("no match for platform in manifest".into()))?;
        (bytes, _) = retry(registry.env, || registry.manifest(&own.digest)).await?;
        check(&own.digest, &digest_of(&bytes))?;
        manifest = parse(&bytes, &own.media_type)?;
    }
    let config = manifest
        .config
        .clone()
        .ok_or_else(|| RegistryError::Final("the manifest has no configuration".into()))?;
    let mut names = vec![Reference { digest: Some(digest), tag: None, ..reference.clone() }];
    names.extend(reference.tag.is_some().then(|| Reference { digest: None, ..reference.clone() }));
    let broken = |error: RuntimeError| RegistryError::Final(error.to_string());
    if store.has(&config.digest) {
        store.name(&config.digest, &names).map_err(broken)?;
        return Ok(config.digest);
    }
    let document = retry(registry.env, || registry.small_blob(&config.digest)).await?;
    check(&config.digest, &digest_of(&document))?;
    let blobs = fetch_layers(store, registry, &manifest.layers).await?;
    let store = store.clone();
    let added = registry.env.tasks.blocking(move || {
        store.add(&Arrived { manifest: &bytes, config: &document, blobs: &blobs, names: &names })
    });
    let panicked = || RegistryError::Final("unpacking panicked; this is a defect, please report it".into());
    added.await.ok_or_else(panicked)?.map_err(broken)
}

async fn fetch_layers(
    store: &Arc<ImageStore>,
    registry: &Registry<'_>,
    layers: &[Descriptor],
) -> Result<BTreeMap<String, PathBuf>, RegistryError> {
    // Some images have the same layer twice.
    let missing: BTreeMap<&String, &Descriptor> = layers
        .iter()
        .filter(|layer| !store.has_blob(&layer.digest))
        .map(|layer| (&layer.digest, layer))
        .collect();
    let fetches = missing.into_values().cloned().map(|layer| async move {
        let path = fetch_layer(store, registry, &layer).await?;
        Ok((layer.digest, path))
    });
    stream::iter(fetches).buffer_unordered(PARALLEL).try_collect().await
}

/// Fetches a layer into a file. What came before a break is kept, also across restarts.
async fn fetch_layer(
    store: &Arc<ImageStore>,
    registry: &Registry<'_>,
    layer: &Descriptor,
) -> Result<PathBuf, RegistryError> {
    let failed =
        |error: std::io::Error| RegistryError::Final(format!("cannot write layer {}: {error}", layer.digest));
    let path = store.partial(&layer.digest).map_err(|error| RegistryError::Final(error.to_string()))?;
    // Two images that come at once may share layers.
    let turn = store.turn(&layer.digest);
    let _turn = turn.lock().await;
    if store.has_blob(&layer.digest) {
        return store.blob_path(&layer.digest).map_err(|error| RegistryError::Final(error.to_string()));
    }
    let partial = Mutex::new(Partial::open(&path).map_err(failed)?);
    retry(registry.env, || async {
        let from = partial.lock().unwrap_or_else(std::sync::PoisonError::into_inner).length;
        if layer.size > 0 && from == layer.size {
            return Ok(());
        }
        let response = registry.blob(&layer.digest, from).await?;
        if response.status() != StatusCode::PARTIAL_CONTENT && from > 0 {
            partial.lock().unwrap_or_else(std::sync::PoisonError::into_inner).restart().map_err(failed)?;
        }
        let mut body = response.into_body();
        while let Some(chunk) = registry.next_chunk(&mut body).await? {
            let mut partial = partial.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            partial.append(&chunk).map_err(failed)?;
            if layer.size > 0 && partial.length > layer.size {
                return Err(RegistryError::Final(format!("layer {} is longer than announced", layer.digest)));
            }
        }
        Ok(())
    })
    .await?;
    let found = partial.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).digest();
    if found != layer.digest {
        fs::remove_file(&path).map_err(failed)?;
    }
    check(&layer.digest, &found)?;
    Ok(path)
}

/// A file that grows, and the hash of what is in it.
struct Partial {
    file: fs::File,
    hash: Context,
    length: u64,
}

impl Partial {
    fn open(path: &std::path::Path) -> std::io::Result<Partial> {
        let file = fs::File::options().read(true).append(true).create(true).open(path)?;
        let mut partial = Partial { file, hash: Context::new(&SHA256), length: 0 };
        let mut buffer = vec![0; 256 * 1024];
        loop {
            match partial.file.read(&mut buffer)? {
                0 => return Ok(partial),
                count => {
                    partial.hash.update(&buffer[..count]);
                    partial.length += count as u64;
                }
            }
        }
    }

    fn restart(&mut self) -> std::io::Result<()> {
        self.file.set_len(0)?;
        self.hash = Context::new(&SHA256);
        self.length = 0;
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    fn digest(self) -> String {
        format_digest(self.hash.finish().as_ref())
    }
}

fn check(wanted: &str, found: &str) -> Result<(), RegistryError> {
    if wanted == found {
        return Ok(());
    }
    Err(RegistryError::Final(format!("what came for {wanted} has the digest {found}")))
}

fn parse(bytes: &[u8], kind: &str) -> Result<Manifest, RegistryError> {
    if kind.contains("manifest.v1+") && kind.contains("docker") {
        return Err(RegistryError::Final(
            "the image is in docker's schema 1, which is no longer supported".into(),
        ));
    }
    let broken = |error| RegistryError::Final(format!("the manifest is broken: {error}"));
    let mut manifest: Manifest = serde_json::from_slice(bytes).map_err(broken)?;
    if manifest.media_type.is_empty() {
        manifest.media_type = kind.to_owned();
    }
    Ok(manifest)
}

/// Tries what may pass again, with growing pauses.
async fn retry<T, W: Future<Output = Result<T, RegistryError>>>(
    env: &env::Env,
    mut work: impl FnMut() -> W,
) -> Result<T, RegistryError> {
    let mut pause = Duration::from_millis(250);
    for attempt in 1.. {
        match work().await {
            Err(RegistryError::Passing(error)) if attempt < TRIES => {
                tracing::debug!(attempt, error, "trying again");
            }
            result => return result,
        }
        env.clock.sleep(pause + Duration::from_millis(env.entropy.below(100))).await;
        pause *= 2;
    }
    unreachable!("the last attempt's result is returned")
}
