//! Which checks a standard has, and what they say of a pod.

use machinery::Value;

use super::baseline;
use super::restricted;
use super::standard::{Level, Standard, Version};

/// The newest version that changed a check. Versions after it are like it.
const NEWEST: u32 = 35;

/// A pod, or what a controller makes pods of.
#[derive(Clone, Copy, Debug)]
pub struct Pod<'a> {
    /// Its metadata.
    pub metadata: &'a Value,
    /// Its spec.
    pub spec: &'a Value,
}

/// What a check found: the reason, and what exactly; the latter may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// In a word or two.
    pub reason: String,
    /// Which containers, which values.
    pub detail: String,
}

/// A check, as it is from a version on.
#[derive(Clone, Copy)]
pub struct Check {
    /// Checks run in the order of their names, those of `baseline` first.
    pub id: &'static str,
    /// The first minor version that has it.
    pub since: u32,
    /// The check of `baseline` that it takes the place of.
    pub overrides: Option<&'static str>,
    /// Looks at a pod as a minor version does.
    pub run: fn(Pod<'_>, u32) -> Option<Violation>,
}

/// What a standard finds wrong with a pod.
pub fn evaluate(standard: Standard, pod: Pod<'_>) -> Vec<Violation> {
    let minor = match standard.version {
        Version::Latest => NEWEST,
        Version::Minor(minor) => minor.min(NEWEST),
    };
    let stricter: Vec<&Check> = match standard.level {
        Level::Privileged => return Vec::new(),
        Level::Baseline => Vec::new(),
        Level::Restricted => restricted::CHECKS.iter().filter(|check| check.since <= minor).collect(),
    };
    let is_overridden = |id| stricter.iter().any(|check| check.overrides == Some(id));
    let checks = baseline::CHECKS.iter().filter(|check| check.since <= minor && !is_overridden(check.id));
    checks.chain(stricter.iter().copied()).filter_map(|check| (check.run)(pod, minor)).collect()
}

/// All reasons in one sentence.
pub fn reasons(violations: &[Violation]) -> String {
    let reasons: Vec<&str> = violations.iter().map(|violation| violation.reason.as_str()).collect();
    reasons.join(", ")
}

/// All reasons with their details in one sentence.
pub fn details(violations: &[Violation]) -> String {
    let each: Vec<String> = violations
        .iter()
        .map(
            |Violation { reason, detail }| {
                if detail.is_empty() { reason.clone() } else { format!("{reason} ({detail})") }
            },
        )
        .collect();
    each.join(", ")
}

impl<'a> Pod<'a> {
    /// All containers, in the order in which they are told of.
    pub fn containers(self) -> impl Iterator<Item = &'a Value> {
        ["initContainers", "containers", "ephemeralContainers"]
            .into_iter()
            .flat_map(move |list| self.spec.get(list).items())
    }

    /// The names of the containers for which something holds.
    pub fn containers_where(self, holds: impl Fn(&Value) -> bool) -> Vec<&'a str> {
        self.containers().filter(|one| holds(one)).map(|one| one.get("name").str_or_empty()).collect()
    }

    /// The containers' and the pod's security context; the pod's is the second.
    pub fn context(self) -> &'a Value {
        self.spec.get("securityContext")
    }

    /// Whether the users in the pod are none of the node's.
    pub fn has_own_users(self) -> bool {
        self.spec.get("hostUsers").as_bool() == Some(false)
    }

    /// Whether it runs on Windows.
    pub fn is_windows(self) -> bool {
        self.spec.at(&["os", "name"]).as_str() == Some("windows")
    }
}

/// `singular` or `plural`, as the number has it.
pub fn number_of(count: usize, singular: &'static str, plural: &'static str) -> &'static str {
    if count == 1 { singular } else { plural }
}

/// `"a", "b"`
pub fn quoted(names: &[&str]) -> String {
    if names.is_empty() { String::new() } else { format!("\"{}\"", names.join("\", \"")) }
}

/// `container "a"`, `containers "a", "b"`
pub fn containers(names: &[&str]) -> String {
    format!("{} {}", number_of(names.len(), "container", "containers"), quoted(names))
}

/// Who set something that must not be set: the pod, containers, or both. `None` if nobody did.
pub fn setters(pod: bool, names: &[&str]) -> Option<String> {
    match (pod, names) {
        (false, []) => None,
        (true, []) => Some("pod".to_owned()),
        (false, names) => Some(containers(names)),
        (true, names) => Some(format!("pod and {}", containers(names))),
    }
}

/// Each once, sorted.
pub fn sorted<'a>(values: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let mut values: Vec<&str> = values.into_iter().collect();
    values.sort_unstable();
    values.dedup();
    values
}

impl Violation {
    /// With a reason and a detail.
    pub fn new(reason: impl Into<String>, detail: impl Into<String>) -> Violation {
        Violation { reason: reason.into(), detail: detail.into() }
    }
}
