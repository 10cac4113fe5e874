//! An image's layers, stacked to one file system.

use std::fs;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::mount::MountFlags;

use super::failure::{Context, Result};
use crate::state::MAPPED;
use crate::sys::mount;

/// Mounts the layers, the topmost first, with a writable one below `own` if there is to be one. For a pod with users of
/// its own, what belongs to root in a layer belongs to the pod's root. The current directory is the runtime's: paths are
/// relative to keep the list short, because the kernel takes one page.
pub(super) fn mount(
    layers: &[String],
    users: Option<BorrowedFd<'_>>,
    own: Option<&Path>,
    target: &Path,
) -> Result<()> {
    let mapped = users.map(|users| map(layers, users)).transpose()?;
    let layers = mapped.as_deref().unwrap_or(layers);
    let mut options = format!("lowerdir={}", layers.join(":"));
    match own {
        Some(own) => {
            let own = own.display();
            options.push_str(&format!(",upperdir={own}/upper,workdir={own}/work"));
        }
        // An overlay needs two layers if it has none to write to.
        None if layers.len() == 1 => {
            let tree = mount::clone_tree(Path::new(&layers[0]), false).context("open the image's layer")?;
            return mount::attach_tree(tree, target).context("mount the image's layer");
        }
        None => {}
    }
    mount::mount_kernel("overlay", target, MountFlags::empty(), &options).context("mount the layers")
}

/// Mounts each layer with the pod's ids, and answers where. This mount namespace is the container's own: when its root
/// changes, these go with the old one, and live on in what was stacked of them.
fn map(layers: &[String], users: BorrowedFd<'_>) -> Result<Vec<String>> {
    let directory = Path::new(MAPPED);
    mount::mount_kernel("tmpfs", directory, MountFlags::empty(), "mode=700")
        .context("mount a place for layers")?;
    let place = |(number, layer): (usize, &String)| {
        let tree = mount::clone_tree(Path::new(layer), false).context("open a layer")?;
        mount::map_ids(&tree, users)
            .context("map the ids of a layer (does the file system of the data directory support it?)")?;
        let at = directory.join(number.to_string());
        fs::create_dir(&at).context("make a place for a layer")?;
        mount::attach_tree(tree, &at).context("mount a layer")?;
        Ok(at.display().to_string())
    };
    layers.iter().enumerate().map(place).collect()
}
