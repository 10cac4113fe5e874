//! IPAddress: who has an address of the Services' range.

use machinery::{Value, names};

use crate::internal;
use crate::place::Place;
use crate::policy::{NameRule, Policy, SecondLook};
use crate::{Column, Door, Kind, columns, table};

/// The kind.
pub struct IpAddress;

impl Kind for IpAddress {
    fn policy(&self) -> Policy {
        Policy::cluster(NameRule::Address).second_look(SecondLook::All)
    }

    fn check(&self, object: Place<'_>) {
        check_parent(object);
    }

    fn check_update(&self, object: Place<'_>, old: &Value, _door: Door<'_>) {
        check_parent(object);
        let spec = object.get("spec");
        spec.get("parentRef").immutable_as(old.at(&["spec", "parentRef"]), |parent| match parent {
            Value::Null => "null".to_owned(),
            parent => internal::show("ParentReference", parent),
        });
    }

    fn columns(&self) -> &'static [Column] {
        columns::networking::IP_ADDRESS
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        let parent = object.at(&["spec", "parentRef"]);
        let text = |member: &str| parent.get(member).str_or_empty();
        let resource = match text("group") {
            "" => text("resource").to_owned(),
            group => format!("{}.{group}", text("resource")),
        };
        let shown = match (parent, text("namespace")) {
            (Value::Null, _) => "<none>".to_owned(),
            (_, "") => format!("{resource}/{}", text("name")),
            (_, namespace) => format!("{resource}/{namespace}/{}", text("name")),
        };
        vec![table::name(object), Value::from(shown), table::age(object, now_secs)]
    }
}

fn check_parent(object: Place<'_>) {
    let spec = object.get("spec");
    let parent = spec.get("parentRef");
    if !parent.is_set() {
        return parent.required("");
    }
    let group = parent.get("group");
    if !group.text().is_empty() {
        group.faults(names::dns1123_subdomain(group.text()));
    }
    for member in ["resource", "name"] {
        let place = parent.get(member);
        if place.text().is_empty() {
            place.required("");
        } else {
            place.faults(names::path_segment(place.text()));
        }
    }
    let namespace = parent.get("namespace");
    if !namespace.text().is_empty() {
        namespace.faults(names::path_segment(namespace.text()));
    }
}
