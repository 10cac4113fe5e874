//! The pod security standards as namespaces name them: levels, versions, and the labels that ask for them.

use std::fmt;

use machinery::Value;
use machinery::field::{Error, Path};

const PREFIX: &str = "pod-security.kubernetes.io/";

/// How much is forbidden; each level forbids what those before it forbid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing is forbidden.
    #[default]
    Privileged,
    /// Known ways to take over a node are.
    Baseline,
    /// Pods follow what is recommended today.
    Restricted,
}

/// Of which minor version of Kubernetes the checks are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// `v1.x`
    Minor(u32),
    /// The newest there is.
    #[default]
    Latest,
}

/// A level as it was in a version: `baseline:v1.30`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standard {
    /// The level.
    pub level: Level,
    /// The version.
    pub version: Version,
}

/// What holds in a namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Pods that violate it are refused.
    pub enforce: Standard,
    /// Violations are noted in the audit log.
    pub audit: Standard,
    /// Violations are told to who writes.
    pub warn: Standard,
}

impl Level {
    /// The level by its name.
    pub fn parse(text: &str) -> Option<Level> {
        match text {
            "privileged" => Some(Level::Privileged),
            "baseline" => Some(Level::Baseline),
            "restricted" => Some(Level::Restricted),
            _ => None,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        }
    }
}

impl Version {
    /// `latest`, or `v1.` and a number without leading zeros.
    pub fn parse(text: &str) -> Option<Version> {
        if text == "latest" {
            return Some(Version::Latest);
        }
        let digits = text.strip_prefix("v1.")?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        if !plain || (digits.len() > 1 && digits.starts_with('0')) {
            return None;
        }
        digits.parse().ok().map(Version::Minor)
    }
}

impl fmt::Display for Standard {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Version::Latest => write!(out, "{}:latest", self.level.name()),
            Version::Minor(minor) => write!(out, "{}:v1.{minor}", self.level.name()),
        }
    }
}

impl Policy {
    /// What the labels of a namespace ask for, and what is wrong with them. What is malformed is enforced at its
    /// strictest, but neither noted nor told.
    pub fn of_labels<'a>(label: impl Fn(&str) -> Option<&'a str>, defaults: Policy) -> (Policy, Vec<Error>) {
        let mut policy = defaults;
        let mut errors = Vec::new();
        let modes = [
            ("enforce", &mut policy.enforce, Level::Restricted),
            ("audit", &mut policy.audit, Level::Privileged),
            ("warn", &mut policy.warn, Level::Privileged),
        ];
        for (mode, standard, malformed) in modes {
            let name = format!("{PREFIX}{mode}");
            if let Some(text) = label(&name) {
                standard.level = Level::parse(text).unwrap_or_else(|| {
                    errors.push(invalid(&name, text, "must be one of privileged, baseline, restricted"));
                    malformed
                });
            }
            let name = format!("{PREFIX}{mode}-version");
            if let Some(text) = label(&name) {
                standard.version = Version::parse(text).unwrap_or_else(|| {
                    errors.push(invalid(&name, text, "must be \"latest\" or \"v1.x\""));
                    Version::Latest
                });
            }
        }
        (policy, errors)
    }

    /// What the labels in a namespace's document ask for.
    pub fn of_namespace(namespace: &Value, defaults: Policy) -> (Policy, Vec<Error>) {
        let labels = namespace.at(&["metadata", "labels"]);
        Policy::of_labels(|name| labels.get(name).as_str(), defaults)
    }
}

fn invalid(label: &str, text: &str, why: &str) -> Error {
    Error::invalid(&Path::new("metadata").child("labels").key(label), text, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(labels: &[(&str, &str)]) -> (Policy, Vec<String>) {
        let label = |name: &str| {
            let short = name.strip_prefix(PREFIX).unwrap();
            labels.iter().find(|(key, _)| *key == short).map(|(_, value)| *value)
        };
        let (policy, errors) = Policy::of_labels(label, Policy::default());
        (policy, errors.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn labels_say_what_holds() {
        let (policy, errors) =
            read(&[("enforce", "baseline"), ("enforce-version", "v1.25"), ("warn", "restricted")]);
        assert_eq!(errors, Vec::<String>::new());
        assert_eq!(policy.enforce.to_string(), "baseline:v1.25");
        assert_eq!(policy.warn.to_string(), "restricted:latest");
        assert_eq!(policy.audit.to_string(), "privileged:latest");
    }

    #[test]
    fn malformed_labels_are_enforced_and_otherwise_ignored() {
        let (policy, errors) = read(&[("enforce", "x"), ("audit", "y"), ("warn-version", "v1.01")]);
        assert_eq!(policy.enforce.level, Level::Restricted);
        assert_eq!(policy.audit.level, Level::Privileged);
        let path = "metadata.labels[pod-security.kubernetes.io/";
        assert_eq!(
            errors,
            [
                format!(
                    "{path}enforce]: Invalid value: \"x\": must be one of privileged, baseline, restricted"
                ),
                format!(
                    "{path}audit]: Invalid value: \"y\": must be one of privileged, baseline, restricted"
                ),
                format!("{path}warn-version]: Invalid value: \"v1.01\": must be \"latest\" or \"v1.x\""),
            ]
        );
    }

    #[test]
    fn versions_are_latest_or_a_minor_of_one() {
        for (text, version) in [
            ("latest", Some(Version::Latest)),
            ("v1.0", Some(Version::Minor(0))),
            ("v1.36", Some(Version::Minor(36))),
            ("v1.99999999999", None),
            ("v1.", None),
            ("1.2", None),
            ("v2.0", None),
            ("v1.-1", None),
        ] {
            assert_eq!(Version::parse(text), version, "{text}");
        }
        assert!(Version::Minor(99) < Version::Latest);
    }
}
