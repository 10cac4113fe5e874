//! The cgroups of pods whose containers another runtime makes: it puts those of containers below them, and knows nothing of
//! pods.

use cri::{Resources, RuntimeError};

use crate::cgroup::{CgroupError, Cgroups};

/// What the groups of pods begin with; those above them hold the classes of pods.
const POD: &str = "pod";

/// The groups of an instance's pods.
#[derive(Debug)]
pub struct PodGroups {
    cgroups: Cgroups,
}

fn failed(error: CgroupError) -> RuntimeError {
    RuntimeError::Failed(error.to_string())
}

impl PodGroups {
    /// Those below a group: `/ironclad-<instance>`.
    pub fn below(root: &str) -> cri::Result<PodGroups> {
        let cgroups = Cgroups::detect(root)
            .map_err(|error| RuntimeError::Failed(format!("cannot read /proc/self/mountinfo: {error}")))?;
        Ok(PodGroups { cgroups })
    }

    /// Removes all of them, and the one they are below. The containers must have ended.
    pub fn teardown(&self) -> cri::Result<()> {
        if self.cgroups.remove_tree_when_empty("") {
            return Ok(());
        }
        let root = self.cgroups.root();
        Err(RuntimeError::Failed(format!("some cgroups below {root} are still in use")))
    }

    /// The part of a group's path that is below the root.
    fn relative<'a>(&self, group: &'a str) -> cri::Result<&'a str> {
        let below = group.strip_prefix(self.cgroups.root()).and_then(|rest| rest.strip_prefix('/'));
        below.ok_or_else(|| RuntimeError::Invalid(format!("{group} is not below {}", self.cgroups.root())))
    }

    fn clear(&self, path: &str) {
        if !self.cgroups.remove_tree_when_empty(path) {
            tracing::warn!(path, "a cgroup of a pod that is gone is still in use; the next start removes it");
        }
    }
}

impl cri::PodGroups for PodGroups {
    fn make(&self, group: &str, resources: &Resources) -> cri::Result<()> {
        let path = self.relative(group)?;
        self.cgroups.make(path).map_err(failed)?;
        self.cgroups.limit(path, resources).map_err(failed)
    }

    fn limit(&self, group: &str, resources: &Resources) -> cri::Result<()> {
        self.cgroups.limit(self.relative(group)?, resources).map_err(failed)
    }

    fn remove(&self, group: &str) {
        match self.relative(group) {
            Ok(path) => self.clear(path),
            Err(error) => tracing::warn!("a cgroup that is not ours is left alone: {error}"),
        }
    }

    fn keep_only(&self, groups: &[String]) {
        let kept: Vec<&str> = groups.iter().filter_map(|group| self.relative(group).ok()).collect();
        unwanted(&self.cgroups.existing(), &kept).into_iter().for_each(|path| self.clear(path));
    }
}

/// The pods' groups that nobody wants to keep. What is below one is not a pod's, whatever it is called.
fn unwanted<'a>(existing: &'a [String], kept: &[&str]) -> Vec<&'a str> {
    let is_pods = |path: &&str| {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        name.starts_with(POD) && !above.split('/').any(|name| name.starts_with(POD))
    };
    existing.iter().map(String::as_str).filter(is_pods).filter(|path| !kept.contains(path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_groups_of_pods_that_are_gone_are_unwanted() {
        let existing = [
            "kubepods",
            "kubepods/besteffort",
            "kubepods/besteffort/pod1",
            "kubepods/besteffort/pod1/podman",
            "kubepods/burstable/pod2",
            "kubepods/pod3",
            "kubepods/pod3/c1",
            "runtime",
        ]
        .map(str::to_owned);
        assert_eq!(
            unwanted(&existing, &["kubepods/pod3", "kubepods/pod4"]),
            ["kubepods/besteffort/pod1", "kubepods/burstable/pod2"]
        );
    }

    #[test]
    fn groups_elsewhere_are_refused() {
        let groups = PodGroups::below("/ironclad-test").unwrap();
        for (group, wanted) in [
            ("/ironclad-test/kubepods/pod1", Some("kubepods/pod1")),
            ("/ironclad-test", None),
            ("/ironclad-tester/pod1", None),
            ("/kubepods/pod1", None),
            ("", None),
        ] {
            assert_eq!(groups.relative(group).ok(), wanted, "{group}");
        }
    }
}
