//! `PodSecurity`: pods follow the standard that their namespace asks for.
//!
//! What is enforced holds for pods alone. What controllers make pods of is only warned about and noted for the audit log,
//! so that nobody learns of it from pods that never appear.

mod baseline;
mod evaluate;
mod restricted;
mod standard;

use std::collections::BTreeMap;

use machinery::status::GroupName;
use machinery::{Status, Value};

use self::evaluate::{Pod, details, evaluate, reasons};
pub use self::standard::{Level, Policy, Standard, Version};
use super::{Operation, Plugin, Review, Step, Surroundings};
use crate::identity::Identity;

/// Ways into a pod that do not change what it may do.
const IGNORED: [&str; 8] = ["exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"];
/// What makes pods, and where it says of what.
const TEMPLATES: [(&str, &str, &[&str]); 8] = [
    ("", "podtemplates", &["template"]),
    ("", "replicationcontrollers", &["spec", "template"]),
    ("apps", "replicasets", &["spec", "template"]),
    ("apps", "deployments", &["spec", "template"]),
    ("apps", "statefulsets", &["spec", "template"]),
    ("apps", "daemonsets", &["spec", "template"]),
    ("batch", "jobs", &["spec", "template"]),
    ("batch", "cronjobs", &["spec", "jobTemplate", "spec", "template"]),
];
/// What annotations in the audit log begin with.
const ANNOTATION: &str = "pod-security.kubernetes.io/";
const SECCOMP_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
/// So many pods of a namespace are looked at when its standard becomes stricter.
const PODS_MAX: usize = 3_000;

/// What holds where namespaces say nothing, and for whom nothing holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Where namespaces say nothing.
    pub defaults: Policy,
    /// Namespaces in which everything goes.
    pub namespaces: Vec<String>,
    /// Users who may do everything.
    pub usernames: Vec<String>,
    /// Runtime classes whose pods may do everything.
    pub runtime_classes: Vec<String>,
}

impl Settings {
    /// Reads a `PodSecurityConfiguration`.
    pub fn parse(text: &str) -> Result<Settings, String> {
        let document = machinery::yaml::decode(text.as_bytes()).map_err(|error| error.to_string())?;
        let version = document.get("apiVersion").str_or_empty();
        if document.get("kind").as_str() != Some("PodSecurityConfiguration")
            || version != "pod-security.admission.config.k8s.io/v1"
        {
            let kind = "PodSecurityConfiguration of pod-security.admission.config.k8s.io/v1";
            return Err(format!("it is no {kind}"));
        }
        let defaults = document.get("defaults");
        let default_of = |label: &str| defaults.get(label.strip_prefix(ANNOTATION)?).as_str();
        let (defaults, errors) = Policy::of_labels(default_of, Policy::default());
        if let Some(error) = errors.first() {
            return Err(format!("defaults: {error}"));
        }
        let list = |name: &str| {
            let items = document.at(&["exemptions", name]).items();
            items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Ok(Settings {
            defaults,
            namespaces: list("namespaces"),
            usernames: list("usernames"),
            runtime_classes: list("runtimeClasses"),
        })
    }
}

#[derive(Debug)]
pub(super) struct PodSecurity {
    settings: Settings,
}

impl PodSecurity {
    pub(super) fn new(settings: Settings) -> PodSecurity {
        PodSecurity { settings }
    }

    fn check(&self, review: &mut Review<'_>, around: Surroundings<'_>) -> Result<(), Status> {
        if review.served.is("", "namespaces") {
            return self.check_namespace(review, around);
        }
        if let Some(exempt) = self.exempts(review.identity, review.namespace) {
            review.note(&format!("{ANNOTATION}exempt"), exempt);
            return Ok(());
        }
        let (policy, malformed) = self.policy_of(review.namespace, around)?;
        let is_pod = review.served.is("", "pods");
        let enforced = if is_pod { policy.enforce.level } else { Level::Privileged };
        if malformed.is_none() && [enforced, policy.audit.level, policy.warn.level] == [Level::Privileged; 3]
        {
            return Ok(());
        }
        if is_pod && review.operation == Operation::Update && !matters(&review.object, review.old) {
            return Ok(());
        }
        if let Some(error) = malformed {
            review.note(&format!("{ANNOTATION}error"), format!("Failed to parse policy: {error}"));
        }
        self.check_pod(review, policy, is_pod)
    }

    /// What of a request lifts it out of every standard.
    fn exempts(&self, identity: &Identity, namespace: &str) -> Option<&'static str> {
        let Settings { namespaces, usernames, .. } = &self.settings;
        if namespaces.iter().any(|name| name == namespace) {
            return Some("namespace");
        }
        usernames.contains(&identity.name).then_some("user")
    }

    fn policy_of(
        &self,
        namespace: &str,
        around: Surroundings<'_>,
    ) -> Result<(Policy, Option<String>), Status> {
        let found = around.caches.collection("core/namespaces").and_then(|all| all.get(namespace));
        let found =
            found.ok_or_else(|| Status::internal(format!("failed to lookup namespace {namespace}")))?;
        let header = found.object().header();
        let (policy, errors) = Policy::of_labels(|name| header.label(name), self.settings.defaults);
        let malformed = (!errors.is_empty()).then(|| {
            let each: Vec<String> = errors.iter().map(ToString::to_string).collect();
            each.join(", ")
        });
        Ok((policy, malformed))
    }

    fn check_pod(&self, review: &mut Review<'_>, policy: Policy, is_pod: bool) -> Result<(), Status> {
        let object = std::mem::take(&mut review.object);
        let outcome = self.judge(review, &object, policy, is_pod);
        review.object = object;
        outcome
    }

    fn judge(
        &self,
        review: &mut Review<'_>,
        object: &Value,
        policy: Policy,
        is_pod: bool,
    ) -> Result<(), Status> {
        let Some(template) = template_of(review, object) else { return Ok(()) };
        let pod = Pod { metadata: template.get("metadata"), spec: template.get("spec") };
        let class = pod.spec.get("runtimeClassName").str_or_empty();
        if !class.is_empty() && self.settings.runtime_classes.iter().any(|exempt| exempt == class) {
            review.note(&format!("{ANNOTATION}exempt"), "runtimeClass");
            return Ok(());
        }
        if is_pod {
            review.note(&format!("{ANNOTATION}enforce-policy"), policy.enforce.to_string());
        }
        let violations = evaluate(policy.audit, pod);
        if !violations.is_empty() {
            let text = format!("would violate PodSecurity \"{}\": {}", policy.audit, details(&violations));
            review.note(&format!("{ANNOTATION}audit-violations"), text);
        }
        if is_pod {
            let violations = evaluate(policy.enforce, pod);
            if !violations.is_empty() {
                let why = format!("violates PodSecurity \"{}\": {}", policy.enforce, details(&violations));
                let pods = GroupName { group: "", name: "pods" };
                return Err(Status::forbidden(pods, review.name, &why));
            }
        }
        let violations = evaluate(policy.warn, pod);
        if !violations.is_empty() {
            let text = format!("would violate PodSecurity \"{}\": {}", policy.warn, details(&violations));
            review.warnings.push(text);
        }
        Ok(())
    }

    fn check_namespace(&self, review: &mut Review<'_>, around: Surroundings<'_>) -> Result<(), Status> {
        let (new, errors) = Policy::of_namespace(&review.object, self.settings.defaults);
        let invalid = || Err(Status::invalid(review.served.group_kind(), review.name, &errors));
        if review.operation == Operation::Create {
            return if errors.is_empty() { Ok(()) } else { invalid() };
        }
        let (old, old_errors) = Policy::of_namespace(review.old, self.settings.defaults);
        if !errors.is_empty() && errors != old_errors {
            return invalid();
        }
        let is_looser = new.enforce.version == old.enforce.version && new.enforce.level <= old.enforce.level;
        let exempt = self.settings.namespaces.iter().any(|name| name == review.name);
        if new.enforce == old.enforce || new.enforce.level == Level::Privileged || is_looser || exempt {
            return Ok(());
        }
        review.warnings.extend(self.survey(review.name, new.enforce, around)?);
        Ok(())
    }

    /// What the pods that are there would be refused for.
    fn survey(
        &self,
        namespace: &str,
        standard: Standard,
        around: Surroundings<'_>,
    ) -> Result<Vec<String>, Status> {
        let Some(pods) = around.caches.collection("core/pods") else { return Ok(Vec::new()) };
        let pods = pods.snapshot();
        let (prefix, end) = (format!("{namespace}/"), format!("{namespace}0"));
        let total = pods.count(&prefix, &end);
        let mut found: BTreeMap<String, (String, usize)> = BTreeMap::new();
        for entry in pods.starting_at(&prefix).take(total.min(PODS_MAX)) {
            let pod = entry.object().to_value()?;
            let class = pod.at(&["spec", "runtimeClassName"]).str_or_empty();
            if !class.is_empty() && self.settings.runtime_classes.iter().any(|exempt| exempt == class) {
                continue;
            }
            let pod = Pod { metadata: pod.get("metadata"), spec: pod.get("spec") };
            let violations = evaluate(standard, pod);
            if !violations.is_empty() {
                // The first by name is told of, because the cache is in that order.
                let first = || (entry.object().header().name.to_string(), 0);
                found.entry(reasons(&violations)).or_insert_with(first).1 += 1;
            }
        }
        Ok(told(namespace, standard, (total, found)))
    }
}

/// What the writer of a namespace is told of its pods.
fn told(
    namespace: &str,
    standard: Standard,
    (total, found): (usize, BTreeMap<String, (String, usize)>),
) -> Vec<String> {
    let mut warnings = Vec::new();
    if total > PODS_MAX {
        warnings.push(format!(
            "new PodSecurity enforce level only checked against the first {PODS_MAX} of {total} existing pods"
        ));
    }
    if !found.is_empty() {
        warnings.push(format!(
            "existing pods in namespace \"{namespace}\" violate the new PodSecurity enforce level \"{standard}\""
        ));
    }
    let mut each: Vec<String> = found
        .into_iter()
        .map(|(reason, (pod, count))| match count {
            1 => format!("{pod}: {reason}"),
            2 => format!("{pod} (and 1 other pod): {reason}"),
            more => format!("{pod} (and {} other pods): {reason}", more - 1),
        })
        .collect();
    each.sort();
    warnings.extend(each);
    warnings
}

/// The pod that is written, or what pods are made of.
fn template_of<'a>(review: &Review<'_>, object: &'a Value) -> Option<&'a Value> {
    if review.served.is("", "pods") {
        return Some(object);
    }
    let (.., path) = TEMPLATES.iter().find(|(group, plural, _)| review.served.is(group, plural))?;
    let template = object.at(path);
    (!template.is_null()).then_some(template)
}

/// Whether an update of a pod changes anything that standards look at.
fn matters(new: &Value, old: &Value) -> bool {
    let note = |pod: &Value, key: &str| pod.at(&["metadata", "annotations", key]).clone();
    let changes = |one: &Value, other: &Value| {
        let key = format!("{SECCOMP_CONTAINER}{}", one.get("name").str_or_empty());
        one.get("image") != other.get("image") || note(new, &key) != note(old, &key)
    };
    if note(new, SECCOMP_POD) != note(old, SECCOMP_POD) {
        return true;
    }
    for list in ["containers", "initContainers"] {
        let (new, old) = (new.at(&["spec", list]).items(), old.at(&["spec", list]).items());
        if new.len() != old.len() || new.iter().zip(old).any(|(one, other)| changes(one, other)) {
            return true;
        }
    }
    let before = old.at(&["spec", "ephemeralContainers"]).items();
    new.at(&["spec", "ephemeralContainers"]).items().iter().any(|one| {
        let same = before.iter().find(|other| other.get("name") == one.get("name"));
        same.is_none_or(|other| changes(one, other))
    })
}

impl Plugin for PodSecurity {
    fn name(&self) -> &'static str {
        "PodSecurity"
    }

    fn wants(&self, review: &Review<'_>) -> bool {
        if !matches!(review.operation, Operation::Create | Operation::Update) {
            return false;
        }
        let served = review.served;
        if served.is("", "pods") {
            return !IGNORED.contains(&review.subresource);
        }
        let is_other = served.is("", "namespaces")
            || TEMPLATES.iter().any(|(group, plural, _)| served.is(group, plural));
        is_other && review.subresource.is_empty()
    }

    fn validate<'a>(&'a self, review: &'a mut Review<'_>, around: Surroundings<'a>) -> Option<Step<'a>> {
        let refused = self.check(review, around).err()?;
        Some(Box::pin(std::future::ready(Err(refused))))
    }
}

#[cfg(test)]
mod tests;
