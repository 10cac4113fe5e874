//! What is known on disk about sandboxes and containers, written so that a kill at any instant leaves something
//! that is understood: whole files, replaced by renaming.
//!
//! A container's life is the set of its files: `record.json` (made), `run.json` (may have run), `exit.json` (ended).

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::plan::{ContainerPlan, SandboxPlan};

pub(crate) const RECORD: &str = "record.json";
pub(crate) const SHIM: &str = "shim.json";
pub(crate) const READY: &str = "ready.json";
pub(crate) const STOPPED: &str = "stopped.json";
pub(crate) const RUN: &str = "run.json";
pub(crate) const EXIT: &str = "exit.json";
pub(crate) const SOCKET: &str = "shim.sock";
pub(crate) const NETNS: &str = "netns";
pub(crate) const SHM: &str = "shm";
/// Short, because the paths of all layers must fit in one page.
pub(crate) const MAPPED: &str = "m";

/// Where things are below the runtime's directory.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub root: PathBuf,
}

impl Layout {
    pub fn sandboxes(&self) -> PathBuf {
        self.root.join("s")
    }

    pub fn sandbox(&self, id: &str) -> PathBuf {
        self.root.join("s").join(id)
    }

    pub fn containers(&self) -> PathBuf {
        self.root.join("c")
    }

    pub fn container(&self, id: &str) -> PathBuf {
        self.root.join("c").join(id)
    }

    /// What is being deleted. Moved here first, so that a half-deleted thing is never taken for a whole one.
    pub fn trash(&self) -> PathBuf {
        self.root.join("trash")
    }

    /// Where layers are mounted with other ids, each container for itself: nothing is ever seen there from outside.
    pub fn mapped(&self) -> PathBuf {
        self.root.join(MAPPED)
    }

    pub fn images(&self) -> PathBuf {
        self.root.join("images")
    }
}

/// A sandbox as it was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SandboxRecord {
    pub config: cri::SandboxConfig,
    pub plan: SandboxPlan,
    pub created_at: i64,
    /// The pod's cgroup, relative to the root of each hierarchy.
    pub cgroup: String,
}

/// A sandbox's shim, by what names a process for ever.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ShimState {
    pub pid: i32,
    pub start_time: u64,
    pub boot_id: String,
}

/// Written when a sandbox has its network: from then on it exists.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ReadyState {
    pub ips: Vec<std::net::IpAddr>,
}

/// Written when a sandbox was stopped.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct StoppedState {
    pub at: i64,
}

/// A container as it was asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ContainerRecord {
    pub sandbox: String,
    pub config: cri::ContainerConfig,
    pub plan: ContainerPlan,
    pub created_at: i64,
    pub image_id: String,
    pub image_ref: String,
    pub stop_signal: i32,
    /// Its cgroup, relative to the root of each hierarchy.
    pub cgroup: String,
}

/// Written by the shim before a container's program is executed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunState {
    pub pid: i32,
    pub started_at: i64,
    pub user: cri::ContainerUser,
}

/// How a container ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExitState {
    pub exit_code: i32,
    pub finished_at: i64,
    pub reason: String,
    pub message: String,
    /// Nobody saw it end.
    pub unknown: bool,
}

/// How much a written file must survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// The death of any process.
    Processes,
    /// Power loss too.
    Power,
}

/// Replaces `directory/name` by `value`.
pub(crate) fn write<T: Serialize>(
    directory: &Path,
    name: &str,
    value: &T,
    must: Durability,
) -> io::Result<()> {
    let new = directory.join(format!(".new-{name}"));
    let mut file = fs::File::create(&new)?;
    file.write_all(&serde_json::to_vec(value)?)?;
    if must == Durability::Power {
        file.sync_data()?;
    }
    fs::rename(&new, directory.join(name))?;
    if must == Durability::Power {
        fs::File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// What `directory/name` holds; `None` if it is not there.
pub(crate) fn read<T: DeserializeOwned>(directory: &Path, name: &str) -> io::Result<Option<T>> {
    match fs::read(directory.join(name)) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl ShimState {
    /// This process.
    pub fn of_this_process() -> ShimState {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        let start_time = crate::sys::process::start_time(pid).unwrap_or_default();
        ShimState { pid, start_time, boot_id: crate::sys::process::boot_id() }
    }

    /// Whether that very process still runs.
    pub fn runs(&self) -> bool {
        self.boot_id == crate::sys::process::boot_id()
            && crate::sys::process::start_time(self.pid) == Some(self.start_time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_absence_is_no_error() {
        let directory = std::env::temp_dir().join(format!("ironclad-state-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        assert_eq!(read::<ExitState>(&directory, EXIT).unwrap(), None);
        for exit_code in [1, 137] {
            let state = ExitState { exit_code, ..ExitState::default() };
            write(&directory, EXIT, &state, Durability::Power).unwrap();
            assert_eq!(read::<ExitState>(&directory, EXIT).unwrap(), Some(state));
        }
        fs::write(directory.join(EXIT), b"{\"exit_co").unwrap();
        assert!(read::<ExitState>(&directory, EXIT).is_err(), "a torn file is not taken for an absent one");
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn a_process_is_told_from_a_later_one_with_its_id() {
        let ours = ShimState::of_this_process();
        assert!(ours.runs());
        assert!(!ShimState { start_time: ours.start_time + 1, ..ours.clone() }.runs());
        assert!(!ShimState { boot_id: "another".into(), ..ours }.runs());
    }
}
