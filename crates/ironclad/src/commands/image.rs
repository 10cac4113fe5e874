//! `ironclad image …`: what the node has to make containers of.
//!
//! The store of images is safe to use beside the running node: layers and names are written whole or not at all.

use anyhow::Context;

use crate::args::Image;
use crate::config::Instance;

/// Does it.
pub fn run(command: &Image) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let data_dir = match command {
        Image::Import(flags) => &flags.instance.data_dir,
        Image::Pull(flags) => &flags.instance.data_dir,
        Image::Ls(flags) => &flags.data_dir,
    };
    let instance = Instance::in_dir(data_dir)?;
    let images = runtime::Images::open(&instance.runtime_dir(), env::Env::real())
        .with_context(|| format!("the images in {} cannot be opened", instance.runtime_dir().display()))?;
    match command {
        Image::Import(flags) => {
            for file in &flags.files {
                for name in images.import(file).with_context(|| format!("{}", file.display()))? {
                    println!("imported {name}");
                }
            }
        }
        Image::Pull(flags) => {
            let id = runtime.block_on(images.pull(&flags.image)).with_context(|| flags.image.clone())?;
            println!("{} is {id}", flags.image);
        }
        Image::Ls(_) => {
            for image in images.list()? {
                let name = image.tags.first().or(image.digests.first()).map_or("<none>", String::as_str);
                println!("{name:<50} {:>10} {}", human_size(image.size), image.id.get(7..19).unwrap_or(&image.id));
            }
        }
    }
    Ok(())
}

fn human_size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}
