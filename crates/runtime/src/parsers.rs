//! What registries and archives send, taken apart: a door for those who try it with whatever comes to mind.

use std::io;
use std::path::Path;

use crate::image::parsers;

/// The whole name of an image that is named by `text`, and what a registry is asked for.
pub fn reference(text: &str) -> Result<(String, String), String> {
    parsers::reference(text)
}

/// Which documents of an image some bytes are: a manifest, a configuration.
pub fn documents(bytes: &[u8]) -> [bool; 2] {
    parsers::documents(bytes)
}

/// Unpacks a layer, plain or compressed, from a file into an empty directory.
pub fn layer(archive: &Path, root: &Path) -> io::Result<()> {
    parsers::layer(archive, root)
}
