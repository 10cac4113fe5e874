//! IngressClass.

use machinery::{Value, names};

use crate::domain_path;
use crate::place::Place;
use crate::pod_spec::defaults::or;
use crate::policy::{NameRule, Policy, SecondLook};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct IngressClass;

impl Kind for IngressClass {
    fn policy(&self) -> Policy {
        Policy::cluster(NameRule::Subdomain).generation().second_look(SecondLook::All)
    }

    fn default(&self, object: &mut Value) {
        if let Some(spec) = object.get_mut("spec")
            && let Some(parameters) = spec.get_mut("parameters")
        {
            or(parameters, "scope", "Cluster");
        }
    }

    fn check(&self, object: Place<'_>) {
        let spec = object.get("spec");
        let controller = spec.get("controller");
        if controller.text().len() > 250 {
            controller.too_long(250);
        }
        domain_path::check(controller);
        check_parameters(spec.get("parameters"));
    }

    fn check_update(&self, object: Place<'_>, old: &Value, _door: Door<'_>) {
        let spec = object.get("spec");
        let controller = spec.get("controller");
        if controller.text() != old.at(&["spec", "controller"]).str_or_empty() {
            controller.invalid_as(controller.text(), "field is immutable");
        }
        self.check(object);
    }

    fn columns(&self) -> &'static [Column] {
        columns::networking::INGRESS_CLASS
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        let spec = object.get("spec");
        let parameters = spec.get("parameters");
        let shown = match parameters {
            Value::Null => "<none>".to_owned(),
            parameters => {
                let text = |member: &str| parameters.get(member).str_or_empty();
                let group = text("apiGroup");
                let kind = if group.is_empty() {
                    text("kind").to_owned()
                } else {
                    format!("{}.{group}", text("kind"))
                };
                format!("{kind}/{}", text("name"))
            }
        };
        vec![
            table::name(object),
            table::text(spec.get("controller")),
            Value::from(shown),
            table::age(object, now_secs),
        ]
    }
}

fn check_parameters(parameters: Place<'_>) {
    if !parameters.is_set() {
        return;
    }
    let group = parameters.get("apiGroup");
    if group.is_set() {
        group.faults(names::dns1123_subdomain(group.text()));
    }
    for member in ["kind", "name"] {
        let place = parameters.get(member);
        if place.text().is_empty() {
            place.required("");
        } else {
            place.faults(names::path_segment(place.text()));
        }
    }
    let (scope, namespace) = (parameters.get("scope"), parameters.get("namespace"));
    if !scope.is_set() {
        return scope.required("");
    }
    if !matches!(scope.text(), "Namespace" | "Cluster") {
        scope.unsupported(&["Cluster", "Namespace"]);
    }
    match (scope.text(), namespace.is_set()) {
        ("Namespace", false) => namespace.required("`parameters.scope` is set to 'Namespace'"),
        ("Namespace", true) => namespace.faults(names::dns1123_label(namespace.text())),
        ("Cluster", true) => namespace.forbidden("`parameters.scope` is set to 'Cluster'"),
        _ => {}
    }
}
