//! Images: named, fetched, unpacked once, shared by all containers made of them.

mod archive;
mod builtin;
mod document;
mod layer_file;
pub(crate) mod parsers;
mod pull;
mod reference;
mod registry;
mod store;
mod stored;
mod unpack;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub(crate) use self::document::ImageConfig;
pub(crate) use self::pull::pull;
pub(crate) use self::store::ImageStore;
pub(crate) use self::stored::StoredImage;

/// How a registry is spoken to otherwise than by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct RegistryConfig {
    /// Without TLS. Registries on the loopback are spoken to so anyway.
    pub plain_http: bool,
    /// With TLS, but whoever answers is believed.
    pub skip_verify: bool,
    /// Certificates, in PEM, of authorities to believe beside the system's.
    pub authorities: Option<std::path::PathBuf>,
    /// Others that are asked first, in order, by `host[:port]`.
    pub mirrors: Vec<String>,
}

/// Bytes and files below a directory. What goes while we look is not counted.
pub(crate) fn disk_usage(directory: &Path) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    let (mut bytes, mut files) = (0, 0);
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
            if let Ok(found) = entry.metadata() {
                bytes += found.blocks() * 512;
                files += 1;
                if found.is_dir() {
                    waiting.push(entry.path());
                }
            }
        }
    }
    (bytes, files)
}
