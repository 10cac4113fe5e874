//! `ironclad image …`: what the node has to make containers of. The process that runs the cluster does the work.

use std::path::PathBuf;

use anyhow::Context;

use crate::args::Image;
use crate::config::Instance;
use crate::control::{Answer, Question, ask};
use crate::nodes;

/// Does it.
pub fn run(command: &Image) -> anyhow::Result<()> {
    match command {
        Image::Import(flags) => {
            for file in &flags.files {
                let file = std::fs::canonicalize(file).with_context(|| format!("{}", file.display()))?;
                for (node, socket) in sockets(&flags.instance)? {
                    if let Answer::Names(names) = ask(&socket, &Question::Import(file.clone()))? {
                        names.iter().for_each(|name| println!("imported {name}{node}"));
                    }
                }
            }
        }
        Image::Pull(flags) => {
            for (node, socket) in sockets(&flags.instance)? {
                if let Answer::Names(names) = ask(&socket, &Question::Pull(flags.image.clone()))? {
                    names.iter().for_each(|id| println!("{} is {id}{node}", flags.image));
                }
            }
        }
        Image::Ls(flags) => {
            let socket = Instance::in_dir(&flags.data_dir)?.control_socket();
            if let Answer::Images(images) = ask(&socket, &Question::List)? {
                images.iter().for_each(show);
            }
        }
    }
    Ok(())
}

/// The nodes of this machine: how each is spoken of behind what was done there, and where it is asked.
fn sockets(flags: &crate::args::Instance) -> anyhow::Result<Vec<(String, PathBuf)>> {
    let instance = Instance::in_dir(&flags.data_dir)?;
    let mut all = vec![(String::new(), instance.control_socket())];
    for node in nodes::present(&instance)? {
        let name = node.data_dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        all.push((format!(" on {name}"), node.control_socket()));
    }
    Ok(all)
}

fn show(image: &cri::Image) {
    let name = image.tags.first().or(image.digests.first()).map_or("<none>", String::as_str);
    let size = match image.size {
        bytes @ 0..1_000_000 => format!("{} kB", bytes / 1_000),
        bytes => format!("{:.1} MB", bytes as f64 / 1e6),
    };
    println!("{name:<50} {size:>10} {}", image.id.get(7..19).unwrap_or(&image.id));
}
