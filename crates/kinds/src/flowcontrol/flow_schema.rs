//! FlowSchema: which requests belong to which priority level.

use machinery::{Value, names};

use crate::internal;
use crate::place::{Place, Raw};
use crate::pod_spec::defaults::or_number;
use crate::policy::{NameRule, Policy, SecondLook};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct FlowSchema;

const PRECEDENCE_MAX: i64 = 10_000;
const PRECEDENCE: i64 = 1_000;
const VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];

impl Kind for FlowSchema {
    fn policy(&self) -> Policy {
        Policy::cluster(NameRule::Subdomain).generation().bare_status().second_look(SecondLook::No)
    }

    fn default(&self, object: &mut Value) {
        or_number(object.entry("spec"), "matchingPrecedence", PRECEDENCE);
    }

    fn prepare_create(&self, object: &mut Value) {
        object.set("status", Value::object());
        object.entry("metadata").set("generation", 1i64);
    }

    fn check(&self, object: Place<'_>) {
        let spec = object.get("spec");
        let precedence = spec.get("matchingPrecedence");
        if precedence.int() <= 0 {
            precedence.invalid_number("must be a positive value");
        }
        if precedence.int() > PRECEDENCE_MAX {
            precedence.invalid(format!("must not be greater than {PRECEDENCE_MAX}"));
        }
        let name = object.value().at(&["metadata", "name"]).str_or_empty();
        if precedence.int() == 1 && name != "exempt" {
            precedence.invalid("only the schema named 'exempt' may have matchingPrecedence 1");
        }
        let method = spec.get("distinguisherMethod");
        if method.is_set() && !matches!(method.get("type").text(), "ByUser" | "ByNamespace") {
            let shown = internal::show("FlowDistinguisherMethod", method.value());
            method.at("type").unsupported_as(Raw(shown), &["ByNamespace", "ByUser"]);
        }
        let level = spec.get("priorityLevelConfiguration");
        let level = level.get("name");
        if level.text().is_empty() {
            level.required("must reference a priority level");
        } else {
            level.faults(names::dns1123_subdomain(level.text()));
        }
        for rule in spec.get("rules").items() {
            check_rule(rule);
        }
    }

    fn check_update(&self, object: Place<'_>, _old: &Value, door: Door<'_>) {
        if door.is_status() {
            return check_conditions(object.get("status"));
        }
        crate::metadata::check(object.get("metadata"), &self.policy());
        self.check(object);
    }

    fn columns(&self) -> &'static [Column] {
        columns::access::FLOW_SCHEMA
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        let (spec, status) = (object.get("spec"), object.get("status"));
        let dangling = status
            .get("conditions")
            .items()
            .iter()
            .find(|condition| condition.get("type").str_or_empty() == "Dangling");
        vec![
            table::name(object),
            table::text(spec.at(&["priorityLevelConfiguration", "name"])),
            table::int(spec.get("matchingPrecedence")),
            table::text_or(spec.at(&["distinguisherMethod", "type"]), "<none>"),
            table::age(object, now_secs),
            dangling.map_or(Value::from("?"), |condition| table::text(condition.get("status"))),
        ]
    }
}

fn check_rule(rule: Place<'_>) {
    let subjects = rule.get("subjects");
    if subjects.is_empty() {
        subjects.required("subjects must contain at least one value");
    }
    for subject in subjects.items() {
        check_subject(subject);
    }
    let (resources, urls) = (rule.get("resourceRules"), rule.get("nonResourceRules"));
    if resources.is_empty() && urls.is_empty() {
        rule.required("at least one of resourceRules and nonResourceRules has to be non-empty");
    }
    for resource in resources.items() {
        check_resource_rule(resource);
    }
    for url in urls.items() {
        check_url_rule(url);
    }
}

fn check_subject(subject: Place<'_>) {
    let kind = subject.get("kind");
    let need = |member: &'static str| {
        let place = subject.get(member);
        if !place.is_set() {
            place.required(&format!("{member} is required when subject kind is '{}'", kind.text()));
        }
    };
    let own = match kind.text() {
        "ServiceAccount" => "serviceAccount",
        "User" => "user",
        "Group" => "group",
        _ => "",
    };
    for (member, kind) in [("user", "User"), ("group", "Group"), ("serviceAccount", "ServiceAccount")] {
        if !own.is_empty() && member != own && subject.get(member).is_set() {
            subject.get(member).forbidden(format!("{member} is forbidden when subject kind is not '{kind}'"));
        }
    }
    match kind.text() {
        "ServiceAccount" => {
            need("serviceAccount");
            let account = subject.get("serviceAccount");
            if account.is_set() {
                let (name, namespace) = (account.get("name"), account.get("namespace"));
                if name.text().is_empty() {
                    name.required("");
                } else if name.text() != "*" {
                    name.faults(names::dns1123_subdomain(name.text()));
                }
                if namespace.text().is_empty() {
                    namespace.required("must specify namespace for service account");
                } else {
                    namespace.faults(names::dns1123_label(namespace.text()));
                }
            }
        }
        "User" => {
            need("user");
            check_name(subject.get("user"));
        }
        "Group" => {
            need("group");
            check_name(subject.get("group"));
        }
        _ => kind.unsupported(&["Group", "ServiceAccount", "User"]),
    }
}

fn check_name(subject: Place<'_>) {
    if subject.is_set() && subject.get("name").text().is_empty() {
        subject.get("name").required("");
    }
}

fn check_verbs(verbs: Place<'_>) {
    if verbs.is_empty() {
        return verbs.required("verbs must contain at least one value");
    }
    let list = verbs.value().items();
    let has_all = list.iter().any(|verb| verb.str_or_empty() == "*");
    if has_all && list.len() > 1 {
        verbs.invalid("if '*' is present, must not specify other verbs");
    } else if !has_all && !list.iter().all(|verb| VERBS.contains(&verb.str_or_empty())) {
        verbs.unsupported_as(verbs.value(), VERBS);
    }
}

fn check_resource_rule(rule: Place<'_>) {
    check_verbs(rule.get("verbs"));
    for (member, what) in [("apiGroups", "api groups"), ("resources", "resources")] {
        let list = rule.get(member);
        let items = list.value().items();
        let has_all = items.iter().any(|item| item.str_or_empty() == "*");
        if items.is_empty() {
            list.required(&format!("resource rules must supply at least one {}", what.trim_end_matches('s')));
        } else if has_all && items.len() > 1 {
            list.invalid(format!("if '*' is present, must not specify other {what}"));
        }
    }
    let namespaces = rule.get("namespaces");
    if namespaces.is_empty() && !rule.get("clusterScope").is_true() {
        namespaces.required("resource rules that are not cluster scoped must supply at least one namespace");
    }
    let items = namespaces.value().items();
    if items.iter().any(|item| item.str_or_empty() == "*") {
        if items.len() > 1 {
            namespaces.invalid("if '*' is present, must not specify other namespaces");
        }
        return;
    }
    for namespace in namespaces.items() {
        for fault in names::dns1123_label(namespace.text()) {
            namespace.invalid(format!("each member of this list must be '*' or a DNS-1123 label; {fault}"));
        }
    }
}

fn check_url_rule(rule: Place<'_>) {
    check_verbs(rule.get("verbs"));
    let urls = rule.get("nonResourceURLs");
    if urls.is_empty() {
        return urls.required("nonResourceURLs must contain at least one value");
    }
    let items = urls.value().items();
    if items.iter().any(|item| item.str_or_empty() == "*") {
        if items.len() > 1 {
            urls.invalid("if '*' is present, must not specify other non-resource URLs");
        }
        return;
    }
    for url in urls.items() {
        let text = url.text();
        if text.is_empty() {
            url.invalid_as(text, "must not be empty");
        } else if text == "/" {
        } else if !text.starts_with('/') {
            url.invalid("must start with slash");
        } else if text.contains(' ') {
            url.invalid("must not contain white-space");
        } else if text.contains("//") {
            url.invalid("must not contain double slash");
        } else if text.contains('*') && !text.ends_with("/*") {
            url.invalid("wildcard can only do suffix matching");
        }
    }
}

fn check_conditions(status: Place<'_>) {
    let mut seen = std::collections::BTreeSet::new();
    for condition in status.get("conditions").items() {
        let kind = condition.get("type");
        if !seen.insert(kind.key()) {
            kind.duplicate();
        }
        if kind.text().is_empty() {
            kind.required("");
        }
    }
}
