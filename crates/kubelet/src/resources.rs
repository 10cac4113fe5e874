//! From requests and limits to what the kernel is told: cgroup paths, shares, quotas, and who is killed first.

use std::collections::BTreeMap;

use cri::Resources;
use k8s_openapi::api::core::v1::ResourceRequirements;

use crate::amounts::{self, Amounts};
use crate::pod::{Member, PodView, Role};
use crate::qos::{self, Class};

/// The kernel's least weight, and that of those who ask for nothing.
const LEAST_SHARES: u64 = 2;
/// The kernel's greatest weight.
const MOST_SHARES: u64 = 262_144;
/// The period over which CPU time is counted, in microseconds.
const PERIOD: u64 = 100_000;
/// The kernel refuses quotas below this.
const LEAST_QUOTA: i64 = 1_000;

/// The cgroup of a pod, below `root` (which is empty or begins with a slash).
pub(crate) fn cgroup_parent(root: &str, pod: &PodView) -> String {
    let class = match qos::class(pod) {
        Class::Guaranteed => "",
        Class::Burstable => "/burstable",
        Class::BestEffort => "/besteffort",
    };
    format!("{}/kubepods{class}/pod{}", root.trim_end_matches('/'), pod.uid())
}

/// The weight of so many thousandths of a core.
pub(crate) fn shares(millis: i64) -> u64 {
    let millis = u64::try_from(millis).unwrap_or(0);
    if millis == 0 { LEAST_SHARES } else { (millis * 1_024 / 1_000).clamp(LEAST_SHARES, MOST_SHARES) }
}

/// The quota of so many thousandths of a core; -1 without a limit.
pub(crate) fn quota(millis: i64) -> i64 {
    if millis <= 0 { -1 } else { (millis * (PERIOD as i64) / 1_000).max(LEAST_QUOTA) }
}

fn limits_of(resources: Option<&ResourceRequirements>) -> Option<&Amounts> {
    resources.and_then(|resources| resources.limits.as_ref())
}

fn requests_of(resources: Option<&ResourceRequirements>) -> Option<&Amounts> {
    resources.and_then(|resources| resources.requests.as_ref())
}

/// What is asked for; where nothing is, what is the limit.
fn requested(resources: Option<&ResourceRequirements>, name: &str) -> i64 {
    let requests = requests_of(resources);
    if requests.is_some_and(|requests| requests.contains_key(name)) {
        amounts::millis_of(requests, name)
    } else {
        amounts::millis_of(limits_of(resources), name)
    }
}

fn hugepages(limits: Option<&Amounts>) -> BTreeMap<String, u64> {
    let mut pages = BTreeMap::new();
    for (name, quantity) in limits.into_iter().flatten() {
        if let Some(size) = name.strip_prefix("hugepages-") {
            let size = size.replace("Ki", "KB").replace("Mi", "MB").replace("Gi", "GB");
            pages.insert(size, u64::try_from(amounts::whole(quantity)).unwrap_or(0));
        }
    }
    pages
}

/// The limits of one container.
pub(crate) fn of_container(
    pod: &PodView,
    resources: Option<&ResourceRequirements>,
    role: Role,
    node_memory: i64,
) -> Resources {
    let limits = limits_of(resources);
    let whole = limits_of(pod.spec().resources.as_ref());
    // A container without limits of its own lives within those of the pod.
    let bound = |name: &str| {
        let own = amounts::millis_of(limits, name);
        if own > 0 { own } else { amounts::millis_of(whole, name) }
    };
    Resources {
        cpu_shares: shares(requested(resources, "cpu")),
        cpu_quota: quota(bound("cpu")),
        cpu_period: PERIOD,
        memory_limit: bound("memory") / 1_000,
        oom_score_adj: oom_score(pod, resources, role, node_memory),
        hugepages: hugepages(limits),
        ..Resources::default()
    }
}

/// What a running container is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// All that it may use.
    pub wanted: Resources,
    /// Whether its processor time changes.
    pub cpu: bool,
    /// Whether its memory does.
    pub memory: bool,
}

/// How what a running container may use differs from what was allocated to it. What the runtime does not report is
/// not compared.
pub(crate) fn difference(pod: &PodView, member: &Member<'_>, actual: &Resources) -> Option<Difference> {
    let wanted = of_container(pod, member.spec.resources.as_ref(), member.role, 1);
    let cpu = actual.cpu_period > 0
        && (actual.cpu_shares, actual.cpu_quota, actual.cpu_period)
            != (wanted.cpu_shares, wanted.cpu_quota, wanted.cpu_period);
    let memory = actual.cpu_period > 0 && actual.memory_limit.max(0) != wanted.memory_limit;
    (cpu || memory).then(|| {
        let memory_limit = if wanted.memory_limit == 0 { -1 } else { wanted.memory_limit };
        let wanted = Resources {
            cpu_shares: wanted.cpu_shares,
            cpu_quota: wanted.cpu_quota,
            cpu_period: wanted.cpu_period,
            memory_limit,
            ..actual.clone()
        };
        Difference { wanted, cpu, memory }
    })
}

/// What the pod as a whole must be told it may use: what was allocated to it, or for a while what its containers still
/// have, since no part can have more than the whole. `None` if that is in force. What the runtime does not report is not
/// compared.
pub(crate) fn room<'a>(
    pod: &PodView,
    running: impl Iterator<Item = &'a Resources>,
    actual: &Resources,
) -> Option<Resources> {
    let wanted = of_pod(pod);
    if actual.cpu_period == 0 {
        return None;
    }
    // Parts of a pod that has limits of its own share them.
    let shared = pod.spec().resources.is_some();
    let join = |sum: i64, part: i64| if shared { sum.max(part) } else { sum.saturating_add(part) };
    let (mut quota, mut memory) = (0, 0);
    for part in running {
        quota = join(quota, part.cpu_quota.max(0));
        memory = join(memory, part.memory_limit.max(0));
    }
    let quota = if wanted.cpu_quota <= 0 { -1 } else { wanted.cpu_quota.max(quota) };
    let memory = if wanted.memory_limit <= 0 { 0 } else { wanted.memory_limit.max(memory) };
    let same = actual.cpu_shares == wanted.cpu_shares
        && actual.cpu_quota.max(-1) == quota
        && actual.memory_limit.max(0) == memory;
    (!same).then_some(Resources {
        cpu_quota: quota,
        memory_limit: if memory == 0 { -1 } else { memory },
        ..wanted
    })
}

/// How readily the kernel kills it: never the guaranteed, those first who use much more than they asked for.
fn oom_score(pod: &PodView, resources: Option<&ResourceRequirements>, role: Role, node_memory: i64) -> i32 {
    // What keeps the node itself alive goes last.
    if pod.spec().priority.is_some_and(|priority| priority >= 2_000_001_000) {
        return -997;
    }
    match qos::class(pod) {
        Class::Guaranteed => return -997,
        Class::BestEffort => return 1_000,
        Class::Burstable => {}
    }
    let score = |resources: Option<&ResourceRequirements>| {
        let asked = i128::from(amounts::whole_of(requests_of(resources), "memory"));
        let share = asked * 1_000 / i128::from(node_memory.max(1));
        (1_000 - i32::try_from(share).unwrap_or(1_000)).clamp(3, 999)
    };
    let own = score(resources);
    if role != Role::Sidecar {
        return own;
    }
    // A sidecar is not killed before the containers that it serves.
    pod.spec()
        .containers
        .iter()
        .map(|app| score(app.resources.as_ref()))
        .min()
        .map_or(own, |least| own.min(least))
}

/// What a pod asks for in all: the most that it needs at any time, and its overhead.
pub(crate) fn total(pod: &PodView, name: &str) -> i64 {
    combined(pod, name, &|resources| requested(resources, name))
}

fn combined(pod: &PodView, name: &str, amount: &dyn Fn(Option<&ResourceRequirements>) -> i64) -> i64 {
    let overhead = amounts::millis_of(pod.spec().overhead.as_ref(), name);
    let whole = pod.spec().resources.as_ref().map_or(0, |resources| amount(Some(resources)));
    if whole > 0 {
        return whole.saturating_add(overhead);
    }
    let (mut sidecars, mut peak) = (0i64, 0i64);
    for member in pod.init_members() {
        let own = amount(member.spec.resources.as_ref());
        if member.role == Role::Sidecar {
            sidecars = sidecars.saturating_add(own);
            peak = peak.max(sidecars);
        } else {
            peak = peak.max(sidecars.saturating_add(own));
        }
    }
    let apps = pod.spec().containers.iter().map(|app| amount(app.resources.as_ref())).sum::<i64>();
    peak.max(apps.saturating_add(sidecars)).saturating_add(overhead)
}

/// The limit of all of a pod's containers together, in thousandths; zero if there is none. Those of its containers add
/// up only if every one has one.
pub(crate) fn limit_of_all(pod: &PodView, name: &str) -> i64 {
    let whole = amounts::millis_of(limits_of(pod.spec().resources.as_ref()), name);
    if whole > 0 {
        return whole;
    }
    let inits = pod.spec().init_containers.iter().flatten();
    let mut all = inits.chain(&pod.spec().containers);
    let every = all.all(|container| amounts::millis_of(limits_of(container.resources.as_ref()), name) > 0);
    if every { combined(pod, name, &|resources| amounts::millis_of(limits_of(resources), name)) } else { 0 }
}

/// The limits of the pod as a whole.
pub(crate) fn of_pod(pod: &PodView) -> Resources {
    let limit = |name: &str| limit_of_all(pod, name);
    Resources {
        cpu_shares: shares(total(pod, "cpu")),
        cpu_quota: quota(limit("cpu")),
        cpu_period: PERIOD,
        memory_limit: limit("memory") / 1_000,
        ..Resources::default()
    }
}
