//! Node.

use std::collections::BTreeSet;

use machinery::field::{Error, go_quote};
use machinery::{Value, names};

use crate::internal;
use crate::metadata::check_label_name;
use crate::place::{Place, Raw, same};
use crate::pod_spec::{check_taint_effect, resources};
use crate::policy::{NameRule, Policy, SecondLook, keep, keep_all_but};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct Node;

impl Kind for Node {
    fn policy(&self) -> Policy {
        Policy::cluster(NameRule::Subdomain).second_look(SecondLook::All)
    }

    /// What can be allocated is the capacity unless something else is said.
    fn default(&self, object: &mut Value) {
        let cidr = object.at(&["spec", "podCIDR"]).str_or_empty().to_owned();
        // Where the two differ, the one counts that older clients know.
        let first = object.at(&["spec", "podCIDRs"]).items().first().map(Value::str_or_empty);
        if !cidr.is_empty() && first != Some(&cidr) {
            *object.at_mut(&["spec", "podCIDRs"]) = Value::from(vec![Value::from(cidr)]);
        }
        let Some(status) = object.get_mut("status") else { return };
        for list in ["capacity", "allocatable"] {
            if let Some(list) = status.get_mut(list) {
                crate::pod_spec::defaults::amounts(list);
            }
        }
        let capacity = status.get("capacity").clone();
        if status.get("allocatable").is_null() && !capacity.is_empty() {
            status.set("allocatable", capacity);
        }
    }

    fn prepare_create(&self, _object: &mut Value) {}

    fn check(&self, object: Place<'_>) {
        let spec = object.get("spec");
        check_taints(object);
        check_resources(object);
        check_features(object.get("status").get("declaredFeatures"));
        let cidrs = spec.get("podCIDRs");
        for cidr in cidrs.items() {
            for fault in names::legacy_cidr(cidr.text()) {
                cidr.invalid_as(cidr.text(), fault);
            }
        }
        if cidrs.len() > 1 {
            let broken = cidrs.items().position(|cidr| names::parse_cidr_sloppy(cidr.text()).is_none());
            if let Some(position) = broken {
                let text = cidrs.value().items()[position].str_or_empty();
                cidrs.report(Error::internal(
                    &cidrs.path(),
                    format!(
                        "invalid PodCIDRs. failed to check with dual stack with error:invalid CIDR[{position}]: <nil> \
                         (invalid CIDR address: {text})"
                    ),
                ));
            }
            let four = cidrs.value().items().iter().filter(|cidr| !cidr.str_or_empty().contains(':')).count();
            if broken.is_some() || four != 1 || cidrs.len() != 2 {
                cidrs.invalid("may specify no more than one CIDR for each IP family");
            }
        }
    }

    fn prepare_update(&self, object: &mut Value, old: &Value, door: Door<'_>) {
        if door.is_status() {
            keep_all_but(object, old, &["status"]);
        } else {
            keep(object, old, "status");
        }
    }

    fn check_update(&self, object: Place<'_>, old: &Value, door: Door<'_>) {
        if door == Door::Main {
            self.check(object);
        }
        check_resources(object);
        check_features(object.get("status").get("declaredFeatures"));
        check_addresses(object);
        let spec = object.get("spec");
        let cidrs = spec.get("podCIDRs");
        let old_cidrs = old.at(&["spec", "podCIDRs"]);
        if !old_cidrs.items().is_empty() && !same(cidrs.value(), old_cidrs) {
            cidrs.forbidden("node updates may not change podCIDR except from \"\" to valid");
        }
        let provider = spec.get("providerID");
        let old_provider = old.at(&["spec", "providerID"]).str_or_empty();
        if !old_provider.is_empty() && provider.text() != old_provider {
            provider.forbidden("node updates may not change providerID except from \"\" to valid");
        }
        check_taints(object);
        let external = spec.get("externalID");
        if external.text() != old.at(&["spec", "externalID"]).str_or_empty() {
            external.forbidden("may not be updated");
        }
    }

    fn selectable(&self, object: &Value) -> Vec<(&'static str, String)> {
        vec![("spec.unschedulable", object.at(&["spec", "unschedulable"]).is_true().to_string())]
    }

    fn selectable_names(&self) -> &'static [&'static str] {
        &["spec.unschedulable"]
    }

    fn columns(&self) -> &'static [Column] {
        columns::core::NODE
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        let info = object.at(&["status", "nodeInfo"]);
        let address = |kind: &str| {
            let addresses = object.at(&["status", "addresses"]).items();
            let found = addresses.iter().find(|address| address.get("type").str_or_empty() == kind);
            found.map_or(Value::from("<none>"), |address| table::text(address.get("address")))
        };
        let kernel = match (info.get("kernelVersion").str_or_empty(), info.get("architecture").str_or_empty())
        {
            ("", _) => "<unknown>".to_owned(),
            (kernel, "") => kernel.to_owned(),
            (kernel, architecture) => format!("{kernel} ({architecture})"),
        };
        vec![
            table::name(object),
            Value::from(shown_status(object)),
            Value::from(roles(object)),
            table::age(object, now_secs),
            table::text(info.get("kubeletVersion")),
            address("InternalIP"),
            address("ExternalIP"),
            table::text_or(info.get("osImage"), "<unknown>"),
            Value::from(kernel),
            table::text_or(info.get("containerRuntimeVersion"), "<unknown>"),
        ]
    }
}

/// Taints are told as if they were metadata.
fn check_taints(object: Place<'_>) {
    let metadata = object.get("metadata");
    let taints = metadata.with(object.value().at(&["spec", "taints"]));
    let taints = taints.at("taints");
    let mut seen = BTreeSet::new();
    for taint in taints.items() {
        let (key, effect) = (taint.get("key"), taint.get("effect"));
        check_label_name(key, key.text());
        let value = taint.get("value");
        let faults = names::label_value(value.text());
        if !faults.is_empty() {
            value.invalid_as(value.text(), faults.join(";"));
        }
        check_taint_effect(effect);
        if !seen.insert((key.key(), effect.key())) {
            let shown = internal::show("Taint", taint.value());
            let mut error = Error::duplicate(&taint.path(), Raw(shown));
            error.detail = "taints must be unique by key and effect pair".to_owned();
            taint.report(error);
        }
    }
}

fn check_resources(object: Place<'_>) {
    let status = object.get("status");
    for list in ["capacity", "allocatable"] {
        let amounts = status.get(list);
        for (name, place) in amounts.entries() {
            let told = amounts.with(place.value());
            resources::check_amount(told.at(name), name);
        }
    }
}

/// What a node says it can do is sorted, and named as features are.
fn check_features(features: Place<'_>) {
    let mut before: Option<&str> = None;
    for feature in features.items() {
        let name = feature.text();
        match before {
            Some(before) if before == name => feature.duplicate(),
            Some(before) if before > name => feature.invalid("list must be sorted alphabetically"),
            _ => {}
        }
        if name.len() > names::SUBDOMAIN_MAX {
            let told = format!("must be no more than {} characters", names::SUBDOMAIN_MAX);
            feature.invalid(format!("invalid feature name {}: {told}", go_quote(name)));
        } else if !is_feature(name) {
            feature.invalid(format!("invalid feature name {}: {FEATURE_FORM}", go_quote(name)));
        }
        before = Some(name);
    }
}

const FEATURE_FORM: &str = "must start with an UpperCamelCase segment, with subsequent segments separated by '/' \
                            (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and \
                            slashes";

fn is_feature(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_uppercase())
        && name.split('/').all(|part| {
            part.starts_with(|first: char| first.is_ascii_alphabetic())
                && part.chars().all(|letter| letter.is_ascii_alphanumeric())
        })
}

fn check_addresses(object: Place<'_>) {
    let status = object.get("status");
    let addresses = status.get("addresses");
    let mut seen = BTreeSet::new();
    for address in addresses.items() {
        let pair =
            (address.value().get("type").str_or_empty(), address.value().get("address").str_or_empty());
        if !seen.insert(pair) {
            address.duplicate_as(Raw(internal::show("NodeAddress", address.value())));
        }
    }
}

fn shown_status(object: &Value) -> String {
    let conditions = object.at(&["status", "conditions"]).items();
    let ready = conditions.iter().find(|condition| condition.get("type").str_or_empty() == "Ready");
    let mut status = match ready {
        Some(ready) if ready.get("status").str_or_empty() == "True" => "Ready".to_owned(),
        Some(_) => "NotReady".to_owned(),
        None => "Unknown".to_owned(),
    };
    if object.at(&["spec", "unschedulable"]).is_true() {
        status.push_str(",SchedulingDisabled");
    }
    status
}

fn roles(object: &Value) -> String {
    let mut roles: BTreeSet<&str> = BTreeSet::new();
    for (key, value) in object.at(&["metadata", "labels"]).members() {
        if let Some(role) = key.strip_prefix("node-role.kubernetes.io/") {
            roles.extend(Some(role).filter(|role| !role.is_empty()));
        } else if key == "kubernetes.io/role" {
            roles.extend(Some(value.str_or_empty()).filter(|role| !role.is_empty()));
        }
    }
    if roles.is_empty() { "<none>".to_owned() } else { roles.into_iter().collect::<Vec<_>>().join(",") }
}
