//! From limits to the files that hold them, for both versions.

use cri::Resources;

pub(super) const MEMORY: &str = "memory.limit_in_bytes";
pub(super) const MEMORY_AND_SWAP: &str = "memory.memsw.limit_in_bytes";

/// A file and what is written to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub file: String,
    pub value: String,
    /// Kernels without the feature lack the file, and the limit then does not matter.
    pub optional: bool,
}

impl Setting {
    /// The controller the file belongs to.
    pub fn controller(&self) -> &str {
        self.file.split('.').next().unwrap_or_default()
    }
}

fn set(file: &str, value: impl ToString) -> Setting {
    Setting { file: file.to_owned(), value: value.to_string(), optional: false }
}

/// Version 1's files. Containers get no swap: the limit with swap is that without.
pub(super) fn legacy(resources: &Resources) -> Vec<Setting> {
    let mut settings = Vec::new();
    if resources.cpu_shares > 0 {
        settings.push(set("cpu.shares", resources.cpu_shares.max(2)));
    }
    if resources.cpu_period > 0 {
        settings.push(set("cpu.cfs_period_us", resources.cpu_period));
    }
    if resources.cpu_quota != 0 {
        settings.push(set("cpu.cfs_quota_us", resources.cpu_quota.max(-1)));
    }
    if resources.memory_limit != 0 {
        settings.push(set(MEMORY, resources.memory_limit.max(-1)));
        settings.push(Setting { optional: true, ..set(MEMORY_AND_SWAP, resources.memory_limit.max(-1)) });
    }
    settings.extend(common(resources));
    for (size, bytes) in &resources.hugepages {
        settings.push(Setting { optional: true, ..set(&format!("hugetlb.{size}.limit_in_bytes"), bytes) });
    }
    settings
}

/// Version 2's files.
pub(super) fn unified(resources: &Resources) -> Vec<Setting> {
    let mut settings = Vec::new();
    if resources.cpu_shares > 0 {
        settings.push(set("cpu.weight", weight(resources.cpu_shares)));
    }
    if resources.cpu_quota != 0 || resources.cpu_period > 0 {
        let period = if resources.cpu_period > 0 { resources.cpu_period } else { 100_000 };
        let quota = if resources.cpu_quota > 0 { resources.cpu_quota.to_string() } else { "max".into() };
        settings.push(set("cpu.max", format!("{quota} {period}")));
    }
    if resources.memory_limit != 0 {
        let limited = resources.memory_limit > 0;
        let limit = if limited { resources.memory_limit.to_string() } else { "max".into() };
        settings.push(set("memory.max", limit));
        settings
            .push(Setting { optional: true, ..set("memory.swap.max", if limited { "0" } else { "max" }) });
    }
    settings.extend(common(resources));
    for (size, bytes) in &resources.hugepages {
        settings.push(Setting { optional: true, ..set(&format!("hugetlb.{size}.max"), bytes) });
    }
    settings.extend(resources.unified.iter().map(|(file, value)| set(file, value)));
    settings
}

/// Files that have the same name in both.
fn common(resources: &Resources) -> Vec<Setting> {
    let mut settings = Vec::new();
    if !resources.cpuset_cpus.is_empty() {
        settings.push(set("cpuset.cpus", &resources.cpuset_cpus));
    }
    if !resources.cpuset_mems.is_empty() {
        settings.push(set("cpuset.mems", &resources.cpuset_mems));
    }
    if resources.pids_limit != 0 {
        let limit = if resources.pids_limit > 0 { resources.pids_limit.to_string() } else { "max".into() };
        settings.push(set("pids.max", limit));
    }
    settings
}

/// Shares (2 to 262144) as a weight (1 to 10000), as Kubernetes maps them.
fn weight(shares: u64) -> u64 {
    let shares = shares.clamp(2, 262_144);
    1 + (shares - 2) * 9_999 / 262_142
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(settings: Vec<Setting>) -> Vec<String> {
        settings.into_iter().map(|setting| format!("{}={}", setting.file, setting.value)).collect()
    }

    #[test]
    fn limits_become_files() {
        let resources = Resources {
            cpu_shares: 512,
            cpu_quota: 50_000,
            cpu_period: 100_000,
            memory_limit: 64 << 20,
            pids_limit: 100,
            cpuset_cpus: "0-1".into(),
            ..Resources::default()
        };
        let expected = [
            "cpu.shares=512",
            "cpu.cfs_period_us=100000",
            "cpu.cfs_quota_us=50000",
            "memory.limit_in_bytes=67108864",
            "memory.memsw.limit_in_bytes=67108864",
            "cpuset.cpus=0-1",
            "pids.max=100",
        ];
        assert_eq!(lines(legacy(&resources)), expected);
        let expected = [
            "cpu.weight=20",
            "cpu.max=50000 100000",
            "memory.max=67108864",
            "memory.swap.max=0",
            "cpuset.cpus=0-1",
            "pids.max=100",
        ];
        assert_eq!(lines(unified(&resources)), expected);
        assert!(legacy(&Resources::default()).is_empty() && unified(&Resources::default()).is_empty());
    }

    #[test]
    fn no_limit_is_said_in_each_version_s_words() {
        let resources = Resources { cpu_quota: -1, memory_limit: -1, pids_limit: -1, ..Resources::default() };
        let expected = [
            "cpu.cfs_quota_us=-1",
            "memory.limit_in_bytes=-1",
            "memory.memsw.limit_in_bytes=-1",
            "pids.max=max",
        ];
        assert_eq!(lines(legacy(&resources)), expected);
        assert_eq!(
            lines(unified(&resources)),
            ["cpu.max=max 100000", "memory.max=max", "memory.swap.max=max", "pids.max=max"]
        );
    }

    #[test]
    fn weights_span_their_range() {
        for (shares, expected) in [(2, 1), (1_024, 39), (262_144, 10_000), (0, 1), (u64::MAX, 10_000)] {
            assert_eq!(weight(shares), expected, "{shares}");
        }
    }
}
