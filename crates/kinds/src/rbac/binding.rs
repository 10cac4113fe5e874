//! RoleBinding and ClusterRoleBinding.

use machinery::{Value, names};

use crate::internal;
use crate::place::{Place, Raw};
use crate::pod_spec::defaults::{members, or_text};
use crate::policy::{NameRule, Policy};
use crate::{Column, Door, Kind, columns, table};

/// The kind of bindings that hold in a namespace.
pub struct RoleBinding;
/// The kind of bindings that hold everywhere.
pub struct ClusterRoleBinding;

const GROUP: &str = "rbac.authorization.k8s.io";

fn default(object: &mut Value) {
    or_text(object.entry("roleRef"), "apiGroup", GROUP);
    for subject in members(object, "subjects") {
        let group = match subject.get("kind").str_or_empty() {
            "User" | "Group" => GROUP,
            _ => continue,
        };
        or_text(subject, "apiGroup", group);
    }
}

fn check(object: Place<'_>, namespaced: bool) {
    let role = object.get("roleRef");
    let group = role.get("apiGroup");
    if group.text() != GROUP {
        group.unsupported(&[GROUP]);
    }
    let kinds: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    role.get("kind").one_of(kinds);
    let name = role.get("name");
    if name.text().is_empty() {
        name.required("");
    } else {
        name.faults(names::path_segment(name.text()));
    }
    for subject in object.get("subjects").items() {
        check_subject(subject, namespaced);
    }
}

fn check_subject(subject: Place<'_>, namespaced: bool) {
    let (kind, name, group, namespace) =
        (subject.get("kind"), subject.get("name"), subject.get("apiGroup"), subject.get("namespace"));
    if name.text().is_empty() {
        name.required("");
    }
    match kind.text() {
        "ServiceAccount" => {
            if !name.text().is_empty() {
                name.faults(names::dns1123_subdomain(name.text()));
            }
            if !group.text().is_empty() {
                group.unsupported(&[""]);
            }
            if !namespaced && namespace.text().is_empty() {
                namespace.required("");
            }
        }
        "User" | "Group" => {
            if group.text() != GROUP {
                group.unsupported(&[GROUP]);
            }
        }
        _ => kind.unsupported(&["ServiceAccount", "User", "Group"]),
    }
}

fn check_change(object: Place<'_>, old: &Value) {
    let role = object.get("roleRef");
    if !crate::place::same(role.value(), old.get("roleRef")) {
        role.invalid_as(Raw(internal::show("RoleRef", role.value())), "cannot change roleRef");
    }
}

fn row(object: &Value, now_secs: i64) -> Vec<Value> {
    let role = object.get("roleRef");
    let role = format!("{}/{}", role.get("kind").str_or_empty(), role.get("name").str_or_empty());
    let listed = |kind: &str| {
        let of_kind = object
            .get("subjects")
            .items()
            .iter()
            .filter(|subject| subject.get("kind").str_or_empty() == kind);
        let names: Vec<String> = of_kind
            .map(|subject| {
                let name = subject.get("name").str_or_empty();
                if kind == "ServiceAccount" {
                    format!("{}/{name}", subject.get("namespace").str_or_empty())
                } else {
                    name.to_owned()
                }
            })
            .collect();
        Value::from(names.join(", "))
    };
    vec![
        table::name(object),
        Value::from(role),
        table::age(object, now_secs),
        listed("User"),
        listed("Group"),
        listed("ServiceAccount"),
    ]
}

impl Kind for RoleBinding {
    fn policy(&self) -> Policy {
        Policy::namespaced(NameRule::PathSegment).create_on_update()
    }

    fn default(&self, object: &mut Value) {
        default(object);
    }

    fn check(&self, object: Place<'_>) {
        check(object, true);
    }

    fn check_update(&self, object: Place<'_>, old: &Value, _door: Door<'_>) {
        crate::metadata::check(object.get("metadata"), &self.policy());
        check(object, true);
        check_change(object, old);
    }

    fn columns(&self) -> &'static [Column] {
        columns::access::ROLE_BINDING
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        row(object, now_secs)
    }
}

impl Kind for ClusterRoleBinding {
    fn policy(&self) -> Policy {
        Policy::cluster(NameRule::PathSegment).create_on_update()
    }

    fn default(&self, object: &mut Value) {
        default(object);
    }

    fn check(&self, object: Place<'_>) {
        check(object, false);
    }

    fn check_update(&self, object: Place<'_>, old: &Value, _door: Door<'_>) {
        crate::metadata::check(object.get("metadata"), &self.policy());
        check(object, false);
        check_change(object, old);
    }

    fn columns(&self) -> &'static [Column] {
        columns::access::CLUSTER_ROLE_BINDING
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        row(object, now_secs)
    }
}
