//! The roles and bindings that every cluster has from the start: made if they are missing, and completed if something
//! of them is missing. What users added stays; who does not want that sets the annotation `autoupdate` to `false`.

use std::sync::Arc;

use machinery::{Reason, Status, Value};

use super::rbac::GROUP;
use super::rules::{self, Rule};
use crate::bootstrap::side_by_side;
use crate::core::Core;
use crate::identity::Identity;
use crate::verbs::create;
use crate::verbs::update::{self, Replace};
use crate::write::{Options, Request};

const POLICY: &str = include_str!("policy.txt");
const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";
const AGGREGATE_TO: &str = "rbac.authorization.k8s.io/aggregate-to-";

/// A role or binding that is to be there.
#[derive(Debug)]
struct Wanted {
    plural: &'static str,
    namespace: &'static str,
    name: &'static str,
    document: Value,
}

/// Makes and completes all of them.
pub async fn run(core: &Arc<Core>) -> Result<(), Status> {
    side_by_side(read().into_iter().map(|wanted| ensure(core, wanted))).await
}

async fn ensure(core: &Arc<Core>, wanted: Wanted) -> Result<(), Status> {
    let registry = core.registry.load_full();
    let Some(served) = registry.find(GROUP, "v1", wanted.plural) else { return Ok(()) };
    let identity = Identity::server();
    let options = Options { manager: "kube-apiserver".to_owned(), ..Options::default() };
    let request = Request {
        core,
        identity: &identity,
        served,
        namespace: wanted.namespace,
        name: wanted.name,
        subresource: "",
        options: &options,
    };
    if let Ok(current) = request.current().await {
        return match complete(current.object().to_whole_value()?, &wanted.document) {
            Some(completed) => update::change(request, &Replace(completed)).await.map(drop),
            None => Ok(()),
        };
    }
    let mut document = wanted.document;
    document.set("kind", served.kind.as_str());
    document.set("apiVersion", served.api_version.as_str());
    request.canonical(&mut document);
    match create::create(Request { name: "", ..request }, document).await {
        // Another server was faster.
        Err(status) if !status.is(Reason::AlreadyExists) => Err(status),
        _ => Ok(()),
    }
}

/// What is there with what is missing; `None` if nothing is.
fn complete(mut there: Value, wanted: &Value) -> Option<Value> {
    if there.at(&["metadata", "annotations", AUTOUPDATE]).str_or_empty() == "false" {
        return None;
    }
    let mut changed = false;
    for field in ["labels", "annotations"] {
        for (name, value) in wanted.at(&["metadata", field]).members() {
            if there.at(&["metadata", field, name]).is_null() {
                *there.at_mut(&["metadata", field, name]) = value.clone();
                changed = true;
            }
        }
    }
    let aggregates = !wanted.get("aggregationRule").is_null();
    let missing = rules::missing(&Rule::all_of(there.get("rules")), &Rule::all_of(wanted.get("rules")));
    if !aggregates && !missing.is_empty() {
        there.entry("rules").make_array().extend(missing.iter().map(Rule::to_value));
        changed = true;
    }
    for subject in wanted.get("subjects").items() {
        if !there.get("subjects").items().contains(subject) {
            there.entry("subjects").make_array().push(subject.clone());
            changed = true;
        }
    }
    changed.then_some(there)
}

/// Reads the policy's text.
fn read() -> Vec<Wanted> {
    let mut all: Vec<Wanted> = Vec::new();
    for line in POLICY.lines().filter(|line| !line.starts_with('#')) {
        let words: Vec<&'static str> = line.split_whitespace().collect();
        match (words.as_slice(), all.last_mut()) {
            (["role", name, aggregation @ ..], _) => all.push(role(name, aggregation)),
            (["bind", name, to, role], _) => all.push(binding(name, to, role)),
            ([kind @ ("user" | "group" | "account"), name], Some(last)) => {
                last.document.entry("subjects").make_array().push(subject(kind, name));
            }
            (rule, Some(last)) => last.document.entry("rules").make_array().push(policy_rule(rule)),
            (_, None) => unreachable!("the policy begins with a role"),
        }
    }
    all
}

fn metadata(name: &'static str) -> (&'static str, &'static str, Value) {
    let (namespace, name) = name.split_once('/').unwrap_or(("", name));
    let map = |key: &'static str, value: &str| Value::from([(key, value.into())]);
    let mut metadata = Value::from([("name", Value::from(name))]);
    if !namespace.is_empty() {
        metadata.set("namespace", namespace);
    }
    metadata.set("labels", map("kubernetes.io/bootstrapping", "rbac-defaults"));
    metadata.set("annotations", map(AUTOUPDATE, "true"));
    (namespace, name, metadata)
}

fn role(name: &'static str, aggregation: &[&str]) -> Wanted {
    let (namespace, name, mut metadata) = metadata(name);
    let mut selectors = Vec::new();
    for pair in aggregation.chunks_exact(2) {
        let key = format!("{AGGREGATE_TO}{}", pair[1]);
        if pair[0] == "in" {
            metadata.entry("labels").set(&key, "true");
        } else {
            let labels = Value::from([(key.as_str(), "true".into())]);
            selectors.push(Value::from([("matchLabels", labels)]));
        }
    }
    let mut document = Value::from([("metadata", metadata), ("rules", Value::Null)]);
    if !selectors.is_empty() {
        document.set("aggregationRule", Value::from([("clusterRoleSelectors", Value::from(selectors))]));
    }
    Wanted { plural: if namespace.is_empty() { "clusterroles" } else { "roles" }, namespace, name, document }
}

fn policy_rule(words: &[&'static str]) -> Value {
    let list = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
    let is_path = |word: &str| word.starts_with('/') || word == "*";
    let rule = match words {
        [verbs, paths @ ..] if paths.len() == 1 || paths.iter().all(|path| path.starts_with('/')) => {
            debug_assert!(paths.iter().all(|path| is_path(path)), "resources come with their group");
            let paths = paths.iter().map(|path| (*path).to_owned()).collect();
            Rule { verbs: list(verbs), paths, ..Rule::default() }
        }
        [verbs, groups, resources, names @ ..] => Rule {
            verbs: list(verbs),
            groups: list(groups)
                .into_iter()
                .map(|group| if group == "core" { String::new() } else { group })
                .collect(),
            resources: list(resources),
            names: names.first().map_or_else(Vec::new, |names| list(names)),
            paths: Vec::new(),
        },
        _ => unreachable!("a rule has verbs and what they are about"),
    };
    rule.to_value()
}

fn binding(name: &'static str, to: &str, role: &str) -> Wanted {
    let (namespace, name, metadata) = metadata(name);
    let kind = if to == "to" { "ClusterRole" } else { "Role" };
    let reference = Value::from([
        ("apiGroup", Value::from(GROUP)),
        ("kind", Value::from(kind)),
        ("name", Value::from(role)),
    ]);
    let plural = if namespace.is_empty() { "clusterrolebindings" } else { "rolebindings" };
    Wanted {
        plural,
        namespace,
        name,
        document: Value::from([("metadata", metadata), ("roleRef", reference)]),
    }
}

fn subject(kind: &str, name: &str) -> Value {
    if let Some((namespace, name)) = name.split_once('/').filter(|_| kind == "account") {
        return Value::from([
            ("kind", Value::from("ServiceAccount")),
            ("name", Value::from(name)),
            ("namespace", Value::from(namespace)),
        ]);
    }
    let kind = if kind == "user" { "User" } else { "Group" };
    Value::from([("kind", Value::from(kind)), ("apiGroup", Value::from(GROUP)), ("name", Value::from(name))])
}

#[cfg(test)]
mod tests;
