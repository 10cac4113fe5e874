//! Which hierarchies of control groups a machine has, read from its mounts: never assumed.

use std::path::PathBuf;

use crate::sys::mount::unescape;

/// Version 1's controllers.
const CONTROLLERS: [&str; 14] = [
    "cpu",
    "cpuacct",
    "cpuset",
    "memory",
    "devices",
    "freezer",
    "blkio",
    "pids",
    "hugetlb",
    "net_cls",
    "net_prio",
    "perf_event",
    "rdma",
    "misc",
];

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hierarchy {
    pub mount: PathBuf,
    /// Version 1: its controllers, or its name as `name=…`.
    pub options: Vec<String>,
    pub unified: bool,
}

impl Hierarchy {
    pub fn has(&self, controller: &str) -> bool {
        self.options.iter().any(|option| option == controller)
    }

    /// Its directory's name and its mount options in a container.
    pub fn view(&self) -> (String, String) {
        let name = self.mount.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        (name, self.options.join(","))
    }
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Hierarchies {
    pub legacy: Vec<Hierarchy>,
    pub unified: Option<Hierarchy>,
}

impl Hierarchies {
    /// Reads `/proc/self/mountinfo`. A hierarchy mounted twice counts once.
    pub fn parse(mountinfo: &[u8]) -> Hierarchies {
        let mut found = Hierarchies::default();
        for line in mountinfo.split(|byte| *byte == b'\n') {
            let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
            let Some(dash) = fields.iter().position(|field| *field == b"-") else { continue };
            let (Some(mount), Some(kind), Some(options)) =
                (fields.get(4), fields.get(dash + 1), fields.get(dash + 3))
            else {
                continue;
            };
            let mount = unescape(mount);
            match *kind {
                b"cgroup2" if found.unified.is_none() => {
                    found.unified = Some(Hierarchy { mount, options: Vec::new(), unified: true });
                }
                b"cgroup" => {
                    let options: Vec<String> = String::from_utf8_lossy(options)
                        .split(',')
                        .filter(|option| CONTROLLERS.contains(option) || option.starts_with("name="))
                        .map(str::to_owned)
                        .collect();
                    let known = found.legacy.iter().any(|hierarchy| hierarchy.options == options);
                    if !known && !options.is_empty() {
                        found.legacy.push(Hierarchy { mount, options, unified: false });
                    }
                }
                _ => {}
            }
        }
        found
    }

    pub fn all(&self) -> impl Iterator<Item = &Hierarchy> {
        self.legacy.iter().chain(&self.unified)
    }

    /// Version 1 limits, version 2 is there beside it.
    pub fn is_hybrid(&self) -> bool {
        self.unified.is_some()
            && self.legacy.iter().any(|hierarchy| !hierarchy.options[0].starts_with("name="))
    }

    /// Where a controller is: in version 1 if it is mounted there.
    pub fn of(&self, controller: &str) -> Option<&Hierarchy> {
        self.legacy.iter().find(|hierarchy| hierarchy.has(controller)).or(self.unified.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_are_understood() {
        let hybrid = b"\
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:4 - cgroup cgroup rw,memory
77 31 0:32 / /mnt/other rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
24 27 0:6 / /dev rw - devtmpfs devtmpfs rw
";
        let found = Hierarchies::parse(hybrid);
        let views: Vec<_> = found.legacy.iter().map(Hierarchy::view).collect();
        let view = |name: &str, options: &str| (name.to_owned(), options.to_owned());
        assert_eq!(
            views,
            [view("cpu,cpuacct", "cpu,cpuacct"), view("memory", "memory"), view("systemd", "name=systemd")]
        );
        assert!(found.is_hybrid() && found.of("memory") == found.legacy.get(1));
        let pure = Hierarchies::parse(b"30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n");
        assert!(pure.legacy.is_empty() && !pure.is_hybrid());
        assert_eq!(pure.of("memory").unwrap().mount, PathBuf::from("/sys/fs/cgroup"));
        assert_eq!(Hierarchies::parse(b"garbage\n\n1 2 3 - \n"), Hierarchies::default());
    }
}
