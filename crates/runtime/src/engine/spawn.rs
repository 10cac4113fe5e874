//! Starting shims.

use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::shim;
use crate::sys::{mount, process};

/// The program shims are made of. It is executed from a read-only view of itself, so that a container that gets hold of
/// a shim's `/proc/<pid>/exe` cannot write to it.
#[derive(Debug)]
pub(super) struct HelperProgram {
    path: PathBuf,
    sealed: Option<OwnedFd>,
}

impl HelperProgram {
    /// On kernels before 5.12 there is no such view.
    pub fn open(path: &Path) -> HelperProgram {
        let seal = |path: &Path| {
            let tree = mount::clone_tree(path, false)?;
            mount::make_read_only(&tree, false).map(|()| tree)
        };
        let sealed = seal(path)
            .or_else(|error| seal(&same_file_elsewhere(path).ok_or(error)?))
            .inspect_err(
                |error| tracing::warn!(%error, "shims run from the program itself, not a read-only view"),
            )
            .ok();
        HelperProgram { path: path.to_owned(), sealed }
    }

    fn program(&self) -> PathBuf {
        match &self.sealed {
            Some(tree) => PathBuf::from(format!("/proc/self/fd/{}", tree.as_raw_fd())),
            None => self.path.clone(),
        }
    }

    /// Starts the shim of the sandbox in `directory` and waits until its namespaces are made. Blocks.
    pub fn start_shim(&self, directory: &Path) -> Result<Child, String> {
        let log = fs::OpenOptions::new().create(true).append(true).open(directory.join("shim.log"));
        let log = log.map_err(|error| format!("cannot open the shim's log: {error}"))?;
        let mut child = Command::new(self.program())
            .arg0("ironclad")
            .arg(shim::COMMAND)
            .arg(directory)
            .env_clear()
            // Huge pages would make four MiB of the few hundred KiB that a shim needs.
            .env("MIMALLOC_ALLOW_THP", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("cannot start the shim: {error}"))?;
        let mut said = String::new();
        let heard = match child.stdout.take() {
            Some(output) => output.take(64 * 1024).read_to_string(&mut said),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        };
        match heard {
            Ok(_) if said == shim::READY_WORD => Ok(child),
            result => {
                // It ended, or is of no use.
                let _ = child.kill();
                let _ = child.wait();
                let why = result.err().map_or(said, |error| error.to_string());
                Err(if why.is_empty() { "the shim died while it made the sandbox".into() } else { why })
            }
        }
    }
}

/// The place a link such as `/proc/self/exe` names, if the same file is there. The link itself leads to a mount that this
/// process may have left behind when it entered a space.
fn same_file_elsewhere(link: &Path) -> Option<PathBuf> {
    let named = fs::read_link(link).ok()?;
    let identity = |path: &Path| fs::metadata(path).ok().map(|found| (found.dev(), found.ino()));
    let is_same = identity(&named).is_some_and(|found| Some(found) == identity(link));
    is_same.then_some(named)
}

/// Kills every shim of the sandbox in `directory`, found by how it was started, and waits until it is gone.
pub(super) fn kill_shims_of(directory: &Path) {
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // Opened first, looked at then: what is looked at is what is killed.
        let Ok(opened) = process::pidfd(pid) else { continue };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0).skip(1);
        let is_shim = words.next() == Some(shim::COMMAND.as_bytes());
        if is_shim && words.next() == Some(directory.as_os_str().as_bytes()) {
            // It may have ended meanwhile.
            let _ = process::signal_pidfd(&opened, libc::SIGKILL);
            let mut ended = [rustix::event::PollFd::new(&opened, rustix::event::PollFlags::IN)];
            let limit = rustix::event::Timespec { tv_sec: 5, tv_nsec: 0 };
            let _ = rustix::event::poll(&mut ended, Some(&limit));
        }
    }
}
