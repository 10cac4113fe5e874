//! The parsers of images by themselves, without a store to put into or a registry to ask.

use std::io;
use std::path::Path;

use super::document::{ConfigDocument, Manifest};
use super::layer_file;
use super::reference::Reference;
use super::unpack::unpack;

/// The whole name of an image, and what a registry is asked for.
pub fn reference(text: &str) -> Result<(String, String), String> {
    Reference::parse(text).map(|reference| (reference.to_string(), reference.target().to_owned()))
}

/// Which documents some bytes are: a manifest, a configuration.
pub fn documents(bytes: &[u8]) -> [bool; 2] {
    let manifest = serde_json::from_slice::<Manifest>(bytes);
    if let Ok(manifest) = &manifest {
        manifest.for_this_machine();
    }
    [manifest.is_ok(), serde_json::from_slice::<ConfigDocument>(bytes).is_ok()]
}

/// Unpacks a layer from a file into an empty directory.
pub fn layer(archive: &Path, root: &Path) -> io::Result<()> {
    unpack(layer_file::open(archive)?, root, &[])
}
