//! Control groups: where containers are accounted, limited and killed; version 1, version 2, and both at once.
//!
//! On a machine with both (limits in version 1, an empty version 2 beside it) each group exists in both under the same
//! name: version 1 limits, version 2 kills. All groups lie below one root, which carries the instance's name, so
//! that what is below it is ours to sweep; but for the containers of other kubelets, which are in groups of theirs.

mod devices;
mod hierarchies;
mod limits;
pub(crate) mod place;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub(crate) use self::devices::Rule as DeviceRule;
use self::hierarchies::{Hierarchies, Hierarchy};
use crate::plan::{CgroupPlan, CgroupView};

/// Controllers that version 2 must be told to hand down to children.
const HANDED_DOWN: [&str; 6] = ["cpu", "cpuset", "io", "memory", "pids", "hugetlb"];

/// An operation on a group's file that failed.
#[derive(Debug, thiserror::Error)]
#[error("cgroup {}: {source}", path.display())]
pub(crate) struct CgroupError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

type Result<T> = std::result::Result<T, CgroupError>;

fn at<T>(path: &Path, result: io::Result<T>) -> Result<T> {
    result.map_err(|source| CgroupError { path: path.to_owned(), source })
}

fn write(path: &Path, value: &str) -> Result<()> {
    at(path, fs::write(path, value))
}

/// The groups of one instance.
#[derive(Debug)]
pub(crate) struct Cgroups {
    hierarchies: Hierarchies,
    /// `/ironclad-<instance>`
    root: String,
}

/// What a group uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub cpu_nanos: u64,
    pub memory: u64,
    pub working_set: u64,
    pub rss: u64,
    pub pids: u64,
}

impl Cgroups {
    /// Looks at how this machine mounts its groups.
    pub fn detect(root: &str) -> io::Result<Cgroups> {
        let hierarchies = Hierarchies::parse(&fs::read("/proc/self/mountinfo")?);
        Ok(Cgroups { hierarchies, root: format!("/{}", root.trim_matches('/')) })
    }

    /// The group below which all are.
    pub fn root(&self) -> &str {
        &self.root
    }

    fn directory(&self, hierarchy: &Hierarchy, path: &str) -> PathBuf {
        hierarchy.mount.join(place::from_top(&self.root, path))
    }

    fn directories(&self, path: &str) -> Vec<PathBuf> {
        self.hierarchies.all().map(|hierarchy| self.directory(hierarchy, path)).collect()
    }

    /// Makes a group, and those above it, in every hierarchy.
    pub fn make(&self, path: &str) -> Result<()> {
        let full = place::from_top(&self.root, path);
        for hierarchy in self.hierarchies.all() {
            let mut directory = hierarchy.mount.clone();
            for name in full.split('/').filter(|name| !name.is_empty()) {
                if hierarchy.unified && !self.hierarchies.is_hybrid() {
                    hand_down(&directory)?;
                }
                let child = directory.join(name);
                match fs::create_dir(&child) {
                    Err(error) if error.kind() != io::ErrorKind::AlreadyExists => at(&child, Err(error))?,
                    _ => {}
                }
                if hierarchy.has("cpuset") && !hierarchy.unified {
                    inherit_cpuset(&directory, &child)?;
                }
                directory = child;
            }
        }
        Ok(())
    }

    /// Sets limits. What is zero or empty stays as it is.
    pub fn limit(&self, path: &str, resources: &cri::Resources) -> Result<()> {
        for hierarchy in self.hierarchies.all() {
            let directory = self.directory(hierarchy, path);
            if hierarchy.unified && self.hierarchies.is_hybrid() {
                continue;
            }
            let settings =
                if hierarchy.unified { limits::unified(resources) } else { limits::legacy(resources) };
            let applies =
                |setting: &&limits::Setting| hierarchy.unified || hierarchy.has(setting.controller());
            for setting in settings.iter().filter(applies) {
                let file = directory.join(&setting.file);
                match fs::write(&file, &setting.value) {
                    Ok(()) => {}
                    Err(error) if setting.optional && error.kind() == io::ErrorKind::NotFound => {}
                    // Raising memory above the limit that includes swap: that one goes first.
                    Err(error)
                        if setting.file == limits::MEMORY && error.raw_os_error() == Some(libc::EINVAL) =>
                    {
                        write(&directory.join(limits::MEMORY_AND_SWAP), &setting.value)?;
                        write(&file, &setting.value)?;
                    }
                    result => at(&file, result)?,
                }
            }
        }
        Ok(())
    }

    /// Lets a group use the given devices and no others; all of them if `rules` is `None`.
    pub fn allow_devices(&self, path: &str, rules: Option<&[DeviceRule]>) -> Result<()> {
        let Some(rules) = rules else { return Ok(()) };
        if let Some(hierarchy) = self.hierarchies.legacy.iter().find(|hierarchy| hierarchy.has("devices")) {
            let directory = self.directory(hierarchy, path);
            write(&directory.join("devices.deny"), "a")?;
            return rules
                .iter()
                .try_for_each(|rule| write(&directory.join("devices.allow"), &rule.to_string()));
        }
        let Some(unified) = &self.hierarchies.unified else { return Ok(()) };
        let directory = self.directory(unified, path);
        at(&directory, devices::attach_filter(&directory, rules))
    }

    /// What a process must do to be in a group, and what the group's end takes.
    pub fn plan(&self, path: &str) -> CgroupPlan {
        let memory = self.hierarchies.legacy.iter().find(|hierarchy| hierarchy.has("memory"));
        let unified = self.hierarchies.unified.as_ref();
        let oom = match (memory, unified) {
            (Some(memory), _) => Some(self.directory(memory, path).join("memory.oom_control")),
            (None, Some(unified)) => Some(self.directory(unified, path).join("memory.events")),
            (None, None) => None,
        };
        let list = unified.or_else(|| self.hierarchies.legacy.first());
        CgroupPlan {
            join: self.directories(path),
            list: list.map(|hierarchy| self.directory(hierarchy, path)).unwrap_or_default(),
            kill: unified.map(|unified| self.directory(unified, path).join("cgroup.kill")),
            oom,
            view: if self.hierarchies.legacy.is_empty() {
                CgroupView::Unified
            } else {
                CgroupView::Legacy(self.hierarchies.legacy.iter().map(Hierarchy::view).collect())
            },
        }
    }

    /// Removes a group without children and processes. One that is gone is no error, one still in use is.
    pub fn remove(&self, path: &str) -> Result<()> {
        for directory in self.directories(path) {
            match fs::remove_dir(&directory) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => at(&directory, Err(error))?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Kills all processes of a group and of those below it.
    pub fn kill_tree(&self, path: &str) {
        for directory in self.directories(path) {
            for group in groups_below(&directory) {
                let kill = Some(group.join("cgroup.kill"));
                self::kill(&CgroupPlan { list: group, kill, ..CgroupPlan::default() });
            }
        }
    }

    /// Removes a group and all below it, as far as they are empty. Answers whether nothing is left.
    pub fn remove_tree(&self, path: &str) -> bool {
        let mut clean = true;
        for directory in self.directories(path) {
            for group in groups_below(&directory).iter().rev() {
                clean &= match fs::remove_dir(group) {
                    Ok(()) => true,
                    Err(error) => error.kind() == io::ErrorKind::NotFound,
                };
            }
        }
        clean
    }

    /// The same, with patience: processes leave their group a moment after their end was seen.
    pub fn remove_tree_when_empty(&self, path: &str) -> bool {
        (0..200).any(|attempt| {
            if attempt > 0 {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            self.remove_tree(path)
        })
    }

    /// The paths of all groups below the root, in any hierarchy.
    pub fn existing(&self) -> Vec<String> {
        let mut found = std::collections::BTreeSet::new();
        for directory in self.directories("") {
            for group in groups_below(&directory) {
                if let Ok(relative) = group.strip_prefix(&directory) {
                    found.insert(relative.to_string_lossy().into_owned());
                }
            }
        }
        found.into_iter().filter(|path| !path.is_empty()).collect()
    }

    /// The processes of a group.
    pub fn processes(&self, path: &str) -> Vec<i32> {
        let listed = fs::read_to_string(self.plan(path).list.join("cgroup.procs")).unwrap_or_default();
        listed.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// What a group uses now. Figures a machine does not keep are zero.
    pub fn usage(&self, path: &str) -> Usage {
        let file = |controller: &str, name: &str| -> String {
            let hierarchy = self.hierarchies.of(controller);
            hierarchy
                .and_then(|found| fs::read_to_string(self.directory(found, path).join(name)).ok())
                .unwrap_or_default()
        };
        let number = |text: &str| text.trim().parse::<u64>().unwrap_or(0);
        let entry = |text: &str, name: &str| {
            let mut lines = text.lines().filter_map(|line| line.split_once(' '));
            lines.find(|(key, _)| *key == name).map_or(0, |(_, value)| number(value))
        };
        let legacy_memory = self.hierarchies.legacy.iter().any(|hierarchy| hierarchy.has("memory"));
        let (stat, memory) = (
            file("memory", "memory.stat"),
            if legacy_memory { "memory.usage_in_bytes" } else { "memory.current" },
        );
        let memory = number(&file("memory", memory));
        let (inactive, rss) = if legacy_memory {
            (entry(&stat, "total_inactive_file"), entry(&stat, "total_rss"))
        } else {
            (entry(&stat, "inactive_file"), entry(&stat, "anon"))
        };
        let legacy_cpu = self.hierarchies.legacy.iter().any(|hierarchy| hierarchy.has("cpuacct"));
        let cpu_nanos = if legacy_cpu {
            number(&file("cpuacct", "cpuacct.usage"))
        } else {
            entry(&file("cpu", "cpu.stat"), "usage_usec").saturating_mul(1000)
        };
        let pids = number(&file("pids", "pids.current"));
        Usage { cpu_nanos, memory, working_set: memory.saturating_sub(inactive), rss, pids }
    }
}

/// Kills every process of a group. In the shim too, which knows nothing of hierarchies.
pub(crate) fn kill(group: &CgroupPlan) {
    if group.kill.as_ref().is_some_and(|file| fs::write(file, "1").is_ok()) {
        return;
    }
    // Until none is left: one may fork while we read. Bounded, because a process can be stuck in the kernel.
    for _ in 0..100 {
        let listed = fs::read_to_string(group.list.join("cgroup.procs")).unwrap_or_default();
        let pids: Vec<i32> =
            listed.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0).collect();
        if pids.is_empty() {
            return;
        }
        for pid in pids {
            // It may have ended meanwhile.
            let _ = crate::sys::process::signal(pid, libc::SIGKILL);
        }
        std::thread::yield_now();
    }
}

/// A directory and all groups below it, parents first.
fn groups_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(group) = waiting.pop() {
        // A group can go while we look.
        let Ok(entries) = fs::read_dir(&group) else { continue };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                waiting.push(entry.path());
            }
        }
        found.push(group);
    }
    found.sort();
    found
}

/// A new group of version 1 has no cores and no memory nodes, and takes no process until it has. One that is there
/// already may have been made a moment ago, by who has not come to this yet.
fn inherit_cpuset(parent: &Path, child: &Path) -> Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let own = at(child, fs::read_to_string(child.join(file)))?;
        if own.trim().is_empty() {
            let value = at(parent, fs::read_to_string(parent.join(file)))?;
            write(&child.join(file), value.trim())?;
        }
    }
    Ok(())
}

/// Hands the controllers of a group of version 2 down to its children.
fn hand_down(directory: &Path) -> Result<()> {
    let read = |file: &str| at(directory, fs::read_to_string(directory.join(file)));
    let (has, gives) = (read("cgroup.controllers")?, read("cgroup.subtree_control")?);
    let missing: Vec<String> = HANDED_DOWN
        .iter()
        .filter(|name| has.split_whitespace().any(|known| known == **name))
        .filter(|name| !gives.split_whitespace().any(|given| given == **name))
        .map(|name| format!("+{name}"))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        write(&directory.join("cgroup.subtree_control"), &missing.join(" "))
    }
}
