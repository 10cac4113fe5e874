//! The built-in container runtime: images, snapshots, sandboxes, containers, behind the [`cri::Runtime`] port.
//!
//! The [`Engine`] runs in the node's process and decides; one shim per pod (this same program, executed again) carries
//! out and outlives it. The runtime is our own rather than youki's `libcontainer` behind the shim, because a shim that
//! forks its containers itself needs no helper program per container (3 ms instead of 9), stays below 3 MiB, and leaves
//! no mount behind however it is killed; and because the library's gaps (cgroup version 1 writable in containers,
//! limits silently ignored, no idmapped mounts) would have to be closed from outside.

mod accounts;
mod capabilities;
mod cgroup;
mod engine;
mod groups;
mod image;
pub mod parsers;
mod plan;
mod protocol;
mod seccomp;
mod shim;
mod space;
mod state;
mod sys;

use std::ffi::OsString;
use std::process::ExitCode;

pub use engine::{Config, Engine};
pub use groups::PodGroups;
pub use image::RegistryConfig;
pub use space::Space;

/// Becomes one of the runtime's helper processes if that is what `args` (with the program's name first) ask for.
/// To be called first thing in `main`, before any thread is started: helpers fork.
pub fn helper_main(args: &[OsString]) -> Option<ExitCode> {
    match args.get(1)?.to_str()? {
        shim::COMMAND => Some(shim::main(&args[2..])),
        _ => None,
    }
}
