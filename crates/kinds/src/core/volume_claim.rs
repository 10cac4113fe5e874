//! PersistentVolumeClaim, and the claims that pods and StatefulSets hold templates of.

use machinery::{Value, names};

use crate::label_selector::{self, Values};
use crate::place::{Place, Raw, same};
use crate::pod_spec::defaults::{amounts, or};
use crate::pod_spec::resources::amount;
use crate::policy::{NameRule, Policy, keep, keep_all_but};
use crate::{Column, Door, Kind, columns, diff, internal, table};

/// The kind.
pub struct PersistentVolumeClaim;

/// How a volume can be mounted.
pub(crate) const ACCESS_MODES: &[&str] =
    &["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

impl Kind for PersistentVolumeClaim {
    fn policy(&self) -> Policy {
        Policy::namespaced(NameRule::Subdomain).status()
    }

    fn default(&self, object: &mut Value) {
        default_claim_spec(object.entry("spec"));
        let status = object.entry("status");
        crate::pod_spec::defaults::or_text(status, "phase", "Pending");
        if let Some(capacity) = status.get_mut("capacity") {
            amounts(capacity);
        }
    }

    fn prepare_create(&self, object: &mut Value) {
        object.set("status", Value::from([("phase", Value::from("Pending"))]));
        unite_sources(object.entry("spec"));
    }

    fn check(&self, object: Place<'_>) {
        check_spec(object.get("spec"));
    }

    fn prepare_update(&self, object: &mut Value, old: &Value, door: Door<'_>) {
        if door.is_status() {
            keep_all_but(object, old, &["status"]);
        } else {
            keep(object, old, "status");
            unite_sources(object.entry("spec"));
        }
    }

    fn check_update(&self, object: Place<'_>, old: &Value, door: Door<'_>) {
        if door.is_status() {
            return check_status(object);
        }
        crate::metadata::check(object.get("metadata"), &self.policy());
        check_spec(object.get("spec"));
        check_changes(object, old);
    }

    fn columns(&self) -> &'static [Column] {
        columns::core::PERSISTENT_VOLUME_CLAIM
    }

    fn row(&self, object: &Value, now_secs: i64) -> Vec<Value> {
        let (spec, status) = (object.get("spec"), object.get("status"));
        let bound = !spec.get("volumeName").str_or_empty().is_empty();
        let phase = match object.at(&["metadata", "deletionTimestamp"]) {
            Value::Null => status.get("phase").str_or_empty(),
            _ => "Terminating",
        };
        let (capacity, modes) = if bound {
            (capacity(status.get("capacity")), short_modes(status.get("accessModes")))
        } else {
            (String::new(), String::new())
        };
        vec![
            table::name(object),
            Value::from(phase),
            table::text(spec.get("volumeName")),
            Value::from(capacity),
            Value::from(modes),
            table::text(storage_class(object)),
            table::text_or(spec.get("volumeAttributesClassName"), "<unset>"),
            table::age(object, now_secs),
            table::text_or(spec.get("volumeMode"), "<unset>"),
        ]
    }
}

/// The annotation that named the storage class before there was a field for it.
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

/// The class a claim or a volume names.
pub(crate) fn storage_class(object: &Value) -> &Value {
    match object.at(&["metadata", "annotations", CLASS_ANNOTATION]) {
        Value::Null => object.at(&["spec", "storageClassName"]),
        named => named,
    }
}

pub(crate) fn capacity(list: &Value) -> String {
    match list.get("storage") {
        Value::Null => "0".to_owned(),
        value => amount(value).to_string(),
    }
}

/// Access modes in short: `RWO,ROX,RWX,RWOP`.
pub(crate) fn short_modes(modes: &Value) -> String {
    let has = |mode: &str| modes.items().iter().any(|known| known.str_or_empty() == mode);
    let short = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    short.into_iter().filter(|(mode, _)| has(mode)).map(|(_, short)| short).collect::<Vec<_>>().join(",")
}

/// Fills a claim's specification in.
pub(crate) fn default_claim_spec(spec: &mut Value) {
    or(spec, "volumeMode", "Filesystem");
    if spec.get("resources").is_null() {
        spec.set("resources", Value::object());
    }
    let resources = spec.entry("resources");
    for list in ["limits", "requests"] {
        if let Some(list) = resources.get_mut(list) {
            amounts(list);
        }
    }
}

/// `dataSource` and `dataSourceRef` say the same where either can.
fn unite_sources(spec: &mut Value) {
    let known = |source: &Value| {
        matches!(
            (source.get("apiGroup").str_or_empty(), source.get("kind").str_or_empty()),
            ("", "PersistentVolumeClaim") | ("snapshot.storage.k8s.io", "VolumeSnapshot")
        )
    };
    if !spec.get("dataSource").is_null()
        && spec.get("dataSourceRef").is_null()
        && !known(spec.get("dataSource"))
    {
        spec.remove("dataSource");
    }
    let (source, reference) = (spec.get("dataSource").clone(), spec.get("dataSourceRef").clone());
    if !source.is_null() && reference.is_null() {
        spec.set("dataSourceRef", source);
    } else if source.is_null() && !reference.is_null() && reference.get("namespace").str_or_empty().is_empty()
    {
        let mut plain = reference.clone();
        plain.remove("namespace");
        spec.set("dataSource", plain);
    }
}

/// What is wrong with a template of a claim.
pub(crate) fn check_claim_template(template: Place<'_>) {
    let metadata = template.get("metadata");
    crate::metadata::check_labels(metadata.get("labels"));
    crate::metadata::check_annotations(metadata.get("annotations"));
    check_spec(template.get("spec"));
}

pub(crate) fn check_spec(spec: Place<'_>) {
    let modes = spec.get("accessModes");
    if modes.is_empty() {
        modes.required("at least 1 access mode is required");
    }
    label_selector::check(spec.get("selector"), Values::Valid);
    check_access_modes(modes);
    let resources = spec.get("resources");
    let wanted = resources.value().at(&["requests", "storage"]);
    let place = resources.with(wanted);
    let place = place.at_key("storage");
    if wanted.is_null() {
        place.required("");
    } else if amount(wanted).signum() <= 0 {
        place.invalid_as(&amount(wanted).to_string(), "must be greater than zero");
    }
    let class = spec.get("storageClassName");
    if !class.text().is_empty() {
        class.faults(names::dns1123_subdomain(class.text()));
    }
    let mode = spec.get("volumeMode");
    if mode.is_set() {
        mode.one_of(&["Block", "Filesystem"]);
    }
    let class = spec.get("volumeAttributesClassName");
    if !class.text().is_empty() {
        class.faults(names::dns1123_subdomain(class.text()));
    }
    check_sources(spec);
}

/// What is wrong with access modes.
pub(crate) fn check_access_modes(modes: Place<'_>) {
    let (mut alone, mut others) = (false, false);
    for mode in modes.value().items() {
        let mode = mode.str_or_empty();
        match mode {
            "ReadWriteOncePod" => alone = true,
            mode if ACCESS_MODES.contains(&mode) => others = true,
            other => modes.unsupported_as(other, ACCESS_MODES),
        }
    }
    if alone && others {
        modes.forbidden("may not use ReadWriteOncePod with other access modes");
    }
}

fn check_sources(spec: Place<'_>) {
    let (source, reference) = (spec.get("dataSource"), spec.get("dataSourceRef"));
    for place in [source, reference] {
        if !place.is_set() {
            continue;
        }
        for member in ["name", "kind"] {
            if place.get(member).text().is_empty() {
                place.get(member).required("");
            }
        }
        let group = place.get("apiGroup");
        if group.text().is_empty() && place.get("kind").text() != "PersistentVolumeClaim" {
            place.invalid_as(
                place.get("kind").text(),
                "must be 'PersistentVolumeClaim' when referencing the default apiGroup",
            );
        }
        if !group.text().is_empty() {
            group.faults(names::dns1123_subdomain(group.text()));
        }
    }
    if source.is_set() && reference.is_set() {
        let differ = ["apiGroup", "kind", "name"]
            .iter()
            .any(|member| source.get(member).text() != reference.get(member).text());
        if !reference.get("namespace").text().is_empty() {
            spec.invalid_as(
                Raw("{}".to_owned()),
                "may not be specified when dataSourceRef.namespace is specified",
            );
        } else if differ {
            spec.invalid_as(Raw("{}".to_owned()), "must match dataSourceRef");
        }
    }
}

const ONLY_GROWS: &str = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";

fn check_changes(object: Place<'_>, old: &Value) {
    let spec = object.get("spec");
    let old_spec = old.get("spec");
    let mut munged = spec.value().clone();
    if old_spec.get("volumeName").str_or_empty().is_empty() {
        keep(&mut munged, old_spec, "volumeName");
    }
    let bound = old.at(&["status", "phase"]).str_or_empty() == "Bound";
    let storage = ["resources", "requests", "storage"];
    let (new_size, old_size) = (spec.value().at(&storage), old_spec.at(&storage));
    let actual_size = old.at(&["status", "capacity", "storage"]);
    let shrinks_to_real = bound && !actual_size.is_null();
    if bound && (amount(new_size) >= amount(old_size) || shrinks_to_real) {
        *munged.at_mut(&storage) = old_size.clone();
    }
    let class = "volumeAttributesClassName";
    if bound && !same(spec.value().get(class), old_spec.get(class)) {
        keep(&mut munged, old_spec, class);
    }
    if !same(&munged, old_spec) {
        let shown = |spec: &Value| internal::show_indented("PersistentVolumeClaimSpec", spec);
        let difference = diff::unified(&shown(old_spec), &shown(&munged));
        spec.forbidden(format!("{ONLY_GROWS}\n{difference}"));
    }
    if bound {
        let actual = old.at(&["status", "capacity", "storage"]);
        if amount(new_size) < amount(old_size) && amount(new_size) <= amount(actual) {
            let resources = spec.get("resources");
            let requests = resources.get("requests");
            requests.at("storage").forbidden("field can not be less than status.capacity");
        }
        let named = spec.get(class);
        if !old_spec.get(class).str_or_empty().is_empty() && !named.is_set() {
            named.forbidden("update from non-nil value to nil is forbidden");
        }
    }
}

fn check_status(object: Place<'_>) {
    let status = object.get("status");
    if object.value().at(&["spec", "accessModes"]).is_empty() {
        return;
    }
    for (name, place) in status.get("capacity").entries() {
        crate::pod_spec::resources::check_name(place, name);
        crate::pod_spec::resources::check_not_negative(place);
    }
    check_access_modes(status.get("accessModes"));
}
